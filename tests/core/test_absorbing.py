import numpy as np
import pandas as pd

from evertune.data.schema import Column, TableSchema
from evertune.monitoring.retraining import feedback_rows

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
