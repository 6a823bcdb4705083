import numpy as np
import pandas as pd
import pytest

from evertune.data.schema import Column, TableSchema
from evertune.evaluation.heuristics import (
    Rule,
    best_rule,
    describe_rule,
    evaluate_expression,
    expression_rule,
    rule_predictions,
)
from evertune.metrics.metrics import METRICS

FEATURES = (
    Column("tenure", "number"),
    Column("plan", "category"),
    Column("since", "date"),
    Column("active", "boolean"),
)
BINARY = TableSchema(FEATURES, "y", "binary", ("no", "yes"))
MULTICLASS = TableSchema(FEATURES, "y", "multiclass", ("basic", "pro", "team"))
REGRESSION = TableSchema(FEATURES, "y", "regression")
TABLE = pd.DataFrame(
    {
        "tenure": [1.0, 3.0, np.nan],
        "plan": pd.Series(["pro", "basic", None], dtype="str"),
        "since": pd.to_datetime(["2024-01-01", "2024-01-02", None]),
        "active": [1.0, 0.0, np.nan],
        "y": ["yes", "no", "no"],
    }
)


def rule(column=None, **fields):
    usual = {"threshold": None, "levels": (), "expression": None, "values": (), "probabilities": ()}
    return Rule(column, **(usual | fields))


# Applying and describing a rule


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (rule("tenure", threshold=3.0, values=(7.0, 8.0, 9.0)), [8, 9, 7]),
        (rule("since", threshold=1704153600e6, values=(7.0, 8.0, 9.0)), [8, 9, 7]),
        (rule("plan", levels=("basic",), values=(7.0, 9.0)), [7, 9, 7]),
        (rule(values=(4.0,)), [4, 4, 4]),
        (rule(expression="tenure * 2", values=(5.0,)), [2, 6, 5]),
    ],
    ids=["number", "date", "level", "constant", "expression"],
)
def test_every_group_has_its_answer_and_missing_values_theirs(made, expected):
    assert rule_predictions(made, TABLE, REGRESSION).values.tolist() == expected


def test_a_group_has_its_probabilities():
    shares = ((0.8, 0.2), (0.4, 0.6), (0.9, 0.1))
    made = rule("tenure", threshold=3.0, values=(0, 1, 0), probabilities=shares)
    pred = rule_predictions(made, TABLE, BINARY)
    assert pred.probabilities.tolist() == [[0.4, 0.6], [0.9, 0.1], [0.8, 0.2]]


@pytest.mark.parametrize(
    ("made", "schema", "sentence"),
    [
        (rule(expression="tenure < 3"), BINARY, "tenure < 3"),
        (rule(values=(2.5,)), REGRESSION, "no column separates the rows: 2.5"),
        (
            rule("plan", levels=("basic",), values=(1, 0), probabilities=((0.2, 0.8), (0.7, 0.3))),
            BINARY,
            "plan: any other -> yes (80 % yes); 'basic' -> no (30 % yes)",
        ),
        (
            rule("since", threshold=1704067200e6, values=(1, 2, 3)),
            REGRESSION,
            "since: missing -> 1; below 2024-01-01 -> 2; at least 2024-01-01 -> 3",
        ),
    ],
)
def test_a_rule_reads_as_a_sentence(made, schema, sentence):
    assert describe_rule(made, schema) == sentence


def test_a_long_rule_is_cut_short():
    text = describe_rule(rule("plan", levels=tuple("abcdefgh"), values=tuple(range(9))), REGRESSION)
    assert text.endswith("'e' -> 5; and 3 more")


# Learning a rule


def learn(table, y_true, kinds, metric="accuracy", *, task="binary", classes=("no", "yes")):
    columns = tuple(Column(name, kind) for name, kind in kinds.items())
    schema = TableSchema(columns, "y", task, classes if task != "regression" else ())
    made = best_rule(table, y_true, schema=schema, metric=METRICS[metric])
    return made, rule_predictions(made, table, schema)


def test_the_best_cut_of_a_number_is_found():
    table = pd.DataFrame({"noise": np.arange(40.0) % 7, "x": np.arange(40.0)})
    y_true = (table["x"] >= 13).to_numpy() * 1.0
    made, pred = learn(table, y_true, {"noise": "number", "x": "number"})
    assert (made.column, made.threshold) == ("x", 13.0)
    assert pred.values.tolist() == y_true.tolist()


def test_the_best_cut_of_a_date_is_found():
    table = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=40)})
    made, _ = learn(table, (np.arange(40) < 10) * 1.0, {"day": "date"})
    assert made.threshold == pd.Timestamp("2024-01-11").value / 1000


def test_the_shares_of_a_group_are_drawn_to_the_whole_by_one_row():
    table = pd.DataFrame({"x": np.arange(20.0)})
    made, _ = learn(table, (np.arange(20) < 10) * 1.0, {"x": "number"})
    assert made.probabilities[1] == pytest.approx((0.5 / 11, 10.5 / 11))


def test_every_common_level_has_its_answer_and_rare_ones_share_one():
    plans = pd.Series(["a"] * 20 + ["b"] * 20 + ["c"] * 4 + ["d"] * 4, dtype="str")
    y_true = np.repeat([1.0, 0.0, 1.0, 1.0], [20, 20, 4, 4])
    made, _ = learn(pd.DataFrame({"plan": plans}), y_true, {"plan": "category"})
    assert (made.levels, made.values) == (("a", "b"), (1.0, 1.0, 0.0))


def test_missing_numbers_have_their_own_answer():
    table = pd.DataFrame({"x": [np.nan] * 20 + list(range(20))})
    y_true = np.array([1.0] * 20 + [0.0] * 10 + [1.0] * 10)
    assert learn(table, y_true, {"x": "number"})[0].values == (1.0, 0.0, 1.0)


def test_groups_predict_positive_if_that_is_best_for_the_metric():
    table = pd.DataFrame({"x": np.repeat([0.0, 1.0], [100, 20])})
    y_true = np.array([1.0] * 2 + [0.0] * 98 + [1.0] * 8 + [0.0] * 12)
    by_f1, by_accuracy = (learn(table, y_true, {"x": "number"}, m)[1] for m in ("f1", "accuracy"))
    assert METRICS["f1"].score(y_true, by_f1) == pytest.approx(2 * 8 / (2 * 8 + 12 + 2))
    assert by_accuracy.values.sum() == 0


def test_of_columns_equal_in_the_metric_the_one_that_separates_most_is_taken():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"noise": rng.random(400), "x": rng.random(400)})
    y_true = (rng.random(400) < 0.2 + 0.2 * (table["x"] > 0.5)).to_numpy() * 1.0
    assert learn(table, y_true, {"noise": "number", "x": "number"})[0].column == "x"


def test_three_classes_are_separated_by_levels():
    table = pd.DataFrame({"plan": pd.Series(list("abc") * 10, dtype="str")})
    y_true = np.tile([2.0, 0.0, 1.0], 10)
    made, pred = learn(
        table, y_true, {"plan": "category"}, "log_loss", task="multiclass", classes=("x", "y", "z")
    )
    assert made.values[1:] == (2.0, 0.0, 1.0)
    assert pred.probabilities.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize(("metric", "expected"), [("rmse", (2.0, 13.0)), ("mae", (1.0, 10.0))])
def test_the_answer_of_a_group_of_values_suits_the_metric(metric, expected):
    y_true = np.array([1.0, 1.0, 1.0, 1.0, 6.0, 10.0, 10.0, 10.0, 10.0, 25.0])
    table = pd.DataFrame({"x": np.arange(10.0)})
    made, _ = learn(table, y_true, {"x": "number"}, metric, task="regression")
    assert (made.threshold, made.values[1:]) == (5.0, expected)


def test_a_cut_is_found_far_from_zero():
    y_true = 1e9 + (np.arange(1000) >= 400) * 0.5
    table = pd.DataFrame({"x": np.arange(1000.0)})
    made, _ = learn(table, y_true, {"x": "number"}, "rmse", task="regression")
    assert made.threshold == 400


def test_no_cut_leaves_fewer_than_five_rows_on_a_side():
    table, y_true = pd.DataFrame({"x": np.arange(30.0)}), (np.arange(30) < 1) * 1.0
    assert learn(table, y_true, {"x": "number"})[0].threshold == 5.0


@pytest.mark.parametrize("kinds", [{}, {"same": "number"}, {"text": "text"}])
def test_if_no_column_separates_the_rows_the_answer_is_the_zero_rule(kinds):
    names = pd.Series([f"n{row}" for row in range(20)], dtype="str")
    table = pd.DataFrame({"same": np.ones(20), "text": names})
    made, pred = learn(table, (np.arange(20) < 12) * 1.0, kinds)
    assert made.column is None
    assert pred.values.tolist() == [1.0] * 20


# Expressions


def from_expression(expression, schema, y_true=None, metric="accuracy"):
    y_true = np.zeros(3) if y_true is None else y_true
    return expression_rule(expression, TABLE, y_true, schema=schema, metric=METRICS[metric])


def test_an_expression_keeps_its_answers_and_learns_its_shares():
    table, y_true = pd.DataFrame({"tenure": np.arange(8.0)}), np.array([1.0, 0, 0, 0, 1, 1, 1, 0])
    schema = TableSchema((Column("tenure", "number"),), "y", "binary", ("no", "yes"))
    made = expression_rule("tenure < 4", table, y_true, schema=schema, metric=METRICS["f1"])
    pred = rule_predictions(made, table, schema)
    assert pred.values.tolist() == [1.0] * 4 + [0.0] * 4
    assert pred.probabilities[[0, 4], 1] == pytest.approx([1.5 / 5, 3.5 / 5])


@pytest.mark.parametrize(
    ("expression", "schema", "expected"),
    [
        ("tenure < 3", BINARY, [1, 0, 0]),
        ("active", BINARY, [1, 0, 0]),
        ("'yes'", BINARY, [1, 1, 1]),
        ("plan", MULTICLASS, [1, 0, 0]),
    ],
)
def test_an_expression_gives_truth_or_names_classes(expression, schema, expected):
    made = from_expression(expression, schema)
    assert rule_predictions(made, TABLE, schema).values.tolist() == expected


def test_an_expression_of_values_falls_back_on_the_typical_one():
    made = from_expression("tenure * 10", REGRESSION, np.array([1.0, 2.0, 9.0]), "rmse")
    assert rule_predictions(made, TABLE, REGRESSION).values.tolist() == [10.0, 30.0, 4.0]


@pytest.mark.parametrize(
    ("expression", "schema", "message"),
    [
        ("tenure", BINARY, r"must give true or false \(binary\) or name classes. Got"),
        ("tenure < 3", MULTICLASS, r"must give true or false \(binary\) or name classes. Got"),
        ("since", BINARY, r"must give true or false \(binary\) or name classes. Got"),
        ("tenure < 3", REGRESSION, r"regression task must give numbers. Got values such as"),
        ("plan", REGRESSION, r"regression task must give numbers. Got values such as"),
        ("y == 'yes'", BINARY, r"may name the columns tenure, plan, since, active. Got 'y'"),
    ],
)
def test_an_expression_that_does_not_suit_the_task_is_refused(expression, schema, message):
    with pytest.raises(ValueError, match=message):
        from_expression(expression, schema)


SHAPES = pd.DataFrame(
    {
        "tenure": [1.0, 5.0, np.nan],
        "plan": pd.Series(["basic", "pro", None], dtype="str"),
        "monthly fee": [10.0, 20.0, 30.0],
        "since": pd.to_datetime(["2024-01-01", "2025-01-01", None]),
        "class": [1.0, 0.0, 1.0],
    }
)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("tenure < 3", [True, False, False]),
        ("not tenure < 3", [False, True, True]),
        ("plan == 'basic' or tenure >= 5", [True, True, False]),
        ("plan in ['pro', 'basic'] and 0 < tenure < 3", [True, False, False]),
        ("`monthly fee` > 15", [False, True, True]),
        ("`monthly fee` * 2 - `tenure` > 30", [False, True, False]),
        ("since < '2024-06-01'", [True, False, False]),
        ("`class` == 1", [True, False, True]),
        ("-tenure", [-1, -5, np.nan]),
        ("2 > 1", [True, True, True]),
    ],
)
def test_an_expression_is_evaluated_row_by_row(expression, expected):
    before = SHAPES.copy()
    assert evaluate_expression(expression, SHAPES).tolist() == pytest.approx(expected, nan_ok=True)
    pd.testing.assert_frame_equal(SHAPES, before)


ONLY_COLUMNS = r"An expression may hold columns, numbers, .* Got \w+ in"
UNREADABLE = "cannot be read"
UNKNOWN = r"Got 'tenur' in .* Did you mean 'tenure'\?"
UNFIT = "does not fit the kinds of its columns"


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("__import__('os').system('true')", ONLY_COLUMNS),
        ("tenure.map(print)", ONLY_COLUMNS),
        ("plan.str.upper() == 'PRO'", ONLY_COLUMNS),
        ("(lambda: 1)()", ONLY_COLUMNS),
        ("[tenure for tenure in (1, 2)]", ONLY_COLUMNS),
        ("9 ** 9 ** 9", ONLY_COLUMNS),
        ("tenure if tenure else 1", ONLY_COLUMNS),
        ("tenure @ tenure", ONLY_COLUMNS),
        ("tenure[0]", ONLY_COLUMNS),
        ("f'{tenure}'", ONLY_COLUMNS),
        ("(tenure := 1)", ONLY_COLUMNS),
        *[
            (text, UNREADABLE)
            for text in ("", "tenure <", "@tenure", "a = 1", "tenure\nplan", "\0")
        ],
        *[(text, UNKNOWN) for text in ("tenur < 3", "`tenur` < 3")],
        *[(text, UNFIT) for text in ("plan < 3", "plan + 1 > 2", "not tenure")],
    ],
)
def test_an_expression_that_cannot_be_evaluated_is_refused_with_the_reason(expression, message):
    with pytest.raises(ValueError, match=message):
        evaluate_expression(expression, SHAPES)
