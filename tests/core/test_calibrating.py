import numpy as np
import pytest

from evertune.metrics.metrics import METRICS
from evertune.monitoring.performance_reference import (
    IsotonicCalibration,
    calibrate_probabilities,
    expand_over_classes,
    fit_calibration,
)
from evertune.types import Predictions


def test_labels_alone_have_no_calibration():
    assert fit_calibration(np.zeros(9), Predictions(np.zeros(9))) is None


def test_calibrated_probabilities_sum_to_one_also_where_one_class_had_all():
    top = IsotonicCalibration((0.0, 1.0), (0.0, 0.8))
    found = calibrate_probabilities(top, np.array([[1.0, 0.0, 0.0], [0.2, 0.5, 0.3]]))
    assert found.sum(axis=1) == pytest.approx([1.0, 1.0])
    assert found[0].tolist() == pytest.approx([0.8, 0.1, 0.1])


def test_a_weighted_metric_of_open_truths_is_its_expectation():
    said = Predictions(np.array([1.0, 0.0]), np.array([[0.2, 0.8], [0.7, 0.3]]))
    truth, rows, weights = expand_over_classes(said, np.array([[0.4, 0.6], [0.9, 0.1]]))
    assert METRICS["accuracy"].score(truth, rows, weights) == pytest.approx((0.6 + 0.9) / 2)


def test_probabilities_that_are_missing_cannot_be_opened_into_chances():
    truth, rows, _ = expand_over_classes(Predictions(np.array([1.0])), np.array([[0.5, 0.5]]))
    assert (truth.tolist(), rows.probabilities) == ([0.0, 1.0], None)
