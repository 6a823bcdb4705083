import pandas as pd
import pytest

from evertune.data.cleaning import prepare_table
from evertune.data.feedback import digest_table, merge_feedback, parse_evaluation_table
from evertune.data.holdout import add_row_keys
from evertune.data.schema import Column, TableSchema, TableSpec

SOURCE = pd.DataFrame(
    {
        "id": [f"c{row}" for row in range(20)],
        "age": [str(row % 7) for row in range(20)],
        "plan": ["a", "b"] * 10,
        "day": pd.date_range("2024-01-01", periods=20, unit="us"),
        "left": ["no", "no", "no", "yes"] * 5,
    }
)


def late(**columns):
    n_rows = len(next(iter(columns.values())))
    days = pd.date_range("2024-06-01", periods=n_rows, unit="us")
    return pd.DataFrame({"left": ["yes"] * n_rows, "moment": days, **columns})


def join(rows, source=SOURCE, **roles):
    declared = TableSpec("left", positive="yes", **roles)
    prepared, issues = prepare_table(source, declared)
    assert not issues
    return merge_feedback(prepared, rows, declared)


def test_without_rows_of_production_the_table_is_the_sources():
    result = join(late(age=[]))
    assert result.clean["moment"].isna().all()
    assert (len(result.clean), result.n_absorbed, result.n_replaced) == (20, 0, 0)


def test_a_row_of_both_by_identifier_counts_once_with_the_newest_label():
    rows = late(id=["c0", "c0", "new"], age=[7, 8, 9], left=["yes", "no", "yes"])
    result = join(rows, identifier="id")
    again = result.clean[result.clean["id"] == "c0"]
    assert again[["age", "left"]].values.tolist() == [[8.0, "no"]]
    assert (len(result.clean), result.n_absorbed, result.n_replaced) == (21, 2, 1)


def test_without_identifier_as_many_equal_rows_of_the_source_give_way():
    twice = pd.concat([SOURCE, SOURCE], ignore_index=True).drop(columns=["id", "day"])
    result = join(late(age=[3.0], plan=["b"]), source=twice)
    equal = result.clean[(result.clean["age"] == 3.0) & (result.clean["plan"] == "b")]
    assert (len(equal), result.n_replaced, len(result.clean)) == (4, 1, 40)


def test_columns_that_the_log_lacks_are_missing():
    result = join(late(age=[99]), identifier="id")
    assert result.clean.iloc[-1][["plan", "id"]].isna().all()


def test_a_row_without_a_time_happened_at_its_moment():
    result = join(late(age=[1]), time="day", identifier="id")
    assert result.clean["day"].iloc[-1] == pd.Timestamp("2024-06-01")


@pytest.mark.parametrize(
    ("columns", "roles"),
    [({"left": ["perhaps"]}, {}), ({"left": [None]}, {}), ({"age": [1]}, {"group": "plan"})],
)
def test_a_row_without_known_label_or_group_is_left_out_and_counted(columns, roles):
    result = join(late(**({"age": [1]} | columns)), **roles)
    assert (result.n_absorbed, result.n_unusable, len(result.clean)) == (0, 1, 20)


def test_the_schema_learns_new_categories_and_ranges_and_keeps_its_features():
    result = join(late(age=[500], plan=["c"]), identifier="id", time="day")
    age, plan = result.schema.features
    assert (age.maximum, plan.categories) == (500.0, ("a", "b", "c"))


def test_cells_that_cannot_be_read_count_as_missing_and_are_issues():
    result = join(late(age=["old"], plan=["a"]), identifier="id", time="day")
    assert result.clean["age"].isna().sum() == 1
    assert result.issues[0].problem == "1 of 1 cells are not numbers"


SCHEMA = TableSchema((Column("age", "number"),), "left", "binary", ("No", "Yes"))
RAW = pd.DataFrame({"age": ["31", "40", "52", "52"], "left": ["Yes", "no", "", "Yes"]})


def test_rows_without_target_and_rows_of_training_are_left_out_and_counted():
    key = add_row_keys(pd.DataFrame({"age": [31.0]}), SCHEMA)["row_key"].iloc[0]
    result, issues = parse_evaluation_table(RAW, SCHEMA, trained=[key])
    assert (result.n_unlabelled, result.n_trained, issues) == (1, 1, ())
    assert result.table["left"].tolist() == ["No", "Yes"]


def test_the_order_of_rows_changes_no_key():
    turned, _ = parse_evaluation_table(RAW[::-1], SCHEMA, trained=())
    result, _ = parse_evaluation_table(RAW, SCHEMA, trained=())
    assert set(turned.table["row_key"]) == set(result.table["row_key"])


def test_extra_columns_that_no_model_sees_can_be_returned():
    result, _ = parse_evaluation_table(
        RAW.assign(sex=list("fmfm")), SCHEMA, trained=(), extra=["sex", "size"]
    )
    assert result.table["sex"].tolist() == ["f", "m", "m"]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (RAW.drop(columns="left"), "the table has no such column"),
        (RAW.assign(left="Maybe"), "4 of 4 cells are not labels of the model"),
        (RAW.assign(age="old"), "cells are not numbers"),
    ],
)
def test_a_table_that_cannot_judge_is_refused_with_every_fault(raw, words):
    result, issues = parse_evaluation_table(raw, SCHEMA, trained=())
    assert result is None
    assert words in issues[0].problem


def test_the_digest_depends_on_every_cell():
    assert digest_table(RAW) != digest_table(RAW.assign(age=["31", "40", "52", "53"]))
