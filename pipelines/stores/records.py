"""Records of decisions about versions, the history of champions, and looks at the hold-out.

They lie beside predictions and labels, so that a service and several machines can share them.
Nothing here is ever changed or removed: rows are added.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Select, Table, select

from pipelines.core.judging.looks import Look
from pipelines.core.judging.records import Record, Reign
from pipelines.stores.database import Log, insert_new, reading, writing
from pipelines.stores.log_records import record_of, record_text
from pipelines.stores.log_tables import CHAMPIONS, LOOKS, RECORDS, microseconds, moment_of


def keep_record(log: Log, record: Record) -> bool:
    """Return whether the record is new; one whose id is there already is left as it is."""
    row = {
        "model": log.model,
        "id": record.id,
        "moment": microseconds(record.moment),
        "act": record.act,
        "version": record.version,
        "record": record_text(record),
    }
    return _is_new(log, RECORDS, row)


def records(log: Log, *, version: str | None = None) -> tuple[Record, ...]:
    """Return the model's records, or those about a version, in the order in which they were kept.

    Raises
    ------
    StageError
        Where a record cannot be read; it names the record.
    """
    query = _mine(log, RECORDS).add_columns(RECORDS.c.id).order_by(RECORDS.c.number)
    if version is not None:
        query = query.where(RECORDS.c.version == version)
    return tuple(
        record_of(row.record, Record, name=f"the decision {row.id!r} of {log.model}")
        for row in _rows(log, query)
    )


def keep_champion(
    log: Log, *, version: str, previous: str | None, record_id: str | None, moment: datetime
) -> bool:
    """Return whether the version is a new champion; it is not where the last one was the same."""
    with writing(log) as connection:
        last = connection.execute(_champions(log).order_by(CHAMPIONS.c.number.desc())).first()
        if last is not None and last.version == version:
            return False
        row = {
            "model": log.model,
            "number": 1 if last is None else last.number + 1,
            "version": version,
            "previous": previous,
            "moment": microseconds(moment),
            "record_id": record_id,
        }
        return bool(connection.execute(insert_new(log, CHAMPIONS), row).rowcount == 1)


def champions(log: Log) -> tuple[Reign, ...]:
    """Return which versions became champion, oldest first."""
    return tuple(
        Reign(row.number, row.version, row.previous, moment_of(row.moment), row.record_id)
        for row in _rows(log, _champions(log).order_by(CHAMPIONS.c.number))
    )


def keep_look(log: Log, look: Look) -> bool:
    """Return whether the look is new; a decision looks once, however often it is tried."""
    row = {
        "model": log.model,
        "record_id": look.record_id,
        "moment": microseconds(look.moment),
        "record": record_text(look),
    }
    return _is_new(log, LOOKS, row)


def looks(log: Log) -> tuple[Look, ...]:
    """Return how often rows of a hold-out were used for a decision, oldest first.

    Raises
    ------
    StageError
        Where a look cannot be read; it names the decision.
    """
    query = _mine(log, LOOKS).add_columns(LOOKS.c.record_id).order_by(LOOKS.c.number)
    return tuple(
        record_of(row.record, Look, name=f"the look of the decision {row.record_id!r}")
        for row in _rows(log, query)
    )


def _is_new(log: Log, table: Table, row: dict[str, object]) -> bool:
    with writing(log) as connection:
        return bool(connection.execute(insert_new(log, table), row).rowcount == 1)


def _mine(log: Log, table: Table) -> Select[Any]:
    return select(table.c.record).where(table.c.model == log.model)


def _champions(log: Log) -> Select[Any]:
    return select(CHAMPIONS).where(CHAMPIONS.c.model == log.model)


def _rows(log: Log, query: Select[Any]) -> list[Any]:
    with reading(log) as connection:
        return list(connection.execute(query).all())
