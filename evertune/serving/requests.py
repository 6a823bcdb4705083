"""Bodies of requests and responses: pydantic models, JSON, and errors that name a field.

`body_models` makes the models of one service from the table schema of its champion; FastAPI
parses requests with them and generates the OpenAPI document from them. A row becomes a
`TypedDict` with the real names of the columns, so that a parsed row is the dictionary that the
compiled model reads and the log keeps.

pydantic checks the form of a request, the only check of it there is: known fields, ids, cells that
are text, number, truth value or null. What a cell says (a number in words, a date) is read once, by
the champion's row reader, in `service`.

JSON schemas of cells say not all that is read, but what is always read; Schemathesis holds the
service to them (tests/serving/test_openapi.py).
"""

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, NoReturn, NotRequired, cast

import orjson
from fastapi import HTTPException
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    create_model,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from evertune.data.labels import MAX_ID_LENGTH, id_error
from evertune.data.number_formats import PLAIN
from evertune.data.parsing import FALSE_WORDS, MAX_ABSOLUTE_VALUE, TRUE_WORDS
from evertune.data.schema import Column, TableSchema
from evertune.data.validation import truncate_cell
from evertune.messages import did_you_mean
from evertune.models.compiled_rows import Cell, Row
from evertune.unicode_text import clean_text

MAX_ERRORS = 20
MAX_INTEGER_BITS = 64
RETRY_LATER = {"Retry-After": "2"}
RESPONSE_HEADERS: dict[int, dict[str, str]] = {
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": "Bearer"},
    HTTPStatus.TOO_MANY_REQUESTS: RETRY_LATER,
    HTTPStatus.SERVICE_UNAVAILABLE: RETRY_LATER,
}

# Errors


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one field of a request, such as `rows[3].age`; a value is cut short."""

    field: str
    problem: str


class RequestError(HTTPException):
    """A request is not answered: an HTTP status, and what is wrong with which fields."""

    def __init__(self, status: int, *errors: FieldError) -> None:
        self.errors = errors[:MAX_ERRORS]
        detail = [vars(error) for error in self.errors]
        super().__init__(status, detail, RESPONSE_HEADERS.get(status))

    def to_json(self) -> bytes:
        """Return the body of the response."""
        return orjson.dumps({"detail": self.detail})


def form_error(errors: Sequence[Mapping[str, Any]], columns: Collection[str]) -> RequestError:
    """Return pydantic's errors about a body as one that names fields, and close columns."""
    found = []
    for error in errors[:MAX_ERRORS]:
        place = error["loc"][1:]
        name = place[-1] if place else "body"
        if error["type"] == "extra_forbidden":
            in_row = place[0] in ("row", "rows")
            known = columns if in_row else ENVELOPE_FIELDS
            near = did_you_mean(name, known) if len(name) <= MAX_ID_LENGTH else ""
            problem = f"is {'no column' if in_row else 'not known'}.{near}"
        else:
            problem = PROBLEMS.get(error["type"]) or str(error["msg"])
        parts = [
            f"[{part}]" if isinstance(part, int) else f".{truncate_cell(part)}" for part in place
        ]
        found.append(FieldError("".join(parts).lstrip(".") or "body", problem))
    return RequestError(HTTPStatus.UNPROCESSABLE_ENTITY, *found)


PROBLEMS = {
    "missing": "is missing",
    "list_type": "expected a list",
    "dict_type": "expected an object with a value for each column",
    "model_type": "expected an object with id and label",
    "model_attributes_type": "expected an object with id and label",
}
ENVELOPE_FIELDS = ("rows", "row", "ids", "request_id", "moment", "labels", "id", "label")


# JSON


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
        if "\\u" in text:
            orjson.loads(body)  # refuses halves of surrogate pairs
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise ValueError("is not UTF-8") from error
    except orjson.JSONDecodeError as error:
        raise ValueError("has text that is no Unicode") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"is not JSON: {error.msg} at character {error.pos}") from error
    except ValueError as error:
        if "digits" not in str(error):
            raise
        raise ValueError("has a number of too many digits") from error
    return content


def _reject_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # as names of columns are read from a table
    content = {key if key.isascii() else clean_text(key): value for key, value in pairs}
    if len(content) < len(pairs):
        raise ValueError("has a key twice in one object")
    return content


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"has {name}, which is no JSON")


# Fields

NUMBER_PATTERN = r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?([eE][+-]?1?[0-9])?"
# a day that exists in every year; the 29th of February is read too, but no pattern knows when
DAY_PATTERN = (
    "(19|20)[0-9]{2}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])"
    "|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
)
TIME_PATTERN = "T([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?(Z|[+-](0[0-9]|1[0-4]):(00|30|45))?"
CELL_SCHEMA: dict[str, Any] = {"type": ["string", "number", "boolean", "null"]}
ID_SCHEMA: dict[str, Any] = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_ID_LENGTH,
    "format": "printable",  # no control characters; what Python calls so has no short pattern
}
MOMENT_SCHEMA: dict[str, Any] = {
    "type": ["string", "null"],
    "pattern": f"^{DAY_PATTERN}({TIME_PATTERN})?$",
}


def _check_cell(cell: object) -> object:
    problem = None
    if isinstance(cell, dict | list):
        problem = "expected a number, text, true, false or null"
    elif isinstance(cell, float) and not math.isfinite(cell):
        problem = "is infinite"
    elif isinstance(cell, int) and cell.bit_length() >= MAX_INTEGER_BITS:
        problem = "has more than 64 bits; write it with an exponent"
    if problem is not None:
        raise PydanticCustomError("cell", problem)
    return cell


def _check_id(identity: object) -> object:
    problem = id_error(identity) if isinstance(identity, str) else "is no text"
    if problem:
        raise PydanticCustomError("id", problem)
    return identity


def _check_label(label: object) -> object:
    if not isinstance(label, str | int | float | bool):
        raise PydanticCustomError("label", "expected text, a number, true or false")
    return label


def _parse_moment(text: object) -> datetime | None:
    if text is None:
        return None
    try:
        if isinstance(text, str):
            moment = datetime.fromisoformat(text)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise PydanticCustomError("moment", "expected a moment such as 2024-12-31T23:59:59Z")


AnyCell = Annotated[Cell, PlainValidator(_check_cell), WithJsonSchema(CELL_SCHEMA)]
Id = Annotated[str, PlainValidator(_check_id), WithJsonSchema(ID_SCHEMA)]
OptionalId = Annotated[
    str | None,
    PlainValidator(lambda identity: None if identity is None else _check_id(identity)),
    WithJsonSchema(ID_SCHEMA | {"type": ["string", "null"]}),
]
Moment = Annotated[datetime | None, PlainValidator(_parse_moment), WithJsonSchema(MOMENT_SCHEMA)]


# Bodies

STRICT = ConfigDict(extra="forbid")
make_typed_dict: Any = TypedDict  # mypy knows only those whose fields it can read


def _describe_predict_request(schema: dict[str, Any]) -> None:
    """Say that either `row` or `rows` is given; leave out `ids`, one for each row."""
    fields = schema["properties"]
    del fields["ids"]  # JSON Schema cannot say that it has as many items as another list
    for name in ("row", "rows"):
        fields[name].pop("default")
    schema["oneOf"] = [{"required": ["row"]}, {"required": ["rows"]}]


class PredictRequest(BaseModel):
    """A request for predictions, of any columns.

    Attributes
    ----------
    row, rows : dict, list of n dicts
        Raw cells by column; a request has either.
    ids : list of n str, optional
        Given by the caller; None: the service gives them.
    moment : datetime, optional
        When what is asked about is so, where the rows themselves do not say.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra=_describe_predict_request)

    row: dict[str, AnyCell] = Field(default=cast("Any", None))
    rows: list[dict[str, AnyCell]] = Field(default=cast("Any", None))
    ids: list[Id] | None = None
    request_id: OptionalId = None
    moment: Moment = None

    @field_validator("ids")
    @classmethod
    def check_ids(cls, ids: list[str] | None, info: ValidationInfo) -> list[str] | None:
        """Refuse ids that are not one for each row, each another."""
        rows = info.data.get("rows") or [info.data.get("row")]
        if ids is not None and {"row", "rows"} <= set(info.data):
            if len(ids) != len(rows):
                problem = "expected a list of {n} ids, one for each row"
                raise PydanticCustomError("ids", problem, {"n": len(rows)})
            if len(set(ids)) < len(ids):
                raise PydanticCustomError("ids", "expected each id once")
        return ids

    @property
    def all_rows(self) -> Sequence[Row]:
        """The n rows."""
        return self.rows or [self.row]


class SubmittedLabel(BaseModel):
    """A label as a caller gives it; `moment` is None where nobody says when it became so."""

    model_config = STRICT

    id: Id
    label: Annotated[str | float | bool, PlainValidator(_check_label)]
    moment: Moment = None


class LabelRequest(BaseModel):
    """Labels of predictions."""

    model_config = STRICT

    labels: list[SubmittedLabel]


class LabelResponse(BaseModel):
    """How many labels were of each kind; see `LabelCounts`."""

    model_config = STRICT

    new: int
    repeated: int
    corrected: int
    early: int
    new_classes: dict[str, int]


class Prediction(BaseModel):
    """What the model predicts of one row; `version` made the prediction."""

    prediction: str | float
    version: str


class PredictResponse(BaseModel):
    """Predictions in the order of the rows; `version` is that of the champion."""

    model_config = STRICT

    version: str
    request_id: str
    ids: list[str]
    predictions: list[Prediction]


class Status(BaseModel):
    """Whether the service is alive, or ready to predict with `version`."""

    status: str
    version: str | None = None


class Error(BaseModel):
    """What is wrong with which fields of a request."""

    class Detail(BaseModel):
        """One of at most 20."""

        model_config = STRICT

        field: str
        problem: str

    detail: list[Detail]


@dataclass(frozen=True)
class BodyModels:
    """Models of the bodies of one service, for its champion's columns."""

    columns: frozenset[str]
    predict_request: type[PredictRequest]
    predict_response: type[PredictResponse]
    label_request: type[LabelRequest]


def body_models(
    name: str, schema: TableSchema | None, *, ignored: Collection[str], max_rows: int
) -> BodyModels:
    """Return the models of a service.

    Parameters
    ----------
    name : str
        Of the service; its models are named after it.
    schema : TableSchema, optional
        Of the champion; None: any columns are taken.
    ignored : collection of str
        Columns that a row may have and that no model reads.
    max_rows : int
        Rows or labels in a request.

    Examples
    --------
    >>> schema = TableSchema((Column("signed up", "date"),), "y", "binary", ("no", "yes"))
    >>> models = body_models("churn", schema, ignored=(), max_rows=10)
    >>> models.predict_request.model_validate({"row": {"signed up": "2024-05-01"}}).all_rows
    [{'signed up': '2024-05-01'}]
    """
    row: Any = dict[str, AnyCell]
    label: Any = {"type": ["string", "number", "boolean"]}
    prediction: Any = Prediction
    columns: frozenset[str] = frozenset()
    if schema is not None:
        row = _row_type(f"{name}_Row", schema, ignored)
        columns = frozenset(row.__annotations__)
        label = {"enum": list(schema.classes)} if schema.classes else {"type": "number"}
    if schema is not None and schema.classes:
        share = Annotated[float, Field(ge=0, le=1)]
        shares = make_typed_dict(f"{name}_Probabilities", dict.fromkeys(schema.classes, share))
        prediction = create_model(
            f"{name}_Prediction", __base__=Prediction, probabilities=(shares, ...)
        )
    # a maximum in the schema would have Schemathesis send that many
    several: Any = {"min_length": 1, "description": f"At most {max_rows:,}."}
    submitted: Any = create_model(
        f"{name}_SubmittedLabel",
        __base__=SubmittedLabel,
        label=(
            Annotated[str | float | bool, PlainValidator(_check_label), WithJsonSchema(label)],
            ...,
        ),
    )
    return BodyModels(
        columns,
        create_model(
            f"{name}_PredictRequest",
            __base__=PredictRequest,
            __validators__={"check_rows": _list_check("rows", max_rows, alternative="row")},
            row=(row, None),
            rows=(list[row], Field(None, **several)),
        ),
        create_model(
            f"{name}_PredictResponse", __base__=PredictResponse, predictions=(list[prediction], ...)
        ),
        create_model(
            f"{name}_LabelRequest",
            __base__=LabelRequest,
            __validators__={"check_labels": _list_check("labels", max_rows)},
            labels=(list[submitted], Field(**several)),
        ),
    )


def _list_check(field: str, most: int, *, alternative: str | None = None) -> Callable[..., Any]:
    """Return a validator that refuses a body without a list of 1 to `most` at once."""
    either = f", or '{alternative}', one row" if alternative else ""

    def check(_: type[BaseModel], content: object) -> object:
        if not isinstance(content, dict) or len({field, alternative} & set(content)) != 1:
            problem = f"expected an object with '{field}', a list of {field}{either}"
            raise RequestError(HTTPStatus.UNPROCESSABLE_ENTITY, FieldError(field, problem))
        items = content.get(field, [alternative])
        if not isinstance(items, list):
            raise RequestError(
                HTTPStatus.UNPROCESSABLE_ENTITY, FieldError(field, "expected a list")
            )
        if not items:
            raise RequestError(HTTPStatus.BAD_REQUEST, FieldError(field, "expected at least one"))
        if len(items) > most:
            problem = f"expected at most {most}, found {len(items)}"
            raise RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, FieldError(field, problem))
        return content

    as_method: Any = classmethod(check)
    return cast("Callable[..., Any]", model_validator(mode="before")(as_method))


def _row_type(name: str, schema: TableSchema, ignored: Collection[str]) -> Any:
    """Return the type of a row; every column may be absent: the row reader names missing ones."""
    schemas = dict.fromkeys(ignored, CELL_SCHEMA)
    roles = (schema.group, schema.weight, schema.human, schema.existing)
    schemas |= {each: CELL_SCHEMA for each in roles if each}
    if schema.identifier:
        schemas[schema.identifier] = ID_SCHEMA
    required = [column.name for column in schema.features]
    if schema.time:
        time = schema.time_column or Column(schema.time, "date")
        schemas[schema.time] = _cell_schema(time, schema)
        required += [schema.time] if time.kind == "number" else []
    schemas |= {column.name: _cell_schema(column, schema) for column in schema.features}
    schemas.pop(schema.target, None)
    cells = {
        column: NotRequired[Annotated[Cell, PlainValidator(_check_cell), WithJsonSchema(one)]]
        for column, one in schemas.items()
    }
    row = make_typed_dict(name, cells)
    row.__pydantic_config__ = ConfigDict(
        extra="forbid", json_schema_extra={"required": cast("Any", required)}
    )
    return row


def _cell_schema(column: Column, schema: TableSchema) -> dict[str, Any]:
    if column.kind == "number":
        number = {
            "type": ["number", "boolean", "null"],  # tables may hold truth values as numbers, too
            "minimum": -MAX_ABSOLUTE_VALUE,
            "maximum": MAX_ABSOLUTE_VALUE,
        }
        is_plain = schema.format_of(column.number_format) == PLAIN
        return {"anyOf": [number, _blank_or(NUMBER_PATTERN)] if is_plain else [number]}
    if column.kind == "boolean":
        words = "|".join(sorted(TRUE_WORDS | FALSE_WORDS))
        return {"anyOf": [{"type": ["boolean", "null"]}, {"enum": [0, 1]}, _blank_or(words)]}
    if column.kind == "date":
        return {"anyOf": [{"type": "null"}, _blank_or(f"{DAY_PATTERN}({TIME_PATTERN})?")]}
    return CELL_SCHEMA


def _blank_or(pattern: str) -> dict[str, str]:
    """Return the schema of a text that is blank, which means missing, or has a pattern."""
    return {"type": "string", "pattern": f"^[ \t\r\n]*({pattern})?[ \t\r\n]*$"}
