"""What callers of the scoring service ask, read from JSON, and what is wrong with it.

Every fault names the field: `rows[3].age`. What was sent is never shown back.
"""

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pipelines.core.breaches import shortened
from pipelines.core.row_cells import Cell
from pipelines.core.row_ids import LONGEST_ID, id_fault
from pipelines.core.wording import did_you_mean

MOST_FAULTS = 20
BITS = 64
SKEW = timedelta(minutes=5)
MALFORMED, TOO_LARGE, UNUSABLE = 400, 413, 422
PREDICT_FIELDS = ("rows", "row", "ids", "request_id", "moment")
LABEL_FIELDS = ("id", "label", "moment")


@dataclass(frozen=True)
class Fault:
    """What is wrong with one field of a request."""

    field: str
    problem: str


@dataclass(frozen=True)
class Refusal:
    """Why a request is not answered: an HTTP status and the faults, at most 20."""

    status: int
    faults: tuple[Fault, ...]


@dataclass(frozen=True, eq=False)
class Asked:
    """A request for predictions.

    Attributes
    ----------
    rows : tuple of n dicts
        Raw cells by column.
    ids : tuple of n str, optional
        Given by the caller; None: the service gives them.
    request_id : str, optional
    moment : datetime, optional
        When what is asked about is so, where the rows themselves do not say.
    several : bool
        Whether the rows came as `rows`, not as `row`.
    """

    rows: tuple[dict[str, Cell], ...]
    ids: tuple[str, ...] | None = None
    request_id: str | None = None
    moment: datetime | None = None
    several: bool = True

    def field(self, place: int, column: str = "") -> str:
        """Return how a fault names a row, or a cell of it."""
        row = f"rows[{place}]" if self.several else "row"
        return f"{row}.{column}" if column else row


@dataclass(frozen=True)
class Told:
    """A label as a caller gives it; `moment` is None where nobody says when it became so."""

    id: str
    label: str | float | bool
    moment: datetime | None


def asked(content: object, *, columns: Collection[str], most_rows: int) -> Asked | Refusal:
    """Return a request for predictions, or why it is refused.

    Parameters
    ----------
    content : object
        From `json_bodies.parsed`.
    columns : collection of str
        What a row may hold.
    most_rows : int

    Examples
    --------
    >>> asked({"row": {"aeg": 31}}, columns=["age"], most_rows=10).faults[0].field
    'row.aeg'
    """
    if not isinstance(content, dict) or ("rows" in content) == ("row" in content):
        return _refused("rows", "expected an object with 'rows', a list of rows, or 'row', one row")
    rows = [content["row"]] if "row" in content else content["rows"]
    refusal = _list_refusal("rows", rows, most=most_rows)
    if refusal is not None:
        return refusal
    found = _some(_faults(content, rows, columns))
    if found:
        return Refusal(UNUSABLE, found)
    return Asked(
        rows=tuple(rows),
        ids=None if content.get("ids") is None else tuple(content["ids"]),
        request_id=content.get("request_id"),
        moment=_moment(content.get("moment")),
        several="rows" in content,
    )


def told(content: object, *, most: int) -> tuple[Told, ...] | Refusal:
    """Return the labels of a request, or why it is refused.

    Examples
    --------
    >>> told({"labels": [{"id": "a", "label": 1}]}, most=10)
    (Told(id='a', label=1, moment=None),)
    """
    if not isinstance(content, dict):
        return _refused("labels", "expected an object with 'labels', a list of labels")
    refusal = _list_refusal("labels", content.get("labels"), most=most)
    if refusal is not None:
        return refusal
    found = _some(_label_faults(content, content["labels"]))
    if found:
        return Refusal(UNUSABLE, found)
    return tuple(
        Told(one["id"], one["label"], _moment(one.get("moment"))) for one in content["labels"]
    )


def future_fault(moment: datetime | None, now: datetime) -> str | None:
    """Return what is wrong with a moment that lies ahead of the clock by more than 5 minutes.

    Examples
    --------
    >>> future_fault(datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC))
    'is in the future'
    """
    return "is in the future" if moment is not None and moment - now > SKEW else None


def _refused(field: str, problem: str, *, status: int = UNUSABLE) -> Refusal:
    return Refusal(status, (Fault(field, problem),))


def _list_refusal(field: str, things: object, *, most: int) -> Refusal | None:
    if not isinstance(things, list):
        return _refused(field, "expected a list")
    if not things:
        return _refused(field, "expected at least one", status=MALFORMED)
    if len(things) > most:
        return _refused(field, f"expected at most {most}, found {len(things)}", status=TOO_LARGE)
    return None


def _some(faults: Iterator[Fault]) -> tuple[Fault, ...]:
    return tuple(fault for fault, _ in zip(faults, range(MOST_FAULTS), strict=False))


def _faults(
    content: Mapping[str, Any], rows: list[Any], columns: Collection[str]
) -> Iterator[Fault]:
    yield from _unknown(content, PREDICT_FIELDS)
    request_id = content.get("request_id")
    if request_id is not None:
        yield from _id_faults("request_id", request_id)
    if content.get("ids") is not None:
        yield from _ids_faults(content["ids"], len(rows))
    yield from _moment_faults("moment", content.get("moment"))
    for place, row in enumerate(rows):
        name = "row" if "row" in content else f"rows[{place}]"
        if isinstance(row, dict):
            yield from _row_faults(name, row, columns)
        else:
            yield Fault(name, "expected an object with a value for each column")


def _row_faults(name: str, row: dict[str, object], columns: Collection[str]) -> Iterator[Fault]:
    for column, cell in row.items():
        if column not in columns:
            yield Fault(f"{name}.{shortened(column)}", f"is no column.{_meant(column, columns)}")
        elif isinstance(cell, dict | list):
            yield Fault(f"{name}.{column}", "expected a number, text, true, false or null")
        elif isinstance(cell, float) and not math.isfinite(cell):
            yield Fault(f"{name}.{column}", "is infinite")
        elif isinstance(cell, int) and cell.bit_length() >= BITS:
            yield Fault(f"{name}.{column}", "has more than 64 bits; write it with an exponent")


def _ids_faults(ids: object, n_rows: int) -> Iterator[Fault]:
    if not isinstance(ids, list) or len(ids) != n_rows:
        yield Fault("ids", f"expected a list of {n_rows} ids, one for each row")
        return
    for place, one in enumerate(ids):
        yield from _id_faults(f"ids[{place}]", one)
    texts = [one for one in ids if isinstance(one, str)]
    if len(set(texts)) < len(texts):
        yield Fault("ids", "expected each id once")


def _id_faults(field: str, identity: object) -> Iterator[Fault]:
    fault = id_fault(identity) if isinstance(identity, str) else "is no text"
    if fault:
        yield Fault(field, fault)


def _label_faults(content: Mapping[str, Any], labels: list[Any]) -> Iterator[Fault]:
    yield from _unknown(content, ("labels",))
    for place, one in enumerate(labels):
        name = f"labels[{place}]"
        if not isinstance(one, dict):
            yield Fault(name, "expected an object with id and label")
            continue
        yield from (Fault(f"{name}.{f.field}", f.problem) for f in _unknown(one, LABEL_FIELDS))
        yield from _id_faults(f"{name}.id", one.get("id"))
        yield from _moment_faults(f"{name}.moment", one.get("moment"))
        if not isinstance(one.get("label"), str | int | float | bool):
            yield Fault(f"{name}.label", "expected text, a number, true or false")


def _unknown(content: Mapping[str, Any], known: Collection[str]) -> Iterator[Fault]:
    for name in content:
        if name not in known:
            yield Fault(shortened(name), f"is not known.{_meant(name, known)}")


def _meant(name: str, known: Collection[str]) -> str:
    return did_you_mean(name, known) if len(name) <= LONGEST_ID else ""


def _moment_faults(field: str, moment: object) -> Iterator[Fault]:
    try:
        _moment(moment)
    except (ValueError, OverflowError, TypeError):
        yield Fault(field, "expected a moment such as 2024-12-31T23:59:59Z")


def _moment(text: object) -> datetime | None:
    if text is None:
        return None
    if not isinstance(text, str):
        raise TypeError("expected text")
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
