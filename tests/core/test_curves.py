import numpy as np
import pytest
from sklearn.metrics import auc

from evertune.evaluation.plots import precision_recall_curves, reliability_curve, roc_curves
from evertune.metrics.metrics import METRICS
from evertune.types import Predictions

TRUTH = np.array([0.0, 0.0, 1.0, 1.0, 0.0, 1.0])
P = np.array([0.1, 0.6, 0.4, 0.9, 0.3, 0.7])
CHANCES = np.column_stack([1 - P, P])
THREE = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.3, 0.6], [0.5, 0.4, 0.1]])


def test_the_area_under_the_roc_curve_is_the_metric():
    (curve,) = roc_curves(TRUTH, CHANCES, classes=("no", "yes"))
    metric = METRICS["roc_auc"].score(TRUTH, Predictions((P > 0.5).astype(float), CHANCES))
    assert auc(curve.x, curve.y) == pytest.approx(metric)


def test_each_of_three_classes_has_a_curve():
    curves = roc_curves(np.array([0.0, 1.0, 2.0, 0.0]), THREE, classes=("a", "b", "c"))
    assert [curve.name for curve in curves] == ["a", "b", "c"]


@pytest.mark.parametrize("truth", [np.zeros(6), np.ones(6)])
def test_one_class_alone_has_no_curve(truth):
    assert roc_curves(truth, CHANCES, classes=("no", "yes")) == ()
    assert precision_recall_curves(truth, CHANCES, classes=("no", "yes")) == ()


def test_only_the_ten_most_frequent_classes_are_drawn():
    truth = np.repeat(np.arange(12.0), np.arange(12, 0, -1))
    names = tuple("abcdefghijkl")
    curves = roc_curves(truth, np.full((len(truth), 12), 1 / 12), classes=names)
    assert [curve.name for curve in curves] == list("abcdefghij")


def test_calibration_of_three_classes_is_about_the_predicted_one():
    curve = reliability_curve(np.array([0.0, 1.0, 0.0, 1.0]), THREE, n_bins=1)
    assert curve.x.tolist() == [pytest.approx(0.65)]
    assert curve.y.tolist() == [0.5]


def test_equal_probabilities_fall_into_one_bin():
    curve = reliability_curve(TRUTH, np.full((6, 2), 0.5))
    assert (curve.x.tolist(), curve.y.tolist()) == ([0.5], [0.5])


def test_calibration_needs_rows():
    with pytest.raises(ValueError, match="Expected rows to bin"):
        reliability_curve(np.array([]), np.empty((0, 2)))
