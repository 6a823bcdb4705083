import numpy as np
import pytest
from scipy import stats

from evertune.metrics.metrics import METRICS
from evertune.stats.bootstrap import bootstrap_interval, fold_interval, paired_difference
from evertune.types import Predictions

HOW = {"draws": 500, "confidence": 0.9, "seed": 0}


def scored(n_rows, seed=0):
    random = np.random.default_rng(seed)
    truth = (random.random(n_rows) < 0.3).astype(float)
    score = np.clip(0.3 * truth + 0.7 * random.random(n_rows), 0, 1)
    table = np.column_stack([1 - score, score])
    return truth, Predictions((score > 0.5).astype(float), table)


def test_the_interval_of_a_share_is_the_binomial_one():
    truth = (np.arange(1000) < 300).astype(float)
    found = bootstrap_interval(METRICS["accuracy"], truth, Predictions(np.ones(1000)), **HOW)
    low, high = stats.norm.interval(0.9, 0.3, np.sqrt(0.3 * 0.7 / 1000))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.005)


def test_intervals_of_an_area_hold_the_true_area_as_often_as_they_say():
    true_area = METRICS["roc_auc"].score(*scored(200_000, seed=99))
    held = 0
    for seed in range(100):
        found = bootstrap_interval(METRICS["roc_auc"], *scored(200, seed=seed), **HOW)
        held += found.low <= true_area <= found.high
    assert 82 <= held <= 97


def test_the_same_seed_gives_the_same_interval():
    truth, said = scored(100)
    first, again = (bootstrap_interval(METRICS["f1"], truth, said, **HOW) for _ in range(2))
    assert first == again


def test_draws_in_blocks_are_all_there():
    truth, said = scored(100_000)
    found = bootstrap_interval(METRICS["accuracy"], truth, said, draws=50, confidence=0.9, seed=0)
    assert found.low < METRICS["accuracy"].score(truth, said) < found.high


@pytest.mark.parametrize("name", ["roc_auc", "log_loss"])
def test_an_undefined_metric_has_no_interval(name):
    table = np.full((4, 2), 0.5) if name == "roc_auc" else None
    found = bootstrap_interval(METRICS[name], np.zeros(4), Predictions(np.zeros(4), table), **HOW)
    assert (found.low, found.high, found.method) == (None, None, "undefined")


def test_no_rows_have_no_interval():
    found = bootstrap_interval(METRICS["rmse"], np.empty(0), Predictions(np.empty(0)), **HOW)
    assert found.low is None


def test_left_is_better_where_it_errs_less():
    truth = np.random.default_rng(0).normal(size=300)
    left, right = Predictions(truth + 0.5), Predictions(truth - np.tile([0.8, 1.0], 150))
    found = paired_difference(METRICS["mae"], truth, left, right, **HOW)
    assert (found.mean, found.share_better) == pytest.approx((0.4, 1.0))
    assert (found.low, found.high) == pytest.approx((0.39, 0.41), abs=0.002)


def test_a_pair_says_how_likely_it_is_that_left_is_not_better():
    truth, said = scored(400)
    worse = Predictions(said.values, 0.7 * said.probabilities + 0.15)
    forth, back = (
        paired_difference(METRICS["brier"], truth, *pair, **HOW)
        for pair in ((said, worse), (worse, said))
    )
    assert forth.p_value < 0.05
    assert back.p_value == pytest.approx(1 - forth.p_value, abs=0.01)


def test_equal_predictions_differ_by_nothing():
    truth, said = scored(100)
    found = paired_difference(METRICS["roc_auc"], truth, said, said, **HOW)
    assert (found.mean, found.low, found.high, found.share_better) == (0, 0, 0, 0.5)


def test_a_pair_is_narrower_than_two_intervals_apart():
    truth, said = scored(400)
    worse = Predictions(
        said.values, np.roll(said.probabilities, 1, axis=0) * 0.1 + 0.9 * said.probabilities
    )
    pair = paired_difference(METRICS["log_loss"], truth, said, worse, **HOW)
    alone = bootstrap_interval(METRICS["log_loss"], truth, said, **HOW)
    assert pair.high - pair.low < alone.high - alone.low


def test_rows_that_either_does_not_predict_are_left_out_of_a_pair():
    truth = np.array([1.0, 1.0, 1.0, 1.0])
    left, right = np.array([1.0, np.nan, 1.0, 0.0]), np.array([1.0, 1.0, np.nan, 1.0])
    found = paired_difference(
        METRICS["accuracy"], truth, Predictions(left), Predictions(right), **HOW
    )
    assert (found.n_rows, found.mean) == (2, -0.5)


def test_a_pair_without_probabilities_has_no_difference():
    truth, said = scored(10)
    labels = Predictions(said.values)
    found = paired_difference(METRICS["log_loss"], truth, said, labels, **HOW)
    assert (found.mean, found.low, found.share_better) == (None, None, None)


def test_the_interval_over_folds_is_corrected_for_shared_training_rows():
    found = fold_interval([0.7, 0.8, 0.9], n_training=80, n_validation=20, confidence=0.95)
    half = 4.302653 * np.sqrt((1 / 3 + 20 / 80) * 0.01)
    assert (found.low, found.high) == pytest.approx((0.8 - half, 0.8 + half))


def test_folds_without_a_figure_do_not_count():
    known = fold_interval([0.7, 0.8], n_training=80, n_validation=20, confidence=0.95)
    assert fold_interval([0.7, None, 0.8], n_training=80, n_validation=20, confidence=0.95) == known


def test_one_fold_has_no_interval():
    found = fold_interval([0.7, None], n_training=80, n_validation=20, confidence=0.95)
    assert (found.low, found.method) == (None, "too few folds")


def test_an_interval_over_folds_needs_training_rows():
    with pytest.raises(ValueError, match=r"'n_training' must be at least 1. Got 0"):
        fold_interval([0.7], n_training=0, n_validation=20, confidence=0.95)
