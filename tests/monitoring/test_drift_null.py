import numpy as np
import pytest
from scipy.signal import lfilter

from evertune.monitoring.drift_null import (
    fit_drift_null,
    fit_null_distribution,
    integrated_autocorrelation_time,
    seasonal_means,
)
from evertune.monitoring.drift_statistics import DriftStatistic
from evertune.monitoring.window_bounds import ReferenceWindows

MEAN = (DriftStatistic("mean", 1.0, 0.0),)  # in windows of 100 rows, chance alone deviates by 0.1


def noise(n_windows, *, lasting=0.0, seed=0):
    """Return values that deviate by 0.1 from each other, or whose deviations last."""
    values = np.random.default_rng(seed).normal(0, 0.1, (n_windows, 1))
    return lfilter([1], [1, -lasting], values, axis=0)


def null_of(values, phases=None, n_phases=1):
    phases = np.zeros(len(values), int) if phases is None else phases
    rows = np.full(len(values), 100.0)
    return fit_null_distribution(values, MEAN, phases=phases, rows=rows, n_phases=n_phases)[0]


def z_score(null, value, rows=100, **settings):
    phase_rows = np.array([float(rows)])
    return float(null.z_scores(np.array([value]), MEAN, phase_rows=phase_rows, **settings)[0])


@pytest.fixture(scope="module")
def chance():
    return null_of(noise(5000))


@pytest.fixture(scope="module")
def days():
    return null_of(10 * noise(5000))


def test_a_z_score_is_in_deviations_between_windows(chance):
    assert z_score(chance, 0.3) == pytest.approx(3, rel=0.05)
    assert z_score(chance, np.nan) == 0


def test_chance_falls_with_the_rows_of_a_window_and_differences_of_days_do_not(chance, days):
    assert z_score(chance, 0.3, rows=25) == pytest.approx(1.5, rel=0.05)
    assert z_score(chance, 0.3, rows=400) > 1.9 * z_score(chance, 0.3)
    assert z_score(days, 3.0, rows=400) == pytest.approx(z_score(days, 3.0), rel=0.02)


def test_one_day_differs_more_than_the_weeks_of_the_reference(days):
    day, week = z_score(days, 3.0, length_ratio=7), z_score(days, 3.0)
    assert day == pytest.approx(week / np.sqrt(7), rel=0.02)


def test_few_windows_and_windows_that_are_like_their_neighbours_widen():
    assert null_of(noise(10)).widening[0] > 1.3 * null_of(noise(600)).widening[0]
    assert null_of(noise(60, lasting=0.9)).widening[0] > 1.2 * null_of(noise(60)).widening[0]


def test_each_place_in_the_week_has_its_own_centre():
    phases = np.arange(140) % 7
    null = null_of(noise(140) + (phases >= 5)[:, None], phases, n_phases=7)
    week, sunday = np.ones(7), np.eye(7)[6]
    assert null.expected(sunday)[0] == pytest.approx(1, abs=0.1)
    assert null.expected(week)[0] == pytest.approx(2 / 7, abs=0.05)


def test_a_week_without_a_pattern_has_one_centre():
    means = seasonal_means(noise(140), np.arange(140) % 7, 7)
    assert np.ptp(means.centres) < 0.05
    assert means.degrees_of_freedom[0] > 136


def test_deviations_that_last_count_as_fewer_windows():
    lasting = noise(4000, lasting=0.7, seed=1)
    assert integrated_autocorrelation_time(lasting)[0][0] == pytest.approx(1.7 / 0.3, rel=0.25)
    assert integrated_autocorrelation_time(noise(4000))[0][0] < 1.3


def test_only_a_rise_is_drift_of_a_statistic_that_rises(chance):
    rises, fall = (DriftStatistic("area", 1.0, 0.0, rises=True),), np.array([-50.0])
    assert chance.excess(fall, rises)[0] < 0 < chance.excess(fall, MEAN)[0]


def drift_null_of(values):
    n_windows = len(values)
    windows = ReferenceWindows(
        places=np.arange(n_windows),
        phases=np.arange(n_windows) % 7,
        rows=np.full(n_windows, 100.0),
        days=1,
        timed=True,
        span_days=n_windows,
    )
    pools = np.lib.stride_tricks.sliding_window_view
    return fit_drift_null(lambda n: pools(values, n, axis=0).mean(axis=-1), MEAN, windows=windows)


def test_a_broken_day_of_the_reference_does_not_blind_it():
    values = noise(100)
    values[50] = 9.0
    null = drift_null_of(values)
    assert null.daily.deviations[0] == pytest.approx(0.1, rel=0.2)
    assert null.notes == ("1 windows of the reference are unlike all others: left out",)


def test_seven_windows_together_have_a_distribution_of_their_own():
    assert drift_null_of(noise(200)).pooled.deviations[0] == pytest.approx(0.1 / 7**0.5, rel=0.2)
    assert drift_null_of(noise(20)).pooled is None
