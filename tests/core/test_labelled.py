import pandas as pd
import pytest

from evertune.data.feedback import digest_table, parse_evaluation_table
from evertune.data.holdout import add_row_keys
from evertune.data.schema import Column, TableSchema

SCHEMA = TableSchema((Column("age", "number"),), "left", "binary", ("No", "Yes"))
RAW = pd.DataFrame({"age": ["31", "40", "52", "52"], "left": ["Yes", "no", "", "Yes"]})


def test_rows_without_target_and_rows_of_training_are_left_out_and_counted():
    key = add_row_keys(pd.DataFrame({"age": [31.0]}), SCHEMA)["row_key"].iloc[0]
    found, breaches = parse_evaluation_table(RAW, SCHEMA, trained=[key])
    assert (found.n_unlabelled, found.n_trained, breaches) == (1, 1, ())
    assert found.table["left"].tolist() == ["No", "Yes"]


def test_the_order_of_rows_changes_no_key():
    turned, _ = parse_evaluation_table(RAW[::-1], SCHEMA, trained=())
    found, _ = parse_evaluation_table(RAW, SCHEMA, trained=())
    assert set(turned.table["row_key"]) == set(found.table["row_key"])


def test_columns_that_no_model_sees_can_be_kept_beside():
    found, _ = parse_evaluation_table(
        RAW.assign(sex=list("fmfm")), SCHEMA, trained=(), beside=["sex", "size"]
    )
    assert found.table["sex"].tolist() == ["f", "m", "m"]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (RAW.drop(columns="left"), "the table has no such column"),
        (RAW.assign(left="Maybe"), "4 of 4 cells are not labels of the model"),
        (RAW.assign(age="old"), "cells are not numbers"),
    ],
)
def test_a_table_that_cannot_judge_is_refused_with_every_fault(raw, words):
    found, breaches = parse_evaluation_table(raw, SCHEMA, trained=())
    assert found is None
    assert words in breaches[0].problem


def test_the_digest_depends_on_every_cell():
    assert digest_table(RAW) != digest_table(RAW.assign(age=["31", "40", "52", "53"]))
