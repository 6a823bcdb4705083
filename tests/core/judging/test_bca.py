import numpy as np
import pytest
from scipy import stats

from evertune.stats.bootstrap import (
    BootstrapDistribution,
    acceleration,
    bca_level,
    effective_sample_size,
    lower_limit,
    upper_limit,
    z_at_zero,
)

Z = stats.norm.ppf(0.025)
EVEN = np.linspace(-1.0, 1.0, 999)
JACKKNIFE = np.array([0.9, 1.0, 1.2])


def of_scipy(rows, statistic, draws=9999):
    found = stats.bootstrap((rows,), statistic, method="BCa", n_resamples=draws, rng=1)
    left_out = np.array([statistic(np.delete(rows, i)) for i in range(rows.size)])
    ours = BootstrapDistribution(statistic(rows), np.sort(found.bootstrap_distribution), left_out)
    return ours, found


@pytest.mark.parametrize("statistic", [np.mean, np.std, np.median])
def test_the_ends_are_those_of_scipy(statistic):
    rows = np.random.default_rng(0).exponential(size=80)
    ours, found = of_scipy(rows, statistic)
    ends = found.confidence_interval
    near = 0.02 * (ends.high - ends.low)  # an order statistic beside an interpolated one
    assert (lower_limit(ours, Z), upper_limit(ours, Z)) == pytest.approx(
        (ends.low, ends.high), abs=near
    )


def test_the_acceleration_is_a_sixth_of_the_skewness_by_the_root_of_n():
    rows = np.random.default_rng(0).exponential(size=400)
    left_out = (rows.sum() - rows) / 399
    assert acceleration(left_out) == pytest.approx(stats.skew(rows) / (6 * 20))


def test_groups_of_rows_show_the_acceleration_that_single_rows_do():
    rows = np.random.default_rng(0).exponential(size=40_000)
    groups = (rows.sum() - rows.reshape(200, 200).sum(axis=1)) / 39_800
    assert acceleration(groups) == pytest.approx(stats.skew(rows) / (6 * 200), abs=0.003)


@pytest.mark.parametrize("left_out", [np.ones(5), np.array([np.nan, np.nan, np.nan, 1.0, 2.0])])
def test_without_a_jackknife_that_tells_there_is_no_acceleration(left_out):
    assert acceleration(left_out) == 0.0


def test_rows_of_normal_influence_all_count():
    groups = np.random.default_rng(0).normal(size=200)
    assert effective_sample_size(groups, 200) == pytest.approx(200, rel=0.2)


def test_where_two_models_differ_on_few_rows_few_rows_count():
    groups = np.repeat([0.0, 1.0], [192, 8])
    assert 6 < effective_sample_size(groups, 200) < 12


def test_a_figure_that_no_row_moves_counts_one_row():
    assert effective_sample_size(np.ones(10), 10) == 1.0


def test_draws_far_to_one_side_give_normal_ends_about_the_figure_less_its_bias():
    found = BootstrapDistribution(-5.0, EVEN, JACKKNIFE)
    spread = EVEN.std(ddof=1)
    assert found.is_far_off
    assert lower_limit(found, Z) == pytest.approx(-10 + Z * spread)
    assert upper_limit(found, Z) == pytest.approx(-10 - Z * spread)


def test_an_end_beyond_all_draws_is_the_normal_one_or_the_last_draw():
    found = BootstrapDistribution(0.0, EVEN, np.array([1.0, 2.0]))
    assert lower_limit(found, -6.0) == pytest.approx(-6 * EVEN.std(ddof=1))
    skewed = np.sort(np.append(np.linspace(-0.1, 0.1, 998), -9.0))
    assert lower_limit(BootstrapDistribution(0.0, skewed, JACKKNIFE), -6.0) == -9.0


def test_a_level_that_the_acceleration_turns_round_ends_with_the_draws():
    one_row = np.repeat([1.0, 0.0], [1, 9])
    assert bca_level(BootstrapDistribution(0.0, EVEN, one_row), -9.0) == 0.0
    assert bca_level(BootstrapDistribution(0.0, EVEN, -one_row), 9.0) == 1.0


@pytest.mark.parametrize("shift", [-1.5, -0.5, 0.0, 0.7, 0.95, 1.2, 3.0])
@pytest.mark.parametrize("left_out", [JACKKNIFE, 3 - JACKKNIFE])
def test_the_low_end_is_above_zero_right_where_the_chance_is_below_the_tail(shift, left_out):
    found = BootstrapDistribution(shift + 0.05, EVEN + shift, left_out)
    tails = np.append(np.geomspace(1e-7, 0.5, 300), stats.norm.cdf(z_at_zero(found)))
    above = [lower_limit(found, z) > 0 for z in stats.norm.ppf(tails[:-1])]
    assert above == [z > z_at_zero(found) for z in stats.norm.ppf(tails[:-1])]


def test_where_no_draw_is_above_zero_no_tail_is_wide_enough():
    assert z_at_zero(BootstrapDistribution(-2.0, EVEN - 2.0, JACKKNIFE)) == np.inf


def test_where_all_draws_are_above_zero_the_chance_is_still_not_zero():
    z = z_at_zero(BootstrapDistribution(3.0, EVEN + 3.0, JACKKNIFE))
    assert 0 < stats.norm.cdf(z) < 0.001
