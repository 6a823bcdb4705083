from datetime import UTC, datetime, timedelta

import pytest

from evertune.config.schema import KOfNRule, SequentialRule, ThresholdRule, Trigger
from evertune.decisions import Finding
from evertune.metrics.losses import DailyLoss
from evertune.monitoring.backtest import backtest_triggers
from evertune.monitoring.performance import PerformanceReference
from evertune.times import TimeWindow

FIRST = datetime(2024, 1, 1, tzinfo=UTC)


def at(day):
    return FIRST + timedelta(days=day)


QUIET = tuple(DailyLoss(at(n), 500, 50.0) for n in range(120))
WORSE = (*QUIET, *(DailyLoss(at(120 + n), 500, 80.0) for n in range(10)))
REFERENCE = PerformanceReference("binary", "roc_auc", 60_000, {}, 0.1, 1.0, QUIET)
ABOVE_ONE = ThresholdRule(kind="threshold", above=1.0)


def backtest(rule, *values, days=(), a_year=1.0):
    """Return the backtest, and that of one trigger on daily windows with these values."""
    signal = "loss" if isinstance(rule, SequentialRule) else "input_drift"
    trigger = Trigger(name="t", signal=signal, rule=rule, action="alert")
    findings = [
        Finding("input_drift", "drift", TimeWindow(at(n), at(n + 1), 100), value)
        for n, value in enumerate(values)
    ]
    result = backtest_triggers(
        [trigger], findings, days=days, reference=REFERENCE, false_alarms_a_year=a_year
    )
    return result, result.triggers[0]


@pytest.mark.parametrize(
    ("rule", "values", "days"),
    [
        (ABOVE_ONE, (0, 2, 2, 0, 2), (2, 5)),
        (KOfNRule(kind="k_of_n", above=1.0, k=2, n=3), (2, 0, 2, 0, 0, 2), (3,)),
    ],
)
def test_an_alarm_begins_once_however_long_it_lasts(rule, values, days):
    _, result = backtest(rule, *values)
    assert result.alarms == tuple(map(at, days))


@pytest.mark.parametrize(("alarms", "bound"), [(0.1, 3.0), (1.1, 2.5), (2.1, 1.0)])
def test_the_suggested_bound_is_the_nearest_with_the_wanted_rate(alarms, bound):
    values = (1, 3, 1, 2.5, 1, 0.5)
    a_year = alarms * 365 / len(values)
    _, result = backtest(ThresholdRule(kind="threshold", above=9.0), *values, a_year=a_year)
    assert result.suggested == bound
    assert ("allow no alarm at this rate" in result.note) == (alarms < 1)


def test_a_lower_bound_is_searched_from_above():
    _, result = backtest(ThresholdRule(kind="threshold", below=0.1), 0.9, 0.5, 0.8)
    assert result.suggested == 0.5


def test_a_trigger_that_is_switched_off_gets_no_suggestion():
    _, result = backtest(ThresholdRule(kind="threshold"), 1.0)
    assert (result.suggested, result.note) == (None, "switched off: it has no bound")


def test_alarms_are_counted_by_the_year():
    _, result = backtest(ABOVE_ONE, *(2.0 if n % 73 == 0 else 0.0 for n in range(365)))
    assert (len(result.alarms), result.alarms_a_year) == (5, 5.0)


def test_the_delay_counts_from_the_change_of_the_loss():
    whole, result = backtest(SequentialRule(kind="e_process"), *[0.0] * 130, days=WORSE)
    assert whole.change_from == at(120)
    assert 0 <= result.delay_days < 5
    assert result.suggested == 365


def test_alarms_after_the_change_do_not_count_against_a_bound():
    _, result = backtest(ABOVE_ONE, *[0.5] * 120, *[3.0] * 10, days=WORSE)
    assert (result.suggested, result.delay_days) == (0.5, 1.0)


def test_a_sequential_test_without_days_has_nothing_to_judge():
    _, result = backtest(SequentialRule(kind="e_process"), 0.0)
    assert (result.n_windows, result.alarms_a_year, result.delay_days) == (0, None, None)


def test_without_windows_there_is_nothing_to_test():
    found = backtest_triggers([], [], days=(), reference=REFERENCE, false_alarms_a_year=0.1)
    assert (found.start, found.triggers) == (None, ())


def test_a_rate_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="must be positive, but got false_alarms_a_year=0"):
        backtest_triggers([], [], days=(), reference=REFERENCE, false_alarms_a_year=0)
