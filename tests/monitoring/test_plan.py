from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from evertune.config.loader import load_params
from evertune.data.holdout import add_row_keys
from evertune.decisions import MonitoringDecision
from evertune.errors import StageError
from evertune.files import read_record, write_table
from evertune.models.persistence import load_model, save_model
from evertune.monitoring.retraining import write_plan
from evertune.plan import Plan
from evertune.search.trial_log import append_trial, open_trials
from evertune.trials import Configuration, FoldResult, SearchHeader, Trial
from tests import production
from tests.registries import client_of, open_state

pytestmark = pytest.mark.slow
DECISION = MonitoringDecision(
    "d", production.day(9), "churn", "1", "retune", ("loss rose",), change_from=production.day(2)
)


def absorbed(n_days: int) -> pd.DataFrame:
    table = production.rows(0, n_days)
    return table.assign(moment=table["day"])


@pytest.fixture
def root(champion_root: Path) -> Path:
    """Return a project with a champion and eight days of absorbed rows, 60 a day."""
    root = production.project(champion_root, target="left", time="day")
    write_table(load_params(root).paths.production_labels, absorbed(8))
    return root


def test_the_plan_is_written_for_the_stages(root: Path) -> None:
    plan = write_plan(root, DECISION)
    assert read_record(load_params(root).paths.plan, Plan) == plan
    assert (plan.mode, plan.judge_from) == ("retune", "2024-01-06T08:00:00+00:00")
    assert plan.warm_starts == (production.LINEAR,)


def test_the_best_trials_of_the_champions_search_are_tried_after_it(root: Path) -> None:
    trials = root / "trials.jsonl"
    open_trials(trials, SearchHeader("s", "roc_auc", True, 1, 1.0, None))
    for number, (family, score) in enumerate([("tree", 0.7), ("lightgbm", 0.9)]):
        folds = (FoldResult(0, {"roc_auc": score}, 0.1, 0.1),)
        trial = Trial(number, Configuration(family), "complete", folds, score, None, 1.0)
        append_trial(trials, trial)
    store = open_state(root / "state")
    client_of(store).log_artifact(store.champion().run_id, str(trials))
    families = [each.family for each in write_plan(root, DECISION).warm_starts]
    assert families == ["linear", "lightgbm", "tree"]


def test_rows_that_the_champion_has_learned_from_do_not_judge(
    root: Path, learned: Path, tmp_path: Path
) -> None:
    seen = add_row_keys(absorbed(8).head(7 * 60), production.SCHEMA)["row_key"]
    model = replace(load_model(learned / "model"), row_keys=tuple(seen))
    save_model(tmp_path / "knowing" / "model", model)
    production.champion(root, tmp_path / "knowing", identity="2", with_reference=False)
    with pytest.raises(StageError, match=r"Decision d cannot be followed. .* Got 60 instead"):
        write_plan(root, replace(DECISION, champion="2"))


def test_a_run_that_was_killed_after_the_promotion_makes_the_same_plan_again(
    root: Path, learned: Path
) -> None:
    first = write_plan(root, DECISION)
    production.champion(root, learned, identity="2", with_reference=False)
    assert write_plan(root, DECISION) == first
