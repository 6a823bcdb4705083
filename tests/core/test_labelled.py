import pandas as pd
import pytest

from pipelines.core.labelled import labelled, table_digest
from pipelines.core.parting import with_row_keys
from pipelines.core.schema import Column, Schema

SCHEMA = Schema((Column("age", "number"),), "left", "binary", ("No", "Yes"))
RAW = pd.DataFrame({"age": ["31", "40", "52", "52"], "left": ["Yes", "no", "", "Yes"]})


def test_rows_without_target_and_rows_of_training_are_left_out_and_counted():
    key = with_row_keys(pd.DataFrame({"age": [31.0]}), SCHEMA)["row_key"].iloc[0]
    found, breaches = labelled(RAW, SCHEMA, trained=[key])
    assert (found.n_unlabelled, found.n_trained, breaches) == (1, 1, ())
    assert found.table["left"].tolist() == ["No", "Yes"]


def test_the_order_of_rows_changes_no_key():
    turned, _ = labelled(RAW[::-1], SCHEMA, trained=())
    found, _ = labelled(RAW, SCHEMA, trained=())
    assert set(turned.table["row_key"]) == set(found.table["row_key"])


def test_columns_that_no_model_sees_can_be_kept_beside():
    found, _ = labelled(RAW.assign(sex=list("fmfm")), SCHEMA, trained=(), beside=["sex", "size"])
    assert found.table["sex"].tolist() == ["f", "m", "m"]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (RAW.drop(columns="left"), "the table has no such column"),
        (RAW.assign(left="Maybe"), "4 of 4 cells are no label of the model"),
        (RAW.assign(age="old"), "cells are not numbers"),
    ],
)
def test_a_table_that_cannot_judge_is_refused_with_every_fault(raw, words):
    found, breaches = labelled(raw, SCHEMA, trained=())
    assert found is None
    assert words in breaches[0].problem


def test_the_digest_depends_on_every_cell():
    assert table_digest(RAW) != table_digest(RAW.assign(age=["31", "40", "52", "53"]))
