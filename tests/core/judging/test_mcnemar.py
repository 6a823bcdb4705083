import numpy as np
import pytest
from scipy import stats

from evertune.stats.comparison import mcnemar_test


def told(n_left, n_right, n_both=10):
    left = np.repeat([True, False, True], [n_left, n_right, n_both])
    right = np.repeat([False, True, True], [n_left, n_right, n_both])
    return left, right


@pytest.mark.parametrize(("n_left", "n_right"), [(1, 0), (5, 0), (9, 3), (3, 9), (12, 12)])
def test_below_25_rows_it_is_the_exact_binomial_test(n_left, n_right):
    found = mcnemar_test(*told(n_left, n_right), confidence=0.95)
    exact = stats.binomtest(n_left, n_left + n_right, alternative="greater")
    assert found.p_value == pytest.approx(exact.pvalue)


def test_below_25_rows_the_ends_are_those_of_clopper_and_pearson():
    found = mcnemar_test(*told(9, 3), confidence=0.9)
    low, high = stats.binomtest(9, 12).proportion_ci(0.9, method="exact")
    ends = (2 * low - 1) * 12 / 22, (2 * high - 1) * 12 / 22
    assert (found.low, found.high) == pytest.approx(ends)


def test_from_25_rows_on_half_of_the_chance_of_what_was_seen_counts():
    found = mcnemar_test(*told(20, 10), confidence=0.95)
    chances = stats.binom.pmf(np.arange(31), 30, 0.5)
    assert found.p_value == pytest.approx(chances[21:].sum() + chances[20] / 2)
    assert found.note == "20 rows to 10, mid-p"


@pytest.mark.parametrize("n_left", range(5, 41))
def test_the_low_end_is_above_zero_right_where_the_chance_is_below_the_tail(n_left):
    found = mcnemar_test(*told(n_left, 9), confidence=0.95)
    assert (found.low > 0) == (found.p_value < 0.025)


def test_a_model_that_is_right_wherever_one_is_has_all_of_the_difference_as_its_high_end():
    found = mcnemar_test(*told(6, 0), confidence=0.95)
    assert found.difference == found.high == 6 / 16
    assert mcnemar_test(*told(0, 6), confidence=0.95).low == -6 / 16


def test_rows_that_do_not_tell_two_models_apart_give_no_ends():
    found = mcnemar_test(*told(0, 0), confidence=0.95)
    assert (found.difference, found.low, found.p_value) == (0.0, None, None)


def test_no_rows_have_no_difference():
    assert mcnemar_test(*told(0, 0, 0), confidence=0.95).difference is None
