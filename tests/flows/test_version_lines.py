from dataclasses import replace
from datetime import timedelta

from evertune.registry.overview import VersionHistory
from evertune.registry.records import ChampionPeriod
from evertune.terminal import decision_history_lines, decision_result_line, history_lines
from tests.versioned import NOW, judged, waiting

DAY = timedelta(days=1)
FIRST = ChampionPeriod("1", NOW - 10 * DAY, NOW - DAY, "unknown", "", "", "roc_auc 0.8", None)
SECOND = ChampionPeriod(
    "2", NOW - DAY, None, "gate", "evertune train", "better", "roc_auc 0.9", "a"
)
FOUND = VersionHistory("churn", "2", (FIRST, SECOND), (judged(), waiting()))


def test_champions_are_a_table_with_the_newest_first():
    assert history_lines(FOUND, now=NOW) == [
        "churn: version 2 is the champion",
        "since (UTC)       version  by                         for     figure       why",
        "2024-04-30 12:00  2        gate (evertune train)      24.0 h  roc_auc 0.9  better",
        "2024-04-21 12:00  1        before there were records  9 days  roc_auc 0.8",
    ]


def test_a_champion_from_another_hand_is_told():
    lines = history_lines(replace(FOUND, champion="1"), now=NOW)
    assert "it has the alias from another hand than Evertune's" in lines[1]


def test_without_a_champion_there_is_one_line():
    assert history_lines(VersionHistory("churn", None, (), ()), now=NOW) == [
        "churn: no champion yet"
    ]


def test_decisions_are_a_table_with_what_waits():
    lines = decision_history_lines(FOUND)
    assert "gate: not enough evidence, waits for approval  evertune train" in lines[2]
    assert "gate: not enough evidence                      evertune train" in lines[3]


def test_a_project_without_records_says_so():
    assert decision_history_lines(replace(FOUND, decisions=()))[-1] == "no decision is recorded yet"


def test_what_was_done_is_one_line():
    after = {"champion": "3", "previous": "2"}
    made = replace(judged(), id="a", by="ada", aliases_after=after)
    told = "churn: version 3 is the champion in place of version 2; decision a by ada"
    assert decision_result_line(made, "churn") == told
