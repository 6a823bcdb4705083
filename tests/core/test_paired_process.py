import numpy as np

from evertune.stats.sequential import paired_sequential_test
from tests.core.loss_days import days_of


def differing(seed: int, mean: float, n_days: int = 14) -> tuple[float, ...]:
    """Return daily mean losses of a champion beside another that always has 0.1."""
    return tuple(0.1 + np.random.default_rng(seed).normal(mean, 0.012, n_days))


OTHER = days_of([0.1] * 14)


def test_a_champion_that_is_worse_by_five_points_is_found_within_two_weeks():
    found = paired_sequential_test(days_of(list(differing(0, 0.05))), OTHER)
    assert found.worse_at is not None
    assert found.threshold == 20.0


def test_a_better_champion_is_never_called_worse():
    found = paired_sequential_test(days_of(list(differing(0, -0.05))), OTHER)
    assert found.worse_at is None
    assert found.difference < 0


def test_equal_champions_are_called_worse_less_often_than_stated():
    found = [
        paired_sequential_test(days_of(list(differing(seed, 0.0))), OTHER) for seed in range(200)
    ]
    assert sum(each.worse_at is not None for each in found) <= 0.05 * 200


def test_only_days_with_the_same_rows_are_compared():
    found = paired_sequential_test(
        days_of([0.2] * 3), (*days_of([0.1]), *days_of([0.1], n=9, start=1))
    )
    assert (len(found.days), found.n) == (1, 500)


def test_without_common_days_nothing_is_said():
    found = paired_sequential_test(OTHER, ())
    assert (found.values, found.difference, found.worse_at) == ((), None, None)


def test_identical_losses_say_nothing():
    assert paired_sequential_test(OTHER, OTHER).worse_at is None
