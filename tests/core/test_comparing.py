from dataclasses import replace

import numpy as np
import pytest

from evertune.evaluation.baselines import BaselineResult
from evertune.evaluation.evaluate import baseline_rows, best_baseline, metric_rows
from evertune.evaluation.records import BaselineRow, FoldMean, HoldoutPredictions, ModelMetrics
from evertune.metrics.metrics import METRICS
from evertune.stats.bootstrap import BootstrapConfig, Estimate
from evertune.types import Predictions

ACCURACY, LOG_LOSS = METRICS["accuracy"], METRICS["log_loss"]
TRUTH = np.array([1.0, 0.0, 1.0, 0.0])
BOOTSTRAP = BootstrapConfig(draws=200, confidence=0.9, seed=0)
MODEL = ModelMetrics(
    holdout={"accuracy": 0.75, "log_loss": 0.5},
    intervals={"accuracy": Estimate(None, 0.6, 0.9), "log_loss": Estimate(None, 0.4, 0.7)},
    training={"accuracy": 1.0, "log_loss": 0.2},
    folds={"accuracy": FoldMean(0.8, Estimate(None, 0.7, 0.9))},
)
HOLDOUT = HoldoutPredictions(
    TRUTH,
    Predictions(np.array([1.0, 0.0, 1.0, 1.0])),
    {"rule": Predictions(np.zeros(4)), "human": Predictions(np.array([1.0, np.nan, 1.0, 0.0]))},
    {"uniform_random": {"accuracy": 0.5, "log_loss": 0.69}},
)


def known(name, kind="none", mean=None):
    return BaselineResult(name, kind, "words", (), mean or {"accuracy": 0.4}, 0.0, 0.0)


def rows(*baselines, metrics=(ACCURACY, LOG_LOSS)):
    return baseline_rows(baselines, HOLDOUT, metrics=metrics, model=MODEL, bootstrap=BOOTSTRAP)


def test_a_baseline_that_says_something_about_rows_is_compared_row_by_row():
    (row,) = rows(known("rule"))
    assert row.holdout == {"accuracy": 0.5, "log_loss": None}
    assert (row.lift, row.paired, row.n_rows) == (0.25, True, 4)


def test_people_are_compared_on_the_rows_that_they_judged():
    (row,) = rows(known("human", "given"))
    assert (row.n_rows, row.holdout["accuracy"]) == (3, 1.0)
    assert row.lift == pytest.approx(-1 / 3)


def test_an_expectation_shifts_the_interval_of_the_model():
    (row,) = rows(known("uniform_random"))
    assert (row.lift, row.low, row.high) == pytest.approx((0.25, 0.1, 0.4))


def test_lift_is_positive_for_the_better_where_smaller_is_better():
    (row,) = rows(known("uniform_random"), metrics=(LOG_LOSS,))
    assert (row.lift, row.low, row.high) == pytest.approx((0.19, -0.01, 0.29))


def test_a_figure_that_was_stated_holds_everywhere():
    (row,) = rows(known("human_stated", "given", {"accuracy": 0.9}))
    assert row.holdout == {"accuracy": 0.9}
    assert row.lift == pytest.approx(-0.15)


def beside(*baselines):
    return metric_rows(
        [ACCURACY, LOG_LOSS],
        HOLDOUT,
        model=MODEL,
        baselines=rows(*baselines),
        bootstrap=BOOTSTRAP,
    )


def test_each_metric_stands_beside_the_baseline_that_is_best_in_it():
    accuracy, log_loss = beside(known("rule"), known("uniform_random"))
    assert (accuracy.baseline, accuracy.lift) == ("rule", 0.25)
    assert (log_loss.baseline, log_loss.lift) == ("uniform_random", pytest.approx(0.19))


def test_a_baseline_that_leaves_rows_out_is_best_in_nothing():
    accuracy, _ = beside(known("human", "given"), known("rule"))
    assert accuracy.baseline == "rule"


def test_a_metric_without_any_baseline_has_no_lift():
    _, log_loss = beside(known("rule"))
    assert (log_loss.baseline, log_loss.lift) == (None, None)


def test_the_gap_is_by_how_much_training_is_better():
    accuracy, log_loss = beside(known("rule"))
    assert (accuracy.gap, log_loss.gap) == pytest.approx((0.25, 0.3))


def test_a_metric_that_the_folds_do_not_have_is_left_open():
    accuracy, log_loss = beside(known("rule"))
    assert (accuracy.folds, accuracy.folds_low) == (0.8, 0.7)
    assert log_loss.folds is None


def test_of_no_baseline_none_is_best():
    row = BaselineRow("rule", "none", "", {"accuracy": None}, {})
    assert best_baseline(ACCURACY, [row, replace(row, holdout={})]) is None
