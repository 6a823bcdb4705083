from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from evertune.decisions import Alarm, DecisionOutcome, Finding, MonitoringDecision
from evertune.monitoring.report import (
    LEFT,
    WIDTH,
    ChartPoint,
    draw_chart,
    metric_points,
    report_html,
)
from evertune.monitoring.results import (
    Cause,
    MonitoringResult,
    ProcessPoint,
    latest_finding,
    prometheus_metrics,
)
from evertune.times import TimeWindow

FIRST = datetime(2024, 5, 1, tzinfo=UTC)
DAYS = [FIRST + timedelta(days=n) for n in range(5)]
RETUNE = MonitoringDecision("d1", DAYS[3], "churn", "3", "retune", ("the loss rose",), follow_up=1)
PROMOTED = DecisionOutcome("d1", DAYS[4], "promoted", "4", "better by 0.04")


def day(number):
    return TimeWindow(DAYS[number], DAYS[number] + timedelta(days=1), 10)


def loss(number, value, part=None, **given):
    return Finding("loss", "performance", day(number), value, part=part, **given)


def drift(number, value, part, **given):
    return Finding("column_drift", "drift", day(number), value, part=part, **given)


RESULT = MonitoringResult(
    now=DAYS[3],
    model="churn",
    champion="3",
    decision=RETUNE,
    findings=(
        loss(0, 0.1),
        loss(1, 0.2),
        loss(2, None),
        loss(0, 0.3, part="plan=basic"),
        Finding("input_drift", "drift", day(0), 0.4, threshold=1.0),
        drift(0, 2.0, "age", state="breach", threshold=1.0),
        Finding("missing", "contract", day(0), 0.3, part="<age>", state="breach"),
    ),
    alarms=(Alarm("loss-rises", "retune", "loss", 5000.0, 3650.0, DAYS[0], "it rose"),),
    processes={
        "loss-rises": (ProcessPoint(DAYS[0], 1.0, 3650.0), ProcessPoint(DAYS[1], 5e12, 3650.0))
    },
    causes=(Cause("age", 2.0, 0.1),),
    decisions=(RETUNE,),
)


def test_the_page_shows_the_decision_the_alarms_and_a_chart_of_each_signal():
    page = report_html(RESULT, [PROMOTED])
    assert "<b>Retune.</b>" in page
    assert "<td>5,000</td><td>3,650</td>" in page
    assert page.count("<svg") == 5  # loss, its sequential test, a slice, input drift, a column
    assert "promoted, version 4: better by 0.04" in page


def test_the_page_names_the_main_metric_and_says_what_a_negative_drift_score_means():
    main = Finding("main_metric", "performance", day(0), 0.8, note="roc_auc")
    quiet = replace(RETUNE, action="nothing", reasons=("no retraining trigger has fired",))
    page = report_html(replace(RESULT, findings=(main,), decision=quiet), [])
    assert "<h3>ROC AUC (main metric)</h3>" in page
    assert "<b>No action.</b>" in page
    assert "below 0 it\nis nearer than the farthest of these" in page


def test_the_page_loads_nothing_and_keeps_names_as_text():
    page = report_html(RESULT, [])
    assert "default-src 'none'" in page
    assert "&lt;age&gt;" in page
    assert "<age>" not in page


def test_decisions_to_do_nothing_are_left_out_and_the_newest_stands_first():
    decisions = (
        RETUNE,
        replace(RETUNE, id="d0", moment=DAYS[0], follow_up=-1),
        replace(RETUNE, id="d2", reasons=("all is quiet",), action="nothing"),
    )
    page = report_html(replace(RESULT, decisions=decisions), [])
    assert 0 < page.index("(follow-up 1)") < page.index("(check)")
    assert "all is quiet" not in page


def test_a_page_without_any_finding_says_so():
    page = report_html(MonitoringResult(FIRST, "churn", None, RETUNE), [])
    assert "No label has matured yet" in page
    assert "Nothing had to be done so far." in page


def test_a_window_without_data_is_a_gap_and_no_dot():
    points = [ChartPoint(DAYS[0], 1.0), ChartPoint(DAYS[2], None), ChartPoint(DAYS[4], 3.0)]
    chart = draw_chart("loss", points, start=DAYS[0], end=DAYS[4])
    assert chart.gaps == ((LEFT + WIDTH) / 2,)
    assert (len(chart.lines), len(chart.dots)) == (2, 2)
    assert [text for _, text in chart.ticks] == ["1", "2", "3"]
    assert draw_chart("loss", points[1:2], start=DAYS[0], end=DAYS[4]) is None


def metrics(*findings, outcomes=(), at=None, **given):
    result = MonitoringResult(FIRST, "churn", "3", RETUNE, findings, **given)
    return prometheus_metrics(result, outcomes, at=at)


def test_the_latest_window_that_has_a_value_is_shown():
    findings = (loss(0, 0.1), loss(1, 0.2, low=0.1, high=0.3), loss(2, None, state="immature"))
    shown = metrics(*findings)
    assert latest_finding(findings, "loss") is findings[1]
    names = [f'ml_window_loss{suffix}{{slice="all"}}' for suffix in ("", "_low", "_high")]
    assert [shown[name] for name in names] == [0.2, 0.1, 0.3]


def test_a_slice_is_a_label_that_cannot_break_the_format():
    shown = metrics(loss(0, 0.1, part='city="a"\n'))
    assert shown['ml_window_loss{slice="city=\\"a\\"\\n"}'] == 0.1


def test_the_coverage_of_the_newest_window_with_rows_is_shown():
    findings = (loss(0, 0.1, coverage=1.0), loss(1, None, coverage=0.2), loss(2, None))
    assert metrics(*findings)["ml_label_coverage_ratio"] == 0.2


def test_the_columns_that_drifted_most_are_shown():
    findings = [drift(n // 12, float(n), f"c{n}") for n in range(24)]
    shown = [name for name in metrics(*findings) if name.startswith("ml_drift_score")]
    assert shown == [f'ml_drift_score{{feature="c{n}"}}' for n in range(23, 13, -1)]


def test_a_sequential_test_is_shown_with_its_threshold():
    shown = metrics(processes={"t": (ProcessPoint(FIRST, 7.0, 3650.0),), "empty": ()})
    assert shown['ml_eprocess_value{trigger="t"}'] == 7.0
    assert shown['ml_eprocess_threshold{trigger="t"}'] == 3650.0


def test_a_decision_that_is_given_again_counts_once():
    shown = metrics(decisions=(RETUNE,), outcomes=[replace(PROMOTED, kind="refused")])
    assert shown['ml_decisions_total{action="retune"}'] == 1
    assert shown['ml_retrain_total{outcome="refused"}'] == 1


@pytest.mark.parametrize("at", [None, FIRST + timedelta(days=900)])
def test_a_run_is_as_fresh_as_the_time_of_day_also_in_a_replay(at):
    shown = metrics(at=at)["ml_monitor_last_success_timestamp_seconds"]
    assert shown == (at or FIRST).timestamp()


@pytest.mark.parametrize(
    ("finding", "shown"),
    [
        (loss(0, 0.1), True),
        (loss(0, None, state="no data"), False),
        (loss(0, 0.1, state="immature"), False),
        (loss(0, 0.1, part="plan=basic"), False),
        (drift(0, 0.1, part="age"), False),
    ],
)
def test_mlflow_gets_what_is_known_of_the_whole_table_at_the_end_of_its_window(finding, shown):
    points = metric_points(MonitoringResult(FIRST, "churn", "1", RETUNE, (finding,)))
    hours = (datetime(2024, 5, 2, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days * 24
    assert [(each.name, each.value, each.step) for each in points] == [("loss", 0.1, hours)] * shown
