import numpy as np
import pandas as pd
import pytest

from evertune.data.schema import Column, TableSchema
from evertune.evaluation.heuristics import best_rule, expression_rule, rule_predictions
from evertune.metrics.metrics import METRICS

BINARY = ("binary", ("no", "yes"))


def schema(kinds, task="binary", classes=("no", "yes")):
    columns = tuple(Column(name, kind) for name, kind in kinds.items())
    return TableSchema(columns, "y", task, classes if task != "regression" else ())


def learned(table, truth, kinds, metric="accuracy", **given):
    found = schema(kinds, **given)
    rule = best_rule(table, truth, schema=found, metric=METRICS[metric])
    return rule, rule_predictions(rule, table, found)


def test_the_best_cut_of_a_number_is_found():
    table = pd.DataFrame({"noise": np.arange(40.0) % 7, "x": np.arange(40.0)})
    rule, said = learned(
        table, (table["x"] >= 13).to_numpy() * 1.0, {"noise": "number", "x": "number"}
    )
    assert (rule.column, rule.threshold) == ("x", 13.0)
    assert said.values.tolist() == [0.0] * 13 + [1.0] * 27


def test_the_best_cut_of_a_date_is_found():
    days = pd.Series(pd.date_range("2024-01-01", periods=40))
    rule, _ = learned(pd.DataFrame({"day": days}), (np.arange(40) < 10) * 1.0, {"day": "date"})
    assert rule.threshold == pd.Timestamp("2024-01-11").value / 1000


def test_the_shares_of_a_group_are_drawn_to_the_whole_by_one_row():
    table = pd.DataFrame({"x": np.arange(20.0)})
    rule, _ = learned(table, (np.arange(20) < 10) * 1.0, {"x": "number"})
    assert rule.probabilities[1] == pytest.approx((0.5 / 11, 10.5 / 11))


def test_every_common_level_has_its_answer_and_rare_ones_share_one():
    plans = pd.Series(["a"] * 20 + ["b"] * 20 + ["c"] * 4 + ["d"] * 4, dtype="str")
    truth = np.repeat([1.0, 0.0, 1.0, 1.0], [20, 20, 4, 4])
    rule, _ = learned(pd.DataFrame({"plan": plans}), truth, {"plan": "category"})
    assert (rule.levels, rule.values) == (("a", "b"), (1.0, 1.0, 0.0))


def test_missing_numbers_have_their_own_answer():
    table = pd.DataFrame({"x": [np.nan] * 20 + list(range(20))})
    truth = np.array([1.0] * 20 + [0.0] * 10 + [1.0] * 10)
    assert learned(table, truth, {"x": "number"})[0].values == (1.0, 0.0, 1.0)


def test_groups_say_positive_where_that_is_best_for_the_metric():
    table = pd.DataFrame({"x": np.repeat([0.0, 1.0], [100, 20])})
    truth = np.array([1.0] * 2 + [0.0] * 98 + [1.0] * 8 + [0.0] * 12)
    found = {name: learned(table, truth, {"x": "number"}, name)[1] for name in ("f1", "accuracy")}
    assert METRICS["f1"].score(truth, found["f1"]) == pytest.approx(2 * 8 / (2 * 8 + 12 + 2))
    assert found["accuracy"].values.sum() == 0


def test_of_columns_that_are_equal_in_the_metric_the_one_that_parts_most_is_taken():
    random = np.random.default_rng(0)
    table = pd.DataFrame({"noise": random.random(400), "x": random.random(400)})
    truth = (random.random(400) < 0.2 + 0.2 * (table["x"] > 0.5)).to_numpy() * 1.0
    assert learned(table, truth, {"noise": "number", "x": "number"})[0].column == "x"


def test_three_classes_are_told_apart_by_levels():
    plans = pd.Series(list("abc") * 10, dtype="str")
    rule, said = learned(
        pd.DataFrame({"plan": plans}), np.tile([2.0, 0.0, 1.0], 10), {"plan": "category"},
        "log_loss", task="multiclass", classes=("x", "y", "z"),
    )  # fmt: skip
    assert rule.values[1:] == (2.0, 0.0, 1.0)
    assert said.probabilities.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize(("metric", "expected"), [("rmse", (2.0, 13.0)), ("mae", (1.0, 10.0))])
def test_the_answer_of_a_group_of_values_suits_the_metric(metric, expected):
    table = pd.DataFrame({"x": np.arange(10.0)})
    truth = np.array([1.0, 1.0, 1.0, 1.0, 6.0, 10.0, 10.0, 10.0, 10.0, 25.0])
    rule, _ = learned(table, truth, {"x": "number"}, metric, task="regression")
    assert (rule.threshold, rule.values[1:]) == (5.0, expected)


def test_a_cut_is_found_far_from_zero():
    table = pd.DataFrame({"x": np.arange(1000.0)})
    truth = 1e9 + (np.arange(1000) >= 400) * 0.5
    assert learned(table, truth, {"x": "number"}, "rmse", task="regression")[0].threshold == 400


def test_no_cut_leaves_fewer_than_five_rows_on_a_side():
    table, truth = pd.DataFrame({"x": np.arange(30.0)}), (np.arange(30) < 1) * 1.0
    assert learned(table, truth, {"x": "number"})[0].threshold == 5.0


@pytest.mark.parametrize("kinds", [{}, {"same": "number"}, {"text": "text"}])
def test_where_no_column_parts_the_rows_the_answer_is_the_zero_rule(kinds):
    names = pd.Series([f"n{row}" for row in range(20)], dtype="str")
    table = pd.DataFrame({"same": np.ones(20), "text": names})
    rule, said = learned(table, (np.arange(20) < 12) * 1.0, kinds)
    assert rule.column is None
    assert said.values.tolist() == [1.0] * 20


def test_an_expression_keeps_its_answers_and_learns_its_shares():
    table, truth = pd.DataFrame({"x": np.arange(8.0)}), np.array([1.0, 0, 0, 0, 1, 1, 1, 0])
    found = schema({"x": "number"})
    rule = expression_rule("x < 4", table, truth, schema=found, metric=METRICS["f1"])
    said = rule_predictions(rule, table, found)
    assert said.values.tolist() == [1.0] * 4 + [0.0] * 4
    assert said.probabilities[[0, 4], 1] == pytest.approx([1.5 / 5, 3.5 / 5])


def test_an_expression_of_values_falls_back_on_the_typical_one():
    table, truth = pd.DataFrame({"x": [1.0, np.nan, 3.0]}), np.array([1.0, 2.0, 9.0])
    found = schema({"x": "number"}, task="regression")
    rule = expression_rule("x * 10", table, truth, schema=found, metric=METRICS["rmse"])
    assert rule_predictions(rule, table, found).values.tolist() == [10.0, 4.0, 30.0]


def test_an_expression_of_another_task_is_refused():
    found = schema({"x": "number"}, task="regression")
    with pytest.raises(ValueError, match="regression task must give numbers"):
        expression_rule("x < 1", pd.DataFrame({"x": [1.0]}), np.ones(1), schema=found,
                        metric=METRICS["rmse"])  # fmt: skip
