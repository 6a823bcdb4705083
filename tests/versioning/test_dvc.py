import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from dvc.repo import Repo

from evertune.errors import BusyError, StageError, UnsafeError
from evertune.versioning import dvc
from evertune.versioning.rwlock import set_aside_stale_lock
from tests.support.projects import copied_with_dvc

pytestmark = pytest.mark.slow
STAGES = """stages:
  late:
    cmd: "true"
    deps: [data/early.txt]
    outs: [data/late]
  early:
    cmd: "true"
    params: [data]
    deps: [data/raw.txt]
    outs: [data/early.txt]
"""


@pytest.fixture(scope="module")
def new_project(tmp_path_factory):
    """Return a DVC project without a version, to be read only."""
    folder = tmp_path_factory.mktemp("new") / "project"
    (folder / "data").mkdir(parents=True)
    (folder / "dvc.yaml").write_text(STAGES)
    (folder / "params.yaml").write_text("data:\n  target: churned\n")
    (folder / "data/raw.txt").write_text("rows")
    dvc.ensure_project(folder)
    return folder


@pytest.fixture
def root(tmp_path, new_project):
    return copied_with_dvc(new_project, tmp_path / "project")


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    command = ["git", *identity, *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def made(root: Path, *, text: str = "early") -> None:
    (root / "data/early.txt").write_text(text)
    dvc.commit_stage(root, "early")


def test_stages_come_in_the_order_of_the_work(root):
    assert dvc.list_stages(root) == ("early", "late")


def test_a_project_may_get_git_later(root):
    git(root, "init")
    before = (root / ".dvc/config.local").read_text()
    assert "analytics = False" in (root / ".dvc/config").read_text()
    dvc.ensure_project(root)
    assert "no_scm = True" in before
    assert "no_scm = False" in (root / ".dvc/config.local").read_text()


def test_a_project_in_a_part_of_a_git_checkout_works(tmp_path):
    git(tmp_path, "init")
    (tmp_path / "part").mkdir()
    dvc.ensure_project(tmp_path / "part")
    assert dvc.list_stages(tmp_path / "part") == ()


def test_a_project_in_a_folder_that_git_ignores_is_kept_without_git(tmp_path):
    git(tmp_path, "init")
    (tmp_path / ".gitignore").write_text("/state/\n")
    project = tmp_path / "state" / "replay" / "churn"
    project.mkdir(parents=True)
    dvc.ensure_project(project)
    assert "no_scm = True" in (project / ".dvc/config.local").read_text()
    assert dvc.list_stages(project) == ()


@pytest.mark.parametrize(
    "name", ["jürgen's #1 (50 %)", 'say "hi", %(home)s', "e\u0301té 😀", "a b"]
)
def test_a_folder_may_have_any_name_that_the_disk_takes(new_project, tmp_path, name):
    root = shutil.copytree(new_project, tmp_path / name / "project", symlinks=True)
    dvc.ensure_project(root)  # its settings named the folder that it comes from
    assert str(new_project) not in (root / ".dvc/config.local").read_text(encoding="utf-8")
    checkout = shutil.copytree(root, root / "state" / "checkout")
    dvc.ensure_project(checkout)
    dvc.share_cache(checkout, root)
    made(checkout)
    assert dvc.cache_folder(checkout) == dvc.cache_folder(root)
    assert dvc.is_stage_current(checkout, "early")
    with Repo(str(checkout)) as repo:  # as the command `dvc` reads the settings
        assert repo.status([f"{checkout}/dvc.yaml:early"]) == {}


@pytest.mark.parametrize("name", ["me@work", "{x}", "back\\slash", "two\nlines", "caf\udce9"])
def test_a_folder_whose_path_misleads_dvc_is_refused_and_nothing_is_written(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(UnsafeError, match="expected a folder w"):
        dvc.ensure_project(tmp_path / name)
    assert list((tmp_path / name).iterdir()) == []


def test_a_project_whose_dvc_folder_alone_git_ignores_is_refused(tmp_path):
    git(tmp_path, "init")
    (tmp_path / ".gitignore").write_text(".dvc\n")
    with pytest.raises(StageError, match="DVC cannot keep versions in"):
        dvc.ensure_project(tmp_path)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("data/raw.txt", "other rows"),
        ("data/early.txt", "by hand"),
        ("params.yaml", "data:\n  target: left\n"),
    ],
)
def test_a_stage_is_current_from_its_commit_to_the_next_change(root, path, text):
    assert not dvc.is_stage_current(root, "early")
    made(root)
    assert dvc.is_stage_current(root, "early")
    (root / path).write_text(text)
    assert not dvc.is_stage_current(root, "early")


def test_dvc_itself_agrees_on_a_commit_made_from_elsewhere(root, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    made(root)
    with Repo(str(root)) as repo:
        assert repo.status([f"{root}/dvc.yaml:early"]) == {}
    assert Path.cwd() == tmp_path / "elsewhere"


def test_hashes_change_with_files_and_parameters(root):
    before = dvc.dependency_hashes(root, "early")
    (root / "data/raw.txt").write_text("other rows")
    (root / "params.yaml").write_text("data:\n  target: left\n")
    after = dvc.dependency_hashes(root, "early")
    assert before.keys() == after.keys() == {"data/raw.txt", "params.yaml"}
    assert all(before[name] != after[name] for name in before)


def test_a_dependency_that_is_not_there_is_named(root):
    with pytest.raises(StageError, match=r"data/early\.txt to exist, but it does not"):
        dvc.dependency_hashes(root, "late")


def test_an_unknown_stage_is_named(root):
    with pytest.raises(StageError, match="'latest' not found"):
        dvc.is_stage_current(root, "latest")


def test_a_folder_has_a_hash_that_says_so(root):
    made(root)
    (root / "data/late").mkdir()
    (root / "data/late/a.txt").write_text("a")
    dvc.commit_stage(root, "late")
    assert dvc.output_hash(root, root / "data/late").endswith(".dir")


def test_what_was_never_recorded_is_named(root):
    with pytest.raises(StageError, match=r"recorded version of data/early\.txt, but DVC has none"):
        dvc.output_hash(root, root / "data/early.txt")


def test_the_pointers_are_the_lock_and_the_added_files(root):
    dvc.add_file(root, root / "data/raw.txt")
    made(root)
    names = [path.relative_to(root).as_posix() for path in dvc.pointer_files(root)]
    assert names == ["data/raw.txt.dvc", "dvc.lock"]


def test_an_older_version_comes_back_by_its_md5(root, tmp_path):
    md5 = dvc.add_file(root, root / "data/raw.txt")
    assert md5 == dvc.output_hash(root, root / "data/raw.txt") == hashlib.md5(b"rows").hexdigest()
    (root / "data/raw.txt").write_text("newer rows")
    dvc.add_file(root, root / "data/raw.txt")
    dvc.restore_by_md5(root, md5, target=tmp_path / "old.txt")
    assert (tmp_path / "old.txt").read_text() == "rows"


def test_a_version_that_is_gone_is_named(root, tmp_path):
    with pytest.raises(StageError, match=f"md5 {'0' * 32} in DVC's store, but it has none"):
        dvc.restore_by_md5(root, "0" * 32, target=tmp_path / "old.txt")


def test_a_damaged_copy_is_not_restored(root, tmp_path):
    md5 = dvc.add_file(root, root / "data/raw.txt")
    kept = root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    kept.chmod(0o644)
    kept.write_text("rot")
    with pytest.raises(StageError, match="the copy is damaged"):
        dvc.restore_by_md5(root, md5, target=tmp_path / "old.txt")


def test_the_store_is_below_the_project_unless_it_is_shared(root, tmp_path):
    assert dvc.cache_folder(root) == root / ".dvc/cache/files/md5"
    (tmp_path / "other").mkdir()
    dvc.ensure_project(tmp_path / "other")
    dvc.share_cache(tmp_path / "other", root)
    assert dvc.cache_folder(tmp_path / "other") == dvc.cache_folder(root)


def test_nothing_is_put_into_the_store_while_it_is_locked(root, monkeypatch):
    monkeypatch.setattr(dvc, "LOCK_TIMEOUT_SECONDS", 0.1)
    (root / "data/new.txt").write_text("new")

    def add() -> None:
        with pytest.raises(BusyError, match="DVC is in use in"):
            dvc.add_file(root, root / "data/new.txt")

    dvc.run_with_cache_locked(root, add)
    assert dvc.add_file(root, root / "data/new.txt") == hashlib.md5(b"new").hexdigest()


def with_remote(root: Path, url: str) -> None:
    text = f"[core]\n    remote = shared\n['remote \"shared\"']\n    url = {url}\n"
    (root / ".dvc/config").write_text(text)


def test_a_version_is_pushed_once_and_comes_back_from_the_remote(root, tmp_path):
    assert dvc.push_to_remote(root) is None
    with_remote(root, str(tmp_path / "remote"))
    md5 = dvc.add_file(root, root / "data/raw.txt")
    assert [dvc.push_to_remote(root), dvc.push_to_remote(root)] == [True, False]
    (root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).unlink()
    dvc.restore_by_md5(root, md5, target=tmp_path / "old.txt")
    assert (tmp_path / "old.txt").read_text() == "rows"


def test_a_remote_that_cannot_be_used_is_named(root, tmp_path):
    (tmp_path / "file").write_text("")
    with_remote(root, str(tmp_path / "file"))
    dvc.add_file(root, root / "data/raw.txt")
    with pytest.raises(BusyError, match="push to DVC's remote, but it failed"):
        dvc.push_to_remote(root)


def test_a_lock_file_torn_by_a_kill_is_set_aside(root):
    torn = root / ".dvc/tmp/rwlock"
    torn.write_text('{"write": {')
    assert not dvc.is_stage_current(root, "early")
    assert torn.with_name("rwlock.torn").read_text() == '{"write": {'


def hold(root: Path, *files: Path, pids: Sequence[int]) -> None:
    """Have DVC's file of locks say that processes write to files."""
    notes = {
        str(file): {"pid": pid, "cmd": "dvc repro"} for file, pid in zip(files, pids, strict=True)
    }
    (root / ".dvc/tmp/rwlock").write_text(json.dumps({"write": notes, "read": {}}))


def test_a_lock_whose_process_id_another_process_has_is_set_aside(root, monkeypatch):
    monkeypatch.setattr(dvc, "LOCK_TIMEOUT_SECONDS", 0.1)
    made(root)
    with subprocess.Popen(["sleep", "60"]) as other:
        hold(root, root / "data/early.txt", pids=[other.pid])
        assert dvc.is_stage_current(root, "early")
        assert "dvc repro" in (root / ".dvc/tmp/rwlock.stale").read_text()
        other.kill()


def test_a_lock_file_that_another_dvc_stands_in_too_is_left(root):
    with subprocess.Popen(["sleep", "60"]) as other:
        hold(root, Path("a"), Path("b"), pids=[other.pid, os.getppid()])
        assert not set_aside_stale_lock(root)
        hold(root, Path("a"), pids=[other.pid])
        assert set_aside_stale_lock(root)
        other.kill()


def test_the_file_of_dvcs_own_lock_that_a_kill_left_holds_nobody_up(root):
    made(root)
    (root / ".dvc/tmp/lock").write_text(f"{os.getppid()}\n")
    assert dvc.is_stage_current(root, "early")


def test_the_lock_of_a_process_that_lives_is_waited_for_and_then_named(root, monkeypatch):
    monkeypatch.setattr(dvc, "LOCK_TIMEOUT_SECONDS", 0.1)
    made(root)
    hold(root, root / "data/early.txt", pids=[os.getppid()])
    with pytest.raises(BusyError, match="DVC is in use in"):
        dvc.is_stage_current(root, "early")
