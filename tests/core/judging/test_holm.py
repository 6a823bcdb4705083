import pytest

from evertune.stats.comparison import holm_adjust


def test_the_smallest_is_raised_most_and_none_falls_below_a_smaller_one():
    assert holm_adjust([0.02, 0.01, 0.04, 0.03]) == pytest.approx((0.06, 0.04, 0.06, 0.06))


def test_none_comes_to_be_above_one():
    assert holm_adjust([0.9, 0.6]) == (1.0, 1.0)


def test_a_single_one_stays():
    assert holm_adjust([0.04]) == (0.04,)


def test_without_tests_there_is_nothing_to_adjust():
    assert holm_adjust([]) == ()


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan")])
def test_a_chance_is_from_0_to_1(wrong):
    with pytest.raises(ValueError, match=r"'p_values' must be from 0 to 1. Got \["):
        holm_adjust([0.5, wrong])
