from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from evertune.database import (
    DECISION_RECORDS,
    ModelLog,
    write_transaction,
)
from evertune.errors import StageError
from evertune.registry.decision_log import (
    append_champion,
    read_champion_changes,
    read_decision_records,
    read_holdout_uses,
    save_holdout_use,
    save_record,
)
from evertune.registry.gates import GateResult
from evertune.registry.holdout_reuse import HoldoutUse
from evertune.registry.records import DecisionRecord
from evertune.stats.bootstrap import PairedDifference, TestResult

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
LOOK = HoldoutUse("a", NOW, "2", "1", 400, (1, 2, 2**63))


def test_a_record_is_kept_once_and_read_as_it_was(log: ModelLog) -> None:
    assert save_record(log, RECORD)
    assert not save_record(log, replace(RECORD, reasons=("worse",)))
    assert read_decision_records(log) == (RECORD,)


def test_records_are_read_in_the_order_in_which_they_were_kept(log: ModelLog) -> None:
    for number, version in enumerate(["2", "3", "2"]):
        earlier = NOW - timedelta(days=number)
        save_record(log, replace(RECORD, id=str(number), moment=earlier, version=version))
    assert [each.id for each in read_decision_records(log)] == ["0", "1", "2"]
    assert [each.id for each in read_decision_records(log, version="2")] == ["0", "2"]


def test_a_record_that_cannot_be_read_is_named(log: ModelLog) -> None:
    save_record(log, RECORD)
    with write_transaction(log) as connection:
        connection.execute(
            DECISION_RECORDS.update().where(DECISION_RECORDS.c.model == log.model), {"record": "{}"}
        )
    with pytest.raises(StageError, match=r"record of the decision 'a' of model-.* cannot be"):
        read_decision_records(log)


def test_the_history_of_champions_only_grows(log: ModelLog) -> None:
    for version, previous in (("1", None), ("2", "1"), ("2", "1"), ("1", "2")):
        append_champion(log, version=version, previous=previous, record_id=version, moment=NOW)
    told = [(each.number, each.version, each.previous) for each in read_champion_changes(log)]
    assert told == [(1, "1", None), (2, "2", "1"), (3, "1", "2")]


def test_looks_are_kept_once_for_each_decision(log: ModelLog) -> None:
    assert save_holdout_use(log, LOOK)
    assert not save_holdout_use(log, LOOK)
    assert read_holdout_uses(log) == (LOOK,)


def test_models_that_share_a_database_have_records_of_their_own(log: ModelLog) -> None:
    other = ModelLog(log.engine, f"{log.model}-other")
    save_record(other, RECORD)
    save_holdout_use(other, LOOK)
    append_champion(other, version="1", previous=None, record_id=None, moment=NOW)
    assert (read_decision_records(log), read_holdout_uses(log), read_champion_changes(log)) == (
        (),
        (),
        (),
    )
