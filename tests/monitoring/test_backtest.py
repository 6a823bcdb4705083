from datetime import UTC, datetime, timedelta

import pytest

from evertune.config.schema import KOfNRule, SequentialRule, ThresholdRule, Trigger
from evertune.decisions import Finding
from evertune.metrics.losses import DailyLoss
from evertune.monitoring.backtest import alarm_starts, backtest_triggers, suggest_bound
from evertune.monitoring.performance import PerformanceReference
from evertune.times import TimeWindow

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
QUIET = tuple(DailyLoss(FIRST + timedelta(days=n), 500, 50.0) for n in range(120))
REFERENCE = PerformanceReference("binary", "roc_auc", 60_000, {}, 0.1, 1.0, QUIET)


def at(day):
    return FIRST + timedelta(days=day)


def drift(*values):
    return [
        Finding("input_drift", "drift", TimeWindow(at(n), at(n + 1), 100), value)
        for n, value in enumerate(values)
    ]


def tried(trigger, findings, days=()):
    found = backtest_triggers(
        [trigger], findings, days=days, reference=REFERENCE, false_alarms_a_year=1.0
    )
    return found, found.tried[0]


def test_an_alarm_begins_once_however_long_it_stands():
    starts = alarm_starts(ThresholdRule(kind="threshold", above=1.0), drift(0, 2, 2, 0, 2))
    assert starts == (at(2), at(5))


def test_k_of_n_begins_at_the_kth_window():
    assert alarm_starts(KOfNRule(kind="k_of_n", above=1.0, k=2, n=3), drift(2, 0, 2, 0, 0, 2)) == (
        at(3),
    )


@pytest.mark.parametrize(("most", "bound"), [(0, 3.0), (1, 2.5), (2, 1.0)])
def test_the_bound_is_the_nearest_that_alarms_so_rarely(most, bound):
    figures = drift(1, 3, 1, 2.5, 1, 0.5)
    assert suggest_bound(ThresholdRule(kind="threshold", above=9.0), figures, most=most) == bound


def test_a_bound_below_is_sought_from_above():
    assert (
        suggest_bound(ThresholdRule(kind="threshold", below=0.1), drift(0.9, 0.5, 0.8), most=0)
        == 0.5
    )


def test_a_trigger_that_is_switched_off_gets_no_advice():
    _, found = tried(
        Trigger(
            name="floor", signal="input_drift", rule=ThresholdRule(kind="threshold"), action="alert"
        ),
        drift(1.0),
    )
    assert (found.suggested, found.note) == (None, "switched off: it has no bound")


def test_alarms_are_counted_by_the_year():
    values = [2.0 if n % 73 == 0 else 0.0 for n in range(365)]
    _, found = tried(
        Trigger(
            name="t",
            signal="input_drift",
            rule=ThresholdRule(kind="threshold", above=1.0),
            action="alert",
        ),
        drift(*values),
    )
    assert (len(found.alarms), found.alarms_a_year) == (5, 5.0)


def test_the_delay_counts_from_the_change_of_the_loss():
    days = [*QUIET, *(DailyLoss(at(120 + n), 500, 80.0) for n in range(10))]
    rises = Trigger(
        name="loss-rises", signal="loss", rule=SequentialRule(kind="e_process"), action="retune"
    )
    found, test = tried(rises, drift(*([0.0] * 130)), days)
    assert found.change_from == at(120)
    assert test.delay_days is not None
    assert test.delay_days < 5


def test_alarms_after_the_change_do_not_count_against_a_bound():
    days = [*QUIET, *(DailyLoss(at(120 + n), 500, 80.0) for n in range(10))]
    trigger = Trigger(
        name="t",
        signal="input_drift",
        rule=ThresholdRule(kind="threshold", above=1.0),
        action="alert",
    )
    _, found = tried(trigger, drift(*([0.5] * 120 + [3.0] * 10)), days)
    assert (found.suggested, found.delay_days) == (0.5, 1.0)


def test_without_windows_there_is_nothing_to_try():
    found = backtest_triggers([], [], days=(), reference=REFERENCE, false_alarms_a_year=0.1)
    assert (found.start, found.tried) == (None, ())


def test_a_rate_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="must be positive, but got false_alarms_a_year=0"):
        backtest_triggers([], [], days=(), reference=REFERENCE, false_alarms_a_year=0)
