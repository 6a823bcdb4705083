from datetime import UTC, datetime

import pytest

from evertune.decisions import Finding, MonitoringDecision
from evertune.errors import InputError
from evertune.monitoring.backtest import Backtest, TriggerBacktest
from evertune.monitoring.records import Cause, MonitoringResult
from evertune.orchestration.follow import monitor_and_act, resolve_now
from evertune.terminal import backtest_lines, decision_line, decision_page, monitoring_lines
from evertune.times import TimeWindow
from tests.production import day, project

REAL = day(99)
DAY = TimeWindow(day(0), day(1), 100)
DECISION = MonitoringDecision(
    "abc", day(1), "churn", "3", "retune", ("a change",), ask_a_person=True
)
FOUND = MonitoringResult(
    now=day(1),
    model="churn",
    champion="3",
    decision=DECISION,
    findings=(
        Finding("loss", "performance", DAY, 0.123456, low=0.1, high=0.2),
        Finding("input_drift", "drift", DAY, None, state="no data"),
        Finding("missing", "contract", DAY, 0.4, part="age", state="breach"),
    ),
    windows=(DAY,),
    causes=(Cause("age", 2.0, 0.5),),
)


@pytest.mark.parametrize(
    ("now", "moment"),
    [
        (None, REAL),
        ("newest", REAL),
        ("2024-11-01T06:00", datetime(2024, 11, 1, 6, tzinfo=UTC)),
        ("2024-11-01T06:00+02:00", datetime(2024, 11, 1, 4, tzinfo=UTC)),
    ],
)
def test_now_is_what_is_said_or_what_the_clock_says(tmp_path, now, moment):
    (tmp_path / "state").mkdir()
    assert resolve_now(project(tmp_path), now, real=REAL) == moment


def test_a_moment_that_is_none_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"expected an ISO moment such as .* but got 'soon'"):
        resolve_now(project(tmp_path), "soon", real=REAL)


@pytest.mark.slow
def test_where_nothing_is_to_be_done_nothing_is(tmp_path, state):
    assert state.parent == tmp_path
    said = []
    found, came = monitor_and_act(
        project(tmp_path), now=REAL, say=lambda name, _: said.append(name)
    )
    assert (found.decision.action, came, said) == ("nothing", None, ["monitor", "page"])


def test_a_decision_is_told_in_one_line():
    assert decision_line(FOUND) == "retune (abc): a change; a person is asked"


def test_a_page_has_what_a_person_has_to_know():
    page = decision_page(FOUND)
    assert "| loss | 0.1235 | 0.1 to 0.2 | 2024-01-01 00:00 | ok |" in page
    assert "| missing of age | 0.4 |  | 2024-01-01 00:00 | breach |" in page
    assert "Columns that drifted, the likeliest cause first: age (2)." in page


def test_the_terminal_has_the_latest_figures():
    first, second, third = monitoring_lines(FOUND)
    assert first == "churn: 1 windows until 2024-01-02 00:00 UTC"
    assert (second, third) == ("  loss 0.1235", f"decision: {decision_line(FOUND)}")


def test_a_backtest_is_told_by_trigger():
    tried = TriggerBacktest("floor", 9, (day(3),), 1.2, 4.0, 0.7, "a note")
    lines = backtest_lines(Backtest(day(0), day(9), None, 0.1, (tried,)))
    assert lines[0] == "Windows from 2024-01-01 to 2024-01-10; the loss did not rise."
    assert lines[1].startswith("floor: 1 alarms in 9 windows, 1.2 a year, 4 days after the change")
    assert lines[1].endswith("; for 0.1 a year choose 0.7 (a note)")


def test_a_backtest_without_windows_says_so():
    (line,) = backtest_lines(Backtest(None, None, None, 0.1, ()))
    assert line.startswith("No window is over yet")
