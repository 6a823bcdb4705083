"""The tables of release 0.1, whose databases have no version yet."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import BigInteger, Column, Double, Integer, String, Text, UniqueConstraint

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables and indexes that are missing."""
    number = BigInteger().with_variant(Integer, "sqlite")
    _create(
        "predictions",
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
    )
    for name, columns in (
        ("predictions_by_moment", ["model", "moment", "id"]),
        ("predictions_by_identifier", ["model", "identifier", "moment"]),
    ):
        op.create_index(name, "predictions", columns, if_not_exists=True)
    _create(
        "shadows",
        Column("model", String, primary_key=True),
        Column("id", String, primary_key=True),
        Column("version", String, primary_key=True),
        Column("value", Double, nullable=False),
        Column("probabilities", Text),
    )
    _create(
        "labels",
        Column("number", number, primary_key=True, autoincrement=True),
        Column("model", String, nullable=False),
        Column("id", String, nullable=False),
        Column("moment", BigInteger, nullable=False),
        Column("value", String, nullable=False),
        Column("received", BigInteger, nullable=False),
        UniqueConstraint("model", "id", "moment", "value"),
    )
    _create(
        "decisions",
        Column("model", String, primary_key=True),
        Column("id", String, primary_key=True),
        Column("moment", BigInteger, nullable=False),
        Column("action", String, nullable=False),
        Column("record", Text, nullable=False),
    )
    _create(
        "claims",
        Column("model", String, primary_key=True),
        Column("id", String, primary_key=True),
        Column("claimed_by", String, nullable=False),
        Column("moment", BigInteger, nullable=False),
    )
    _create(
        "outcomes",
        Column("number", number, primary_key=True, autoincrement=True),
        Column("model", String, nullable=False),
        Column("id", String, nullable=False),
        Column("moment", BigInteger, nullable=False),
        Column("kind", String, nullable=False),
        Column("record", Text, nullable=False),
        UniqueConstraint("model", "id", "moment", "kind"),
    )
    _create(
        "records",
        Column("number", number, primary_key=True, autoincrement=True),
        Column("model", String, nullable=False),
        Column("id", String, nullable=False),
        Column("moment", BigInteger, nullable=False),
        Column("act", String, nullable=False),
        Column("version", String, nullable=False),
        Column("record", Text, nullable=False),
        UniqueConstraint("model", "id"),
    )
    _create(
        "champions",
        Column("model", String, primary_key=True),
        Column("number", BigInteger, primary_key=True, autoincrement=False),
        Column("version", String, nullable=False),
        Column("previous", String),
        Column("moment", BigInteger, nullable=False),
        Column("record_id", String),
    )
    _create(
        "looks",
        Column("number", number, primary_key=True, autoincrement=True),
        Column("model", String, nullable=False),
        Column("record_id", String, nullable=False),
        Column("moment", BigInteger, nullable=False),
        Column("record", Text, nullable=False),
        UniqueConstraint("model", "record_id"),
    )
    _create(
        "windows",
        Column("model", String, primary_key=True),
        Column("kind", String, primary_key=True),
        Column("version", String, primary_key=True),
        Column("start", BigInteger, primary_key=True),
        Column("end", BigInteger, nullable=False),
        Column("record", Text, nullable=False),
    )


def _create(name: str, *parts: sa.schema.SchemaItem) -> None:
    op.create_table(name, *parts, if_not_exists=True)
