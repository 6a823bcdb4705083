import numpy as np
import pytest

from evertune.evaluation.slices import Slice, SliceRow, evaluate_slice, rate_gaps, with_rate_gaps
from evertune.metrics.metrics import METRICS
from evertune.stats.bootstrap import BootstrapConfig
from evertune.types import Predictions

TRUTH = np.array([1.0, 1.0, 0.0, 0.0])
CHANCES = np.array([0.9, 0.2, 0.8, 0.1])
SAID = Predictions((CHANCES > 0.5) * 1.0, np.column_stack([1 - CHANCES, CHANCES]))


def row(rows, metric="roc_auc", said=SAID, task="binary"):
    return evaluate_slice(
        Slice("plan", "pro", np.array(rows)),
        METRICS[metric],
        TRUTH,
        said,
        bootstrap=BootstrapConfig(100, 0.9, 0),
        least_rows=3,
        task=task,
    )


def test_rates_are_those_of_the_slice():
    found = row([0, 1, 2, 3])
    assert (found.share, found.hit_rate, found.false_alarm_rate) == (0.5, 0.5, 0.5)
    assert found.bias == pytest.approx(0.0)


def test_a_metric_that_one_class_leaves_undefined_has_no_figure():
    found = row([0, 1])
    assert (found.figure, found.false_alarm_rate, found.small) == (None, None, True)


def test_in_regression_the_bias_is_in_the_unit_of_the_target():
    found = row([0, 1], metric="rmse", said=Predictions(TRUTH + 2.0), task="regression")
    assert (found.bias, found.share) == (2.0, None)


def test_a_small_slice_opens_no_gap():
    rows = [
        SliceRow("sex", "f", 90, share=0.2, sensitive=True),
        SliceRow("sex", "m", 90, share=0.3, sensitive=True),
        SliceRow("sex", "x", 2, share=1.0, small=True, sensitive=True),
    ]
    gaps = with_rate_gaps(rows)
    assert gaps[2].rate_gap is None
    assert rate_gaps(gaps) == {"sex": pytest.approx(0.1)}


def test_a_value_without_another_to_compare_with_has_no_gap():
    rows = [SliceRow("sex", "f", 90, share=0.2), SliceRow("sex", "x", 2, share=1.0, small=True)]
    assert [row.rate_gap for row in with_rate_gaps(rows)] == [None, None]
