from pathlib import Path

import pytest

from evertune.config.loader import load_params
from evertune.data.cleaning import prepare_table
from evertune.data.schema import TableSpec, encode_target
from evertune.files import write_table
from evertune.models.families import fit_configuration
from evertune.models.fitted_model import Model
from evertune.models.persistence import save_model
from evertune.simulation.replay import (
    ROW_NAME,
    ReplayProject,
    compare_policies,
    create_replay_project,
)
from evertune.simulation.results import ReplayResult, mean_loss
from evertune.trials import Configuration
from tests.support.planted import TARGET, TIME, planted
from tests.support.projects import copied_project

WEEKS = 4


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> ReplayProject:
    """Return a rehearsal whose project has a model, fitted without a search."""
    root: Path = copied_project(tmp_path_factory.mktemp("compared") / "project")
    planted("concept", rows_a_day=20).table.to_parquet(root / "concept.parquet", index=False)
    made = create_replay_project(
        root, root / "played", file=root / "concept.parquet", time=TIME, target=TARGET
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


@pytest.fixture(scope="module")
def results(trained) -> dict[str, ReplayResult]:
    """Return the results of all policies; one that needs the loop is left out."""
    results = compare_policies(
        trained,
        ["never", "scheduled", "oracle", "loop"],
        windows=trained.windows(WEEKS),
        label_delay_days=0,
    )
    return {each.policy: each for each in results}


def test_a_policy_that_needs_the_loop_is_left_out(results):
    assert [*results] == ["never", "scheduled", "oracle"]


def test_a_model_that_is_never_fitted_anew_is_lost_after_the_change(results):
    losses = [each.loss for each in results["never"].losses]
    assert losses[-1] > 1.5 * losses[0]


def test_one_that_is_fitted_by_schedule_gets_better_again(results):
    assert results["scheduled"].losses[-1].loss < results["never"].losses[-1].loss


def test_nothing_is_better_than_the_oracle(results):
    losses = {policy: mean_loss(result.losses) for policy, result in results.items()}
    assert losses["oracle"] == min(losses.values())


@pytest.mark.parametrize("policy", ["never", "scheduled", "oracle"])
def test_every_row_that_is_played_counts(trained, results, policy):
    rows = sum(each.window.n_rows for each in results[policy].losses)
    assert rows == len(trained.played)
