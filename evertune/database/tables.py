"""The tables of the log's database, and the types of their columns.

A change of a table here needs a revision in `migrations/versions`, and `SCHEMA_REVISION` to name
it: `tests/database` compares these tables with what the revisions make.
"""

from dataclasses import dataclass, is_dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Dialect,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    type_coerce,
)

from evertune.errors import StageError
from evertune.times import EPOCH, MICROSECOND

T = TypeVar("T")
RECORD_VERSION = 1  # of the records in columns of JSON
SCHEMA_REVISION = "0001"  # the newest in migrations/versions


class Moment(TypeDecorator[datetime]):
    """An aware datetime, stored as whole microseconds since 1970 in UTC.

    SQLite has no type for times; both databases compare, index and return whole numbers fastest.
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        """Return the number to store."""
        return None if value is None else (value - EPOCH) // MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Return the moment of a stored number."""
        return None if value is None else EPOCH + value * MICROSECOND


class JSONRecord(TypeDecorator[Any]):
    """A dataclass or dictionary as JSON (NaN and infinities as null), read with `read_record`."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: object, dialect: Dialect) -> str:  # noqa: ARG002
        """Return the text to store; a dataclass gets its `schema_version`."""
        text = record_to_json(value)
        if not is_dataclass(value):
            return text
        return f'{{"schema_version":{RECORD_VERSION},{text[1:]}'


def in_microseconds(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return a column whose moments are read as stored numbers, to convert many at once."""
    if not isinstance(column.type, Moment):
        return column
    return type_coerce(column, BigInteger).label(column.key)


def record_to_json(record: object) -> str:
    """Return a record as JSON; NaN and infinities as null."""
    return to_json(record, inf_nan_mode="null").decode()


def read_record(text: str, kind: type[T], *, name: str) -> T:
    """Return the record of a `JSONRecord` column.

    Parameters
    ----------
    kind : type
        A dataclass, or a type such as ``dict[str, float]``.
    name : str
        The record's name in the error message.

    Raises
    ------
    StageError
        The text is not such a record.
    """
    try:
        if is_dataclass(kind):
            version = _type_adapter(_Versioned).validate_json(text).schema_version
            if version > RECORD_VERSION:
                raise StageError(
                    f"The record of {name} in the log's database has schema_version {version}, but"
                    f" this Evertune reads {RECORD_VERSION}: a newer one wrote it. Install that"
                    " release (`pip install -U evertune`)."
                )
        record: T = _type_adapter(kind).validate_json(text, strict=True)  # type: ignore[arg-type]
        return record
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(step) for step in first["loc"]) or "the record"
        raise StageError(
            f"The record of {name} in the log's database cannot be read: {field}:"
            f" {first['msg']}. No decision is based on it: correct that row, or remove it."
        ) from error


@dataclass
class _Versioned:
    schema_version: int = 1  # release 0.1 wrote none


@lru_cache
def _type_adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


METADATA = MetaData()


def _row_number() -> Column[int]:
    # SQLite numbers rows only in a column that is exactly INTEGER
    kind = BigInteger().with_variant(Integer, "sqlite")
    return Column("number", kind, primary_key=True, autoincrement=True)


# Every answered row: its id, when, by which version, the raw inputs and what was predicted.
PREDICTIONS = Table(
    "predictions",
    METADATA,
    Column("model", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("request_id", String, nullable=False),
    Column("identifier", String),
    Column("moment", Moment, nullable=False),
    Column("received", Moment, nullable=False),
    Column("version", String, nullable=False),
    Column("value", Double, nullable=False),
    Column("probabilities", Text),
    Column("inputs", Text, nullable=False),
    Index("predictions_by_moment", "model", "moment", "id"),
    Index("predictions_by_identifier", "model", "identifier", "moment"),
)
# What a version in shadow predicts of an id that another version answered.
SHADOWS = Table(
    "shadows",
    METADATA,
    Column("model", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("version", String, primary_key=True),
    Column("value", Double, nullable=False),
    Column("probabilities", Text),
)
# Labels of predictions as they came; of an id the latest counts.
LABELS = Table(
    "labels",
    METADATA,
    _row_number(),
    Column("model", String, nullable=False),
    Column("id", String, nullable=False),
    Column("moment", Moment, nullable=False),
    Column("value", String, nullable=False),
    Column("received", Moment, nullable=False),
    UniqueConstraint("model", "id", "moment", "value"),
)
# What monitoring decided, each a `MonitoringDecision`, written before it acts.
DECISIONS = Table(
    "decisions",
    METADATA,
    Column("model", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("moment", Moment, nullable=False),
    Column("action", String, nullable=False),
    Column("record", JSONRecord, nullable=False),
)
# Who carries a decision out: one run for each.
CLAIMS = Table(
    "claims",
    METADATA,
    Column("model", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("claimed_by", String, nullable=False),
    Column("moment", Moment, nullable=False),
)
# What came of decisions, each a `DecisionOutcome`.
OUTCOMES = Table(
    "outcomes",
    METADATA,
    _row_number(),
    Column("model", String, nullable=False),
    Column("id", String, nullable=False),
    Column("moment", Moment, nullable=False),
    Column("kind", String, nullable=False),
    Column("record", JSONRecord, nullable=False),
    UniqueConstraint("model", "id", "moment", "kind"),
)
# What gates and people decided about versions, each a `DecisionRecord`.
DECISION_RECORDS = Table(
    "records",
    METADATA,
    _row_number(),
    Column("model", String, nullable=False),
    Column("id", String, nullable=False),
    Column("moment", Moment, nullable=False),
    Column("act", String, nullable=False),
    Column("version", String, nullable=False),
    Column("record", JSONRecord, nullable=False),
    UniqueConstraint("model", "id"),
)
# The history of champions, counted by `number`; `previous` is the version before.
CHAMPIONS = Table(
    "champions",
    METADATA,
    Column("model", String, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("version", String, nullable=False),
    Column("previous", String),
    Column("moment", Moment, nullable=False),
    Column("record_id", String),
)
# Each use of a hold-out for a decision, which the next ones pay for.
HOLDOUT_USES = Table(
    "looks",
    METADATA,
    _row_number(),
    Column("model", String, nullable=False),
    Column("record_id", String, nullable=False),
    Column("moment", Moment, nullable=False),
    Column("record", JSONRecord, nullable=False),
    UniqueConstraint("model", "record_id"),
)
# What monitoring found in a window, so that it is computed once.
WINDOWS = Table(
    "windows",
    METADATA,
    Column("model", String, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("version", String, primary_key=True),
    Column("start", Moment, primary_key=True),
    Column("end", Moment, nullable=False),
    Column("record", JSONRecord, nullable=False),
)
