"""Requests as rows to predict: each with its id, its moment and what is wrong with it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

import orjson

from pipelines.core.breaches import Breach
from pipelines.core.fast_rows import Row, RowReader, event_time
from pipelines.core.log_frames import Logged
from pipelines.core.requests import Asked, Fault, future_fault
from pipelines.core.row_cells import Cell
from pipelines.core.row_ids import id_fault
from pipelines.core.schema import Schema

EXPECTED = {
    "number": "expected a number of at most 3.4e38, or null",
    "boolean": "expected true, false or null",
    "date": "expected a date such as 2024-12-31, or null",
}
TAKEN = "was given before, for another row"


@dataclass(frozen=True, eq=False)
class Entry:
    """A row to predict.

    Attributes
    ----------
    id, request_id : str
    row : mapping
        As it was given; where its time column is left out, with the moment.
    moment : datetime
        Of the event.
    identifier : str, optional
    """

    id: str
    request_id: str
    row: Row
    moment: datetime
    identifier: str | None


def entries_of(asked: Asked, reading: RowReader, *, now: datetime) -> list[Entry]:
    """Return the rows of a request.

    A row that was given without an id has one that begins with the request's id where that is
    given, so that a request may be sent again.
    """
    request_id = asked.request_id or uuid4().hex
    default = asked.moment or now
    several = len(asked.rows) > 1
    return [
        Entry(
            id=asked.ids[place]
            if asked.ids
            else f"{request_id}-{place}"
            if several
            else request_id,
            request_id=request_id,
            row=_with_time(row, reading, default),
            moment=event_time(row, reading) or default,
            identifier=_identifier(row, reading.schema),
        )
        for place, row in enumerate(asked.rows)
    ]


def can_repeat(asked: Asked) -> bool:
    """Whether the caller named what is asked, and so may have asked it before."""
    return asked.ids is not None or asked.request_id is not None


def request_faults(
    asked: Asked,
    entries: Sequence[Entry],
    breaches: Mapping[int, Sequence[Breach]],
    *,
    schema: Schema,
    now: datetime,
) -> Iterator[Fault]:
    """Yield what is wrong with a request.

    Parameters
    ----------
    asked : Asked
    entries : sequence of n Entry
    breaches : mapping
        Of rows that cannot be read, by their place in the request.
    schema : Schema
    now : datetime
    """
    ahead = future_fault(asked.moment, now)
    if ahead:
        yield Fault("moment", ahead)
    kinds = {column.name: column.kind for column in schema.features}
    for place, entry in enumerate(entries):
        for breach in breaches.get(place, ()):
            column = str(breach.column)
            kind = kinds.get(column, "date" if column == schema.time else "text")
            absent = column not in entry.row
            problem = "is missing" if absent else EXPECTED.get(kind, "cannot be read")
            yield Fault(asked.field(place, column), problem)
        fault = None if entry.identifier is None else id_fault(entry.identifier)
        if fault:
            yield Fault(asked.field(place, str(schema.identifier)), fault)


def repeats(entry: Entry, logged: Logged, time: str | None) -> bool:
    """Whether a logged prediction is of the same row; its time may have been left out."""
    before, row = orjson.loads(logged.inputs), dict(entry.row)
    return {**before, time: None} == {**row, time: None} if time else before == row


def identifier_of(cell: Cell) -> str | None:
    """Return a cell of the identifier column as the log keeps it, None where it is blank."""
    text = "" if cell is None else str(cell).strip()
    return text or None


def _identifier(row: Row, schema: Schema) -> str | None:
    return identifier_of(row.get(schema.identifier)) if schema.identifier else None


def _with_time(row: Row, reading: RowReader, moment: datetime) -> Row:
    """Return the row with the moment in its time column where it was left out."""
    if reading.time is None or reading.time.kind != "date" or reading.time.name in row:
        return row
    return {**row, reading.time.name: moment.isoformat()}
