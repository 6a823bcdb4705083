import subprocess

import pytest

from evertune.versioning.git import extract_commit


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def committed(tmp_path):
    """Return a project in a part of a repository, changed since its commit, and the commit."""
    root = tmp_path / "repository" / "part"
    (root / "pipelines").mkdir(parents=True)
    (root / "pipelines" / "fit.py").write_text("old")
    (root.parent / "other.txt").write_text("not of the project")
    git(root.parent, "init", "-q")
    git(root.parent, "add", ".")
    git(root.parent, "commit", "-qm", "a")
    (root / "pipelines" / "fit.py").write_text("new")
    return root, git(root, "rev-parse", "HEAD")


def test_the_files_of_a_commit_come_as_they_were(committed, tmp_path):
    root, commit = committed
    assert extract_commit(root, commit, folder=tmp_path / "out")
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert [path.read_text() for path in files] == ["old"]
    assert files[0] == tmp_path / "out" / "pipelines" / "fit.py"


def test_the_working_tree_and_the_repository_stay_as_they_are(committed, tmp_path):
    root, commit = committed
    before = git(root, "status", "--porcelain"), git(root, "worktree", "list")
    extract_commit(root, commit, folder=tmp_path / "out")
    assert (root / "pipelines" / "fit.py").read_text() == "new"
    assert (git(root, "status", "--porcelain"), git(root, "worktree", "list")) == before


def test_an_unknown_commit_and_a_folder_without_git_have_nothing(committed, tmp_path):
    root, _ = committed
    assert not extract_commit(root, "0" * 40, folder=tmp_path / "out")
    assert not extract_commit(tmp_path, "HEAD", folder=tmp_path / "out")


def test_without_git_there_is_nothing(committed, tmp_path, monkeypatch):
    root, commit = committed
    monkeypatch.setenv("PATH", "")
    assert not extract_commit(root, commit, folder=tmp_path / "out")
