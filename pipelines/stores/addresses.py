"""Addresses of MLflow's stores, and whether they can be used before a client waits for minutes."""

import socket
import sys
import urllib.error
import urllib.request
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipelines.errors import BusyError, StageError, UnsafeError

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
ANSWER_SECONDS = 6.0
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


def without_secrets(address: str) -> str:
    """Return the address as it may be shown: without user and password, query and fragment."""
    parts = urlsplit(address)
    if not parts.hostname:
        return address
    place = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{place}{parts.path}"


def check_answers(address: str) -> None:
    """Return if the web server or database at the address answers; a file always does.

    Raises
    ------
    BusyError
        Nothing answers within ten seconds.
    """
    parts = urlsplit(address)
    if not parts.hostname:
        return
    try:
        if parts.scheme in ("http", "https"):
            _request(address)
        else:
            _connect(parts.hostname, parts.port or PORTS.get(parts.scheme.partition("+")[0]))
    except OSError as error:
        raise BusyError(
            f"expected an answer from {without_secrets(address)}, but got: {error};"
            " start that server or correct MLFLOW_TRACKING_URI, then run again"
        ) from error


def embedded_address(state: Path) -> str:
    """Return the address of the MLflow database below the project's `state` folder."""
    return f"sqlite:///{state / 'mlflow.db'}"


def check_database(state: Path) -> None:
    """Return if the MLflow database below `state` is one, or is not there yet.

    Raises
    ------
    UnsafeError
        The file is something else.
    """
    database = state / "mlflow.db"
    if not _is_sqlite(database):
        raise UnsafeError(
            f"expected an SQLite database, but {database} is not a database; nothing was changed:"
            " put a copy of it back, or move it away to start a new one"
        )


@cache
def _is_sqlite(database: Path) -> bool:
    """Whether a file is a database, empty, or not there; each is looked at once.

    That is before MLflow opens it: closing a file that SQLite has open in this process would take
    SQLite's locks away.
    """
    if not database.exists():
        return True
    with database.open("rb") as file:
        return file.read(16) in (b"", b"SQLite format 3\0")


def check_experiment(address: str, found: Any, *, artifacts: Path) -> None:
    """Return if MLflow's experiment can be used.

    Parameters
    ----------
    address : str
    found : mlflow.entities.Experiment
    artifacts : Path
        Where an embedded store keeps the files of runs.

    Raises
    ------
    StageError
        It was deleted.
    UnsafeError
        Its files lie elsewhere, since the addresses in the database are absolute.
    """
    if found.lifecycle_stage == "deleted":
        raise StageError(
            f"expected the MLflow experiment {found.name!r}, but it was deleted: restore it with"
            f" `mlflow experiments restore --experiment-id {found.experiment_id}`"
            " or change registry.name in params.yaml"
        )
    kept = found.artifact_location
    if address == embedded_address(artifacts.parent) and kept != artifacts.as_uri():
        raise UnsafeError(
            f"expected the files of MLflow's runs in {artifacts}, but the database says {kept}:"
            " the project was moved; move it back, or move its state folder away"
        )


def failure(address: str, error: Exception) -> BusyError | StageError:
    """Return what MLflow's error means to a user, without the secrets of the address."""
    place, text = without_secrets(address), str(error).replace(address, without_secrets(address))
    if "database is locked" in text or "API request to" in text:
        return BusyError(f"MLflow at {place} does not answer: {text}; run again later")
    return StageError(f"MLflow at {place} refuses: {text}")


def ui_command(state: Path, port: int) -> list[str]:
    """Return the command that shows the embedded store on this machine's port."""
    return [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--backend-store-uri", embedded_address(state)),
        *("--artifacts-destination", str(state / "artifacts")),
        *("--default-artifact-root", str(state / "artifacts")),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--allowed-hosts", f"127.0.0.1:{port},localhost:{port}"),
        *("--cors-allowed-origins", f"http://127.0.0.1:{port},http://localhost:{port}"),
    ]


def _request(address: str) -> None:
    try:
        urllib.request.urlopen(f"{address.rstrip('/')}/health", timeout=ANSWER_SECONDS).close()
    except urllib.error.HTTPError as error:
        error.close()  # it answers; whether it lets us in is for the client to find out


def _connect(host: str, port: int | None) -> None:
    if port is not None:
        socket.create_connection((host, port), timeout=ANSWER_SECONDS).close()
