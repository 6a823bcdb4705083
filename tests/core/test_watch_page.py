from dataclasses import replace
from datetime import UTC, datetime, timedelta

from evertune.decisions import Alarm, DecisionOutcome, Finding, MonitoringDecision
from evertune.monitoring.records import Cause, MonitoringResult, ProcessPoint
from evertune.monitoring.report import decision_rows, report_html, report_markdown
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


def test_a_column_can_be_opened_with_what_it_crossed():
    page = report_html(FOUND, [])
    assert "<summary>age <span" in page


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
