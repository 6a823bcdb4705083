from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evertune.config.loader import load_params
from evertune.config.schema import RetuneSection
from evertune.data.holdout import add_row_keys
from evertune.data.schema import Column, TableSchema
from evertune.decisions import Alarm, Finding, MonitoringDecision
from evertune.errors import StageError
from evertune.files import read_record, read_table, write_table
from evertune.models.persistence import load_model, save_model
from evertune.monitoring.retraining import (
    choose_holdout_start,
    feedback_rows,
    plan_retraining,
    snapshot_labels,
    write_plan,
)
from evertune.plan import Plan
from evertune.registry.decision_log import DecisionLog
from evertune.search.trial_log import append_trial, open_trials
from evertune.times import TimeWindow
from evertune.trials import Configuration, FoldResult, SearchHeader, Trial
from evertune.versioning import dvc
from tests.support import production
from tests.support.registries import client_of, open_state

CHANGE = datetime(2024, 3, 1, tzinfo=UTC)
CHAMPION, TOP = Configuration("tree", {"max_depth": 3}), Configuration("linear")
REFIT, RETUNE = (
    MonitoringDecision("d", CHANGE, "churn", "1", action, ("loss rose",), change_from=CHANGE)
    for action in ("refit", "retune")
)

# The plan


def moments(n_days=120, a_day=10):
    days = pd.date_range("2024-01-01", periods=n_days, unit="us")
    return pd.Series(days).repeat(a_day)


def plan_of(decision, *, tops=(), champion=(CHAMPION,), **rule):
    return plan_retraining(
        decision, moments=moments(), rule=RetuneSection(**rule), champion=champion, tops=tops
    )


@pytest.mark.parametrize(
    ("change", "rule", "n_rows"),
    [
        (CHANGE, {"holdout_fraction": 0.5}, 300),
        (CHANGE, {"holdout_fraction": 0.25}, 150),
        (CHANGE, {"holdout_fraction": 0.9}, 540),
        (None, {"holdout_fraction": 0.5, "latest_days": 39}, 200),
        (datetime(2024, 4, 28, tzinfo=UTC), {"holdout_fraction": 0.5}, 100),
        (CHANGE, {"holdout_days": 10}, 200),
        (CHANGE, {"holdout_days": 25}, 250),
        (CHANGE, {"holdout_days": 90}, 300),
    ],
)
def test_a_share_of_the_rows_since_the_change_judges(change, rule, n_rows):
    cut = choose_holdout_start(moments(), change_from=change, rule=RetuneSection(**rule))
    assert (moments() >= pd.Timestamp(cut.replace(tzinfo=None))).sum() == n_rows


def test_too_few_rows_to_judge_are_refused():
    with pytest.raises(ValueError, match=r"At least 100 labelled rows .* Got 99 instead"):
        choose_holdout_start(moments(99, 1), change_from=None, rule=RetuneSection())


def test_a_refit_tries_the_members_of_the_champion_without_a_budget():
    plan = plan_of(REFIT, tops=(TOP,))
    assert (plan.mode, plan.warm_starts, plan.budget_trials) == ("refit", (CHAMPION,), 1)
    assert plan.budget_seconds is None
    plan = plan_of(REFIT, champion=(CHAMPION, TOP))
    assert (plan.warm_starts, plan.budget_trials) == ((CHAMPION, TOP), 2)


def test_a_retune_starts_with_the_champion_and_then_the_best_trials():
    plan = plan_of(RETUNE, tops=(CHAMPION, TOP, TOP, Configuration("lightgbm")), warm_starts=2)
    assert (plan.mode, plan.warm_starts, plan.budget_seconds) == ("retune", (CHAMPION, TOP), 60)


def test_the_training_windows_are_those_of_the_rule_in_its_order():
    starts = {window.name: window.start for window in plan_of(RETUNE, latest_days=10).windows}
    assert starts == {
        "since_change": "2024-03-01T00:00:00+00:00",
        "latest": "2024-03-21T00:00:00+00:00",
        "all": None,
        "decayed": None,
    }


@pytest.mark.parametrize("change", [None, datetime(2024, 4, 29, tzinfo=UTC)])
def test_no_training_window_begins_with_an_unknown_or_too_late_change(change):
    plan = plan_of(replace(RETUNE, change_from=change))
    assert [window.name for window in plan.windows] == ["latest", "all", "decayed"]


@pytest.fixture
def root_with_labels(champion_root: Path) -> Path:
    """Return a project with a champion and eight days of labelled rows, 60 a day."""
    root = production.project(champion_root, target="left", time="day")
    write_table(load_params(root).paths.production_labels, labelled_rows(8))
    return root


def labelled_rows(n_days: int) -> pd.DataFrame:
    table = production.rows(0, n_days)
    return table.assign(moment=table["day"])


ON_DAY_TWO = replace(RETUNE, change_from=production.day(2))


@pytest.mark.slow
def test_the_plan_of_a_killed_run_is_written_again_after_the_promotion(root_with_labels, learned):
    plan = write_plan(root_with_labels, ON_DAY_TWO)
    assert read_record(load_params(root_with_labels).paths.plan, Plan) == plan
    assert (plan.mode, plan.judge_from) == ("retune", "2024-01-06T08:00:00+00:00")
    assert plan.warm_starts == (production.LINEAR,)
    production.champion(root_with_labels, learned, identity="2", with_reference=False)
    assert write_plan(root_with_labels, ON_DAY_TWO) == plan


@pytest.mark.slow
def test_the_best_trials_of_the_champions_search_are_tried_after_it(root_with_labels):
    trials = root_with_labels / "trials.jsonl"
    open_trials(trials, SearchHeader("s", "roc_auc", True, 1, 1.0, None))
    for number, (family, score) in enumerate([("tree", 0.7), ("lightgbm", 0.9)]):
        folds = (FoldResult(0, {"roc_auc": score}, 0.1, 0.1),)
        trial = Trial(number, Configuration(family), "complete", folds, score, None, 1.0)
        append_trial(trials, trial)
    registry = open_state(root_with_labels / "state")
    client_of(registry).log_artifact(registry.champion().run_id, str(trials))
    families = [each.family for each in write_plan(root_with_labels, ON_DAY_TWO).warm_starts]
    assert families == ["linear", "lightgbm", "tree"]


@pytest.mark.slow
def test_rows_that_the_champion_has_learned_from_do_not_judge(root_with_labels, learned, tmp_path):
    seen = add_row_keys(labelled_rows(8).head(7 * 60), production.SCHEMA)["row_key"]
    model = replace(load_model(learned / "model"), row_keys=tuple(seen))
    save_model(tmp_path / "knowing" / "model", model)
    production.champion(root_with_labels, tmp_path / "knowing", identity="2", with_reference=False)
    with pytest.raises(StageError, match=r"Decision d cannot be followed. .* Got 60 instead"):
        write_plan(root_with_labels, replace(ON_DAY_TWO, champion="2"))


# The labelled rows

DAYS = pd.Series(pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03"]))
FRAME = pd.DataFrame(
    {
        "id": ["a", "b", "c"],
        "identifier": pd.Series(["k1", None, "k3"], dtype="str"),
        "moment": DAYS,
        "labelled": DAYS[::-1].to_numpy(),
        "truth": [1.0, 0.0, np.nan],
    }
)
INPUTS = pd.DataFrame({"age": [31, 50, 9], "request": ["x", "y", "z"], "left": [None] * 3})
AGE = (Column("age", "number"),)


def feedback(inputs=INPUTS, task="binary", classes=("no", "yes"), **roles):
    schema = TableSchema(AGE, "left", task, classes, **roles)
    return feedback_rows(FRAME, inputs, schema, columns=["age", "left", "key"])


def test_labelled_rows_have_the_columns_of_the_source_and_the_newest_label_last():
    rows = feedback()
    assert list(rows) == ["age", "left", "moment"]
    assert rows[["age", "left"]].values.tolist() == [[50, "no"], [31, "yes"]]
    assert rows["moment"].tolist() == [DAYS[1], DAYS[0]]


def test_a_row_without_an_identifier_gets_the_id_of_its_prediction():
    assert feedback(identifier="key")["key"].tolist() == ["b", "k1"]


def test_labels_of_a_regression_stay_numbers():
    assert feedback(task="regression", classes=())["left"].tolist() == [0.0, 1.0]


def test_a_column_of_several_types_becomes_text():
    mixed = INPUTS.assign(age=pd.Series([31, "50", 9], dtype=object))
    assert feedback(mixed)["age"].tolist() == ["50", "31"]


@pytest.fixture
def root_with_log(champion_root: Path, learned: Path) -> Path:
    """Return a project whose champion has predicted 120 rows of two days; half have a label."""
    root = production.project(champion_root, target="left", time="day", identifier="null")
    table = production.rows(0, 2)
    ids = production.served(root, load_model(learned / "model"), table)
    production.labelled(root, table.head(60), ids[:60], after_days=5)
    write_table(load_params(root).paths.source, production.rows(-20, 20))
    dvc.ensure_project(root)
    return root


LATER = production.day(30)
with_dvc = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # DVC's own


@pytest.mark.slow
@with_dvc
def test_labels_known_by_now_become_a_version_that_outlives_the_log(root_with_log):
    path = load_params(root_with_log).paths.production_labels
    assert snapshot_labels(root_with_log, now=production.day(5)).rows == 0
    taken = snapshot_labels(root_with_log, now=production.day(5.5))
    assert (taken.rows, taken.changed) == (60, True)
    assert list(read_table(path)) == ["age", "plan", "day", "left", "moment"]
    assert set(read_table(path)["left"]) == {"no", "yes"}
    first = snapshot_labels(root_with_log, now=LATER)
    assert dvc.output_hash(root_with_log, path) == first.version
    assert production.log_of(root_with_log).remove_older(production.day(1)) == 60
    again = snapshot_labels(root_with_log, now=LATER)
    assert (again.version, again.changed, again.rows) == (first.version, False, 60)


@pytest.mark.slow
@with_dvc
def test_windows_whose_data_broke_the_contract_are_not_learned_from(root_with_log):
    broken = TimeWindow(production.day(0), production.day(1))
    finding = Finding("missing", "contract", broken, 0.5, state="breach")
    alarm = Alarm("broken-data", "block", "contract", 1.0, 0.0, None, "half is missing", (finding,))
    decision = MonitoringDecision("d", LATER, "churn", "1", "block", ("broken",), (alarm,))
    DecisionLog(production.log_of(root_with_log)).record_decision(decision)
    assert snapshot_labels(root_with_log, now=LATER).rows == 0


@pytest.mark.slow
def test_labels_need_a_champion_of_the_same_target(champion_root):
    root = production.project(champion_root, target="stayed", time="day")
    with pytest.raises(StageError, match=r"to predict 'stayed', as data.target says, but it pre"):
        snapshot_labels(root, now=LATER)
    client_of(open_state(root / "state")).delete_registered_model_alias("churn", "champion")
    with pytest.raises(StageError, match="no champion yet; run `evertune train`"):
        snapshot_labels(root, now=LATER)
