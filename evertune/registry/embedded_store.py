"""Read the project's embedded MLflow database without importing MLflow.

Importing MLflow and opening its SQLite database take about three seconds, most of what `evertune
status`, `history` and `models` would take. `EmbeddedStore` answers what these commands ask, by
reading the database file itself. It reads only databases whose schema is one of `KNOWN_SCHEMAS`,
tables that it was tested with (`embedded_store` returns None for any other), and it writes nothing.
Where MLflow has been imported already, its own client is at hand and is used.
"""

import sqlite3
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from evertune.registry.mlflow_connection import translating_sqlite_errors
from evertune.registry.run_page import DATA_PREFIX

KNOWN_SCHEMAS = frozenset({"dc11669786a5"})  # of MLflow's migrations; this one is of MLflow 3.17
DELETED_STAGE = "Deleted_Internal"
PATIENCE_SECONDS = 10.0  # for a process that is writing


@dataclass(frozen=True)
class StoredExperiment:
    """An experiment that was not deleted."""

    experiment_id: str
    tags: dict[str, str]


@dataclass(frozen=True)
class StoredVersion:
    """A registered version, with the tags and the last metrics of its run."""

    number: str
    run_id: str
    created_milliseconds: int
    source: str
    tags: dict[str, str]
    run_values: dict[str, str]
    metrics: dict[str, float]


@dataclass(frozen=True)
class StoredRun:
    """A run: `status` in MLflow's words, the time in milliseconds since 1970."""

    run_id: str
    title: str
    status: str
    started_milliseconds: int


def embedded_store(database: Path) -> "EmbeddedStore | None":
    """Return a reader of an MLflow database, or None if MLflow's client has to read it."""
    if "mlflow" in sys.modules or not database.is_file():
        return None
    store = EmbeddedStore(database)
    return store if store.schema() in KNOWN_SCHEMAS else None


class EmbeddedStore:
    """Reads one database; every call opens it anew, so that changes by others are seen."""

    def __init__(self, database: Path) -> None:
        self.database = database

    def schema(self) -> str | None:
        """Return the revision of the tables, None in an empty database."""
        with self._cursor() as cursor:
            if not cursor.execute(
                "SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'"
            ).fetchone():
                return None
            found = cursor.execute("SELECT version_num FROM alembic_version").fetchone()
            return None if found is None else str(found[0])

    def experiment(self, name: str) -> StoredExperiment | None:
        """Return an experiment by its name; None if there is none, or it was deleted."""
        with self._cursor() as cursor:
            found = cursor.execute(
                "SELECT experiment_id FROM experiments"
                " WHERE name = ? AND lifecycle_stage = 'active'",
                [name],
            ).fetchone()
            if found is None:
                return None
            tags = cursor.execute(
                "SELECT key, value FROM experiment_tags WHERE experiment_id = ?", found
            ).fetchall()
        return StoredExperiment(str(found[0]), dict(tags))

    def aliases(self, name: str) -> dict[str, str]:
        """Return the version that has each alias of a registered model."""
        with self._cursor() as cursor:
            found = cursor.execute(
                "SELECT alias, version FROM registered_model_aliases WHERE name = ?", [name]
            ).fetchall()
        return {alias: str(number) for alias, number in found}

    def versions(self, name: str) -> tuple[StoredVersion, ...]:
        """Return the versions of a registered model, oldest first."""
        with self._cursor() as cursor:
            found = cursor.execute(
                "SELECT version, run_id, creation_time, source FROM model_versions"
                " WHERE name = ? AND current_stage != ? ORDER BY version",
                [name, DELETED_STAGE],
            ).fetchall()
            tags = _grouped(
                cursor.execute(
                    "SELECT version, key, value FROM model_version_tags WHERE name = ?", [name]
                )
            )
            of_its_runs = (
                "WHERE run_uuid IN (SELECT run_id FROM model_versions"
                " WHERE name = ? AND current_stage != ?)"
            )
            values = _grouped(
                cursor.execute(
                    "SELECT run_uuid, key, value FROM params"
                    f" {of_its_runs} AND key LIKE '{DATA_PREFIX}%'"
                    f" UNION ALL SELECT run_uuid, key, value FROM tags {of_its_runs}",
                    2 * [name, DELETED_STAGE],
                )
            )
            metrics = _grouped(
                cursor.execute(
                    "SELECT run_uuid, key, CASE WHEN is_nan THEN 'nan' ELSE value END"
                    f" FROM latest_metrics {of_its_runs}",
                    [name, DELETED_STAGE],
                )
            )
        return tuple(
            StoredVersion(
                number=str(number),
                run_id=run_id or "",
                created_milliseconds=created,
                source=source or "",
                tags=tags.get(number, {}),
                run_values=values.get(run_id, {}),
                metrics={key: float(value) for key, value in metrics.get(run_id, {}).items()},
            )
            for number, run_id, created, source in found
        )

    def artifact_folder(self, run_id: str) -> Path | None:
        """Return the folder of a run's artifacts; None if it is not on this machine."""
        with self._cursor() as cursor:
            query = "SELECT artifact_uri FROM runs WHERE run_uuid = ?"
            found = cursor.execute(query, [run_id]).fetchone()
        place = urlsplit(found[0] or "") if found else None
        return Path(url2pathname(place.path)) if place and place.scheme == "file" else None

    def has_run(self, run_id: str) -> bool:
        """Return whether there is a run with this id that was not deleted."""
        with self._cursor() as cursor:
            query = "SELECT 1 FROM runs WHERE run_uuid = ? AND lifecycle_stage = 'active'"
            return cursor.execute(query, [run_id]).fetchone() is not None

    def last_run(self, experiment_id: str, *, tag: str) -> StoredRun | None:
        """Return the newest run of an experiment that has a tag, None if there is none."""
        with self._cursor() as cursor:
            found = cursor.execute(
                "SELECT run_uuid, name, status, start_time FROM runs"
                " WHERE experiment_id = ? AND lifecycle_stage = 'active'"
                " AND run_uuid IN (SELECT run_uuid FROM tags WHERE key = ?)"
                " ORDER BY start_time DESC, run_uuid LIMIT 1",
                [int(experiment_id), tag],
            ).fetchone()
        return None if found is None else StoredRun(*found)

    def unfinished_runs(self, name: str, *, tags: Sequence[str]) -> tuple[StoredRun, ...]:
        """Return the runs of an experiment that read RUNNING and have one of some tags."""
        marks = ", ".join("?" for _ in tags)
        with self._cursor() as cursor:
            found = cursor.execute(
                "SELECT r.run_uuid, r.name, r.status, r.start_time FROM runs r"
                " JOIN experiments e ON e.experiment_id = r.experiment_id"
                " WHERE e.name = ? AND r.lifecycle_stage = 'active' AND r.status = 'RUNNING'"
                f" AND r.run_uuid IN (SELECT run_uuid FROM tags WHERE key IN ({marks}))",
                [name, *tags],
            ).fetchall()
        return tuple(StoredRun(*row) for row in found)

    def newest_milliseconds(self) -> int:
        """Return when the newest run or version was made, in milliseconds since 1970."""
        with self._cursor() as cursor:
            (newest,) = cursor.execute(
                "SELECT max(moment) FROM (SELECT start_time AS moment FROM runs"
                " UNION ALL SELECT creation_time FROM model_versions)"
            ).fetchone()
        return int(newest or 0)

    def artifact_places(self) -> tuple[str, ...]:
        """Return the places under which experiments keep their artifacts."""
        with self._cursor() as cursor:
            found = cursor.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
        return tuple(place for (place,) in found if place)

    @contextmanager
    def _cursor(self) -> Iterator[sqlite3.Cursor]:
        address = f"{self.database.as_uri()}?mode=ro"
        with (
            translating_sqlite_errors(f"sqlite:///{self.database}"),
            closing(sqlite3.connect(address, uri=True, timeout=PATIENCE_SECONDS)) as connection,
        ):
            yield connection.cursor()


def _grouped(rows: Iterable[tuple[Any, str, Any]]) -> dict[Any, dict[str, Any]]:
    """Return names and values by what they belong to, which is the first of each row."""
    found: dict[Any, dict[str, Any]] = {}
    for owner, name, value in rows:
        found.setdefault(owner, {})[name] = value
    return found
