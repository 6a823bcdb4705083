import numpy as np
import pytest

from evertune.monitoring.loss_process import run_loss_process
from tests.monitoring.loss_days import FIRST, chance_days, days_of, reference_of_days

REFERENCE = reference_of_days()


def test_a_quiet_year_raises_no_alarm():
    found = run_loss_process(REFERENCE, chance_days(1, 365))
    assert (found.alarm_at, found.change_from, found.armed, found.alarms) == (None, None, True, ())


def test_a_rise_of_five_points_is_found_within_a_week_and_dated():
    days = (*chance_days(2, 60), *chance_days(3, 7, 0.15, start=60))
    found = run_loss_process(REFERENCE, days)
    assert abs((found.change_from - FIRST).days - 60) <= 2
    assert found.rise == pytest.approx(0.05, abs=0.02)


def test_a_lower_loss_is_no_alarm():
    assert run_loss_process(REFERENCE, days_of([0.02] * 100)).alarms == ()


def test_an_alarm_clears_when_the_evidence_falls_below_the_root_of_the_threshold():
    found = run_loss_process(REFERENCE, days_of([0.2] * 5 + [0.05] * 20))
    assert found.armed
    assert len(found.alarms) == 1


def test_an_alarm_that_stands_is_the_day_on_which_it_was_raised():
    found = run_loss_process(REFERENCE, days_of([0.1] * 5 + [0.3] * 10))
    assert found.alarm_at == found.alarms[-1]
    assert not found.armed


def test_without_days_nothing_is_said():
    found = run_loss_process(REFERENCE, ())
    assert (found.values, found.alarm_at, found.armed) == ((), None, True)


@pytest.mark.parametrize(("n_days", "words"), [(120, ""), (30, "30 days"), (0, "no days")])
def test_a_short_reference_is_told(n_days, words):
    note = run_loss_process(reference_of_days(n_days), days_of([0.1])).note
    assert words in note
    assert bool(note) == bool(words)


def test_values_stay_finite_however_long_the_loss_is_high():
    found = run_loss_process(REFERENCE, days_of([0.9] * 400, n=5000))
    assert np.isfinite(found.values).all()
