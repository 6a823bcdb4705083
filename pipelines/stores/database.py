"""The database of the closed loop: one way to read it, one to write it, and what its failures mean.

Several models, and several processes, may share it.
"""

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    RootTransaction,
    Select,
    Table,
    create_engine,
    event,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from pipelines.errors import BusyError, EvertuneError, ParamsError, StageError, UnsafeError
from pipelines.stores.addresses import without_secrets
from pipelines.stores.log_tables import TABLES

FILE = "predictions.db"
PATIENCE_SECONDS = 20
RETRY_SECONDS = 0.02
AT_ONCE = 10_000  # values in one query; databases take some 30,000
CREATION = 8_305_061  # any number that nothing else on the server locks
BROKEN = ("not a database", "malformed")
UNWRITABLE = ("is full", "readonly", "unable to open", "No space left")
REFUSING = ("authentication failed", "no password supplied", "does not exist")


@dataclass(frozen=True, eq=False)
class Log:
    """The part of a database that belongs to one model.

    Attributes
    ----------
    engine : Engine
    model : str
        `registry.name`.
    """

    engine: Engine
    model: str


def log_address(variable: str | None) -> str | None:
    """Return the database's address from the environment, None where no variable is named.

    Raises
    ------
    ParamsError
        Where the variable is named and not set.
    """
    if variable is None:
        return None
    address = os.environ.get(variable)
    if not address:
        raise ParamsError(
            f"scoring.log_variable: the environment variable {variable} is not set; it has to hold"
            " the address of the log's database, such as postgresql://user@host/name. Set it, or"
            " write null to keep the log in SQLite."
        )
    return address


def open_log(state: Path, *, model: str, address: str | None = None) -> Log:
    """Return the log of a model, with its tables made if there are none yet.

    Parameters
    ----------
    state : Path
        The project's `state` folder; the log is a SQLite file in it where no address is given.
    model : str
    address : str, optional
        Of the database; it is never shown with its password.

    Raises
    ------
    BusyError
        The database does not answer, or is locked.
    UnsafeError
        The file is no database, or cannot be written.
    ParamsError
        The address cannot be read, or its driver is not installed.
    """
    engine = _engine(address) if address else _sqlite(state / FILE)
    log = Log(engine, model)
    with writing(log) as connection:
        if is_postgresql(log):
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({CREATION})")
        TABLES.create_all(connection)
    return log


def is_postgresql(log: Log) -> bool:
    """Tell whether the log lies in PostgreSQL, else it is SQLite."""
    return log.engine.dialect.name == "postgresql"


def close_log(log: Log) -> None:
    """Give back the log's connections."""
    log.engine.dispose()


@contextmanager
def opened_log(state: Path, *, model: str, variable: str | None) -> Iterator[Log]:
    """Give the log whose database the environment variable names, and close it in the end."""
    log = open_log(state, model=model, address=log_address(variable))
    try:
        yield log
    finally:
        close_log(log)


@contextmanager
def reading(log: Log) -> Iterator[Connection]:
    """Give a connection that sees one state of the database, whoever writes meanwhile."""
    # PostgreSQL would show every query of the block another state
    level = {"isolation_level": "REPEATABLE READ"} if is_postgresql(log) else {}
    with _told(log), log.engine.connect() as connection, _begun(connection, **level):
        yield connection


@contextmanager
def writing(log: Log) -> Iterator[Connection]:
    """Give a connection whose changes all take effect when the block ends, or none does.

    SQLite takes the right to write at once: a reader that turned writer half-way could fail.
    """
    with _told(log), log.engine.connect() as connection, _begun(connection, evertune_writes=True):
        yield connection


def insert_new(log: Log, table: Table) -> Any:
    """Return the statement that adds rows and leaves those that are there as they are.

    The `rowcount` of its result is the number of rows that are new.
    """
    added = _insert(log, table).on_conflict_do_nothing()
    return added.execution_options(preserve_rowcount=True)


def insert_or_replace(log: Log, table: Table, values: Sequence[str]) -> Any:
    """Return the statement that adds rows, or sets these values of those that are there."""
    statement = _insert(log, table)
    return statement.on_conflict_do_update(
        index_elements=list(table.primary_key),
        set_={name: statement.excluded[name] for name in values},
    )


def of_any(
    log: Log, query: Select[Any], column: Column[str], values: Iterable[str]
) -> Iterator[Select[Any]]:
    """Yield the query for the rows of the model whose column is one of the values, part by part."""
    wanted = list(dict.fromkeys(values))
    for first in range(0, len(wanted), AT_ONCE):
        some = column.in_(wanted[first : first + AT_ONCE])
        yield query.where(column.table.c.model == log.model, some)


def _begun(connection: Connection, **options: Any) -> RootTransaction:
    return connection.execution_options(**options).begin()


def _insert(log: Log, table: Table) -> Any:
    if is_postgresql(log):
        return postgresql.insert(table)
    return sqlite.insert(table)


def _check_file(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # closing a file that SQLite has open here would take SQLite's locks away, and break it
        if not (path.is_file() and os.access(path, os.W_OK)):
            path.open("ab").close()
    except OSError as error:
        raise UnsafeError(
            f"The prediction log {path} cannot be written: {error.strerror}. Make its folder"
            " writable, or name a database under scoring.log_variable."
        ) from error


def _sqlite(path: Path) -> Engine:
    _check_file(path)
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": PATIENCE_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # we begin transactions ourselves
    connection.execute(f"PRAGMA busy_timeout = {PATIENCE_SECONDS * 1000}")
    _write_ahead(connection)
    connection.execute("PRAGMA cache_size = -65536")  # 64 MB: whole logs are read at once
    # in WAL mode NORMAL loses nothing when the process is killed, however it is killed; a power
    # cut may lose the last commits, but leaves no broken file
    connection.execute("PRAGMA synchronous = NORMAL")


def _write_ahead(connection: Any) -> None:
    # a file changes its mode once; where two change it, SQLite refuses one without any patience
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(RETRY_SECONDS)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("evertune_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _engine(address: str) -> Engine:
    try:
        url = make_url(address)
    except (ArgumentError, ValueError) as error:
        raise ParamsError(_wrong_address("what it holds cannot be read")) from error
    if url.get_backend_name() == "sqlite" and url.database:
        return _sqlite(Path(url.database))
    if url.get_backend_name() != "postgresql":
        raise ParamsError(_wrong_address(f"found {url.get_backend_name()!r}"))
    return _postgresql(url)


def _postgresql(url: URL) -> Engine:
    try:
        return create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,  # a server that was started again is not noticed otherwise
            connect_args={"connect_timeout": PATIENCE_SECONDS},
        )
    except ImportError as error:
        raise ParamsError(
            "The log's address names PostgreSQL, whose driver is not installed: install"
            " evertune[postgres]."
        ) from error


def _wrong_address(found: str) -> str:
    return (
        "The address of the log's database must start with postgresql:// or sqlite:///, but"
        f" {found}; correct the variable that scoring.log_variable names."
    )


@contextmanager
def _told(log: Log) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise _failure(log, error) from error


def _failure(log: Log, error: DBAPIError) -> EvertuneError:
    place = f"The prediction log {without_secrets(str(log.engine.url))}"
    reason = _without_password(log, str(error.orig).strip().partition("\n")[0])
    if any(words in reason for words in BROKEN):
        return UnsafeError(
            f"{place} cannot be used: {reason}. Nothing was changed: put a copy of it back, or"
            " move it away to start a new one."
        )
    if any(words in reason for words in UNWRITABLE):
        return UnsafeError(f"{place} cannot be written: {reason}. Make room, or let us write.")
    if not isinstance(error, OperationalError):
        return StageError(f"{place} refused: {reason}.")
    if any(words in reason for words in REFUSING):
        return ParamsError(
            f"{place} does not let us in: {reason}. Correct the address in the variable that"
            " scoring.log_variable names."
        )
    return BusyError(f"{place} does not answer: {reason}. Try again once it does.")


def _without_password(log: Log, reason: str) -> str:
    password = log.engine.url.password
    return reason.replace(str(password), "...") if password else reason
