"""Bring the tables of a log's database to the schema of this release (Alembic).

`versions` holds one file a revision. The first, `0001`, is what release 0.1 made: it creates only
what is missing, so that a database of 0.1, which has no version, becomes one of `0001` as it is.
Alembic is imported only where there is something to migrate.
"""

from pathlib import Path

from sqlalchemy import Connection, inspect

from evertune.errors import UnsafeError

SCRIPTS = Path(__file__).parent
VERSION_TABLE = "evertune_schema"  # its own: MLflow's tables may lie in the same database


def schema_revision(connection: Connection) -> str | None:
    """Return the revision of a database's tables, None for a new database or one of 0.1."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    revision = connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar()
    return None if revision is None else str(revision)


def upgrade_schema(connection: Connection, *, place: str, scripts: Path = SCRIPTS) -> None:
    """Bring the tables to the newest revision, inside the transaction of the connection.

    The caller sees to it that one process does so at a time.

    Raises
    ------
    UnsafeError
        A newer Evertune wrote the database.
    """
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    directory = ScriptDirectory(str(scripts))
    known = {revision.revision for revision in directory.walk_revisions()}
    current = schema_revision(connection)
    if current is not None and current not in known:
        raise UnsafeError(
            f"{place} has tables of revision {current}, but this Evertune knows only"
            f" {', '.join(sorted(known))}: a newer Evertune wrote it. Nothing was changed; install"
            " that release (`pip install -U evertune`)."
        )
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    missing = directory.iterate_revisions("head", current or "base")
    with Operations.context(context):
        for revision in reversed(list(missing)):
            revision.module.upgrade()
    context.stamp(directory, "head")
