"""Parse and check requests to the scoring service.

`parse_json` reads a body and rejects JSON that two parsers could read in two ways (duplicate
keys, NaN). `parse_predict_request` and `parse_label_request` return the request or an
`ErrorResponse`; each `FieldError` names the field (`rows[3].age`) and never repeats what was
sent. `request_rows` turns a request into `RequestRow`s with ids and event times; ids derive
from the request's id, so that a client can safely send a request again.
"""

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn
from uuid import uuid4

import orjson

from evertune.data.labels import MAX_ID_LENGTH, id_error
from evertune.data.schema import TableSchema
from evertune.data.validation import DataIssue, truncate_cell
from evertune.messages import did_you_mean
from evertune.models.compiled_rows import Cell, Row, RowReader, event_time
from evertune.monitoring.log_frames import LoggedPrediction

MAX_ERRORS = 20
MAX_INTEGER_BITS = 64
MAX_CLOCK_SKEW = timedelta(minutes=5)
BAD_REQUEST, CONTENT_TOO_LARGE, UNPROCESSABLE = 400, 413, 422
PREDICT_FIELDS = ("rows", "row", "ids", "request_id", "moment")
LABEL_FIELDS = ("id", "label", "moment")


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one field of a request."""

    field: str
    problem: str


@dataclass(frozen=True)
class ErrorResponse:
    """Why a request is not answered: an HTTP status and the faults, at most 20."""

    status: int
    faults: tuple[FieldError, ...]


@dataclass(frozen=True, eq=False)
class PredictRequest:
    """A request for predictions.

    Attributes
    ----------
    rows : tuple of n dicts
        Raw cells by column.
    ids : tuple of n str, optional
        Given by the caller; None: the service gives them.
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
class SubmittedLabel:
    """A label as a caller gives it; `moment` is None where nobody says when it became so."""

    id: str
    label: str | float | bool
    moment: datetime | None


def parse_predict_request(
    content: object, *, columns: Collection[str], most_rows: int
) -> PredictRequest | ErrorResponse:
    """Return a request for predictions, or why it is refused.

    Parameters
    ----------
    content : object
        From `json_bodies.parsed`.
    columns : collection of str
        What a row may hold.

    Examples
    --------
    >>> parse_predict_request({"row": {"aeg": 31}}, columns=["age"], most_rows=10).faults[0].field
    'row.aeg'
    """
    if not isinstance(content, dict) or ("rows" in content) == ("row" in content):
        return _single_error(
            "rows", "expected an object with 'rows', a list of rows, or 'row', one row"
        )
    rows = [content["row"]] if "row" in content else content["rows"]
    refusal = _check_list("rows", rows, most=most_rows)
    if refusal is not None:
        return refusal
    found = _first_errors(_predict_errors(content, rows, columns))
    if found:
        return ErrorResponse(UNPROCESSABLE, found)
    return PredictRequest(
        rows=tuple(rows),
        ids=None if content.get("ids") is None else tuple(content["ids"]),
        request_id=content.get("request_id"),
        moment=_parse_timestamp(content.get("moment")),
        several="rows" in content,
    )


def parse_label_request(
    content: object, *, most: int
) -> tuple[SubmittedLabel, ...] | ErrorResponse:
    """Return the labels of a request, or why it is refused.

    Examples
    --------
    >>> parse_label_request({"labels": [{"id": "a", "label": 1}]}, most=10)
    (SubmittedLabel(id='a', label=1, moment=None),)
    """
    if not isinstance(content, dict):
        return _single_error("labels", "expected an object with 'labels', a list of labels")
    refusal = _check_list("labels", content.get("labels"), most=most)
    if refusal is not None:
        return refusal
    found = _first_errors(_label_errors(content, content["labels"]))
    if found:
        return ErrorResponse(UNPROCESSABLE, found)
    return tuple(
        SubmittedLabel(one["id"], one["label"], _parse_timestamp(one.get("moment")))
        for one in content["labels"]
    )


def future_timestamp_error(moment: datetime | None, now: datetime) -> str | None:
    """Return what is wrong with a moment that lies ahead of the clock by more than 5 minutes."""
    return "is in the future" if moment is not None and moment - now > MAX_CLOCK_SKEW else None


def _single_error(field: str, problem: str, *, status: int = UNPROCESSABLE) -> ErrorResponse:
    return ErrorResponse(status, (FieldError(field, problem),))


def _check_list(field: str, things: object, *, most: int) -> ErrorResponse | None:
    if not isinstance(things, list):
        return _single_error(field, "expected a list")
    if not things:
        return _single_error(field, "expected at least one", status=BAD_REQUEST)
    if len(things) > most:
        return _single_error(
            field, f"expected at most {most}, found {len(things)}", status=CONTENT_TOO_LARGE
        )
    return None


def _first_errors(faults: Iterator[FieldError]) -> tuple[FieldError, ...]:
    return tuple(fault for fault, _ in zip(faults, range(MAX_ERRORS), strict=False))


def _predict_errors(
    content: Mapping[str, Any], rows: list[Any], columns: Collection[str]
) -> Iterator[FieldError]:
    yield from _unknown_field_errors(content, PREDICT_FIELDS)
    request_id = content.get("request_id")
    if request_id is not None:
        yield from _id_errors("request_id", request_id)
    if content.get("ids") is not None:
        yield from _id_list_errors(content["ids"], len(rows))
    yield from _timestamp_errors("moment", content.get("moment"))
    for place, row in enumerate(rows):
        name = "row" if "row" in content else f"rows[{place}]"
        if isinstance(row, dict):
            yield from _row_errors(name, row, columns)
        else:
            yield FieldError(name, "expected an object with a value for each column")


def _row_errors(
    name: str, row: dict[str, object], columns: Collection[str]
) -> Iterator[FieldError]:
    for column, cell in row.items():
        if column not in columns:
            yield FieldError(
                f"{name}.{truncate_cell(column)}", f"is no column.{_suggestion(column, columns)}"
            )
        elif isinstance(cell, dict | list):
            yield FieldError(f"{name}.{column}", "expected a number, text, true, false or null")
        elif isinstance(cell, float) and not math.isfinite(cell):
            yield FieldError(f"{name}.{column}", "is infinite")
        elif isinstance(cell, int) and cell.bit_length() >= MAX_INTEGER_BITS:
            yield FieldError(f"{name}.{column}", "has more than 64 bits; write it with an exponent")


def _id_list_errors(ids: object, n_rows: int) -> Iterator[FieldError]:
    if not isinstance(ids, list) or len(ids) != n_rows:
        yield FieldError("ids", f"expected a list of {n_rows} ids, one for each row")
        return
    for place, one in enumerate(ids):
        yield from _id_errors(f"ids[{place}]", one)
    texts = [one for one in ids if isinstance(one, str)]
    if len(set(texts)) < len(texts):
        yield FieldError("ids", "expected each id once")


def _id_errors(field: str, identity: object) -> Iterator[FieldError]:
    fault = id_error(identity) if isinstance(identity, str) else "is no text"
    if fault:
        yield FieldError(field, fault)


def _label_errors(content: Mapping[str, Any], labels: list[Any]) -> Iterator[FieldError]:
    yield from _unknown_field_errors(content, ("labels",))
    for place, one in enumerate(labels):
        name = f"labels[{place}]"
        if not isinstance(one, dict):
            yield FieldError(name, "expected an object with id and label")
            continue
        yield from (
            FieldError(f"{name}.{f.field}", f.problem)
            for f in _unknown_field_errors(one, LABEL_FIELDS)
        )
        yield from _id_errors(f"{name}.id", one.get("id"))
        yield from _timestamp_errors(f"{name}.moment", one.get("moment"))
        if not isinstance(one.get("label"), str | int | float | bool):
            yield FieldError(f"{name}.label", "expected text, a number, true or false")


def _unknown_field_errors(
    content: Mapping[str, Any], known: Collection[str]
) -> Iterator[FieldError]:
    for name in content:
        if name not in known:
            yield FieldError(truncate_cell(name), f"is not known.{_suggestion(name, known)}")


def _suggestion(name: str, known: Collection[str]) -> str:
    return did_you_mean(name, known) if len(name) <= MAX_ID_LENGTH else ""


def _timestamp_errors(field: str, moment: object) -> Iterator[FieldError]:
    try:
        _parse_timestamp(moment)
    except (ValueError, OverflowError, TypeError):
        yield FieldError(field, "expected a moment such as 2024-12-31T23:59:59Z")


def _parse_timestamp(text: object) -> datetime | None:
    if text is None:
        return None
    if not isinstance(text, str):
        raise TypeError("expected text")
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def parse_json(body: bytes) -> object:
    """Return what a body holds.

    Raises
    ------
    ValueError
        Where it is no JSON, or JSON that not every reader would read alike.

    Examples
    --------
    >>> parse_json(b'{"row": {"age": 31}}')
    {'row': {'age': 31}}
    """
    try:
        text = body.decode()
        content: object = json.loads(
            text, object_pairs_hook=_reject_duplicate_keys, parse_constant=_reject_constant
        )
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise ValueError("is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} at character {error.pos}") from error
    except ValueError as error:
        if "digits" not in str(error):
            raise
        raise ValueError("has a number of too many digits") from error
    if "\\u" in text:
        _check_unicode(body)
    return content


def _reject_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("has a key twice in one object")
    return content


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"has {name}, which is no JSON")


def _check_unicode(body: bytes) -> None:
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ValueError("has text that is no Unicode") from error


EXPECTED_BY_KIND = {
    "number": "expected a number of at most 3.4e38, or null",
    "boolean": "expected true, false or null",
    "date": "expected a date such as 2024-12-31, or null",
}
ID_TAKEN = "was given before, for another row"


@dataclass(frozen=True, eq=False)
class RequestRow:
    """A row to predict.

    Attributes
    ----------
    row : mapping
        As it was given; where its time column is left out, with the moment.
    moment : datetime
        Of the event.
    """

    id: str
    request_id: str
    row: Row
    moment: datetime
    identifier: str | None


def request_rows(asked: PredictRequest, reading: RowReader, *, now: datetime) -> list[RequestRow]:
    """Return the rows of a request.

    A row that was given without an id has one that begins with the request's id where that is
    given, so that a request may be sent again.
    """
    request_id = asked.request_id or uuid4().hex
    default = asked.moment or now
    several = len(asked.rows) > 1
    return [
        RequestRow(
            id=asked.ids[place]
            if asked.ids
            else f"{request_id}-{place}"
            if several
            else request_id,
            request_id=request_id,
            row=_with_event_time(row, reading, default),
            moment=event_time(row, reading) or default,
            identifier=_row_identifier(row, reading.schema),
        )
        for place, row in enumerate(asked.rows)
    ]


def may_be_retry(asked: PredictRequest) -> bool:
    """Whether the caller named what is asked, and so may have asked it before."""
    return asked.ids is not None or asked.request_id is not None


def request_errors(
    asked: PredictRequest,
    entries: Sequence[RequestRow],
    breaches: Mapping[int, Sequence[DataIssue]],
    *,
    schema: TableSchema,
    now: datetime,
) -> Iterator[FieldError]:
    """Yield what is wrong with a request.

    Parameters
    ----------
    breaches : mapping
        Of rows that cannot be read, by their place in the request.
    """
    ahead = future_timestamp_error(asked.moment, now)
    if ahead:
        yield FieldError("moment", ahead)
    kinds = {column.name: column.kind for column in schema.features}
    for place, entry in enumerate(entries):
        for breach in breaches.get(place, ()):
            column = str(breach.column)
            kind = kinds.get(column, "date" if column == schema.time else "text")
            absent = column not in entry.row
            problem = "is missing" if absent else EXPECTED_BY_KIND.get(kind, "cannot be read")
            yield FieldError(asked.field(place, column), problem)
        fault = None if entry.identifier is None else id_error(entry.identifier)
        if fault:
            yield FieldError(asked.field(place, str(schema.identifier)), fault)


def is_same_row(entry: RequestRow, logged: LoggedPrediction, time: str | None) -> bool:
    """Whether a logged prediction is of the same row; its time may have been left out."""
    before, row = orjson.loads(logged.inputs), dict(entry.row)
    return {**before, time: None} == {**row, time: None} if time else before == row


def identifier_text(cell: Cell) -> str | None:
    """Return a cell of the identifier column as the log keeps it, None where it is blank."""
    text = "" if cell is None else str(cell).strip()
    return text or None


def _row_identifier(row: Row, schema: TableSchema) -> str | None:
    return identifier_text(row.get(schema.identifier)) if schema.identifier else None


def _with_event_time(row: Row, reading: RowReader, moment: datetime) -> Row:
    """Return the row with the moment in its time column where it was left out."""
    if reading.time is None or reading.time.kind != "date" or reading.time.name in row:
        return row
    return {**row, reading.time.name: moment.isoformat()}
