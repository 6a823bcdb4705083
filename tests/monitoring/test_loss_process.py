import numpy as np
import pytest

from evertune.monitoring.loss_process import run_loss_process
from tests.monitoring.loss_days import FIRST, chance_days, days_of, reference_of_days

REFERENCE = reference_of_days()


def test_a_quiet_year_raises_no_alarm():
    process = run_loss_process(REFERENCE, chance_days(1, 365))
    assert (process.alarm_at, process.change_from, process.alarms) == (None, None, ())


def test_a_rise_of_five_points_is_found_within_a_week_and_dated():
    days = (*chance_days(2, 60), *chance_days(3, 7, 0.15, start=60))
    process = run_loss_process(REFERENCE, days)
    assert abs((process.change_from - FIRST).days - 60) <= 2
    assert process.rise == pytest.approx(0.05, abs=0.02)
    assert process.alarm_at == process.alarms[-1]


def test_a_lower_loss_is_no_alarm():
    assert run_loss_process(REFERENCE, days_of([0.02] * 100)).alarms == ()


def test_an_alarm_clears_when_the_evidence_falls_below_the_root_of_the_threshold():
    process = run_loss_process(REFERENCE, days_of([0.2] * 5 + [0.05] * 20))
    assert process.alarm_at is None
    assert len(process.alarms) == 1


def test_without_days_there_is_no_evidence():
    process = run_loss_process(REFERENCE, ())
    assert (process.values, process.alarm_at) == ((), None)


@pytest.mark.parametrize(("n_days", "words"), [(120, ""), (30, "30 days"), (0, "no days")])
def test_a_short_reference_is_noted(n_days, words):
    note = run_loss_process(reference_of_days(n_days), days_of([0.1])).note
    assert words in note
    assert bool(note) == bool(words)


def test_values_stay_finite_however_long_the_loss_is_high():
    process = run_loss_process(REFERENCE, days_of([0.9] * 400, n=5000))
    assert np.isfinite(process.values).all()
