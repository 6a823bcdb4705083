from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from evertune.config.schema import KOfNRule, SequentialRule, ThresholdRule, Trigger
from evertune.decisions import Finding
from evertune.monitoring.loss_process import LossProcess
from evertune.monitoring.triggers import (
    evaluate_triggers,
    signal_history,
    signal_layer,
)
from evertune.times import TimeWindow

FIRST = datetime(2024, 5, 1, tzinfo=UTC)
NAN = float("nan")
BELOW = ThresholdRule(kind="threshold", below=0.7)
BREACHES = ThresholdRule(kind="threshold", above=0)


def k_of_n(k, n, **bound):
    return KOfNRule(kind="k_of_n", k=k, n=n, **bound)


def day(number):
    return TimeWindow(FIRST + timedelta(days=number), FIRST + timedelta(days=number + 1), 100)


def values_of(*values, signal="roc_auc", layer="performance", state="ok"):
    return [Finding(signal, layer, day(n), value, state=state) for n, value in enumerate(values)]


def alarms(rule, findings, *, signal="roc_auc", processes=None):
    return evaluate_triggers(
        [Trigger(name="t", signal=signal, rule=rule, action="retune")],
        findings,
        processes=processes or {},
    )


@pytest.mark.parametrize(
    ("rule", "values", "crossed"),
    [
        (BELOW, [0.9, 0.6], True),
        (BELOW, [0.6, 0.9], False),
        (BELOW, [0.6, NAN], True),
        (BELOW, [0.9, None], False),
        (BELOW, [], False),
        (BELOW, [None], False),
        (ThresholdRule(kind="threshold"), [0.0, 99.0], False),
        (k_of_n(2, 3, below=0.7), [0.6, 0.9, 0.6], True),
        (k_of_n(2, 3, below=0.7), [0.6, 0.9, 0.9, 0.6], False),
        (k_of_n(2, 3, below=0.7), [0.6, 0.9, NAN, None, 0.6], True),
        (k_of_n(1, 1, above=0.95), [0.96], True),
    ],
)
def test_only_values_that_can_be_judged_trigger_or_clear(rule, values, crossed):
    assert bool(alarms(rule, values_of(*values))) is crossed


def test_an_immature_window_neither_triggers_nor_clears():
    found = [*values_of(0.9), *values_of(0.9, 0.1, state="immature")[1:]]
    assert alarms(BELOW, found) == ()


def test_an_alarm_begins_with_the_latest_unbroken_run_of_windows():
    (alarm,) = alarms(BELOW, values_of(0.6, 0.9, 0.6, 0.5))
    assert (alarm.since, alarm.value, alarm.threshold) == (day(2).start, 0.5, 0.7)
    assert [each.value for each in alarm.findings] == [0.6, 0.5]


def test_an_alarm_of_k_of_n_names_the_number_of_windows():
    (alarm,) = alarms(k_of_n(2, 3, below=0.7), values_of(0.6, 0.9, 0.6))
    assert (
        alarm.evidence == "roc_auc was 0.6 on 2024-05-03, below 0.7, in 2 of the latest 3 windows"
    )


def test_an_alarm_of_the_contract_counts_and_names_what_is_broken():
    found = [
        Finding("missing", "contract", day(0), 0.4, part="age", state="breach"),
        Finding("missing", "contract", day(0), 0.0, part="plan"),
        Finding("volume", "contract", day(0), 9.0, state="breach"),
    ]
    (alarm,) = alarms(BREACHES, found, signal="contract")
    assert (alarm.value, len(alarm.findings)) == (2, 2)
    assert alarm.evidence.endswith("above 0 (missing of age, volume)")


def test_a_window_that_meets_the_contract_clears_the_alarm():
    found = [
        Finding("missing", "contract", day(0), 0.4, part="age", state="breach"),
        Finding("missing", "contract", day(1), 0.0, part="age"),
    ]
    assert alarms(BREACHES, found, signal="contract") == ()


def test_a_feed_that_stopped_is_a_signal_of_its_own():
    found = [
        Finding("missing", "contract", day(0), 0.0, part="age"),
        Finding("freshness", "contract", day(0), 9.0, threshold=3.0, state="breach"),
    ]
    assert alarms(BREACHES, found, signal="contract") == ()
    (alarm,) = alarms(ThresholdRule(kind="threshold", above=3), found, signal="freshness")
    assert alarm.evidence == "freshness was 9 on 2024-05-01, above 3"


def test_the_worst_column_stands_for_a_signal_of_columns():
    found = [
        Finding("column_drift", "drift", day(0), value, part=part)
        for part, value in (("age", 0.2), ("plan", 1.7), ("city", 0.4))
    ]
    (shown,) = signal_history("column_drift", found)
    assert (shown.part, shown.value) == ("plan", 1.7)


def test_slices_do_not_stand_for_the_whole_table():
    found = [
        Finding("loss", "performance", day(0), 0.9, part="city=Bern"),
        Finding("loss", "performance", day(0), 0.1),
    ]
    assert [each.value for each in signal_history("loss", found)] == [0.1]


QUIET = LossProcess((day(0).start,), values=(4000.0,), threshold=3650)
ALARMING = replace(QUIET, alarm_at=day(2).start, change_from=day(1).start)


def test_a_sequential_test_alarms_with_the_windows_since_the_change():
    found = values_of(0.1, 0.2, 0.3, signal="loss")
    (alarm,) = alarms(
        SequentialRule(kind="e_process"),
        found,
        signal="loss",
        processes={"t": ALARMING},
    )
    assert (alarm.since, [each.value for each in alarm.findings]) == (day(1).start, [0.2, 0.3])
    assert "probably since 2024-05-02" in alarm.evidence


@pytest.mark.parametrize("processes", [{}, {"t": QUIET}])
def test_a_sequential_test_without_an_alarm_fires_no_trigger(processes):
    assert alarms(SequentialRule(kind="e_process"), [], signal="loss", processes=processes) == ()


@pytest.mark.parametrize(
    ("signal", "layer"),
    [("contract", "contract"), ("unseen", "contract"), ("business.profit", "business")],
)
def test_a_signal_has_a_layer(signal, layer):
    assert signal_layer(signal) == layer
