from datetime import UTC, datetime, timedelta

from evertune.decisions import DecisionOutcome, Finding, MonitoringDecision
from evertune.monitoring.records import (
    MonitoringResult,
    ProcessPoint,
    latest_finding,
    prometheus_metrics,
)
from evertune.times import TimeWindow

FIRST = datetime(2024, 5, 1, tzinfo=UTC)
DECISION = MonitoringDecision("b", FIRST, "churn", "3", "retune", ("a change",))


def day(number):
    return TimeWindow(FIRST + timedelta(days=number), FIRST + timedelta(days=number + 1), 10)


def loss(number, value, part=None, **given):
    return Finding("loss", "performance", day(number), value, part=part, **given)


def figures(*findings, outcomes=(), **given):
    return prometheus_metrics(
        MonitoringResult(FIRST, "churn", "3", DECISION, findings, **given), outcomes
    )


def test_the_latest_window_that_has_a_figure_is_shown():
    found = (loss(0, 0.1), loss(1, 0.2, low=0.1, high=0.3), loss(2, None, state="immature"))
    shown = figures(*found)
    assert latest_finding(found, "loss") is found[1]
    names = [f'ml_window_loss{ending}{{slice="all"}}' for ending in ("", "_low", "_high")]
    assert [shown[name] for name in names] == [0.2, 0.1, 0.3]


def test_a_slice_is_a_label_that_cannot_break_the_format():
    assert (
        figures(loss(0, 0.1, part='city="a"\n'))['ml_window_loss{slice="city=\\"a\\"\\n"}'] == 0.1
    )


def test_the_coverage_of_the_newest_window_with_rows_is_shown():
    found = (loss(0, 0.1, coverage=1.0), loss(1, None, coverage=0.2), loss(2, None))
    assert figures(*found)["ml_label_coverage_ratio"] == 0.2


def test_the_columns_that_drifted_most_are_shown():
    drift = [
        Finding("column_drift", "drift", day(n // 12), float(n), part=f"c{n}") for n in range(24)
    ]
    shown = [name for name in figures(*drift) if name.startswith("ml_drift_score")]
    assert shown == [f'ml_drift_score{{feature="c{n}"}}' for n in range(23, 13, -1)]


def test_a_sequential_test_is_shown_with_its_threshold():
    shown = figures(processes={"t": (ProcessPoint(FIRST, 7.0, 3650.0),), "empty": ()})
    assert shown['ml_eprocess_value{trigger="t"}'] == 7.0
    assert shown['ml_eprocess_threshold{trigger="t"}'] == 3650.0


def test_a_decision_that_is_given_again_counts_once():
    shown = figures(decisions=(DECISION,), outcomes=[DecisionOutcome("b", FIRST, "refused")])
    assert shown['ml_decisions_total{action="retune"}'] == 1
    assert shown['ml_retrain_total{outcome="refused"}'] == 1
    assert shown["ml_monitor_last_success_timestamp_seconds"] == FIRST.timestamp()


def test_a_look_at_what_is_played_is_as_fresh_as_the_time_of_day():
    today = FIRST + timedelta(days=900)
    shown = prometheus_metrics(MonitoringResult(FIRST, "churn", "3", DECISION), [], at=today)
    assert shown["ml_monitor_last_success_timestamp_seconds"] == today.timestamp()
