import numpy as np
import pytest

from evertune.metrics.metrics import METRICS
from evertune.stats.comparison import delong_test, mcnemar_test, metric_tests
from evertune.types import Predictions

RNG = np.random.default_rng(0)
TRUTH = (RNG.random(60) < 0.4).astype(float)


def said(noise):
    chance = np.clip(0.5 + 0.3 * (TRUTH - 0.5) + RNG.normal(0, noise, 60), 0, 1)
    return Predictions((chance > 0.5).astype(float), np.column_stack([1 - chance, chance]))


LEFT, RIGHT = said(0.2), said(0.3)


def test_two_areas_are_tested_by_delong():
    [found] = metric_tests(METRICS["roc_auc"], TRUTH, LEFT, RIGHT, confidence=0.9)
    scores = LEFT.probabilities[:, 1], RIGHT.probabilities[:, 1]
    assert found == delong_test(TRUTH == 1, *scores, confidence=0.9)


def test_two_accuracies_are_tested_by_mcnemar():
    [found] = metric_tests(METRICS["accuracy"], TRUTH, LEFT, RIGHT, confidence=0.9)
    right = LEFT.values == TRUTH, RIGHT.values == TRUTH
    assert found == mcnemar_test(*right, confidence=0.9)


def test_rows_that_either_does_not_predict_are_left_out():
    partly = Predictions(np.where(np.arange(60) < 10, np.nan, RIGHT.values))
    [found] = metric_tests(METRICS["accuracy"], TRUTH, LEFT, partly, confidence=0.9)
    assert found.n == 50


@pytest.mark.parametrize("name", ["log_loss", "f1", "rmse"])
def test_other_metrics_have_no_test_of_their_own(name):
    assert metric_tests(METRICS[name], TRUTH, LEFT, RIGHT, confidence=0.9) == ()


def test_areas_of_three_classes_have_no_test_of_their_own():
    three = Predictions(TRUTH, np.full((60, 3), 1 / 3))
    assert metric_tests(METRICS["roc_auc"], TRUTH, three, three, confidence=0.9) == ()


def test_areas_without_probabilities_have_no_test():
    labels = Predictions(TRUTH)
    assert metric_tests(METRICS["roc_auc"], TRUTH, LEFT, labels, confidence=0.9) == ()
