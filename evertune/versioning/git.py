"""Git: the commit that is checked out, and checkouts of commits in folders of their own."""

import os
import subprocess
from pathlib import Path

from evertune.errors import StageError, UnsafeError
from evertune.files import remove_path

NO_HOOKS = ("-c", f"core.hooksPath={os.devnull}")


def current_commit(root: Path) -> str | None:
    """Return the commit that is checked out in `root`; None without git or without a commit."""
    return _ask_git(root, "rev-parse", "--verify", "--quiet", "HEAD")


def git_is_dirty(root: Path) -> bool:
    """Return whether files that git follows below `root` differ from the commit."""
    return bool(_ask_git(root, "status", "--porcelain", "--untracked-files=no", "--", "."))


def require_commit(root: Path) -> str:
    """Return the commit that is checked out in a project's folder.

    Raises
    ------
    UnsafeError
        The folder is in no git repository, nothing was committed yet, or not its params.yaml.
    """
    commit = current_commit(root)
    if commit is None:
        raise UnsafeError(
            f"expected a git repository with a commit in {root}, since what is committed is"
            " deployed, but found none; run `git init && git add . && git commit -m 'Start'`"
        )
    if not _run_git(root, "ls-files", "--", "params.yaml"):
        raise UnsafeError(
            f"expected params.yaml of {root} to be committed, since what is committed is deployed,"
            " but git does not follow it; run `git add . && git commit -m 'Start'`"
        )
    return commit


def add_worktree(root: Path, place: Path, *, commit: str) -> Path:
    """Check a commit out in `place`, instead of what is there; return the project's folder there.

    Parameters
    ----------
    root : Path
        The project's folder, which may lie below that of its repository.
    place : Path
        The new folder.
    """
    remove_worktree(root, place)
    place.parent.mkdir(parents=True, exist_ok=True)
    _run_git(root, "worktree", "add", "--force", "--detach", str(place), commit)
    return project_in_worktree(root, place)


def project_in_worktree(root: Path, place: Path) -> Path:
    """Return where the project of `root` lies in a checkout of its repository."""
    return place / _run_git(root, "rev-parse", "--show-prefix")


def remove_worktree(root: Path, place: Path) -> None:
    """Remove a checkout, also a half-made one, and have git forget it."""
    remove_path(place)
    _run_git(root, "worktree", "prune")


def restore_committed_file(root: Path, name: str) -> None:
    """Put a file back as it was committed."""
    _run_git(root, "checkout", "--force", "HEAD", "--", name)


def _ask_git(root: Path, *arguments: str) -> str | None:
    """Return git's answer; None if there is none, no git, or no repository."""
    try:
        return _run_git(root, *arguments) or None
    except (FileNotFoundError, StageError):
        return None


def _run_git(root: Path, *arguments: str) -> str:
    command = ["git", *NO_HOOKS, "-C", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StageError(f"`git {' '.join(arguments)}` failed in {root}: {done.stderr.strip()}")
    return done.stdout.strip()
