import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evertune.metrics.metrics import METRICS
from evertune.stats.bootstrap import paired_difference
from evertune.stats.comparison import (
    corrected_resampled_t,
    delong_test,
    holm_adjust,
    required_sample_size,
)
from evertune.stats.results import PairedDifference
from evertune.types import Predictions

LEFT, RIGHT = [0.80, 0.82, 0.85, 0.79, 0.84], [0.79, 0.80, 0.80, 0.80, 0.81]
SIZES = {"n_training": 80, "n_validation": 20, "confidence": 0.95}


def test_the_variance_over_folds_is_corrected_for_shared_training_rows():
    gaps = np.subtract(LEFT, RIGHT)
    found = corrected_resampled_t(LEFT, RIGHT, **SIZES)
    scale = np.sqrt((1 / 5 + 20 / 80) * gaps.var(ddof=1))
    assert found.value == pytest.approx(0.02)
    assert found.high - found.low == pytest.approx(2 * 2.776445 * scale)
    assert found.p_value == pytest.approx(stats.t.sf(0.02 / scale, 4))


def test_without_shared_rows_it_is_the_paired_t_test():
    found = corrected_resampled_t(LEFT, RIGHT, **SIZES | {"n_validation": 0})
    assert found.p_value == pytest.approx(
        stats.ttest_rel(LEFT, RIGHT, alternative="greater").pvalue
    )


def test_scores_alone_have_the_interval_of_their_mean():
    found = corrected_resampled_t([0.7, 0.8, 0.9], **SIZES)
    half = 4.302653 * np.sqrt((1 / 3 + 20 / 80) * 0.01)
    assert (found.low, found.value, found.high) == pytest.approx((0.8 - half, 0.8, 0.8 + half))


def test_folds_without_one_of_the_two_scores_are_left_out():
    found = corrected_resampled_t([*LEFT, None, 0.9], [*RIGHT, 0.1, None], **SIZES)
    assert found == corrected_resampled_t(LEFT, RIGHT, **SIZES)


@pytest.mark.parametrize("scores", [[0.9], [0.9, 0.9], [None, 0.9]])
def test_folds_that_do_not_vary_have_a_mean_without_interval(scores):
    found = corrected_resampled_t(scores, **SIZES)
    assert (found.value, found.low, found.p_value) == (0.9, None, None)
    assert found.method == "too few folds that differ"


def test_no_fold_has_no_mean():
    assert corrected_resampled_t([None], [0.1], **SIZES).value is None


@pytest.mark.parametrize(
    ("baseline", "n_training", "message"),
    [([0.1, 0.2], 80, r"a score a fold. Got 1 and 2."), ([0.1], 0, r"at least 1. Got 0 instead")],
)
def test_folds_that_cannot_be_compared_are_refused(baseline, n_training, message):
    with pytest.raises(ValueError, match=message):
        corrected_resampled_t([0.1], baseline, **SIZES | {"n_training": n_training})


def of_scores(scores):
    return Predictions((scores > 0.5) * 1.0, np.column_stack([-scores, scores]))


def scored(n_rows, seed=0, decimals=1):
    rng = np.random.default_rng(seed)
    y_true = (rng.random(n_rows) < 0.3) * 1.0
    return y_true, *((y_true + rng.normal(0, s, n_rows)).round(decimals) for s in (0.8, 1.1))


@pytest.mark.parametrize("decimals", [0, 1, 9])
def test_delong_is_the_test_of_all_pairs_of_rows(decimals):
    y_true, *scores = scored(120, decimals=decimals)
    found = delong_test(y_true, *map(of_scores, scores), confidence=0.95)

    def placements(score):
        up, down = score[y_true == 1][:, None], score[y_true == 0][None, :]
        beats = (up > down) + 0.5 * (up == down)
        return beats.mean(axis=1), beats.mean(axis=0)

    (up, down), (other_up, other_down) = map(placements, scores)
    gap = up.mean() - other_up.mean()
    error = np.sqrt(np.cov(up - other_up) / up.size + np.cov(down - other_down) / down.size)
    expected = (gap, gap - 1.959964 * error, gap + 1.959964 * error, stats.norm.sf(gap / error))
    assert (found.difference, found.low, found.high, found.p_value) == pytest.approx(expected)
    areas = [METRICS["roc_auc"].score(y_true, of_scores(each)) for each in scores]
    assert found.difference == pytest.approx(areas[0] - areas[1])


def test_equal_models_seem_better_by_delong_as_often_as_the_level_says():
    rng, p_values = np.random.default_rng(0), []
    for _ in range(300):
        y_true = (rng.random(150) < 0.3) * 1.0
        pair = map(of_scores, y_true + rng.normal(0, 1, (2, 150)))
        p_values.append(delong_test(y_true, *pair, confidence=0.95).p_value)
    assert np.mean(np.array(p_values) < 0.1) == pytest.approx(0.1, abs=0.045)


@pytest.mark.parametrize(
    ("y_true", "left", "note"),
    [
        ([0.0] * 4, [0.0, 1, 2, 3], "only one class occurs"),
        ([1.0, 0, 0, 0], [3.0, 2, 1, 0], "one class has a single row"),
        ([1.0, 1, 0, 0], [2.0, 2, 0, 0], "both rank all rows alike"),
    ],
)
def test_delong_without_rows_enough_has_no_interval(y_true, left, note):
    right = of_scores(np.array([1.0, 1, 0, 0]))
    found = delong_test(np.array(y_true), of_scores(np.array(left)), right, confidence=0.95)
    assert (found.low, found.p_value, found.note) == (None, None, note)


def test_delong_leaves_out_rows_that_either_does_not_predict():
    y_true, left, right = scored(60)
    partly = Predictions(np.where(np.arange(60) < 10, np.nan, 0.0), of_scores(right).probabilities)
    assert delong_test(y_true, of_scores(left), partly, confidence=0.9).n == 50


@pytest.mark.parametrize("proba", [None, np.full((60, 3), 1 / 3)])
def test_delong_needs_probabilities_of_two_classes(proba):
    y_true, left, _ = scored(60)
    assert delong_test(y_true, of_scores(left), Predictions(y_true, proba), confidence=0.9) is None


def test_holm_multiplies_the_smallest_by_the_number_of_tests():
    assert holm_adjust([0.02, 0.01, 0.04, 0.03]) == pytest.approx((0.06, 0.04, 0.06, 0.06))
    assert holm_adjust([]) == ()


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_keeps_the_order_and_lies_between_the_p_value_and_bonferroni(p_values):
    adjusted = holm_adjust(p_values)
    for p, q in zip(p_values, adjusted, strict=True):
        assert p <= q <= min(1.0, len(p_values) * p) or q == pytest.approx(p)
    pairs = sorted(zip(p_values, adjusted, strict=True))
    assert [q for _, q in pairs] == sorted(adjusted)


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan")])
def test_holm_refuses_what_is_no_p_value(wrong):
    with pytest.raises(ValueError, match="must be from 0 to 1"):
        holm_adjust([0.5, wrong])


@pytest.mark.parametrize(("mean", "low"), [(None, None), (0.1, None), (0.0, -0.1), (-0.1, -0.2)])
def test_no_number_of_rows_shows_what_does_not_seem_so(mean, low):
    assert required_sample_size(PairedDifference(mean, low, 0.2, None, 50)) is None


def test_the_required_sample_size_would_do():
    def better_by_a_tenth(n_rows):
        gaps = np.random.default_rng(0).normal(size=n_rows)
        gaps = 0.1 + (gaps - gaps.mean()) / gaps.std()
        pair = Predictions(np.full(n_rows, 9.0)), Predictions(9.0 + gaps)
        return paired_difference(
            METRICS["mae"], np.zeros(n_rows), *pair, draws=1000, confidence=0.95, seed=0
        )

    needed = required_sample_size(better_by_a_tenth(100))
    assert better_by_a_tenth(int(0.8 * needed)).low < 0 < better_by_a_tenth(int(1.2 * needed)).low
