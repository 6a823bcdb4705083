from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from evertune.data.labels import (
    id_error,
    missing_column_issues,
    normalize_label_column,
    parse_label_table,
)
from evertune.data.schema import TableSchema

BINARY = TableSchema((), "left", "binary", ("0", "1"))
NUMBER = TableSchema((), "price", "regression", decimal=",")
NOW = datetime(2024, 11, 1, tzinfo=UTC)


def normalized(raw, schema):
    texts, bad = normalize_label_column(pd.Series([raw], dtype=object), schema)
    return None if bad[0] or pd.isna(texts[0]) else texts[0]


@pytest.mark.parametrize("raw", ["1", 1, 1.0, " 1 ", "1.0"])
def test_a_class_is_the_same_however_it_is_written(raw):
    assert normalized(raw, BINARY) == "1"


@pytest.mark.parametrize(("raw", "value"), [("12,5", 12.5), (3, 3.0), (-0.25, -0.25), ("1e3", 1e3)])
def test_a_number_is_read_with_the_tables_decimal_sign(raw, value):
    assert float(normalized(raw, NUMBER)) == value


HOSTILE = [None, "", True, [1], {"a": 1}, float("nan"), float("inf"), "1e400", 10**400, "\0"]


@pytest.mark.parametrize("raw", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("schema", [BINARY, NUMBER], ids=["classes", "numbers"])
def test_what_is_not_a_label_is_refused(raw, schema):
    assert normalized(str(raw) if isinstance(raw, list | dict | int) else raw, schema) is None


def test_the_remedy_names_the_class_that_was_meant():
    schema = TableSchema((), "left", "binary", ("no", "yes"))
    table = pd.DataFrame({"prediction_id": ["a"], "left": ["yess"]})
    (issue,) = parse_label_table(table, schema, now=NOW).issues
    assert issue.remedy == "Expected one of 'no', 'yes'. Did you mean 'yes'?"


def test_a_label_from_the_future_is_refused_and_one_of_now_is_not():
    moments = [(NOW + timedelta(hours=hours)).isoformat() for hours in (0, 1)]
    table = pd.DataFrame({"prediction_id": ["a", "b"], "left": 1, "labelled_at": moments})
    parsed = parse_label_table(table, BINARY, now=NOW)
    assert parsed.labels["key"].tolist() == ["a"]
    assert parsed.issues[0].problem == "1 of 2 labels are from the future"


def test_a_table_without_the_columns_of_labels_is_described():
    schema = TableSchema((), "left", "binary", ("no", "yes"), identifier="customer")
    issues = missing_column_issues(pd.DataFrame({"Left": ["no"]}), schema)
    assert [issue.problem for issue in issues] == [
        "expected a column 'prediction_id' or 'customer'",
        "expected a column 'left' with the labels",
    ]
    assert "Did you mean 'Left'?" in issues[1].remedy


def test_words_that_mean_missing_are_no_label_and_no_fault():
    schema = TableSchema((), "left", "binary", ("0", "1"), missing_values=("?",))
    texts, bad = normalize_label_column(pd.Series(["?", "1", "2"]), schema)
    assert (texts.isna().tolist(), bad.tolist()) == ([True, False, True], [False, False, True])


def test_truth_values_are_labels_of_a_class_called_true():
    schema = TableSchema((), "left", "binary", ("False", "True"))
    assert normalize_label_column(pd.Series([True, False]), schema)[0].tolist() == ["True", "False"]


@pytest.mark.parametrize(
    ("identity", "words"),
    [("", "is empty"), ("x" * 201, "has 201 characters"), ("a\0", "cannot be printed")],
)
def test_a_text_that_cannot_be_an_id_is_refused_with_the_reason(identity, words):
    assert words in id_error(identity)


def test_a_row_with_a_label_and_without_an_id_is_refused():
    table = pd.DataFrame({"prediction_id": ["a", "", "x" * 300, None], "left": [1, 1, 1, None]})
    given = parse_label_table(table, BINARY, now=NOW)
    assert (given.labels["key"].tolist(), given.n_refused) == (["a"], 2)


def test_an_id_stays_as_it_is_written_and_a_number_counts_as_text():
    tables = [pd.DataFrame({"prediction_id": [key], "left": ["1"]}) for key in ("1.0", 7)]
    keys = [parse_label_table(table, BINARY, now=NOW).labels["key"][0] for table in tables]
    assert keys == ["1.0", "7"]


def test_moments_with_a_zone_are_moved_to_utc():
    table = {"prediction_id": ["a"], "left": ["1"], "labelled_at": ["2024-10-31T23:00:00-01:00"]}
    given = parse_label_table(pd.DataFrame(table), BINARY, now=NOW)
    assert given.labels["moment"].tolist() == [pd.Timestamp("2024-11-01")]
