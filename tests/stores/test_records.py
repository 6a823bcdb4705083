from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import inspect

from pipelines.core.intervals import Difference
from pipelines.core.judging.looks import Look
from pipelines.core.judging.records import Record
from pipelines.core.judging.results import TestResult
from pipelines.core.judging.verdicts import GateResult
from pipelines.errors import StageError
from pipelines.stores.database import Log, close_log, open_log, writing
from pipelines.stores.log_tables import CHAMPIONS, LOOKS, RECORDS
from pipelines.stores.records import (
    champions,
    keep_champion,
    keep_look,
    keep_record,
    looks,
    records,
)

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
RECORD = Record(
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
    difference=Difference(0.01, 0.001, 0.02, 0.99, 400),
    data={"training": "5d41"},
)
LOOK = Look("a", NOW, "2", "1", 400, (1, 2, 2**63))


def test_a_record_is_kept_once_and_read_as_it_was(log: Log) -> None:
    assert keep_record(log, RECORD)
    assert not keep_record(log, replace(RECORD, reasons=("worse",)))
    assert records(log) == (RECORD,)


def test_records_are_read_in_the_order_in_which_they_were_kept(log: Log) -> None:
    for number, version in enumerate(["2", "3", "2"]):
        earlier = NOW - timedelta(days=number)
        keep_record(log, replace(RECORD, id=str(number), moment=earlier, version=version))
    assert [each.id for each in records(log)] == ["0", "1", "2"]
    assert [each.id for each in records(log, version="2")] == ["0", "2"]


def test_a_record_that_cannot_be_read_is_named(log: Log) -> None:
    keep_record(log, RECORD)
    with writing(log) as connection:
        connection.execute(RECORDS.update().where(RECORDS.c.model == log.model), {"record": "{}"})
    with pytest.raises(StageError, match=r"record of the decision 'a' of model-.* cannot be"):
        records(log)


def test_the_history_of_champions_only_grows(log: Log) -> None:
    for version, previous in (("1", None), ("2", "1"), ("2", "1"), ("1", "2")):
        keep_champion(log, version=version, previous=previous, record_id=version, moment=NOW)
    told = [(each.number, each.version, each.previous) for each in champions(log)]
    assert told == [(1, "1", None), (2, "2", "1"), (3, "1", "2")]


def test_looks_are_kept_once_for_each_decision(log: Log) -> None:
    assert keep_look(log, LOOK)
    assert not keep_look(log, LOOK)
    assert looks(log) == (LOOK,)


def test_models_that_share_a_database_have_records_of_their_own(log: Log) -> None:
    other = Log(log.engine, f"{log.model}-other")
    keep_record(other, RECORD)
    keep_look(other, LOOK)
    keep_champion(other, version="1", previous=None, record_id=None, moment=NOW)
    assert (records(log), looks(log), champions(log)) == ((), (), ())


def test_a_log_of_before_there_were_records_goes_on(log: Log, tmp_path, address: str) -> None:
    with writing(log) as connection:
        for table in (RECORDS, CHAMPIONS, LOOKS):
            table.drop(connection)
    older = open_log(tmp_path, model=log.model, address=address)
    assert {"records", "champions", "looks"} <= set(inspect(older.engine).get_table_names())
    assert keep_record(older, RECORD)
    close_log(older)
