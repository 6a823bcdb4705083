import numpy as np
import pandas as pd
import pytest

from evertune.data.schema import TableSchema, TableSpec, encode_predictions, encode_target
from evertune.data.target import infer_classes, infer_task, resolve_task, target_issues
from evertune.types import Predictions, encode_classes, take_rows


def problems(cells, **declared):
    column = pd.Series(cells, name="y")
    return [issue.problem for issue in target_issues(column, TableSpec("y", **declared))]


@pytest.mark.parametrize(
    ("cells", "task"),
    [
        (["-1", "1", "1"], "binary"),
        (["yes", "no", ""], "binary"),
        ([True, False], "binary"),
        (["a", "b", "c"], "multiclass"),
        ([1, 2, 3] * 10, "multiclass"),
        ([1, 2, 3], "regression"),
        ([0.5, 1.5, 2.5] * 10, "regression"),
    ],
)
def test_the_task_follows_from_the_target(cells, task):
    assert infer_task(pd.Series(cells)) == task


@pytest.mark.parametrize(
    ("positive", "classes"),
    [("auto", ("-1", "1")), ("1", ("-1", "1")), (-1, ("1", "-1")), (1.0, ("-1", "1"))],
)
def test_the_positive_class_is_the_second_however_it_is_written(positive, classes):
    column = pd.Series(["-1", "-1", "1"])
    assert infer_classes(column, "binary", TableSpec("y", positive=positive)) == classes


def test_a_target_of_yes_and_missing_words_keeps_the_words_as_classes():
    assert infer_classes(pd.Series(["NA", "no", "no"]), "binary", TableSpec("y")) == ("no", "NA")


@pytest.mark.parametrize(
    ("cells", "declared", "problem"),
    [
        (["", " "], {}, "missing in all rows"),
        (["a", "a"], {}, "all rows have the value 'a'"),
        (["2024-01-01", "2024-01-02"], {}, "holds dates"),
        ([1, True, "1", 0], {}, "labels of several types"),
        (["1", "True", "0", "0"], {}, "mean the same: '1', 'True'"),
        (["Yes", "yes", "no", "no"], {}, "mean the same: 'Yes', 'yes'"),
        (
            [n + 0.5 for n in range(30)],
            {"task": "binary"},
            "a number with 30 values is not a class",
        ),
        ([f"word {n}" for n in range(150)], {}, "look like free text"),
        (["a", "b", "c"] * 2, {"task": "binary"}, "expected 2 classes, found 3"),
        (["a", "b"] * 2, {"positive": "c"}, "no row has the positive class 'c'"),
        (["a", "a", "b", "b", "c"], {}, "1 of 3 classes have a single row: 'c'"),
        (["1", "2", "x"], {"task": "regression"}, "1 of 3 cells are not numbers"),
        (["1", "2", "inf"], {"task": "regression"}, "1 of 3 cells are infinite"),
    ],
)
def test_a_target_that_cannot_be_predicted_is_refused(cells, declared, problem):
    assert problem in " ".join(problems(cells, **declared))


@pytest.mark.parametrize("cells", [["a", "b"] * 3, [1.5, 2.5, 9.0], ["1", "0", "NA"] * 2])
def test_a_sound_target_has_no_issue(cells):
    assert problems(cells) == []


def test_an_unknown_task_is_refused():
    with pytest.raises(ValueError, match="Got 'ranking'"):
        resolve_task(pd.Series(["a", "b"]), TableSpec("y", task="ranking"))


BINARY = TableSchema((), "y", "binary", ("no", "yes"))
VALUES = TableSchema((), "y", "regression")


def test_codes_follow_the_order_of_the_classes():
    result = encode_classes(pd.Series(["b", "a", None], dtype="str"), ["b", "a"])
    assert result == pytest.approx([0, 1, np.nan], nan_ok=True)


def test_the_target_of_a_regression_is_its_values():
    assert encode_target(pd.DataFrame({"y": [1.5, 2.0]}), VALUES).tolist() == [1.5, 2.0]


@pytest.mark.parametrize(
    ("schema", "cells"), [(BINARY, ["no", "maybe", "often"]), (VALUES, [1.0, np.nan, np.nan])]
)
def test_an_unknown_target_is_refused_with_its_row(schema, cells):
    with pytest.raises(ValueError, match=r"known target in column 'y'. Got .* in row 1 \(2 such"):
        encode_target(pd.DataFrame({"y": cells}), schema)


def test_a_given_label_that_is_no_class_is_no_prediction():
    predictions = encode_predictions(pd.Series(["yes", "perhaps", "no"]), BINARY)
    assert predictions.values == pytest.approx([1, np.nan, 0], nan_ok=True)
    assert predictions.probabilities is None


def test_rows_are_taken_by_number_or_by_mask():
    predictions = Predictions(np.array([0.0, 1.0]), np.array([[0.9, 0.1], [0.2, 0.8]]))
    result = [take_rows(predictions, rows) for rows in (np.array([1]), np.array([False, True]))]
    assert [part.values.tolist() for part in result] == [[1.0], [1.0]]
    assert [part.probabilities.tolist() for part in result] == [[[0.2, 0.8]], [[0.2, 0.8]]]
