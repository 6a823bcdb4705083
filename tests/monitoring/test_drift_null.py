import numpy as np
import pytest

from evertune.monitoring.drift_null import (
    fit_drift_null,
    fit_null_distribution,
    integrated_autocorrelation_time,
    seasonal_means,
)
from evertune.monitoring.drift_statistics import DriftStatistic
from evertune.monitoring.window_bounds import ReferenceWindows

MEAN = (DriftStatistic("mean", 1.0, 0.0),)
N_ROWS = 100


def noise(n_windows, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, (n_windows, 1))


def calibration(figures, phases=None, n_phases=1):
    phases = np.zeros(len(figures), int) if phases is None else phases
    rows = np.full(len(figures), float(N_ROWS))
    return fit_null_distribution(figures, MEAN, phases=phases, rows=rows, n_phases=n_phases)[0]


def off(found, value, rows=N_ROWS, **known):
    sizes = np.array([float(rows)])
    return float(found.z_scores(np.array([value]), MEAN, phase_rows=sizes, **known)[0])


def test_a_distance_is_in_deviations_between_windows():
    assert off(calibration(noise(5000)), 0.3) == pytest.approx(3, rel=0.05)


def test_chance_counts_for_less_in_a_larger_window_and_days_do_not():
    chance, days = calibration(noise(5000)), calibration(10 * noise(5000))
    assert off(chance, 0.3, rows=400) > 1.9 * off(chance, 0.3)
    assert off(days, 3.0, rows=400) == pytest.approx(off(days, 3.0), rel=0.02)


def test_a_smaller_window_has_more_chance():
    assert off(calibration(noise(5000)), 0.3, rows=25) == pytest.approx(1.5, rel=0.05)


def test_one_day_differs_more_than_the_weeks_of_the_reference():
    weeks = calibration(10 * noise(5000))
    assert off(weeks, 3.0, length_ratio=7) == pytest.approx(off(weeks, 3.0) / np.sqrt(7), rel=0.02)


def test_few_windows_widen():
    assert calibration(noise(10)).widening[0] > 1.3 * calibration(noise(600)).widening[0]


def test_windows_that_are_like_their_neighbours_widen():
    lasts = noise(60)
    for place in range(1, 60):
        lasts[place] += 0.9 * lasts[place - 1]
    assert calibration(lasts).widening[0] > 1.2 * calibration(noise(60)).widening[0]


def test_each_place_in_the_week_has_its_own_centre():
    phases = np.arange(140) % 7
    weekend = phases >= 5
    found = calibration(noise(140) + weekend[:, None], phases, n_phases=7)
    whole, sunday = np.ones(7), np.eye(7)[6]
    assert found.expected(sunday)[0] == pytest.approx(1, abs=0.1)
    assert found.expected(whole)[0] == pytest.approx(2 / 7, abs=0.05)


def test_a_week_without_a_pattern_has_one_centre():
    found = seasonal_means(noise(140), np.arange(140) % 7, 7)
    assert np.ptp(found.centres) < 0.05
    assert found.degrees_of_freedom[0] > 136


def test_moods_that_last_count_as_fewer_windows():
    steps = noise(4000, seed=1)
    for place in range(1, len(steps)):
        steps[place] += 0.7 * steps[place - 1]
    assert integrated_autocorrelation_time(steps)[0][0] == pytest.approx(1.7 / 0.3, rel=0.25)
    assert integrated_autocorrelation_time(noise(4000))[0][0] < 1.3


def scale(figures):
    n_windows = len(figures)
    sizes, phases = np.full(n_windows, 100.0), np.arange(n_windows) % 7
    windows = ReferenceWindows(
        np.arange(n_windows), phases, sizes, 1, timed=True, span_days=n_windows
    )
    sums = np.cumsum(np.vstack([np.zeros_like(figures[:1]), figures]), axis=0)
    return fit_drift_null(lambda k: (sums[k:] - sums[:-k]) / k, MEAN, windows=windows)


def test_a_broken_day_of_the_reference_does_not_blind_it():
    figures = noise(100)
    figures[50] = 9.0
    found = scale(figures)
    assert found.daily.deviations[0] == pytest.approx(0.1, rel=0.2)
    assert found.notes == ("1 windows of the reference are unlike all others: left out",)


def test_seven_windows_together_have_a_scale_of_their_own():
    found = scale(noise(200))
    assert found.pooled.deviations[0] == pytest.approx(0.1 / np.sqrt(7), rel=0.2)
    assert scale(noise(20)).pooled is None


def test_only_a_rise_counts_of_a_figure_that_rises():
    rises = (DriftStatistic("area", 1.0, 0.0, rises=True),)
    found = calibration(noise(100))
    fallen = np.array([-50.0])
    assert found.excess(fallen, rises)[0] < 0 < found.excess(fallen, MEAN)[0]


def test_a_figure_that_is_not_known_is_not_off():
    assert off(calibration(noise(100)), np.nan) == 0
