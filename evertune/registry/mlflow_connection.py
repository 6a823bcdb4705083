"""The connection to MLflow: its address, its client, its errors, and the embedded database.

Unless MLFLOW_TRACKING_URI is set, MLflow's SQLite database and its artifacts are kept in the
project's `state` folder. `connect` checks the address before a client would wait for minutes,
and returns a client whose failures are Evertune's errors; a server of the project's own gets the
password that it asks for. Only `evertune.registry.mlflow_registry` uses the client; MLflow's own
active run is never used.

MLflow stores absolute places of artifacts. `relocate_artifacts` rewrites them when the embedded
database is opened in another folder than they name, so that a moved or copied project goes on.
"""

import os
import socket
import sqlite3
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache, cached_property, wraps
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from evertune.access import (
    MLFLOW,
    is_loopback,
    is_this_machine,
    kept_secret,
    make_secret,
    names_of_host,
    secret_path,
    write_private,
)
from evertune.errors import BusyError, EvertuneError, StageError, UnsafeError
from evertune.messages import strip_credentials

MLFLOW_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",  # seconds without a byte; by default 120
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
TIMEOUT_SECONDS = 6.0
DEFAULT_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
UNAVAILABLE_CODES = ("TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "DEADLINE_EXCEEDED")
UNUSABLE_DATABASE = (
    *("SQLITE_CANTOPEN", "SQLITE_CORRUPT", "SQLITE_FULL"),
    *("SQLITE_IOERR", "SQLITE_NOTADB", "SQLITE_READONLY"),
)
# Columns of MLflow's database that hold absolute places of artifacts.
ARTIFACT_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def embedded_address(state: Path) -> str:
    """Return the address of the MLflow database in the project's `state` folder."""
    return f"sqlite:///{state / 'mlflow.db'}"


def tracking_address(state: Path) -> str:
    """Return MLFLOW_TRACKING_URI, or the address of the embedded database."""
    return os.environ.get("MLFLOW_TRACKING_URI") or embedded_address(state)


def mlflow_ui_command(state: Path, port: int, host: str = "127.0.0.1") -> list[str]:
    """Return the command that shows the embedded store on a port.

    Beyond this machine it needs the environment of `mlflow_login`, and asks for a password.
    """
    names = [f"{name}:{port}" for name in names_of_host(host)]
    return [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--backend-store-uri", embedded_address(state)),
        *("--artifacts-destination", str(state / "artifacts")),
        *("--default-artifact-root", str(state / "artifacts")),
        *("--host", host, "--port", str(port), "--workers", "1"),
        *("--allowed-hosts", ",".join(names)),
        *("--cors-allowed-origins", ",".join(f"http://{name}" for name in names)),
        *(() if is_loopback(host) else ("--app-name", "basic-auth")),
    ]


def mlflow_login(state: Path) -> dict[str, str]:
    """Return the environment of an MLflow server that asks for a password, made at first use.

    The server keeps its users in a database of its own; without the file of the first one's
    password that is made anew.
    """
    folder = secret_path(state, MLFLOW).parent
    users, settings = folder / "mlflow-users.db", folder / "mlflow.ini"
    if kept_secret(state, MLFLOW) is None or not users.exists():
        write_private(users, "")
    user, _, password = make_secret(state, MLFLOW).partition(":")
    place = str(users).replace("%", "%%")  # % is a sign of these files
    lines = (
        "[mlflow]",
        "default_permission = NO_PERMISSIONS",
        f"database_uri = sqlite:///{place}",
        "auth_cache_ttl_seconds = 60",  # else every request costs the hash of a password
    )
    write_private(settings, "\n".join([*lines, ""]))
    return {
        "MLFLOW_AUTH_CONFIG_PATH": str(settings),
        "MLFLOW_AUTH_ADMIN_USERNAME": user,
        "MLFLOW_AUTH_ADMIN_PASSWORD": password,
        "MLFLOW_BASIC_AUTH_FAIL_CLOSED": "true",
        "MLFLOW_FLASK_SERVER_SECRET_KEY": make_secret(state, "mlflow-sessions"),
    }


def connect(state: Path) -> "TranslatingClient":
    """Return a client of the project's MLflow.

    Raises
    ------
    BusyError
        The server does not answer.
    UnsafeError
        The embedded database is not an SQLite database.
    """
    address = tracking_address(state)
    check_reachable(address)
    secret = kept_secret(state, MLFLOW)
    own = address.startswith("http") and is_this_machine(address)
    if secret and own and urlsplit(address).username is None:
        user, _, password = secret.partition(":")
        os.environ.setdefault("MLFLOW_TRACKING_USERNAME", user)
        os.environ.setdefault("MLFLOW_TRACKING_PASSWORD", password)
    if address == embedded_address(state):
        database = state / "mlflow.db"
        if not _is_sqlite(database):
            raise UnsafeError(
                f"expected an SQLite database, but {database} is not one; nothing was changed:"
                " put a copy of it back, or move it away to start a new one"
            )
        if database.is_file():
            with translating_sqlite_errors(address):
                relocate_artifacts(database, state / "artifacts")
    return TranslatingClient(address)


def check_reachable(address: str, *, variable: str = "MLFLOW_TRACKING_URI") -> None:
    """Check that the web server or database at the address answers; a file always does.

    Parameters
    ----------
    variable : str
        Of the environment, that names the address.
    """
    parts = urlsplit(address)
    if not parts.hostname:
        return
    try:
        if parts.scheme in ("http", "https"):
            url = f"{strip_credentials(address).rstrip('/')}/health"
            urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS).close()
        else:
            port = parts.port or DEFAULT_PORTS.get(parts.scheme.partition("+")[0])
            if port is not None:
                socket.create_connection((parts.hostname, port), TIMEOUT_SECONDS).close()
    except urllib.error.HTTPError as error:
        error.close()  # it answers; whether it lets us in is for the client to find out
    except OSError as error:
        raise BusyError(
            f"expected an answer from {strip_credentials(address)}, but got: {error};"
            f" start that server or correct {variable}, then run again"
        ) from error


def relocate_artifacts(database: Path, artifacts: Path) -> None:
    """Make the embedded database name the folder of artifacts that lies beside it.

    All places change in one transaction; doing it twice changes nothing.
    """
    new = artifacts.as_uri()
    with closing(sqlite3.connect(database, timeout=TIMEOUT_SECONDS)) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if "experiments" not in names:
            return
        stored = connection.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
        moved = [old for (old,) in stored if old and is_moved(old, artifacts)]
        if not moved:
            return
        connection.execute("BEGIN IMMEDIATE")
        for old in moved:
            for table, column in ARTIFACT_COLUMNS:
                if table in names:
                    connection.execute(
                        f"UPDATE {table} SET {column} = ? || substr({column}, ?)"
                        f" WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                        [new, len(old) + 1, old, len(old) + 1, f"{old}/"],
                    )
        connection.commit()


def is_moved(stored: str, artifacts: Path) -> bool:
    """Return whether a stored place of artifacts is where their folder was before a move."""
    new = artifacts.as_uri()
    ending = "/".join(Path(new).parts[-2:])
    if stored == new or not (stored.startswith("file://") and stored.endswith(f"/{ending}")):
        return False
    old = Path(urllib.request.url2pathname(urlsplit(stored).path))
    # The same folder under two names, such as by a symbolic link, was not moved.
    return not (old.exists() and artifacts.exists() and old.samefile(artifacts))


@cache
def _is_sqlite(database: Path) -> bool:
    """Return whether a file is an SQLite database, empty, or not there; read once per process.

    Once MLflow has opened it, closing another handle of the file in this process would take
    SQLite's locks away.
    """
    if not database.exists():
        return True
    with database.open("rb") as file:
        return file.read(16) in (b"", b"SQLite format 3\0")


class TranslatingClient:
    """MLflow's client for one address; its failures are raised as Evertune's errors.

    MLflow, whose import takes seconds, is imported at the first call. `search` collects all pages
    of one of the client's `search_*` methods.
    """

    def __init__(self, address: str) -> None:
        os.environ.pop("MLFLOW_RUN_ID", None)  # nested runs would overwrite the run that it names
        for name, value in MLFLOW_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        self.address = address

    @cached_property
    def _client(self) -> Any:
        from mlflow import MlflowClient

        return translating_errors(self.address, MlflowClient)(tracking_uri=self.address)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return a method of MLflow's client."""
        return translating_errors(self.address, getattr(self._client, name))

    def search(self, method: str, *args: Any, page_size: int = 1000, **kwargs: Any) -> list[Any]:
        """Return every result of a `search_*` method, such as `search_runs`."""
        from mlflow.utils import get_results_from_paginated_fn

        def page(size: int, token: str | None) -> Any:
            return getattr(self, method)(*args, max_results=size, page_token=token, **kwargs)

        return list(get_results_from_paginated_fn(page, page_size))

    def fetch_artifacts(self, uri: str, *, folder: Path) -> Path:
        """Copy the files at `uri` to a place in `folder` and return that place."""
        from mlflow.artifacts import download_artifacts

        fetch = translating_errors(self.address, download_artifacts)
        return Path(fetch(artifact_uri=uri, dst_path=str(folder), tracking_uri=self.address))


def translating_errors(address: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of MLflow that raises Evertune's errors."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import DBAPIError

        try:
            return function(*args, **kwargs)
        except (MlflowException, DBAPIError) as error:
            raise convert_error(address, error) from error

    return call


def convert_error(address: str, error: Exception) -> EvertuneError:
    """Return the Evertune error for a failure of MLflow, without the secrets of the address.

    The kind is told by exception types and error codes: no answer, an unavailable server or a
    locked database is a BusyError, an unusable database file an UnsafeError.
    """
    from requests import RequestException
    from sqlalchemy.exc import DBAPIError, OperationalError

    place = strip_credentials(address)
    text = str(error).replace(address, place)
    cause = error if isinstance(error, DBAPIError) else error.__cause__ or error.__context__
    if isinstance(cause, DBAPIError):
        name = getattr(cause.orig, "sqlite_errorname", "")  # such as SQLITE_READONLY_DBMOVED
        if not name and isinstance(cause, OperationalError):
            return BusyError(f"MLflow at {place} does not answer: {text}; run again later")
        return _database_error(place, name, text)
    code = getattr(error, "error_code", None)
    if code in UNAVAILABLE_CODES or isinstance(cause, RequestException):
        return BusyError(f"MLflow at {place} does not answer: {text}; run again later")
    return StageError(f"MLflow at {place} refuses: {text}")


@contextmanager
def translating_sqlite_errors(address: str) -> Iterator[None]:
    """Raise Evertune's errors where the embedded database is read or written without MLflow."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        raise _database_error(strip_credentials(address), name, str(error)) from error


def _database_error(place: str, sqlite_name: str, text: str) -> EvertuneError:
    if sqlite_name.startswith(UNUSABLE_DATABASE):
        return UnsafeError(
            f"the MLflow database at {place} cannot be used: {text}; nothing was changed:"
            " make room or make it writable, or put a copy of it back"
        )
    if sqlite_name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return BusyError(f"MLflow at {place} does not answer: {text}; run again later")
    return StageError(f"MLflow at {place} refuses: {text}")


def error_code(error: EvertuneError) -> str | None:
    """Return MLflow's code of a translated failure, such as RESOURCE_ALREADY_EXISTS."""
    return getattr(error.__cause__, "error_code", None)
