import os
import subprocess
from pathlib import Path

import pytest

from evertune.errors import StageError, UnsafeError
from evertune.versioning import git as worktrees


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a project below the folder of its repository, committed."""
    folder = tmp_path / "repository" / "model"
    folder.mkdir(parents=True)
    (folder / "params.yaml").write_text("committed\n")
    git(folder.parent, "init", "--quiet")
    git(folder.parent, "add", ".")
    git(folder.parent, "commit", "--quiet", "--message", "start")
    return folder


def test_what_is_committed_is_checked_out_and_not_what_is_edited(
    root: Path, tmp_path: Path
) -> None:
    (root / "params.yaml").write_text("edited\n")
    commit = worktrees.require_commit(root)
    checkout = worktrees.add_worktree(root, tmp_path / "out", commit=commit)
    assert checkout == tmp_path / "out" / "model"
    assert (checkout / "params.yaml").read_text() == "committed\n"


def test_the_commit_is_known_and_whether_files_differ_from_it(root: Path, tmp_path: Path) -> None:
    assert len(str(worktrees.current_commit(root))) == 40
    assert not worktrees.git_is_dirty(root)
    (root / "params.yaml").write_text("edited\n")
    assert worktrees.git_is_dirty(root)
    assert worktrees.current_commit(tmp_path) is None


def test_without_git_nothing_is_known_to_differ(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    assert worktrees.current_commit(root) is None
    assert not worktrees.git_is_dirty(root)


def test_a_half_made_checkout_is_replaced(root: Path, tmp_path: Path) -> None:
    commit, place = worktrees.require_commit(root), tmp_path / "out"
    worktrees.add_worktree(root, place, commit=commit)
    (place / "model" / "params.yaml").unlink()
    assert (worktrees.add_worktree(root, place, commit=commit) / "params.yaml").is_file()


def test_a_file_is_put_back_as_it_was_committed(root: Path, tmp_path: Path) -> None:
    place = tmp_path / "out"
    checkout = worktrees.add_worktree(root, place, commit=worktrees.require_commit(root))
    (checkout / "params.yaml").write_text("edited\n")
    worktrees.restore_committed_file(checkout, "params.yaml")
    assert (checkout / "params.yaml").read_text() == "committed\n"


def test_hooks_of_the_repository_do_not_run(root: Path, tmp_path: Path) -> None:
    hook = root.parent / ".git" / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    os.chmod(hook, 0o755)
    worktrees.add_worktree(root, tmp_path / "out", commit=worktrees.require_commit(root))
    assert not (tmp_path / "ran").exists()


def test_a_folder_without_git_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UnsafeError, match=r"a git repository with a commit.*git init"):
        worktrees.require_commit(tmp_path)


def test_params_that_are_not_committed_are_told(root: Path) -> None:
    git(root, "rm", "--cached", "--quiet", "params.yaml")
    with pytest.raises(UnsafeError, match=r"params.yaml of .* to be committed.*git add"):
        worktrees.require_commit(root)


def test_what_git_refuses_is_told_in_its_words(root: Path, tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"`git worktree add .* failed in .*nothing"):
        worktrees.add_worktree(root, tmp_path / "out", commit="nothing")
