import numpy as np
import pytest

from pipelines.core.calibrating import Calibration, calibrated, calibration_of, open_truth
from pipelines.core.metrics import METRICS
from pipelines.core.predictions import Predictions


def test_labels_alone_have_no_calibration():
    assert calibration_of(np.zeros(9), Predictions(np.zeros(9))) is None


def test_calibrated_probabilities_sum_to_one_also_where_one_class_had_all():
    top = Calibration((0.0, 1.0), (0.0, 0.8))
    found = calibrated(top, np.array([[1.0, 0.0, 0.0], [0.2, 0.5, 0.3]]))
    assert found.sum(axis=1) == pytest.approx([1.0, 1.0])
    assert found[0].tolist() == pytest.approx([0.8, 0.1, 0.1])


def test_a_weighted_metric_of_open_truths_is_its_expectation():
    said = Predictions(np.array([1.0, 0.0]), np.array([[0.2, 0.8], [0.7, 0.3]]))
    truth, rows, weights = open_truth(said, np.array([[0.4, 0.6], [0.9, 0.1]]))
    assert METRICS["accuracy"].figure(truth, rows, weights) == pytest.approx((0.6 + 0.9) / 2)


def test_probabilities_that_are_missing_cannot_be_opened_into_chances():
    truth, rows, _ = open_truth(Predictions(np.array([1.0])), np.array([[0.5, 0.5]]))
    assert (truth.tolist(), rows.probabilities) == ([0.0, 1.0], None)
