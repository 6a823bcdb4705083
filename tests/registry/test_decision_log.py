import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Text, type_coerce

from evertune.database import (
    DECISION_RECORDS,
    DECISIONS,
    OUTCOMES,
    ModelLog,
    open_log,
)
from evertune.decisions import Alarm, DecisionOutcome, Finding, MonitoringDecision
from evertune.errors import InputError, StageError
from evertune.files import project_lock
from evertune.identity import runner_name
from evertune.registry.decision_log import DecisionLog
from evertune.registry.holdout_reuse import HoldoutUse
from evertune.registry.promotion_records import DecisionRecord, GateResult
from evertune.stats.results import PairedDifference, TestResult
from evertune.times import TimeWindow
from tests.support.logs import day
from tests.support.projects import CHECKOUT as ROOT

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
RECORD = DecisionRecord(
    id="a",
    moment=NOW,
    model="churn",
    act="gate",
    version="2",
    verdict="promote",
    reasons=("better",),
    by="evertune train",
    aliases_before={"champion": "1"},
    aliases_after={"champion": "2", "previous": "1"},
    gates=(GateResult("champion", "pass", "better by 0.01"),),
    tests=(TestResult("DeLong", 0.01, 0.001, 0.02, 0.01, 400),),
    difference=PairedDifference(0.01, 0.001, 0.02, 0.99, 400),
    data={"training": "5d41"},
)
USE = HoldoutUse("a", NOW, "2", "1", 400, (1, 2, 2**63))


@pytest.fixture
def decisions(tmp_path):
    """Return an empty log of decisions."""
    with open_log(tmp_path, model="model-a") as log:
        yield DecisionLog(log)


def decision(identity, action="retune", number=0, **more):
    return MonitoringDecision(
        identity, day(number), "churn", "3", action, ("the loss rose",), **more
    )


def test_a_decision_comes_back_with_its_evidence(decisions):
    finding = Finding("loss", "performance", TimeWindow(day(0), day(1), 50), 0.25, low=0.2)
    alarm = Alarm("loss-rises", "retune", "loss", 0.25, None, day(0), "it rose", (finding,))
    full = decision("d1", alarms=(alarm,), change_from=day(0), cost=1.5)
    assert decisions.record_decision(full)
    assert decisions.decisions() == (full,)


def test_a_decision_made_again_is_recorded_once(decisions):
    first = decision("d1")
    is_new = [decisions.record_decision(one) for one in (first, decision("d1", "refit"))]
    assert is_new == [True, False]
    assert decisions.decisions() == (first,)


def test_decisions_stand_oldest_first_and_since_a_moment(decisions):
    for number in (2, 1, 3):
        decisions.record_decision(decision(f"d{number}", number=number))
    assert [one.id for one in decisions.decisions()] == ["d1", "d2", "d3"]
    assert [one.id for one in decisions.decisions(since=day(2))] == ["d2", "d3"]


def test_a_decision_is_claimed_once(decisions):
    claimed = [decisions.claim("d1", by=run, moment=day(0)) for run in ("a", "b", "a")]
    assert claimed == [True, False, False]


def test_what_has_to_be_done_and_nobody_claimed_is_waiting(decisions):
    for number, action in enumerate(["nothing", "block", "refit", "retune", "rollback"]):
        decisions.record_decision(decision(f"d{number}", action, number))
    decisions.claim("d3", by="run", moment=day(5))
    assert [one.action for one in decisions.unclaimed_decisions()] == ["refit", "rollback"]


def test_what_was_claimed_has_begun_and_is_interrupted_once_its_run_is_gone(decisions, tmp_path):
    decisions.record_decision(decision("d1"))
    decisions.claim("d1", by=runner_name(tmp_path), moment=day(1))
    with project_lock(tmp_path, "evertune retune d1"):
        assert [each.kind for each in decisions.current_outcomes(tmp_path)] == ["started"]
    (gone,) = decisions.current_outcomes(tmp_path)
    assert (gone.decision_id, gone.kind, gone.moment) == ("d1", "interrupted", day(1))
    decisions.claim("d2", by="run by elsewhere:/state", moment=day(2))
    decisions.record_outcome(DecisionOutcome("d1", day(3), "refused", "4"))
    found = [(each.decision_id, each.kind) for each in decisions.current_outcomes(tmp_path)]
    assert found == [("d1", "refused"), ("d2", "started")]


def test_outcomes_stand_in_the_order_in_which_they_came(decisions):
    started, refused = (DecisionOutcome("d1", day(1), kind, "4") for kind in ("started", "refused"))
    for outcome in (started, refused, started):
        decisions.record_outcome(outcome)
    assert decisions.outcomes() == (started, refused)


@pytest.mark.parametrize("text", ["{", "[]", '{"id": 3}'])
@pytest.mark.parametrize("table", [DECISIONS, OUTCOMES, DECISION_RECORDS], ids=lambda t: t.name)
def test_a_record_that_cannot_be_read_is_named(decisions, table, text):
    decisions.save_record(replace(RECORD, id="d1"))
    decisions.record_decision(decision("d1"))
    decisions.record_outcome(DecisionOutcome("d1", day(0), "promoted", "4"))
    with decisions.log.write_transaction() as connection:
        connection.execute(table.update().values(record=type_coerce(text, Text)))
    read = {
        DECISIONS: decisions.unclaimed_decisions,
        OUTCOMES: decisions.outcomes,
        DECISION_RECORDS: decisions.records,
    }
    with pytest.raises(StageError, match=r"the decision 'd1' of model-a .*cannot be read"):
        read[table]()


def test_a_record_is_saved_once_and_read_as_it_was(decisions: DecisionLog) -> None:
    assert decisions.save_record(RECORD)
    assert not decisions.save_record(replace(RECORD, reasons=("worse",)))
    assert decisions.records() == (RECORD,)


def test_records_are_read_in_the_order_in_which_they_were_saved(decisions: DecisionLog) -> None:
    for number, version in enumerate(["2", "3", "2"]):
        earlier = NOW - timedelta(days=number)
        decisions.save_record(replace(RECORD, id=str(number), moment=earlier, version=version))
    assert [each.id for each in decisions.records()] == ["0", "1", "2"]
    assert [each.id for each in decisions.records(version="2")] == ["0", "2"]


def test_the_history_of_champions_only_grows(decisions: DecisionLog) -> None:
    for version, previous in (("1", None), ("2", "1"), ("2", "1"), ("1", "2")):
        decisions.append_champion(version=version, previous=previous, record_id=version, moment=NOW)
    changes = [(each.number, each.version, each.previous) for each in decisions.champion_changes()]
    assert changes == [(1, "1", None), (2, "2", "1"), (3, "1", "2")]


def test_a_use_of_the_hold_out_is_saved_once(decisions: DecisionLog) -> None:
    assert decisions.save_holdout_use(USE)
    assert not decisions.save_holdout_use(USE)
    assert decisions.holdout_uses() == (USE,)


def test_models_that_share_a_database_have_records_of_their_own(decisions: DecisionLog) -> None:
    other = ModelLog(decisions.log.engine, f"{decisions.model}-other")
    DecisionLog(other).save_record(RECORD)
    DecisionLog(other).save_holdout_use(USE)
    DecisionLog(other).append_champion(version="1", previous=None, record_id=None, moment=NOW)
    assert decisions.records() == decisions.holdout_uses() == decisions.champion_changes() == ()


def test_every_decision_is_found_by_its_id_and_listed_with_its_outcome(decisions):
    decisions.save_record(RECORD)
    decisions.record_decision(decision("d1", "retune"))
    decisions.record_decision(decision("d2", "wait", 1))
    decisions.record_outcome(DecisionOutcome("d1", day(1), "refused", "4"))
    assert (decisions.find("a"), decisions.find("d2").action) == (RECORD, "wait")
    shown = [(each.id, each.kind, each.decision, each.outcome) for each in decisions.entries()]
    assert set(shown) == {
        ("a", "gate", "promote", ""),
        ("d1", "monitoring", "retune", "refused"),
        ("d2", "monitoring", "wait", ""),
    }
    moments = [each.moment for each in decisions.entries()]
    assert moments == sorted(moments)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("a", r"about version 2 \(gate: promote\); nothing is to be done"),
        ("d2", "but d2 is 'wait'; nothing is to be done"),
        ("decision-1", "the id of a decision about model-a, but got 'decision-1'"),
        ("?", "`evertune history --decisions` lists them"),
    ],
)
def test_only_a_decision_of_monitoring_can_be_carried_out(decisions, wanted, words):
    decisions.save_record(RECORD)
    decisions.record_decision(decision("d1", "retune"))
    decisions.record_decision(decision("d2", "wait"))
    assert decisions.find_executable("d1").action == "retune"
    with pytest.raises(InputError, match=words):
        decisions.find_executable(wanted)


PROCESSES, DELIVERIES = 4, 25

CLAIMER = """
import pathlib, sys
from concurrent.futures import ThreadPoolExecutor
from evertune.database import open_log
from evertune.registry.decision_log import DecisionLog
from tests.support.logs import day
folder, address, name, deliveries = sys.argv[1:]
log = open_log(pathlib.Path(folder), model="delivered", address=address)
print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(int(deliveries)) as runs:
    mine = lambda number: DecisionLog(log).claim("d1", by=f"{name}-{number}", moment=day(0))
    print(*runs.map(mine, range(int(deliveries))))
log.close()
"""


def claimer(tmp_path, address, number):
    arguments = [str(tmp_path), address, str(number), str(DELIVERIES)]
    command = [sys.executable, "-c", CLAIMER, *arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(command, **pipes, text=True, cwd=ROOT)


@pytest.mark.slow
def test_a_decision_that_is_delivered_a_hundred_times_is_one_runs_to_follow(address, tmp_path):
    processes = [claimer(tmp_path, address, number) for number in range(PROCESSES)]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    claims = [word for process in processes for word in process.communicate()[0].split()]
    assert (claims.count("True"), claims.count("False")) == (1, 99)
