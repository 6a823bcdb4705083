import numpy as np
import pytest
from scipy import stats

from evertune.metrics.metrics import METRICS
from evertune.stats.comparison import delong_test
from evertune.types import Predictions


def scored(n_rows, seed=0, decimals=1):
    rng = np.random.default_rng(seed)
    positive = rng.random(n_rows) < 0.3
    return positive, *(
        (positive + rng.normal(0, noise, n_rows)).round(decimals) for noise in (0.8, 1.1)
    )


def by_all_pairs(positive, left, right):
    def placed(scores):
        up, down = scores[positive][:, None], scores[~positive][None, :]
        beats = (up > down) + 0.5 * (up == down)
        return beats.mean(axis=1), beats.mean(axis=0)

    (up, down), (other_up, other_down) = placed(left), placed(right)
    variance = [np.cov(a - b) / a.size for a, b in ((up, other_up), (down, other_down))]
    return up.mean() - other_up.mean(), float(np.sqrt(sum(variance)))


@pytest.mark.parametrize("decimals", [0, 1, 9])
def test_the_test_is_that_of_all_pairs_of_rows(decimals):
    rows = scored(120, decimals=decimals)
    found = delong_test(*rows, confidence=0.95)
    gap, error = by_all_pairs(*rows)
    expected = (gap, gap - 1.959964 * error, gap + 1.959964 * error, stats.norm.sf(gap / error))
    assert (found.difference, found.low, found.high, found.p_value) == pytest.approx(expected)


def test_the_difference_is_that_of_the_metric():
    positive, left, right = scored(300)
    areas = [
        METRICS["roc_auc"].score(positive * 1.0, Predictions(s, np.column_stack([-s, s])))
        for s in (left, right)
    ]
    assert delong_test(positive, left, right, confidence=0.9).difference == pytest.approx(
        areas[0] - areas[1]
    )


def test_equal_models_seem_better_as_often_as_the_level_says():
    rng, found = np.random.default_rng(0), []
    for _ in range(400):
        positive = rng.random(150) < 0.3
        left, right = positive + rng.normal(0, 1, (2, 150))
        found.append(delong_test(positive, left, right, confidence=0.95).p_value)
    assert np.mean(np.array(found) < 0.1) == pytest.approx(0.1, abs=0.045)


@pytest.mark.parametrize(
    ("positive", "note"),
    [([False] * 4, "only one class occurs"), ([True] + [False] * 3, "one class has a single row")],
)
def test_a_class_without_rows_enough_has_no_interval(positive, note):
    found = delong_test(np.array(positive), np.arange(4.0), np.arange(4.0)[::-1], confidence=0.95)
    assert (found.low, found.p_value, found.note) == (None, None, note)


def test_two_perfect_rankings_do_not_tell_how_far_each_may_be_off():
    positive = np.array([True, True, False, False])
    found = delong_test(positive, positive * 2.0, positive * 1.0, confidence=0.95)
    assert (found.difference, found.low, found.note) == (0.0, None, "no row tells them apart")
