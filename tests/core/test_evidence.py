import numpy as np
import pytest

from evertune.stats.sequential import (
    estimate_change_point,
    log_evidence,
    log_likelihood_ratios,
    overdispersion,
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
