"""What was worked out about a window of the log, so that it is not worked out again."""

from datetime import datetime
from typing import TypeVar

from sqlalchemy import select

from pipelines.core.findings import Window
from pipelines.stores.database import Log, insert_or_replace, reading, writing
from pipelines.stores.log_records import record_of, record_text
from pipelines.stores.log_tables import WINDOWS, microseconds, moment_of

T = TypeVar("T")


def keep_window(log: Log, *, kind: str, version: str, window: Window, record: object) -> None:
    """Keep a record about a window in place of what was kept for the same start.

    Parameters
    ----------
    log : Log
    kind : str
        Such as `profile`, `findings` or `metrics`.
    version : str
        Of the model, "" where none is meant.
    window : Window
    record : object
        What `stores/files.write_record` could write.
    """
    row = {
        "model": log.model,
        "kind": kind,
        "version": version,
        "start": microseconds(window.start),
        "end": microseconds(window.end),
        "record": record_text(record),
    }
    with writing(log) as connection:
        connection.execute(insert_or_replace(log, WINDOWS, ("end", "record")), row)


def kept_windows(log: Log, *, kind: str, version: str, type_: type[T]) -> dict[datetime, T]:
    """Return the records that were kept, by the start of their window, oldest first.

    Raises
    ------
    StageError
        Where a record is not what `type_` says.
    """
    query = select(WINDOWS.c.start, WINDOWS.c.record).where(
        WINDOWS.c.model == log.model, WINDOWS.c.kind == kind, WINDOWS.c.version == version
    )
    with reading(log) as connection:
        rows = connection.execute(query.order_by(WINDOWS.c.start)).all()
    return {
        moment_of(row.start): record_of(
            row.record, type_, name=f"the {kind} of {moment_of(row.start)}"
        )
        for row in rows
    }
