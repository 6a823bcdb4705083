import numpy as np
import pandas as pd
import pytest

from pipelines.core.judging.measuring import (
    Pair,
    calibration_rise,
    difference_test,
    gain,
    rate_gaps,
    row_faults,
    slice_falls,
    slice_tests,
)
from pipelines.core.metrics import METRICS
from pipelines.core.model_figures import Bootstrap
from pipelines.core.predictions import Predictions
from pipelines.core.schema import Column, Schema
from pipelines.core.slicing import Slice

DRAWN = Bootstrap(200, 0.95, 0)
SCHEMA = Schema((Column("age", "number"), Column("plan", "category")), "y", "regression")
TRUTH = np.tile([1.0, 0.0], 40)
RIGHT = Predictions(TRUTH, np.column_stack([1 - TRUTH, TRUTH]))
HALVES = Predictions(np.ones(80), np.full((80, 2), 0.5))
PAIR = Pair(TRUTH, RIGHT, HALVES)


def test_a_gain_is_positive_where_the_version_is_better_in_either_direction():
    assert gain(METRICS["accuracy"], PAIR, DRAWN).mean == 0.5
    assert gain(METRICS["brier"], PAIR, DRAWN).mean == 0.25


def test_the_calibration_error_rises_where_the_version_is_less_calibrated():
    half_right = Pair(np.zeros(80), HALVES, Predictions(np.zeros(80), np.tile([1.0, 0.0], (80, 1))))
    assert calibration_rise(half_right, DRAWN).mean == 0.5


def test_calibration_is_not_compared_without_probabilities():
    assert calibration_rise(Pair(TRUTH, Predictions(TRUTH), HALVES), DRAWN) is None


def test_a_slice_falls_by_the_loss_of_the_metric_on_its_rows():
    part = Slice("plan", "a", np.arange(40))
    swapped = Pair(TRUTH, HALVES, RIGHT)
    (found,) = slice_falls([METRICS["accuracy"]], swapped, [part], DRAWN)
    assert (found.figure, found.fall.mean, found.fall.n_rows) == (1.0, 0.5, 40)


def test_a_slice_of_one_class_is_judged_by_the_next_metric():
    part = Slice("plan", "a", np.flatnonzero(TRUTH))
    (found,) = slice_falls([METRICS["roc_auc"], METRICS["brier"]], PAIR, [part], DRAWN)
    assert found.metric == "brier"


def test_a_slice_without_any_defined_metric_has_no_figure():
    part = Slice("plan", "a", np.flatnonzero(TRUTH))
    (found,) = slice_falls([METRICS["roc_auc"]], PAIR, [part], DRAWN)
    assert (found.metric, found.figure) == ("roc_auc", None)


def test_the_tests_of_slices_are_corrected_by_holm_and_turned_round():
    parts = [
        Slice("plan", name, np.arange(start, start + 20)) for name, start in [("a", 0), ("b", 20)]
    ]
    falls = slice_falls([METRICS["accuracy"]], Pair(TRUTH, HALVES, RIGHT), parts, DRAWN)
    first, second = slice_tests(falls)
    assert (first.name, first.difference) == ("slice plan is a, accuracy", -0.5)
    assert first.p_value + second.p_value >= 2 * min(each.fall.p_value for each in falls)


def test_a_difference_is_told_as_a_test():
    found = gain(METRICS["accuracy"], PAIR, DRAWN)
    told = difference_test("paired accuracy", found)
    assert (told.difference, told.low, told.n) == (found.mean, found.low, 80)


def test_the_class_whose_rates_differ_most_is_told():
    said = Predictions(np.array([0.0, 0.0, 1.0, 2.0]))
    parts = [Slice("sex", "f", np.array([0, 1])), Slice("sex", "m", np.array([2, 3]))]
    (gap,) = rate_gaps(said, parts, Schema((), "y", "multiclass", ("a", "b", "c")))
    assert (gap.predicted, gap.lowest, gap.highest, gap.gap) == ("a", "m", "f", 1.0)


def test_a_column_of_one_slice_has_no_gap():
    parts = [Slice("sex", "f", np.array([0]))]
    assert rate_gaps(Predictions(np.zeros(1)), parts, Schema((), "y", "binary", ("a", "b"))) == ()


def test_numbers_have_no_rates():
    assert rate_gaps(Predictions(np.zeros(1)), [], SCHEMA) is None


@pytest.mark.parametrize(
    ("age", "known", "words"),
    [
        ([np.nan, np.nan], [1.0, np.nan, 2.0], "age is missing in every row that judges"),
        ([np.nan, 3.0], [1.0, 2.0, 3.0], None),
        ([np.nan, np.nan], [1.0, np.nan, np.nan], None),
    ],
)
def test_a_column_that_is_gone_from_the_rows_that_judge_is_a_fault(age, known, words):
    holdout = pd.DataFrame({"age": age, "plan": "a"})
    training = pd.DataFrame({"age": known, "plan": "a"})
    found = row_faults(holdout, training, SCHEMA, np.ones(2))
    assert [each.startswith(str(words)) for each in found] == ([True] if words else [])


def test_rows_without_a_known_truth_are_a_fault():
    table = pd.DataFrame({"age": [1.0, 2.0], "plan": "a"})
    found = row_faults(table, table, SCHEMA, np.array([1.0, np.nan]))
    assert found == ("1 rows that judge have no truth that is known",)
