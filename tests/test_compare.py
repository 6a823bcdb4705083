from pathlib import Path

import numpy as np
import pytest

from pipelines.compare import compare
from pipelines.core.declared import Declared
from pipelines.core.findings import Window
from pipelines.core.model import Model
from pipelines.core.preparing import prepare
from pipelines.core.rehearsals import NAME, Rehearsal, Roles
from pipelines.core.replaying import mean_loss
from pipelines.core.trials import Configuration
from pipelines.core.truths import truth_of
from pipelines.params import load_params
from pipelines.rehearse import rehearse
from pipelines.stores.files import write_table
from pipelines.stores.models import save_model
from pipelines.tuning.families import fit_configuration
from tests.flows.conftest import copied_project
from tests.planted import TARGET, TIME, planted

WEEKS = 4


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Rehearsal:
    """Return a rehearsal whose project has a model, fitted without a search."""
    root: Path = copied_project(tmp_path_factory.mktemp("compared") / "project")
    planted("concept", rows_a_day=20).table.to_parquet(root / "concept.parquet", index=False)
    made = rehearse(root, root / "played", file=root / "concept.parquet", roles=Roles(TIME, TARGET))
    paths = load_params(made.root).paths
    found, breaches = prepare(
        made.learned, Declared(TARGET, identifier=NAME, time=TIME, positive="yes")
    )
    assert not breaches
    chosen, truth = Configuration("linear", {}), truth_of(found.clean, found.schema)
    fitted = fit_configuration(chosen, found.clean, truth, schema=found.schema, seed=0, n_jobs=1)
    save_model(paths.model, Model(found.schema, chosen, fitted, ()))
    write_table(paths.holdout, found.clean)
    return made


def windows(made: Rehearsal) -> list[Window]:
    length = (made.end - made.start) / WEEKS
    starts = [made.start + number * length for number in range(WEEKS)]
    return [Window(start, start + length) for start in starts]


@pytest.fixture(scope="module")
def losses(trained) -> dict[str, list]:
    played = compare(
        trained, ["never", "scheduled", "oracle"], windows=windows(trained), label_delay=0
    )
    return {one.policy: [each.loss for each in one.losses] for one in played}


def test_a_model_that_is_never_fitted_anew_is_lost_after_the_change(losses):
    assert losses["never"][-1] > 1.5 * losses["never"][0]


def test_one_that_is_fitted_by_schedule_gets_better_again(losses):
    assert losses["scheduled"][-1] < losses["never"][-1]


def test_nobody_is_better_than_the_oracle(losses):
    assert np.mean(losses["oracle"]) <= min(np.mean(losses["never"]), np.mean(losses["scheduled"]))


def test_a_policy_that_needs_the_loop_is_left_out(trained):
    assert compare(trained, ["loop"], windows=windows(trained), label_delay=0) == ()


def test_every_row_that_is_played_counts(trained):
    (played,) = compare(trained, ["never"], windows=windows(trained), label_delay=0)
    rows = sum(each.window.n_rows for each in played.losses)
    assert rows in {len(trained.played), len(trained.played) - 1}
    assert mean_loss(played.losses) is not None
