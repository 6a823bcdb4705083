import shutil
import sqlite3
import subprocess
import sys
from contextlib import ExitStack

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from evertune.database import open_log
from evertune.database.migrations import SCRIPTS, VERSION_TABLE, schema_revision, upgrade_schema
from evertune.database.tables import METADATA, SCHEMA_REVISION
from evertune.errors import UnsafeError
from evertune.registry.decision_log import DecisionLog
from tests.support.logs import CLASSES, NEW_YEAR, append, logged, prediction_log

SECOND_REVISION = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade():
    op.add_column("predictions", sa.Column("country", sa.String, server_default="unknown"))
"""


def migrated(log):
    with log.read_transaction() as connection:
        return schema_revision(connection)


def test_the_newest_revision_is_the_one_that_the_tables_name():
    assert ScriptDirectory(str(SCRIPTS)).get_current_head() == SCHEMA_REVISION


def test_a_new_log_has_exactly_the_tables_of_this_release(log):
    with log.read_transaction() as connection:
        differences = compare_metadata(
            MigrationContext.configure(
                connection,
                opts={
                    "include_name": lambda name, kind, _: (kind, name) != ("table", VERSION_TABLE)
                },
            ),
            METADATA,
        )
    assert differences == []
    assert migrated(log) == SCHEMA_REVISION


def test_the_log_of_release_0_1_is_opened_with_its_rows(golden_project):
    with open_log(golden_project / "state", model="orders") as log:
        assert migrated(log) == SCHEMA_REVISION
        frame = prediction_log(log).read(classes=CLASSES)
        assert (len(frame), int(frame["truth"].notna().sum())) == (165, 150)
        assert [record.version for record in DecisionLog(log).records()] == ["1", "2"]
        assert [each.id for each in DecisionLog(log).unclaimed_decisions()] == ["a908ea0085a4f4ba"]


def test_an_older_log_is_migrated_with_its_rows(log, tmp_path):
    append(log, logged("a"))
    scripts = shutil.copytree(SCRIPTS, tmp_path / "scripts")
    (scripts / "versions" / "0002_country.py").write_text(SECOND_REVISION)
    with log.write_transaction() as connection:
        upgrade_schema(connection, place="The log", scripts=scripts)
        upgrade_schema(connection, place="The log", scripts=scripts)
        query = text("SELECT id, country FROM predictions WHERE model = :model")
        assert connection.execute(query, {"model": log.model}).all() == [("a", "unknown")]
        assert schema_revision(connection) == "0002"
        connection.rollback()  # the tests share one PostgreSQL
    assert migrated(log) == "0001"


def test_a_log_of_a_newer_release_is_refused_and_stays_as_it_is(tmp_path):
    open_log(tmp_path, model="churn").close()
    with sqlite3.connect(tmp_path / "predictions.db") as other:
        other.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9001'")
    other.close()
    before = (tmp_path / "predictions.db").read_bytes()
    with pytest.raises(UnsafeError, match=r"revision 9001, but .* a newer Evertune wrote it"):
        open_log(tmp_path, model="churn")
    assert (tmp_path / "predictions.db").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("older", [False, True])
def test_several_processes_may_open_a_log_at_once(address, tmp_path, older):
    if older:
        url = address.replace("postgresql:", "postgresql+psycopg:")
        engine = create_engine(url)
        METADATA.create_all(engine)  # as release 0.1 did, without a version
        with engine.begin() as connection:
            connection.execute(text(f"DROP TABLE IF EXISTS {VERSION_TABLE}"))
        engine.dispose()
    code = "import sys, pathlib; from evertune.database import open_log\n"
    code += "print('ready', flush=True); sys.stdin.read()\n"  # all have imported, and begin at once
    code += "open_log(pathlib.Path(sys.argv[1]), model='churn', address=sys.argv[2])"
    command = [sys.executable, "-c", code, str(tmp_path), address]
    with ExitStack() as stack:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        started = [stack.enter_context(subprocess.Popen(command, **pipes)) for _ in range(4)]
        assert [process.stdout.readline() for process in started] == [b"ready\n"] * 4
        for process in started:
            process.stdin.close()
        assert [process.wait(120) for process in started] == [0] * 4
    with open_log(tmp_path, model="churn", address=address) as log:
        assert migrated(log) == SCHEMA_REVISION
        assert prediction_log(log).read(NEW_YEAR, classes=CLASSES).empty
