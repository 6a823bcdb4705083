from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from evertune.config.schema import RetuneSection
from evertune.data.schema import Column, TableSchema
from evertune.decisions import MonitoringDecision
from evertune.monitoring.retraining import choose_holdout_start, feedback_rows, plan_retraining
from evertune.trials import Configuration

CHANGE = datetime(2024, 3, 1, tzinfo=UTC)
CHAMPION, TOP = Configuration("tree", {"max_depth": 3}), Configuration("linear")


def moments(n_days=120, a_day=10):
    days = pd.date_range("2024-01-01", periods=n_days, unit="us")
    return pd.Series(days).repeat(a_day)


def planned(action="retune", change=CHANGE, tops=(), champion=(CHAMPION,), **rule):
    now = datetime(2024, 5, 1, tzinfo=UTC)
    decision = MonitoringDecision(
        "d", now, "churn", "1", action, ("loss rose",), change_from=change
    )
    return plan_retraining(
        decision, moments=moments(), rule=RetuneSection(**rule), champion=champion, tops=tops
    )


def share_that_judges(change, **rule):
    cut = choose_holdout_start(moments(), change_from=change, rule=RetuneSection(**rule))
    return int((moments() >= pd.Timestamp(cut.replace(tzinfo=None))).sum())


@pytest.mark.parametrize(("fraction", "n_rows"), [(0.5, 300), (0.25, 150), (0.9, 540)])
def test_the_share_of_the_rows_since_the_change_judges(fraction, n_rows):
    assert share_that_judges(CHANGE, holdout_fraction=fraction) == n_rows


def test_without_a_change_it_is_a_share_of_the_latest_rows():
    assert share_that_judges(None, holdout_fraction=0.5, latest_days=39) == 200


def test_at_least_a_hundred_rows_judge():
    assert share_that_judges(datetime(2024, 4, 28, tzinfo=UTC), holdout_fraction=0.5) == 100


def test_too_few_rows_to_judge_are_refused():
    with pytest.raises(ValueError, match=r"At least 100 labelled rows .* Got 99 instead"):
        choose_holdout_start(moments(99, 1), change_from=None, rule=RetuneSection())


def test_a_refit_tries_the_champion_alone_without_a_budget():
    plan = planned("refit", tops=(TOP,))
    assert (plan.mode, plan.warm_starts, plan.budget_trials) == ("refit", (CHAMPION,), 1)
    assert plan.budget_seconds is None


def test_a_retune_starts_with_the_champion_and_then_past_tops_each_once():
    plan = planned(tops=(CHAMPION, TOP, TOP, Configuration("lightgbm")), warm_starts=2)
    assert (plan.warm_starts, plan.budget_seconds) == ((CHAMPION, TOP), 60)


def test_candidate_windows_are_those_of_the_rule_in_its_order():
    starts = {window.name: window.start for window in planned(latest_days=10).windows}
    assert starts == {
        "since_change": "2024-03-01T00:00:00+00:00",
        "latest": "2024-03-21T00:00:00+00:00",
        "all": None,
        "decayed": None,
    }


def test_without_a_change_no_window_begins_with_it():
    assert [window.name for window in planned(change=None).windows] == ["latest", "all", "decayed"]


def test_a_change_after_the_first_row_that_judges_leaves_nothing_to_learn_from_it():
    late = datetime(2024, 4, 29, tzinfo=UTC)
    assert "since_change" not in [window.name for window in planned(change=late).windows]


@pytest.mark.parametrize(("days", "n_rows"), [(10, 200), (25, 250), (90, 300)])
def test_where_two_hundred_rows_are_enough_only_the_newest_days_judge(days, n_rows):
    assert share_that_judges(CHANGE, holdout_days=days) == n_rows


def test_a_refit_tries_all_that_the_champion_is_made_of():
    plan = planned("refit", champion=(CHAMPION, TOP))
    assert (plan.warm_starts, plan.budget_trials) == ((CHAMPION, TOP), 2)


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


def schema(**roles):
    return TableSchema((Column("age", "number"),), "left", "binary", ("no", "yes"), **roles)


def absorbed(found, inputs=INPUTS):
    return feedback_rows(FRAME, inputs, found, columns=["age", "left", "key"])


def test_only_labelled_rows_are_absorbed_with_the_columns_that_the_source_has():
    found = absorbed(schema())
    assert list(found) == ["age", "left", "moment"]
    assert found[["age", "left"]].values.tolist() == [[50, "no"], [31, "yes"]]


def test_the_label_that_came_last_stands_last():
    assert absorbed(schema())["moment"].tolist() == [DAYS[1], DAYS[0]]


def test_a_row_without_identifier_is_named_by_its_prediction():
    assert absorbed(schema(identifier="key"))["key"].tolist() == ["b", "k1"]


def test_values_are_absorbed_as_they_are_and_not_as_classes():
    found = absorbed(TableSchema((Column("age", "number"),), "left", "regression"))
    assert found["left"].tolist() == [0.0, 1.0]


def test_a_column_of_several_types_becomes_text():
    mixed = INPUTS.assign(age=pd.Series([31, "50", 9], dtype=object))
    assert absorbed(schema(), mixed)["age"].tolist() == ["50", "31"]
