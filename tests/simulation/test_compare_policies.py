from pathlib import Path

import numpy as np
import pytest

from evertune.config.loader import load_params
from evertune.data.cleaning import prepare_table
from evertune.data.schema import TableSpec, encode_target
from evertune.files import write_table
from evertune.models.families import fit_configuration
from evertune.models.fitted_model import Model
from evertune.models.persistence import save_model
from evertune.simulation.policies import compare_policies
from evertune.simulation.results import ROW_NAME, ColumnRoles, ReplayProject, mean_loss
from evertune.simulation.workspace import create_replay_project
from evertune.times import TimeWindow
from evertune.trials import Configuration
from tests.planted import TARGET, TIME, planted
from tests.projects import copied_project

WEEKS = 4


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> ReplayProject:
    """Return a rehearsal whose project has a model, fitted without a search."""
    root: Path = copied_project(tmp_path_factory.mktemp("compared") / "project")
    planted("concept", rows_a_day=20).table.to_parquet(root / "concept.parquet", index=False)
    made = create_replay_project(
        root, root / "played", file=root / "concept.parquet", roles=ColumnRoles(TIME, TARGET)
    )
    paths = load_params(made.root).paths
    found, breaches = prepare_table(
        made.learned, TableSpec(TARGET, identifier=ROW_NAME, time=TIME, positive="yes")
    )
    assert not breaches
    chosen, truth = Configuration("linear", {}), encode_target(found.clean, found.schema)
    fitted = fit_configuration(chosen, found.clean, truth, schema=found.schema, seed=0, n_jobs=1)
    save_model(paths.model, Model(found.schema, chosen, fitted, ()))
    write_table(paths.holdout, found.clean)
    return made


def windows(made: ReplayProject) -> list[TimeWindow]:
    length = (made.end - made.start) / WEEKS
    starts = [made.start + number * length for number in range(WEEKS)]
    return [TimeWindow(start, start + length) for start in starts]


@pytest.fixture(scope="module")
def losses(trained) -> dict[str, list]:
    played = compare_policies(
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
    assert compare_policies(trained, ["loop"], windows=windows(trained), label_delay=0) == ()


def test_every_row_that_is_played_counts(trained):
    (played,) = compare_policies(trained, ["never"], windows=windows(trained), label_delay=0)
    rows = sum(each.window.n_rows for each in played.losses)
    assert rows in {len(trained.played), len(trained.played) - 1}
    assert mean_loss(played.losses) is not None
