import numpy as np
import pytest
from scipy import integrate, special, stats

from evertune.stats.comparison import (
    PosteriorProbabilities,
    bayesian_correlated_t_test,
    corrected_resampled_t_test,
)

LEFT, RIGHT = [0.81, 0.84, 0.80, 0.86, 0.79], [0.80, 0.79, 0.81, 0.82, 0.78]
SIZES = {"n_training": 80, "n_validation": 20}


def test_fold_differences_are_tested_by_the_corrected_t():
    gaps = np.subtract(LEFT, RIGHT)
    found = corrected_resampled_t_test(LEFT, RIGHT, confidence=0.95, **SIZES)
    scale = np.sqrt((1 / 5 + 20 / 80) * gaps.var(ddof=1))
    assert found.difference == pytest.approx(0.02)
    assert found.high - found.low == pytest.approx(2 * 2.776445 * scale)
    assert found.p_value == pytest.approx(stats.t.sf(0.02 / scale, 4))


def test_without_shared_rows_it_is_the_paired_t_test():
    found = corrected_resampled_t_test(LEFT, RIGHT, n_training=80, n_validation=0, confidence=0.95)
    theirs = stats.ttest_rel(LEFT, RIGHT, alternative="greater")
    assert found.p_value == pytest.approx(theirs.pvalue)


def test_folds_without_one_of_the_two_scores_are_left_out():
    found = corrected_resampled_t_test(
        [*LEFT, None, 0.9], [*RIGHT, 0.1, None], confidence=0.9, **SIZES
    )
    assert found == corrected_resampled_t_test(LEFT, RIGHT, confidence=0.9, **SIZES)


@pytest.mark.parametrize(("left", "right"), [([0.9], [0.8]), ([0.9, 0.9], [0.8, 0.8])])
def test_folds_that_do_not_vary_have_no_ends(left, right):
    found = corrected_resampled_t_test(left, right, confidence=0.95, **SIZES)
    assert found.difference == pytest.approx(0.1)
    assert (found.low, found.p_value, found.note) == (None, None, "too few folds that differ")


def test_no_fold_has_no_difference():
    assert corrected_resampled_t_test([None], [0.1], confidence=0.95, **SIZES).difference is None


@pytest.mark.parametrize("rope", [0.0, 0.01, 0.05])
def test_chances_are_the_integrals_of_the_posterior(rope):
    gaps, rho, free = np.subtract(LEFT, RIGHT), 0.2, 4
    spread = np.sqrt((1 / 5 + rho / (1 - rho)) * gaps.var(ddof=1))

    def density(x):
        area = special.gamma(2.5) / (special.gamma(2) * np.sqrt(free * np.pi) * spread)
        return area * (1 + ((x - gaps.mean()) / spread) ** 2 / free) ** (-(free + 1) / 2)

    found = bayesian_correlated_t_test(LEFT, RIGHT, rope=rope, **SIZES)
    parts = [(rope, np.inf), (-rope, rope), (-np.inf, -rope)]
    areas = [integrate.quad(density, *part)[0] for part in parts]
    shares = (found.left_better, found.equivalent, found.right_better)
    assert shares == pytest.approx(areas, abs=1e-6)


def test_models_that_never_differ_are_equivalent():
    assert bayesian_correlated_t_test(LEFT, LEFT, rope=0.01, **SIZES) == PosteriorProbabilities(
        0.0, 1.0, 0.0
    )


def test_a_single_fold_has_no_chances():
    assert bayesian_correlated_t_test([0.9], [0.8], rope=0.01, **SIZES) is None


def test_a_region_of_equivalence_has_a_width():
    with pytest.raises(ValueError, match=r"'rope' must not be negative. Got -0.1"):
        bayesian_correlated_t_test(LEFT, RIGHT, rope=-0.1, **SIZES)


def test_scores_come_in_pairs():
    with pytest.raises(ValueError, match=r"must have a score a fold. Got 1 and 2."):
        corrected_resampled_t_test([0.1], [0.1, 0.2], confidence=0.95, **SIZES)


def test_fold_tests_need_training_rows():
    with pytest.raises(ValueError, match=r"'n_training' must be at least 1. Got 0"):
        corrected_resampled_t_test(LEFT, RIGHT, n_training=0, n_validation=20, confidence=0.95)
