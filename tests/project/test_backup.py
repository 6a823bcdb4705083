import io
import json
import os
import re
import sqlite3
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from evertune.backup import RECORD_FILE, back_up, restore
from evertune.config.yaml_file import edit_section
from evertune.errors import InputError, UnsafeError
from evertune.registry.decision_log import DecisionLog
from evertune.registry.promotion import promote
from tests.support import production, versioned
from tests.support.projects import CHECKOUT, invoke

pytestmark = pytest.mark.slow
ROWS = production.rows(0, 1)


@pytest.fixture
def root(versions_root: Path) -> Path:
    """Return a project with versions, decisions, trials, and a log that is written to."""
    (versions_root / "data").mkdir(exist_ok=True)
    (versions_root / "data" / "trials.jsonl").write_text('{"number": 0}\n')
    store = versioned.store_of(versions_root)
    model = store.load_model(store.require_champion())
    production.served(versions_root, model, ROWS)
    promote(versions_root, "3", reason="a test", by="a", now=versioned.NOW)
    return versions_root


def contents(root: Path) -> dict[str, object]:
    """Return what a project has stored."""
    store = versioned.store_of(root)
    with production.log_of(root) as log:
        predictions = log.read(classes=("no", "yes"), with_inputs=True)
        records = DecisionLog(log).records()
    return {
        "aliases": store.aliases(),
        "versions": [(each.number, each.identity, each.facts) for each in store.versions()],
        "model": store.load_model(store.require_champion()).row_keys,
        "predictions": predictions.astype(str).to_dict("list"),  # NaN equals nothing
        "decisions": records,
        "trials": (root / "data" / "trials.jsonl").read_text(),
    }


def test_a_project_is_the_same_in_another_folder(root, tmp_path):
    (root / "state" / "ray.token").touch(mode=0o600)
    with sqlite3.connect(root / "state" / "predictions.db") as writer:
        writer.execute("BEGIN IMMEDIATE")  # as the service may at any moment
        writer.execute("DELETE FROM predictions")
        done = invoke(root, "backup", str(tmp_path / "copy.tar.gz"))
        writer.rollback()
    assert (done.exit_code, "MB" in done.output) == (0, True), done.output
    before = contents(root)
    root.rename(tmp_path / "gone")
    done = invoke(tmp_path, "restore", "copy.tar.gz", "again")
    assert done.exit_code == 0, done.output
    assert contents(tmp_path / "again") == before
    assert len(before["predictions"]["id"]) == len(ROWS)
    assert before["aliases"]["champion"] == "3"
    modes = [tmp_path / "copy.tar.gz", tmp_path / "again" / "state" / "ray.token"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in modes} == {0o600}


def test_what_lies_elsewhere_and_what_belongs_to_processes_is_left_out(root, tmp_path, monkeypatch):
    (root / ".dvc" / "tmp").mkdir(parents=True)
    for name in (".dvc/tmp/rwlock", "state/run.lock", "data/.x.part"):
        (root / name).write_text("")
    (tmp_path / "elsewhere").mkdir()
    (root / "large").symlink_to(tmp_path / "elsewhere")
    edit_section(root / "params.yaml", "scoring", {"log_variable": "LOG"})
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://runs.example")
    notes = back_up(root, tmp_path / "copy.tar.gz")
    assert [note.split()[0] for note in notes] == ["runs,", "the", "large"]
    with tarfile.open(tmp_path / "copy.tar.gz") as archive:
        names = archive.getnames()
    assert "params.yaml" in names
    assert {"large", ".dvc/tmp", "state/run.lock", "data/.x.part"}.isdisjoint(names)


def test_a_copy_does_not_go_into_the_project_or_over_files(root, tmp_path):
    with pytest.raises(InputError, match="expected a file outside the project"):
        back_up(root, root / "copy.tar.gz")
    back_up(root, tmp_path / "copy.tar.gz")
    with pytest.raises(InputError, match="expected an empty folder or none"):
        restore(tmp_path / "copy.tar.gz", root)


def test_a_damaged_database_is_not_copied(root, tmp_path):
    (tmp_path / "copy.tar.gz").write_text("the last good copy")
    with (root / "state" / "mlflow.db").open("r+b") as file:
        file.seek(100)
        file.write(os.urandom(20_000))
    with pytest.raises(UnsafeError, match=r"mlflow\.db cannot be copied: .*; no copy was written"):
        back_up(root, tmp_path / "copy.tar.gz")
    assert (tmp_path / "copy.tar.gz").read_text() == "the last good copy"


def planted(path: Path, name: str, *, version: int = 1, link: str = "") -> Path:
    """Write a copy with one more file, which shall not be laid out."""
    with tarfile.open(path, "w:gz") as archive:
        content = json.dumps({"schema_version": version}).encode()
        entry = tarfile.TarInfo(RECORD_FILE)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
        evil = tarfile.TarInfo(name)
        if link:
            evil.type, evil.linkname = tarfile.SYMTYPE, link
        archive.addfile(evil, io.BytesIO(b""))
    return path


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("../evil", {}, "outside the destination"),
        ("link", {"link": "/etc"}, "absolute path"),
        ("link", {"link": "../../etc"}, "outside the destination"),
        ("params.yaml", {"version": 2}, "but found 2"),
    ],
)
def test_a_hostile_or_newer_file_is_refused_and_nothing_written(tmp_path, name, options, words):
    file = planted(tmp_path / "copy.tar.gz", name, **options)
    with pytest.raises(InputError, match=words):
        restore(file, tmp_path / "again")
    assert [path.name for path in tmp_path.iterdir()] == ["copy.tar.gz"]


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08"])
def test_a_file_that_is_no_copy_is_refused(tmp_path, content):
    (tmp_path / "copy.tar.gz").write_bytes(content)
    with pytest.raises(InputError, match=r"copy\.tar\.gz cannot be restored"):
        restore(tmp_path / "copy.tar.gz", tmp_path / "again")


def test_half_a_copy_is_refused(root, tmp_path):
    file = tmp_path / "copy.tar.gz"
    back_up(root, file)
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(InputError, match="cannot be restored"):
        restore(file, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_the_line_of_the_documentation_works_as_it_stands(root, tmp_path):
    text = (CHECKOUT / "docs" / "formats.md").read_text()
    (line,) = re.findall(r"^\$ (evertune backup .*)$", text, re.M)
    line = line.replace("/backups", str(tmp_path))
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(CHECKOUT),
    }
    done = subprocess.run(
        ["bash", "-c", line], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "is the project as it was" in done.stdout
