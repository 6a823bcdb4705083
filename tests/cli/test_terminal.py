import re
from dataclasses import replace
from datetime import timedelta

import pytest

from evertune.decisions import Finding, MonitoringDecision
from evertune.monitoring.backtest import Backtest, TriggerBacktest
from evertune.monitoring.prediction_log import LabelCounts
from evertune.monitoring.results import Cause, MonitoringResult
from evertune.registry.decision_log import DecisionEntry
from evertune.registry.mlflow_registry import LastRun
from evertune.registry.overview import (
    ChampionSummary,
    ProjectStatus,
    VersionHistory,
)
from evertune.registry.promotion_records import ChampionPeriod, GateResult, Verdict
from evertune.registry.reproduce import ComparisonRow, Reproduction, text_row
from evertune.terminal import (
    backtest_lines,
    comparison_lines,
    decision_history_lines,
    decision_line,
    decision_page,
    decision_result_line,
    history_lines,
    labels_line,
    monitoring_lines,
    status_lines,
    table_lines,
    verdict_line,
    verdict_page,
)
from evertune.times import TimeWindow
from tests.support.production import day
from tests.support.versioned import NOW, judged

PASSED = (GateResult("baselines", "pass", "better"),)
DOUBT = Verdict("not enough evidence", ("too close",), 900, version="3", champion="2")
CHAMPION = ChampionSummary(
    "2",
    "roc_auc",
    {"accuracy": 0.9, "roc_auc": 0.81234},
    {"roc_auc": (0.79, 0.83)},
    "abcdef0123",
    7200.0,
    "catboost",
)
STANDING = ProjectStatus(
    name="churn",
    champion=CHAMPION,
    challenger="3",
    previous=None,
    data="0123456789",
    has_remote=False,
    stale=("fit", "evaluate"),
    last_run=LastRun("id", "search", "FINISHED", 0.0),
)


@pytest.mark.parametrize(
    ("verdict", "line"),
    [
        (
            Verdict("promote", ("better", "unseen"), version="3", champion="3", gates=PASSED),
            "Version 3 is now the champion: better; unseen.",
        ),
        (
            Verdict("promote", ("good",), version="1", champion="1", gates=PASSED, is_first=True),
            "Version 1 is now the champion (the first one): good.",
        ),
        (
            Verdict("promote", ("version 3 is the champion already",), version="3", champion="3"),
            "Nothing to decide: version 3 is the champion already.",
        ),
        (
            DOUBT,
            "Not promoted, not enough evidence: too close (about 900 hold-out rows would be"
            " enough). Version 2 stays champion; the new one is kept as version 3."
            " `evertune promote 3 --reason TEXT` makes it champion all the same.",
        ),
        (
            Verdict("keep", ("worse",), version="1"),
            "Not promoted: worse. It is kept as version 1; there is no champion.",
        ),
        (
            replace(DOUBT, reasons=("asks",), rows_needed=None, waits_for_approval=True),
            "Version 3 waits for approval: asks. Version 2 stays champion; the new one is kept as"
            " version 3.",
        ),
    ],
)
def test_a_verdict_is_one_line_that_names_the_champion(verdict: Verdict, line: str) -> None:
    assert verdict_line(verdict) == line


def test_the_page_of_a_verdict_lists_its_reasons() -> None:
    page = verdict_page(DOUBT).splitlines()
    assert page[0] == "# Not promoted, not enough evidence"
    assert "- too close" in page
    assert "About 900 hold-out rows would be enough" in page


def test_the_standing_of_a_project_names_champion_figures_data_and_what_is_stale() -> None:
    assert status_lines(STANDING) == [
        "churn: version 2 (catboost) is the champion, 2.0 h old",
        "  trained on data abcdef01",
        "  its scores on the hold-out when it was registered, with their intervals:",
        "    roc_auc   0.812 (0.790 to 0.830)",
        "    accuracy  0.900",
        "  version 3 is the challenger",
        "data: 01234567, no remote has a copy",
        "not up to date: fit, evaluate",
        "last run: search, finished",
    ]


def test_labels_are_counted_case_by_case_and_refusals_told() -> None:
    counts = LabelCounts(new=3, corrected=1, refused=1, faults=("o-7: from the future",))
    assert labels_line(counts).splitlines() == [
        "3 new, 1 corrected, 1 refused",
        "  o-7: from the future",
    ]
    assert labels_line(LabelCounts()) == "no labels"


DAY = timedelta(days=1)
FIRST = ChampionPeriod("1", NOW - 10 * DAY, NOW - DAY, "unknown", "", "", "roc_auc 0.8", None)
SECOND = ChampionPeriod(
    "2", NOW - DAY, None, "gate", "evertune train", "better", "roc_auc 0.9", "a"
)
JUDGED = DecisionEntry(
    "a", NOW, "gate", "3", "not enough evidence", "evertune train", "roc_auc is hardly better"
)
WAITING = replace(JUDGED, id="b", outcome="waits for approval")
HISTORY = VersionHistory("churn", "2", (FIRST, SECOND), (JUDGED, WAITING))


def test_a_champion_from_another_hand_is_told():
    lines = history_lines(replace(HISTORY, champion="1"), now=NOW)
    assert "its alias was not set by Evertune" in lines[1]


def test_decisions_are_a_table_with_what_waits():
    lines = decision_history_lines(HISTORY)
    assert "gate: not enough evidence, waits for approval  evertune train" in lines[2]
    assert "gate: not enough evidence                      evertune train" in lines[3]


def test_the_date_of_a_simulated_decision_is_marked():
    simulated = replace(JUDGED, id="c", is_simulated=True)
    lines = decision_history_lines(replace(HISTORY, decisions=(JUDGED, simulated)))
    assert "(simulated)" in lines[2]
    assert "(simulated)" not in lines[3]
    assert lines[4].startswith("(simulated): not the time of day")


def test_doing_nothing_and_the_main_metric_are_named():
    quiet = replace(DECISION, action="nothing", reasons=("all is well",), ask_a_person=False)
    main = Finding("main_metric", "performance", DAY, 0.9, note="roc_auc")
    found = replace(FOUND, decision=quiet, findings=(main,))
    assert monitoring_lines(found)[1:] == [
        "  roc_auc (main metric) 0.900",
        "decision: no action (abc): all is well",
    ]
    assert decision_page(found).startswith("# No action\n")


def test_what_was_done_is_one_line():
    after = {"champion": "3", "previous": "2"}
    made = replace(judged(), id="a", by="ada", aliases_after=after)
    told = "churn: version 3 is the champion in place of version 2; decision a by ada"
    assert decision_result_line(made, "churn") == told


SAME = ComparisonRow("hold-out mae", "1.5", "1.5", 0.0, 1e-6, equal=True)
OTHER = text_row("members", "linear 1", "tree 1")


def test_a_piped_table_has_a_whole_line_for_each_row(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    rows = [("1", "", "long [reason] " * 30 + "\nend"), ("2", "ada", "short")]
    header, first, second = table_lines(("version", "by", "why"), rows)
    assert header.split() == ["version", "by", "why"]
    assert first.split() == ["1", *["long", "[reason]"] * 30, "end"]
    assert re.split(r"  +", second) == ["2", "ada", "short"]


@pytest.mark.parametrize(("width", "n_lines"), [(40, 5), (20, 2)])
def test_a_terminal_wraps_the_last_column_and_one_too_narrow_for_it_nothing(
    monkeypatch, width, n_lines
):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("LINES", "40")
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in table_lines("ab", [("1", "x" * 99)])]
    assert len(list(filter(None, lines))) == n_lines
    assert "".join(lines).count("x") == 99


def test_a_reproduced_version_is_reported():
    assert comparison_lines(Reproduction("7", (SAME,)))[-1] == (
        "version 7 was reproduced: nothing differs"
    )


def test_what_differs_is_marked_in_its_row_and_counted():
    lines = comparison_lines(Reproduction("7", (SAME, OTHER)))
    assert [line.split()[0] for line in lines[1:3]] == ["ok", "DIFFERS"]
    assert lines[-1] == "version 7 was not reproduced: 1 of 2 differ"


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


def test_a_decision_is_told_in_one_line():
    assert decision_line(FOUND) == "retune (abc): a change; a person should look at it"


def test_a_page_has_what_a_person_has_to_know():
    page = decision_page(FOUND)
    assert "| loss | 0.123 | 0.100 to 0.200 | 2024-01-01 00:00 | ok |" in page
    assert "| missing of age | 0.400 |  | 2024-01-01 00:00 | breach |" in page
    assert "Columns that drifted, the likeliest cause first: age (2)." in page


def test_the_terminal_has_the_latest_figures():
    first, second, third = monitoring_lines(FOUND)
    assert first == "churn: 1 window until 2024-01-02 00:00 UTC"
    assert (second, third) == ("  loss 0.123", f"decision: {decision_line(FOUND)}")


def test_a_backtest_is_told_by_trigger():
    tried = TriggerBacktest("floor", 9, (day(3),), 1.2, 4.0, 0.7, "a note")
    lines = backtest_lines(Backtest(day(0), day(9), None, 0.1, (tried,)))
    assert lines[0] == "Windows from 2024-01-01 to 2024-01-10; the loss did not rise."
    assert lines[1].startswith("floor: 1 alarms in 9 windows, 1.2 a year, 4 days after the change")
    assert lines[1].endswith("; for 0.1 a year choose 0.7 (a note)")


NOTE = "windows have another length than the champion was calibrated on"


def test_what_a_person_has_to_know_of_the_look_is_told():
    noted = replace(FOUND, notes=(NOTE,))
    assert f"- a change\n- {NOTE}\n" in decision_page(noted)
    assert f"  {NOTE}" in monitoring_lines(noted)
