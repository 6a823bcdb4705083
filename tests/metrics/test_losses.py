import numpy as np
import pandas as pd
import pytest

from evertune.metrics.losses import bounded_losses, daily_losses, error_scale
from evertune.types import Predictions


def test_the_loss_of_two_classes_is_the_squared_distance_of_the_positive_one():
    said = Predictions(np.array([1.0, 0.0]), np.array([[0.4, 0.6], [0.9, 0.1]]))
    assert bounded_losses(np.array([1.0, 1.0]), said, task="binary") == pytest.approx([0.16, 0.81])


def test_the_loss_of_three_classes_is_at_most_one():
    said = Predictions(np.zeros(1), np.array([[1.0, 0.0, 0.0]]))
    assert bounded_losses(np.array([2.0]), said, task="multiclass").tolist() == [1.0]


def test_a_row_without_truth_has_no_loss():
    truth = np.array([np.nan])
    labels, chances = Predictions(np.zeros(1)), Predictions(np.zeros(1), np.array([[0.5, 0.5]]))
    found = [bounded_losses(truth, said, task="binary") for said in (labels, chances)]
    assert np.isnan(found).all()


def test_without_probabilities_a_wrong_class_costs_one():
    said = Predictions(np.array([0.0, 1.0]))
    assert bounded_losses(np.array([0.0, 0.0]), said, task="binary").tolist() == [0.0, 1.0]


@pytest.mark.parametrize("scale", [None, 0.0, float("nan")])
def test_a_regression_needs_a_scale(scale):
    with pytest.raises(ValueError, match="scale of a regression's errors above 0"):
        bounded_losses(np.zeros(1), Predictions(np.ones(1)), task="regression", scale=scale)


def test_a_reference_without_errors_has_a_scale_of_one():
    assert error_scale(np.ones(3), Predictions(np.ones(3))) == 1.0


def test_rows_without_loss_or_moment_are_in_no_day():
    moments = pd.Series(pd.to_datetime(["2024-05-01", None, "2024-05-01"]))
    (day,) = daily_losses(moments, np.array([0.5, 0.5, np.nan]))
    assert (day.n, day.total) == (1, 0.5)
