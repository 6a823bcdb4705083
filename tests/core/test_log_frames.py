import numpy as np
import pandas as pd
import pytest

from evertune.monitoring.prediction_log import (
    encode_labels,
    frame_predictions,
    keep_effective_labels,
    make_log_frame,
    read_inputs,
)


def test_moments_that_are_not_known_are_missing():
    frame = make_log_frame([["a", None], ["b", 86_400_000_000]], ["id", "labelled"], classes=())
    assert frame["labelled"].tolist() == [pd.NaT, pd.Timestamp("1970-01-02")]


def test_a_row_without_probabilities_has_missing_ones():
    frame = make_log_frame([["[0.1,0.9]"], [None]], ["probabilities"], classes=("no", "yes"))
    assert frame["p_1"].tolist() == pytest.approx([0.9, np.nan], nan_ok=True)


@pytest.mark.parametrize("classes", [("no", "yes"), ()])
def test_probabilities_of_other_classes_are_missing(classes):
    frame = make_log_frame([["[0.1,0.2,0.7]"]], ["probabilities"], classes=classes)
    assert frame.isna().to_numpy().all()
    assert list(frame) == [f"p_{code}" for code in range(len(classes))]


def test_a_label_that_is_no_number_is_no_truth_of_a_number():
    assert encode_labels(["yes", "1.5"], ()) == pytest.approx([np.nan, 1.5], nan_ok=True)


def test_a_number_that_is_no_class_is_no_truth():
    assert encode_labels(["1", "2", None], ("0", "1")) == pytest.approx(
        [1, np.nan, np.nan], nan_ok=True
    )


def test_rows_without_a_label_stay_as_they_are():
    frame = pd.DataFrame({"id": ["a", "b"], "truth": np.nan, "labelled": pd.NaT})
    pd.testing.assert_frame_equal(keep_effective_labels(frame), frame)


def test_a_value_that_was_corrected_and_came_back_is_known_since_it_was_first_said():
    days = pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-03"])
    said = pd.DataFrame({"id": "a", "truth": [0.0, 1.0, 0.0], "labelled": days})
    assert keep_effective_labels(said)["labelled"].tolist() == [days[0]]


def test_the_shadows_predictions_and_the_answers_are_told_apart():
    frame = pd.DataFrame({"value": [1.0], "p_0": [0.2], "value_c": [0.0], "p_c_0": [0.7]})
    said, answered = frame_predictions(frame), frame_predictions(frame, "_c")
    assert (said.probabilities[0, 0], answered.probabilities[0, 0]) == (0.2, 0.7)


def test_inputs_come_back_as_they_were_given():
    rows = ['{"age":31,"plan":"a"}', '{"plan":"b","new":true}']
    frame = read_inputs(pd.DataFrame({"inputs": rows}, index=[7, 9]))
    assert (list(frame), list(frame.index)) == (["age", "plan", "new"], [7, 9])
    assert frame["plan"].tolist() == ["a", "b"]


def test_no_inputs_are_an_empty_table():
    assert read_inputs(pd.DataFrame({"inputs": pd.Series([], dtype="str")})).shape == (0, 0)
