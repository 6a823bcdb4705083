import numpy as np
import pandas as pd
import pytest

from evertune.data.schema import Column, TableSchema
from evertune.evaluation.slices import Slice
from evertune.metrics.metrics import METRICS
from evertune.registry.evidence import (
    PairedPredictions,
    calibration_error_increase,
    difference_test,
    holdout_faults,
    improvement_over_champion,
    selection_rate_gaps,
    slice_regressions,
    slice_tests,
)
from evertune.stats.bootstrap import BootstrapConfig
from evertune.types import Predictions

DRAWN = BootstrapConfig(200, 0.95, 0)
SCHEMA = TableSchema((Column("age", "number"), Column("plan", "category")), "y", "regression")
TRUTH = np.tile([1.0, 0.0], 40)
RIGHT = Predictions(TRUTH, np.column_stack([1 - TRUTH, TRUTH]))
HALVES = Predictions(np.ones(80), np.full((80, 2), 0.5))
PAIR = PairedPredictions(TRUTH, RIGHT, HALVES)


def test_a_gain_is_positive_where_the_version_is_better_in_either_direction():
    assert improvement_over_champion(METRICS["accuracy"], PAIR, DRAWN).mean == 0.5
    assert improvement_over_champion(METRICS["brier"], PAIR, DRAWN).mean == 0.25


def test_the_calibration_error_rises_where_the_version_is_less_calibrated():
    half_right = PairedPredictions(
        np.zeros(80), HALVES, Predictions(np.zeros(80), np.tile([1.0, 0.0], (80, 1)))
    )
    assert calibration_error_increase(half_right, DRAWN).mean == 0.5


def test_calibration_is_not_compared_without_probabilities():
    assert (
        calibration_error_increase(PairedPredictions(TRUTH, Predictions(TRUTH), HALVES), DRAWN)
        is None
    )


def test_a_slice_falls_by_the_loss_of_the_metric_on_its_rows():
    part = Slice("plan", "a", np.arange(40))
    swapped = PairedPredictions(TRUTH, HALVES, RIGHT)
    (found,) = slice_regressions([METRICS["accuracy"]], swapped, [part], DRAWN)
    assert (found.figure, found.fall.mean, found.fall.n_rows) == (1.0, 0.5, 40)


def test_a_slice_of_one_class_is_judged_by_the_next_metric():
    part = Slice("plan", "a", np.flatnonzero(TRUTH))
    (found,) = slice_regressions([METRICS["roc_auc"], METRICS["brier"]], PAIR, [part], DRAWN)
    assert found.metric == "brier"


def test_a_slice_without_any_defined_metric_has_no_figure():
    part = Slice("plan", "a", np.flatnonzero(TRUTH))
    (found,) = slice_regressions([METRICS["roc_auc"]], PAIR, [part], DRAWN)
    assert (found.metric, found.figure) == ("roc_auc", None)


def test_the_tests_of_slices_are_corrected_by_holm_and_turned_round():
    parts = [
        Slice("plan", name, np.arange(start, start + 20)) for name, start in [("a", 0), ("b", 20)]
    ]
    falls = slice_regressions(
        [METRICS["accuracy"]], PairedPredictions(TRUTH, HALVES, RIGHT), parts, DRAWN
    )
    first, second = slice_tests(falls)
    assert (first.name, first.difference) == ("slice plan is a, accuracy", -0.5)
    assert first.p_value + second.p_value >= 2 * min(each.fall.p_value for each in falls)


def test_a_difference_is_told_as_a_test():
    found = improvement_over_champion(METRICS["accuracy"], PAIR, DRAWN)
    told = difference_test("paired accuracy", found)
    assert (told.difference, told.low, told.n) == (found.mean, found.low, 80)


def test_the_class_whose_rates_differ_most_is_told():
    said = Predictions(np.array([0.0, 0.0, 1.0, 2.0]))
    parts = [Slice("sex", "f", np.array([0, 1])), Slice("sex", "m", np.array([2, 3]))]
    (gap,) = selection_rate_gaps(said, parts, TableSchema((), "y", "multiclass", ("a", "b", "c")))
    assert (gap.predicted, gap.lowest, gap.highest, gap.gap) == ("a", "m", "f", 1.0)


def test_a_column_of_one_slice_has_no_gap():
    parts = [Slice("sex", "f", np.array([0]))]
    assert (
        selection_rate_gaps(
            Predictions(np.zeros(1)), parts, TableSchema((), "y", "binary", ("a", "b"))
        )
        == ()
    )


def test_numbers_have_no_rates():
    assert selection_rate_gaps(Predictions(np.zeros(1)), [], SCHEMA) is None


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
    found = holdout_faults(holdout, training, SCHEMA, np.ones(2))
    assert [each.startswith(str(words)) for each in found] == ([True] if words else [])


def test_rows_without_a_known_truth_are_a_fault():
    table = pd.DataFrame({"age": [1.0, 2.0], "plan": "a"})
    found = holdout_faults(table, table, SCHEMA, np.array([1.0, np.nan]))
    assert found == ("1 rows that judge have no truth that is known",)
