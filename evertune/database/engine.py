"""Open the log's database, run transactions on it, and name its failures.

SQLite (a file in `state`, in WAL mode) or PostgreSQL. Errors of the database become Evertune's and
never show the password.
"""

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Column, Connection, Engine, Select, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from evertune.database.migrations import schema_revision, upgrade_schema
from evertune.database.tables import SCHEMA_REVISION
from evertune.errors import BusyError, EvertuneError, ParamsError, StageError, UnsafeError
from evertune.messages import strip_credentials

DATABASE_FILE = "predictions.db"
TIMEOUT_SECONDS = 20
CONNECT_SECONDS = 8
RETRY_SECONDS = 0.02
MAX_QUERY_VALUES = 10_000  # values in one query; databases take some 30,000
UPGRADE_LOCK_ID = 8_305_061  # any number that nothing else on the server locks
CORRUPT_CODES = ("SQLITE_NOTADB", "SQLITE_CORRUPT", "XX001", "XX002")
UNWRITABLE_CODES = (
    "SQLITE_FULL",
    "SQLITE_READONLY",
    "SQLITE_CANTOPEN",
    "SQLITE_IOERR",
    "SQLITE_PERM",
    "25006",  # a read-only transaction
    "42501",  # no privilege
    "53100",  # the disk is full
)
REFUSED_CODES = ("28", "3D000")  # user and password; no such database
BUSY_CODES = ("SQLITE_BUSY", "SQLITE_LOCKED", "08", "40", "53", "55", "57", "58")
# libpq gives no code for a connection that was refused by the server, only its message
REFUSED_MESSAGES = ("authentication failed", "no password supplied", "does not exist")


class ModelLog:
    """The part of a database that belongs to one model; `with` closes its connections.

    Parameters
    ----------
    model : str
        `registry.name`.
    """

    def __init__(self, engine: Engine, model: str) -> None:
        self.engine, self.model = engine, model

    def __enter__(self) -> Self:
        """Return the log, which the end of the block closes."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.engine.dispose()

    @property
    def is_postgresql(self) -> bool:
        """Whether the log lies in PostgreSQL; otherwise it is SQLite."""
        return self.engine.dialect.name == "postgresql"

    def read_transaction(self) -> AbstractContextManager[Connection]:
        """Give a connection that sees one state of the database, whoever writes meanwhile."""
        # PostgreSQL would show every query of the block another state
        level = {"isolation_level": "REPEATABLE READ"} if self.is_postgresql else {}
        return self._transaction(**level)

    def write_transaction(self) -> AbstractContextManager[Connection]:
        """Give a connection whose changes all take effect when the block ends, or none does.

        SQLite takes the right to write at once: a reader that turned writer half-way could fail.
        """
        return self._transaction(evertune_writes=True)

    @contextmanager
    def _transaction(self, **options: Any) -> Iterator[Connection]:
        try:
            with (
                self.engine.connect() as connection,
                connection.execution_options(**options).begin(),
            ):
                yield connection
        except DBAPIError as error:
            raise _convert_error(self.engine, error) from error

    def insert_if_absent(self, table: Table) -> Any:
        """Return the statement that adds rows and leaves those that are there as they are.

        The `rowcount` of its result is the number of rows that are new.
        """
        added = self._insert(table).on_conflict_do_nothing()
        return added.execution_options(preserve_rowcount=True)

    def insert_or_replace(self, table: Table, values: Sequence[str]) -> Any:
        """Return the statement that adds rows, or sets these values of those that are there."""
        statement = self._insert(table)
        return statement.on_conflict_do_update(
            index_elements=list(table.primary_key),
            set_={name: statement.excluded[name] for name in values},
        )

    def _insert(self, table: Table) -> Any:
        return postgresql.insert(table) if self.is_postgresql else sqlite.insert(table)

    def select_in_batches(
        self, query: Select[Any], column: Column[str], values: Iterable[str]
    ) -> Iterator[Select[Any]]:
        """Yield the query for the model's rows whose column is one of the values, in parts."""
        wanted = list(dict.fromkeys(values))
        for first in range(0, len(wanted), MAX_QUERY_VALUES):
            some = column.in_(wanted[first : first + MAX_QUERY_VALUES])
            yield query.where(column.table.c.model == self.model, some)


def open_log(state: Path, *, model: str, address: str | None = None) -> ModelLog:
    """Return the log of a model; its tables are created, or brought to this release's schema.

    Parameters
    ----------
    state : Path
        The project's `state` folder; the log is a SQLite file in it if no address is given.
    address : str, optional
        Of the database; no message shows its password.

    Raises
    ------
    BusyError
        The database does not answer, or is locked.
    UnsafeError
        The file is no database, cannot be written, or a newer Evertune wrote it.
    ParamsError
        The address cannot be read, or its driver is not installed.
    """
    log = ModelLog(
        engine_of_url(address) if address else _sqlite_engine(state / DATABASE_FILE), model
    )
    with log.read_transaction() as connection:
        is_current = schema_revision(connection) == SCHEMA_REVISION
    if not is_current:
        with log.write_transaction() as connection:
            if log.is_postgresql:  # SQLite has one writer anyhow
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({UPGRADE_LOCK_ID})")
            upgrade_schema(connection, place=_place(log.engine))
    return log


def database_url(variable: str | None) -> str | None:
    """Return the database's address from the environment, None if no variable is named.

    Raises
    ------
    ParamsError
        The variable is named and not set.
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


def engine_of_url(address: str) -> Engine:
    """Return the engine of a database; ParamsError if the address cannot be used.

    A server that does not answer at all is given up: while it is connected to, and where it has
    gone from the network since.
    """
    wrong = (
        "The address of the log's database must start with postgresql:// or sqlite:///, but {};"
        " correct the variable that scoring.log_variable names."
    )
    try:
        url = make_url(address)
    except (ArgumentError, ValueError) as error:
        raise ParamsError(wrong.format("what it holds cannot be read")) from error
    kind = url.get_backend_name()
    if kind == "sqlite" and url.database:
        return _sqlite_engine(Path(url.database))
    if kind not in ("postgresql", "postgres"):
        raise ParamsError(wrong.format(f"found {kind!r}"))
    try:
        return create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,  # a server that was started again is not noticed otherwise
            connect_args={
                "connect_timeout": CONNECT_SECONDS,
                "tcp_user_timeout": TIMEOUT_SECONDS * 1000,
                "keepalives_idle": TIMEOUT_SECONDS,
                "keepalives_interval": CONNECT_SECONDS,
                "keepalives_count": 2,
            },
        )
    except ImportError as error:
        raise ParamsError(
            "The log's address names PostgreSQL, whose driver is not installed: install"
            " evertune[postgres]."
        ) from error


def _sqlite_engine(path: Path) -> Engine:
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
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": TIMEOUT_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # we begin transactions ourselves
    connection.execute(f"PRAGMA busy_timeout = {TIMEOUT_SECONDS * 1000}")
    _enable_wal(connection)
    connection.execute("PRAGMA cache_size = -65536")  # 64 MB: whole logs are read at once
    # in WAL mode NORMAL loses nothing when the process is killed, however it is killed; a power
    # cut may lose the last commits, but leaves no broken file
    connection.execute("PRAGMA synchronous = NORMAL")


def _enable_wal(connection: Any) -> None:
    # a file changes its mode once; if two processes change it, SQLite refuses one without waiting
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorname.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(RETRY_SECONDS)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("evertune_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _place(engine: Engine) -> str:
    return f"The prediction log {strip_credentials(str(engine.url))}"


def _convert_error(engine: Engine, error: DBAPIError) -> EvertuneError:
    """Return Evertune's error for one of the database, by SQLite's name for it or its SQLSTATE."""
    driver_error = error.orig
    reason = str(driver_error).strip().partition("\n")[0]
    if engine.url.password:
        reason = reason.replace(str(engine.url.password), "...")
    code: str = (
        getattr(driver_error, "sqlite_errorname", None)
        or getattr(driver_error, "sqlstate", None)
        or ""
    )
    place = _place(engine)
    if code.startswith(CORRUPT_CODES):
        return UnsafeError(
            f"{place} cannot be used: {reason}. Nothing was changed: restore it from a copy, or"
            " move it away to start a new one."
        )
    if code.startswith(UNWRITABLE_CODES):
        return UnsafeError(
            f"{place} cannot be written: {reason}. Free some space, or make it writable."
        )
    was_refused = any(words in reason for words in REFUSED_MESSAGES)
    if code.startswith(REFUSED_CODES) or (not code and was_refused):
        return ParamsError(
            f"{place} does not let us in: {reason}. Correct the address in the variable that"
            " scoring.log_variable names."
        )
    if code.startswith(BUSY_CODES) or (not code and isinstance(error, OperationalError)):
        return BusyError(f"{place} does not answer: {reason}. Try again once it does.")
    return StageError(f"{place} refused: {reason}.")
