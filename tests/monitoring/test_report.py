from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from evertune.decisions import Alarm, DecisionOutcome, Finding, MonitoringDecision
from evertune.monitoring.report import (
    LEFT,
    WIDTH,
    ChartPoint,
    decision_rows,
    draw_chart,
    metric_points,
    report_html,
    report_markdown,
)
from evertune.monitoring.results import (
    Cause,
    MonitoringResult,
    ProcessPoint,
    latest_finding,
    prometheus_metrics,
)
from evertune.times import TimeWindow

NOW = datetime(2024, 3, 1, tzinfo=UTC)
DAYS = [NOW - timedelta(days=n) for n in (3, 2, 1)]
WINDOWS = [TimeWindow(day, day + timedelta(days=1), 40) for day in DAYS]
DECISION = MonitoringDecision("d1", NOW, "churn", "3", "retune", ("the loss rose",), follow_up=1)
DONE = DecisionOutcome("d1", NOW, "promoted", "4", "better by 0.04")


def finding(signal, layer, value, **more):
    return Finding(signal, layer, WINDOWS[0], value, **more)


FOUND = MonitoringResult(
    now=NOW,
    model="churn",
    champion="3",
    decision=DECISION,
    findings=(
        *(
            Finding("loss", "performance", w, v)
            for w, v in zip(WINDOWS, [0.1, 0.2, None], strict=True)
        ),
        finding("input_drift", "drift", 0.4, threshold=1.0),
        finding("column_drift", "drift", 2.0, part="age", state="breach", threshold=1.0),
        finding("missing", "contract", 0.3, part="<age>", state="breach"),
        finding("loss", "performance", 0.3, part="plan=basic"),
    ),
    alarms=(Alarm("loss-rises", "retune", "loss", 5000.0, 3650.0, DAYS[0], "it rose | fast"),),
    windows=tuple(WINDOWS),
    processes={
        "loss-rises": (ProcessPoint(DAYS[0], 1.0, 3650.0), ProcessPoint(DAYS[1], 5e3, 3650.0))
    },
    causes=(Cause("age", 2.0, 0.1),),
    decisions=(DECISION,),
)


def test_the_page_shows_the_decision_the_alarms_and_a_picture_of_each_figure():
    page = report_html(FOUND, [DONE])
    assert "<b>Retune.</b>" in page
    assert page.count("<svg") == 5  # loss, its evidence, a slice, input drift, a column


def test_the_page_loads_nothing_and_keeps_names_as_text():
    page = report_html(FOUND, [])
    assert "default-src 'none'" in page
    assert "&lt;age&gt;" in page
    assert "<age>" not in page


def test_a_decision_stands_beside_what_came_of_it():
    assert "promoted, version 4: better by 0.04" in report_html(FOUND, [DONE])


def test_newer_rows_tried_without_an_alarm_are_told_from_a_follow_up():
    check = replace(DECISION, id="d2", follow_up=-1)
    page = report_html(replace(FOUND, decisions=(DECISION, check)), [DONE])
    assert ("(follow-up 1)" in page, "(check)" in page) == (True, True)


def test_decisions_to_do_nothing_are_left_out_and_the_newest_stands_first():
    older = replace(DECISION, id="d0", moment=DAYS[0])
    idle = replace(DECISION, id="d2", action="nothing")
    assert [row.decision.id for row in decision_rows([older, idle, DECISION], [])] == ["d1", "d0"]


def test_a_page_without_any_finding_says_so():
    page = report_html(replace(FOUND, findings=(), processes=None, alarms=(), causes=()), [])
    assert "No label has matured yet" in page


def test_the_short_form_keeps_its_table_whole():
    text = report_markdown(FOUND)
    assert "| loss-rises | retune | 5,000 | it rose / fast |" in text


START = datetime(2024, 1, 1, tzinfo=UTC)
CHART_DAYS = [START + timedelta(days=n) for n in range(5)]


def drawn(points, **more):
    return draw_chart("loss", points, start=CHART_DAYS[0], end=CHART_DAYS[-1], **more)


def test_a_window_without_data_is_a_gap_and_no_dot():
    found = drawn(
        [
            ChartPoint(CHART_DAYS[0], 1.0),
            ChartPoint(CHART_DAYS[2], None),
            ChartPoint(CHART_DAYS[4], 3.0),
        ]
    )
    assert found.gaps == ((LEFT + WIDTH) / 2,)
    assert (len(found.lines), len(found.dots)) == (2, 2)


def test_where_nothing_is_known_there_is_no_picture():
    assert drawn([ChartPoint(CHART_DAYS[0], None)]) is None


FIRST = datetime(2024, 5, 1, tzinfo=UTC)
RETUNE = MonitoringDecision("b", FIRST, "churn", "3", "retune", ("a change",))


def day(number):
    return TimeWindow(FIRST + timedelta(days=number), FIRST + timedelta(days=number + 1), 10)


def loss(number, value, part=None, **given):
    return Finding("loss", "performance", day(number), value, part=part, **given)


def figures(*findings, outcomes=(), **given):
    return prometheus_metrics(
        MonitoringResult(FIRST, "churn", "3", RETUNE, findings, **given), outcomes
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
    shown = figures(decisions=(RETUNE,), outcomes=[DecisionOutcome("b", FIRST, "refused")])
    assert shown['ml_decisions_total{action="retune"}'] == 1
    assert shown['ml_retrain_total{outcome="refused"}'] == 1
    assert shown["ml_monitor_last_success_timestamp_seconds"] == FIRST.timestamp()


def test_a_look_at_what_is_played_is_as_fresh_as_the_time_of_day():
    today = FIRST + timedelta(days=900)
    shown = prometheus_metrics(MonitoringResult(FIRST, "churn", "3", RETUNE), [], at=today)
    assert shown["ml_monitor_last_success_timestamp_seconds"] == today.timestamp()


DAY = TimeWindow(datetime(1970, 1, 2, tzinfo=UTC), datetime(1970, 1, 3, tzinfo=UTC), 40)
QUIET = MonitoringDecision("d", DAY.end, "churn", "1", "nothing", ())


def shown(*findings):
    found = MonitoringResult(DAY.end, "churn", "1", QUIET, findings)
    return [(point.name, point.value, point.step) for point in metric_points(found)]


def test_a_figure_stands_at_the_end_of_its_window():
    assert shown(Finding("loss", "performance", DAY, 0.1)) == [("loss", 0.1, 48)]


@pytest.mark.parametrize(
    "finding",
    [
        Finding("loss", "performance", DAY, None, state="no data"),
        Finding("loss", "performance", DAY, 0.1, state="immature"),
        Finding("loss", "performance", DAY, 0.1, part="plan=basic"),
        Finding("column_drift", "drift", DAY, 0.1, part="age"),
    ],
)
def test_what_is_not_known_yet_or_only_about_a_part_is_left_out(finding):
    assert shown(finding) == []
