"""Look at a log without changing it: no migration, and beside an SQLite file no other."""

import sqlite3
from pathlib import Path

from sqlalchemy import create_engine, inspect
from sqlalchemy.pool import NullPool

from evertune.database.engine import ModelLog, engine_of_url
from evertune.database.migrations import SCRIPTS, schema_revision
from evertune.database.tables import PREDICTIONS, SCHEMA_REVISION


def read_only_log(path: Path, model: str) -> ModelLog:
    """Return the log of a model, only to read; its tables are as they are."""
    return ModelLog(
        create_engine("sqlite://", creator=lambda: connect_read_only(path), poolclass=NullPool),
        model,
    )


def server_log(address: str, model: str) -> ModelLog:
    """Return the log of a model on a server; its tables are as they are."""
    return ModelLog(engine_of_url(address), model)


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Return a connection that writes nothing.

    SQLite makes files beside a database in WAL mode even for a reader; it does not where it is told
    that nobody writes, which is so while there is no file of unfinished writes.
    """
    is_written = path.with_name(f"{path.name}-wal").exists()
    mode = "mode=ro" if is_written else "mode=ro&immutable=1"
    return sqlite3.connect(f"{path.as_uri()}?{mode}", uri=True, timeout=10.0)


def integrity_fault(path: Path) -> str | None:
    """Return what SQLite finds wrong with a file, None where it finds nothing."""
    try:
        connection = connect_read_only(path)
        try:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if found == "ok" else str(found)


def log_revision(log: ModelLog) -> str | None:
    """Return the revision of a log's tables; None for a log without one, as those of 0.1."""
    with log.read_transaction() as connection:
        return schema_revision(connection)


def has_tables(log: ModelLog) -> bool:
    """Return whether a database has a log's tables at all."""
    with log.read_transaction() as connection:
        return inspect(connection).has_table(PREDICTIONS.name)


def is_newest_revision(revision: str | None) -> bool:
    """Return whether tables are those of this release."""
    return revision == SCHEMA_REVISION


def known_revisions() -> frozenset[str]:
    """Return the revisions that this release can migrate from."""
    return frozenset(
        path.name.partition("_")[0] for path in (SCRIPTS / "versions").glob("[0-9]*.py")
    )
