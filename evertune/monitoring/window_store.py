"""Store what was computed about a window of the log, so that it is not computed again.

`save_window_record` replaces the record of the same model, kind, version and start;
`load_window_records` returns all of a kind and version by window start, oldest first.
"""

from datetime import datetime
from typing import TypeVar

from sqlalchemy import select

from evertune.database import (
    WINDOWS,
    ModelLog,
    from_microseconds,
    insert_or_replace,
    read_transaction,
    record_from_json,
    record_to_json,
    to_microseconds,
    write_transaction,
)
from evertune.times import TimeWindow

T = TypeVar("T")


def save_window_record(
    log: ModelLog, *, kind: str, version: str, window: TimeWindow, record: object
) -> None:
    """Keep a record about a window in place of what was kept for the same start.

    Parameters
    ----------
    log : ModelLog
    kind : str
        Such as `profile`, `findings` or `metrics`.
    version : str
        Of the model, "" where none is meant.
    window : TimeWindow
    record : object
        What `stores/files.write_record` could write.
    """
    row = {
        "model": log.model,
        "kind": kind,
        "version": version,
        "start": to_microseconds(window.start),
        "end": to_microseconds(window.end),
        "record": record_to_json(record),
    }
    with write_transaction(log) as connection:
        connection.execute(insert_or_replace(log, WINDOWS, ("end", "record")), row)


def load_window_records(
    log: ModelLog, *, kind: str, version: str, type_: type[T]
) -> dict[datetime, T]:
    """Return the records that were kept, by the start of their window, oldest first.

    Raises
    ------
    StageError
        Where a record is not what `type_` says.
    """
    query = select(WINDOWS.c.start, WINDOWS.c.record).where(
        WINDOWS.c.model == log.model, WINDOWS.c.kind == kind, WINDOWS.c.version == version
    )
    with read_transaction(log) as connection:
        rows = connection.execute(query.order_by(WINDOWS.c.start)).all()
    return {
        from_microseconds(row.start): record_from_json(
            row.record, type_, name=f"the {kind} of {from_microseconds(row.start)}"
        )
        for row in rows
    }
