"""The tables of every model: predictions, labels, windows, decisions, records and champions.

Moments are whole microseconds since 1970 in UTC, which SQLite and PostgreSQL compare, index and
hand over fastest.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NUMBER = BigInteger().with_variant(Integer, "sqlite")

TABLES = MetaData()
PREDICTIONS = Table(
    "predictions",
    TABLES,
    Column("model", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("request_id", String, nullable=False),
    Column("identifier", String),
    Column("moment", BigInteger, nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("version", String, nullable=False),
    Column("value", Double, nullable=False),
    Column("probabilities", Text),
    Column("inputs", Text, nullable=False),
    Index("predictions_by_moment", "model", "moment", "id"),
    Index("predictions_by_identifier", "model", "identifier", "moment"),
)
SHADOWS = Table(
    "shadows",
    TABLES,
    Column("model", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("version", String, primary_key=True),
    Column("value", Double, nullable=False),
    Column("probabilities", Text),
)
LABELS = Table(
    "labels",
    TABLES,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    Column("model", String, nullable=False),
    Column("id", String, nullable=False),
    Column("moment", BigInteger, nullable=False),
    Column("value", String, nullable=False),
    Column("received", BigInteger, nullable=False),
    UniqueConstraint("model", "id", "moment", "value"),
)
DECISIONS = Table(
    "decisions",
    TABLES,
    Column("model", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("moment", BigInteger, nullable=False),
    Column("action", String, nullable=False),
    Column("record", Text, nullable=False),
)
CLAIMS = Table(
    "claims",
    TABLES,
    Column("model", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("claimed_by", String, nullable=False),
    Column("moment", BigInteger, nullable=False),
)
OUTCOMES = Table(
    "outcomes",
    TABLES,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    Column("model", String, nullable=False),
    Column("id", String, nullable=False),
    Column("moment", BigInteger, nullable=False),
    Column("kind", String, nullable=False),
    Column("record", Text, nullable=False),
    UniqueConstraint("model", "id", "moment", "kind"),
)
RECORDS = Table(
    "records",
    TABLES,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    Column("model", String, nullable=False),
    Column("id", String, nullable=False),
    Column("moment", BigInteger, nullable=False),
    Column("act", String, nullable=False),
    Column("version", String, nullable=False),
    Column("record", Text, nullable=False),
    UniqueConstraint("model", "id"),
)
CHAMPIONS = Table(
    "champions",
    TABLES,
    Column("model", String, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("version", String, nullable=False),
    Column("previous", String),
    Column("moment", BigInteger, nullable=False),
    Column("record_id", String),
)
LOOKS = Table(
    "looks",
    TABLES,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    Column("model", String, nullable=False),
    Column("record_id", String, nullable=False),
    Column("moment", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
    UniqueConstraint("model", "record_id"),
)
WINDOWS = Table(
    "windows",
    TABLES,
    Column("model", String, primary_key=True),
    Column("kind", String, primary_key=True),
    Column("version", String, primary_key=True),
    Column("start", BigInteger, primary_key=True),
    Column("end", BigInteger, nullable=False),
    Column("record", Text, nullable=False),
)


def microseconds(moment: datetime) -> int:
    """Return an aware moment as the database keeps it.

    Examples
    --------
    >>> microseconds(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
    1000000
    """
    return (moment - EPOCH) // timedelta(microseconds=1)


def moment_of(count: int) -> datetime:
    """Return the aware moment of a number of microseconds.

    Examples
    --------
    >>> moment_of(1_000_000).isoformat()
    '1970-01-01T00:00:01+00:00'
    """
    return EPOCH + timedelta(microseconds=count)
