import numpy as np
import pytest

from evertune.evaluation.records import HoldoutPredictions, fold_means, holdout_intervals
from evertune.metrics.metrics import METRICS
from evertune.stats.bootstrap import BootstrapConfig
from evertune.trials import Configuration, FoldResult, Trial
from evertune.types import Predictions

F1, RECALL = METRICS["f1"], METRICS["recall"]


def trial(*figures):
    results = tuple(FoldResult(k, found, 1.0, 0.1) for k, found in enumerate(figures))
    return Trial(0, Configuration("linear"), "complete", results, 0.5, None, 3.0)


def on_folds(*figures):
    return fold_means(
        trial(*figures), [F1, RECALL], n_training=80, n_validation=20, confidence=0.95
    )


def test_a_mean_over_folds_has_the_corrected_interval():
    found = on_folds({"f1": 0.7}, {"f1": 0.8}, {"f1": 0.9})["f1"]
    assert found.mean == pytest.approx(0.8)
    assert (found.interval.low, found.interval.high) == pytest.approx((0.471, 1.129), abs=1e-3)


def test_folds_in_which_a_metric_is_undefined_are_left_out():
    assert on_folds({"f1": 0.7}, {"f1": None}, {"f1": 0.9})["f1"].mean == pytest.approx(0.8)


def test_a_metric_that_no_fold_has_has_no_mean():
    found = on_folds({"f1": 0.7}, {"f1": 0.8})["recall"]
    assert (found.mean, found.interval.low) == (None, None)


def test_an_interval_on_the_holdout_holds_the_figure():
    truth = np.array([1.0, 0.0] * 40)
    holdout = HoldoutPredictions(truth, Predictions(np.array([1.0, 0.0, 1.0, 1.0] * 20)), {}, {})
    draws = BootstrapConfig(200, 0.9, 0)
    found = holdout_intervals([METRICS["accuracy"]], holdout, bootstrap=draws)["accuracy"]
    assert found.low < 0.75 < found.high
