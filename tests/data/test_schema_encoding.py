import numpy as np
import pandas as pd
import pytest

from evertune.data.schema import TableSchema, encode_predictions, encode_target
from evertune.types import Predictions, encode_classes, take_rows

BINARY = TableSchema((), "y", "binary", ("no", "yes"))
VALUES = TableSchema((), "y", "regression")


def test_codes_follow_the_order_of_the_classes():
    found = encode_classes(pd.Series(["b", "a", None], dtype="str"), ["b", "a"])
    assert found == pytest.approx([0, 1, np.nan], nan_ok=True)


def test_the_truth_of_a_regression_is_its_values():
    assert encode_target(pd.DataFrame({"y": [1.5, 2.0]}), VALUES).tolist() == [1.5, 2.0]


@pytest.mark.parametrize(
    ("schema", "cells"), [(BINARY, ["no", "maybe", "often"]), (VALUES, [1.0, np.nan, np.nan])]
)
def test_an_unknown_target_is_refused_with_its_row(schema, cells):
    with pytest.raises(ValueError, match=r"known target in column 'y'. Got .* in row 1 \(2 such"):
        encode_target(pd.DataFrame({"y": cells}), schema)


def test_a_given_label_that_is_no_class_is_no_prediction():
    said = encode_predictions(pd.Series(["yes", "perhaps", "no"]), BINARY)
    assert said.values == pytest.approx([1, np.nan, 0], nan_ok=True)
    assert said.probabilities is None


def test_rows_are_taken_by_number_or_by_mask():
    said = Predictions(np.array([0.0, 1.0]), np.array([[0.9, 0.1], [0.2, 0.8]]))
    found = [take_rows(said, rows) for rows in (np.array([1]), np.array([False, True]))]
    assert [part.values.tolist() for part in found] == [[1.0], [1.0]]
    assert [part.probabilities.tolist() for part in found] == [[[0.2, 0.8]], [[0.2, 0.8]]]
