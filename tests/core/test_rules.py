import numpy as np
import pandas as pd
import pytest

from evertune.data.schema import Column, TableSchema
from evertune.evaluation.heuristics import (
    Rule,
    describe_rule,
    expression_groups,
    expression_numbers,
    rule_predictions,
    threshold_groups,
)

FEATURES = (
    Column("tenure", "number"),
    Column("plan", "category"),
    Column("since", "date"),
    Column("active", "boolean"),
)
BINARY = TableSchema(FEATURES, "y", "binary", ("no", "yes"))
MULTICLASS = TableSchema(FEATURES, "y", "multiclass", ("basic", "pro", "team"))
VALUES = TableSchema(FEATURES, "y", "regression")
SHARES = ((0.8, 0.2), (0.4, 0.6), (0.9, 0.1))
TABLE = pd.DataFrame(
    {
        "tenure": [1.0, 3.0, np.nan],
        "plan": pd.Series(["pro", "basic", None], dtype="str"),
        "since": pd.to_datetime(["2024-01-01", "2024-01-02", None]),
        "active": [1.0, 0.0, np.nan],
        "y": ["yes", "no", "no"],
    }
)


def rule(column=None, **told):
    usual = {"threshold": None, "levels": (), "expression": None, "values": (), "probabilities": ()}
    return Rule(column, **(usual | told))


def test_a_threshold_parts_numbers_and_keeps_missing_ones_apart():
    said = rule_predictions(
        rule("tenure", threshold=3.0, values=(0, 1, 0), probabilities=SHARES), TABLE, BINARY
    )
    assert said.values.tolist() == [1, 0, 0]
    assert said.probabilities.tolist() == [[0.4, 0.6], [0.9, 0.1], [0.8, 0.2]]


def test_a_threshold_parts_dates():
    threshold = pd.Timestamp("2024-01-02").value / 1000
    assert threshold_groups(TABLE["since"], threshold).tolist() == [1, 2, 0]


def test_a_level_that_the_rule_does_not_know_is_any_other():
    answers = rule("plan", levels=("basic",), values=(7.0, 9.0))
    assert rule_predictions(answers, TABLE, VALUES).values.tolist() == [7.0, 9.0, 7.0]


def test_a_rule_without_a_column_says_the_same_of_every_row():
    assert rule_predictions(rule(values=(4.0,)), TABLE, VALUES).values.tolist() == [4.0] * 3


@pytest.mark.parametrize(
    ("expression", "expected"),
    [("tenure < 3", [1, 0, 0]), ("active", [1, 0, 0]), ("'yes'", [1, 1, 1]), ("plan", [2, 2, 2])],
)
def test_an_expression_gives_positives_or_names_classes(expression, expected):
    assert expression_groups(expression, TABLE, BINARY).tolist() == expected


def test_an_expression_that_names_a_column_of_classes_says_what_it_holds():
    assert expression_groups("plan", TABLE, MULTICLASS).tolist() == [1, 0, 3]


@pytest.mark.parametrize(
    ("expression", "schema"), [("tenure", BINARY), ("tenure < 3", MULTICLASS), ("since", BINARY)]
)
def test_an_expression_that_gives_no_classes_is_refused(expression, schema):
    with pytest.raises(ValueError, match=r"must say true or false \(binary\) or name classes. Got"):
        expression_groups(expression, TABLE, schema)


def test_an_expression_predicts_values_and_the_typical_one_where_it_has_none():
    said = rule_predictions(rule(expression="tenure * 2", values=(5.0,)), TABLE, VALUES)
    assert said.values.tolist() == [2.0, 6.0, 5.0]


@pytest.mark.parametrize("expression", ["tenure < 3", "plan"])
def test_an_expression_that_gives_no_numbers_is_refused(expression):
    with pytest.raises(ValueError, match=r"regression task must give numbers. Got values such as"):
        expression_numbers(expression, TABLE, VALUES)


def test_an_expression_does_not_see_the_target():
    with pytest.raises(
        ValueError, match=r"may name the columns tenure, plan, since, active. Got 'y'"
    ):
        expression_groups("y == 'yes'", TABLE, BINARY)


@pytest.mark.parametrize(
    ("told", "schema", "sentence"),
    [
        (rule(expression="tenure < 3"), BINARY, "tenure < 3"),
        (rule(values=(2.5,)), VALUES, "no column parts the rows: 2.5"),
        (
            rule("plan", levels=("basic",), values=(1, 0), probabilities=((0.2, 0.8), (0.7, 0.3))),
            BINARY,
            "plan: any other -> yes (80 % yes); 'basic' -> no (30 % yes)",
        ),
        (
            rule("since", threshold=1704067200e6, values=(1, 2, 3)),
            VALUES,
            "since: missing -> 1; below 2024-01-01 -> 2; at least 2024-01-01 -> 3",
        ),
    ],
)
def test_a_rule_reads_as_a_sentence(told, schema, sentence):
    assert describe_rule(told, schema) == sentence


def test_a_long_rule_is_cut_short():
    levels = tuple("abcdefgh")
    told = describe_rule(rule("plan", levels=levels, values=tuple(range(9))), VALUES)
    assert told.endswith("'e' -> 5; and 3 more")
