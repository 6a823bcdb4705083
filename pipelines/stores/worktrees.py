"""Checkouts of a commit beside the working tree, by git's worktrees."""

import os
import subprocess
from pathlib import Path

from pipelines.errors import StageError, UnsafeError
from pipelines.stores.replacing import remove
from pipelines.stores.versions import git_commit

WITHOUT_HOOKS = ("-c", f"core.hooksPath={os.devnull}")


def committed(root: Path) -> str:
    """Return the commit that is checked out in a project's folder.

    Raises
    ------
    UnsafeError
        The folder is in no git repository, nothing was committed yet, or not its params.yaml.
    """
    commit = git_commit(root)
    if commit is None:
        raise UnsafeError(
            f"expected a git repository with a commit in {root}, since what is committed is"
            " deployed, but found none; run `git init && git add . && git commit -m 'Start'`"
        )
    if not _git(root, "ls-files", "--", "params.yaml"):
        raise UnsafeError(
            f"expected params.yaml of {root} to be committed, since what is committed is deployed,"
            " but git does not follow it; run `git add . && git commit -m 'Start'`"
        )
    return commit


def add_worktree(root: Path, place: Path, *, commit: str) -> Path:
    """Check a commit out in a folder of its own, in place of what is there.

    Parameters
    ----------
    root : Path
        The project's folder, which may lie below that of its repository.
    place : Path
        The new folder.
    commit : str

    Returns
    -------
    Path
        The project's folder in the checkout.
    """
    remove_worktree(root, place)
    place.parent.mkdir(parents=True, exist_ok=True)
    _git(root, "worktree", "add", "--force", "--detach", str(place), commit)
    return project_in(root, place)


def project_in(root: Path, place: Path) -> Path:
    """Return where the project of `root` lies in a checkout of its repository."""
    return place / _git(root, "rev-parse", "--show-prefix")


def remove_worktree(root: Path, place: Path) -> None:
    """Remove a checkout, also a half-made one, and have git forget it."""
    remove(place)
    _git(root, "worktree", "prune")


def restore_file(root: Path, name: str) -> None:
    """Put a file back as it was committed."""
    _git(root, "checkout", "--force", "HEAD", "--", name)


def _git(root: Path, *arguments: str) -> str:
    command = ["git", *WITHOUT_HOOKS, "-C", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StageError(f"`git {' '.join(arguments)}` failed in {root}: {done.stderr.strip()}")
    return done.stdout.strip()
