from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from evertune.metrics.losses import DailyLoss
from evertune.stats.sequential import (
    estimate_change_point,
    log_evidence,
    log_likelihood_ratios,
    overdispersion,
    paired_sequential_test,
)


def test_bad_weeks_widen_more_than_bad_days_alone():
    rng = np.random.default_rng(0)
    weeks = np.repeat(rng.integers(5, 16, 20), 7).astype(float)
    shuffled = rng.permutation(weeks)
    counts = np.full(140, 100.0)
    assert overdispersion(counts, weeks) > 2 * overdispersion(counts, shuffled)


def test_few_days_widen_and_none_widen_most():
    counts, totals = np.full(75, 100.0), np.full(75, 10.0)
    found = [overdispersion(counts[:n], totals[:n]).item() for n in (75, 25, 0)]
    assert found == [1.0, 3.0, 5.0]


def test_a_likelihood_ratio_has_a_mean_of_one_at_the_bar():
    n = np.arange(51.0)
    chance = np.array([1.0])
    for k in n[1:]:
        chance = np.append(chance, chance[-1] * (51 - k) / k * 0.1 / 0.9)
    steps = log_likelihood_ratios(np.full(51, 50.0), n, bars=0.1, widened=1.0)
    mean = (np.exp(steps) * (chance / chance.sum())[:, None]).sum(axis=0)
    assert mean == pytest.approx(np.ones(3))


def test_the_evidence_is_the_sum_over_all_starts():
    steps = np.random.default_rng(1).normal(0.0, 1.0, (6, 3))
    by_hand = [
        np.mean([sum(np.exp(steps[start : end + 1, rise].sum()) for start in range(end + 1))
                 for rise in range(3)])
        for end in range(6)
    ]  # fmt: skip
    assert np.exp(log_evidence(steps)) == pytest.approx(by_hand)


def test_many_streams_at_once_give_what_each_gives_alone():
    steps = np.random.default_rng(2).normal(0.0, 1.0, (3, 5, 3))
    assert log_evidence(steps)[1] == pytest.approx(log_evidence(steps[1]))


def test_without_days_there_is_no_evidence():
    assert log_evidence(np.zeros((0, 3))).shape == (0,)


def test_the_likeliest_start_is_where_the_sum_from_there_on_is_largest():
    assert estimate_change_point(np.array([[5.0, 0], [-9.0, 0], [1.0, 0], [1.0, 0]])) == 2


def days_of(means, n=500):
    start = datetime(2024, 1, 1, tzinfo=UTC)
    return tuple(DailyLoss(start + timedelta(days=i), n, n * mean) for i, mean in enumerate(means))


def worse_by(mean, seed=0, n_days=14):
    return days_of(0.1 + np.random.default_rng(seed).normal(mean, 0.012, n_days))


OTHER = days_of([0.1] * 14)


def test_a_champion_that_is_worse_by_five_points_is_found_within_two_weeks():
    found = paired_sequential_test(worse_by(0.05), OTHER)
    assert found.worse_at is not None
    assert found.threshold == 20.0


def test_a_better_champion_is_never_called_worse():
    found = paired_sequential_test(worse_by(-0.05), OTHER)
    assert found.worse_at is None
    assert found.difference < 0


def test_equal_champions_are_called_worse_less_often_than_the_error_allows():
    found = [paired_sequential_test(worse_by(0.0, seed), OTHER) for seed in range(200)]
    assert sum(each.worse_at is not None for each in found) <= 0.05 * 200


def test_only_days_with_the_same_rows_are_compared():
    other = (*days_of([0.1]), *days_of([0.1, 0.1], n=9)[1:])
    found = paired_sequential_test(days_of([0.2] * 3), other)
    assert (len(found.days), found.n) == (1, 500)


def test_without_common_days_there_is_no_evidence_for_or_against_the_champion():
    found = paired_sequential_test(OTHER, ())
    assert (found.values, found.difference, found.worse_at) == ((), None, None)


def test_identical_losses_are_no_evidence():
    assert paired_sequential_test(OTHER, OTHER).worse_at is None
