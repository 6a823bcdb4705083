import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from evertune.config.loader import load_params
from evertune.errors import UnsafeError
from evertune.registry.embedded_store import KNOWN_SCHEMAS, EmbeddedStore, embedded_store
from evertune.registry.mlflow_registry import open_registry
from tests.support import versioned
from tests.support.registries import client_of

pytestmark = pytest.mark.slow

READ_IN_A_FRESH_PROCESS = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from evertune.config.loader import load_params
from evertune.errors import UnsafeError
from evertune.registry.mlflow_registry import open_registry

registry = open_registry(load_params(Path.cwd()))
found = [*registry.versions(), registry.find("champion"), registry.find("9"), registry.last_run()]
print(json.dumps([registry.aliases(), *(each and asdict(each) for each in found)]))
assert ("mlflow" in sys.modules) == (sys.argv[1] == "mlflow")
"""


def read(root: Path, reader: str) -> list[object]:
    before = "import mlflow\n" if reader == "mlflow" else ""
    command = [sys.executable, "-c", before + READ_IN_A_FRESH_PROCESS, reader]
    return json.loads(subprocess.check_output(command, cwd=root, text=True))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored")
    return versioned.project(folder, versioned.learned(folder))


def test_it_reads_what_the_client_of_mlflow_reads(root):
    registry = open_registry(load_params(root))  # tags the experiment with the project's id
    client_of(registry).delete_model_version(registry.name, "3")
    found = read(root, "embedded")
    assert found == read(root, "mlflow")
    assert [each["number"] for each in found[1:3]] == ["1", "2"]


def test_the_schema_of_the_installed_mlflow_is_known(root):
    assert EmbeddedStore(root / "state" / "mlflow.db").schema() in KNOWN_SCHEMAS


def test_another_schema_and_no_file_are_left_to_mlflow_and_a_torn_one_is_refused(
    tmp_path, monkeypatch
):
    monkeypatch.delitem(sys.modules, "mlflow", raising=False)
    database = tmp_path / "mlflow.db"
    assert embedded_store(database) is None
    database.write_bytes(b"SQLite format 3\0 torn")
    with pytest.raises(UnsafeError, match="put a copy of it back"):
        embedded_store(database)
    database.unlink()
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('of another release')")
    connection.close()
    assert embedded_store(database) is None


def test_a_database_that_cannot_be_read_is_one_error_that_says_what_to_do(root, tmp_path):
    database = tmp_path / "mlflow.db"
    database.write_bytes((root / "state" / "mlflow.db").read_bytes()[:100_000])
    with pytest.raises(UnsafeError, match=r"cannot be used: database disk image is malformed"):
        EmbeddedStore(database).versions("churn")


def test_a_deleted_run_is_no_run(root):
    registry = open_registry(load_params(root))
    (run_id, *_) = {each.run_id for each in registry.versions()}
    store = EmbeddedStore(root / "state" / "mlflow.db")
    assert store.has_run(run_id)
    client_of(registry).delete_run(run_id)
    assert not store.has_run(run_id)
    assert not registry.has_run(run_id)
    client_of(registry).restore_run(run_id)
