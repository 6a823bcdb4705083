"""Git: check out commits in folders of their own, and prepare the deployed checkout.

`check_out` writes the committed project to state/deployed/<commit>, a git worktree. Its `state`
is the project's own and its DVC uses the project's cache, so that scheduled runs and manual
work in the working tree share these and nothing else. It starts with the newest data of the
project. `extract_commit` only reads the repository.
"""

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from evertune.config.loader import edit_params, load_params
from evertune.config.schema import Params
from evertune.errors import StageError, UnsafeError
from evertune.files import remove_path
from evertune.versioning.dvc import current_commit, ensure_project, share_cache


def extract_commit(root: Path, commit: str, *, folder: Path) -> bool:
    """Write the project's files of a commit to a folder.

    Parameters
    ----------
    root : Path
        The project's folder, which may lie below that of its repository.
    commit : str
    folder : Path
        Files that it has already are replaced.

    Returns
    -------
    bool
        Whether there is git here and it knows that commit.
    """
    command = ["git", "-C", str(root), "archive", "--format=tar", commit]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        return False
    if done.returncode != 0:
        return False
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return True


NO_HOOKS = ("-c", f"core.hooksPath={os.devnull}")


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
    _run_git(root, "worktree", "add", "--force", "--detach", str(place), commit)
    return project_in_checkout(root, place)


def project_in_checkout(root: Path, place: Path) -> Path:
    """Return where the project of `root` lies in a checkout of its repository."""
    return place / _run_git(root, "rev-parse", "--show-prefix")


def remove_worktree(root: Path, place: Path) -> None:
    """Remove a checkout, also a half-made one, and have git forget it."""
    remove_path(place)
    _run_git(root, "worktree", "prune")


def restore_committed_file(root: Path, name: str) -> None:
    """Put a file back as it was committed."""
    _run_git(root, "checkout", "--force", "HEAD", "--", name)


def _run_git(root: Path, *arguments: str) -> str:
    command = ["git", *NO_HOOKS, "-C", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StageError(f"`git {' '.join(arguments)}` failed in {root}: {done.stderr.strip()}")
    return done.stdout.strip()


LOCK_FILE = "dvc.lock"
COMMIT_DIGITS = 12
READY_SUFFIX = ".ready"


def check_out(root: Path) -> Path:
    """Return the folder of the project as it was committed, ready to run.

    Parameters
    ----------
    root : Path
        The project's folder; the caller holds its lock.

    Raises
    ------
    UnsafeError
        There is no git, no commit, or the disk does not take it.
    """
    commit = require_commit(root)
    place = load_params(root).paths.state / "deployed" / commit[:COMMIT_DIGITS]
    done = place.with_suffix(READY_SUFFIX)
    checkout = project_in_checkout(root, place)
    if not done.exists() or not checkout.is_dir():
        try:
            done.unlink(missing_ok=True)
            _set_up_checkout(root, add_worktree(root, place, commit=commit), place)
            done.touch()
        except OSError as error:
            raise UnsafeError(f"{place} cannot be written: {error.strerror}.") from error
    restore_committed_file(checkout, "params.yaml")
    return checkout


def use_newest_clock(checkout: Path) -> None:
    """Have runs in a checkout take the newest event in the log as now."""
    edit_params(checkout, "monitoring", {"now": "latest_event"})


def _set_up_checkout(root: Path, checkout: Path, place: Path) -> None:
    others = [other for other in place.parent.iterdir() if other.is_dir() and other != place]
    _link_state(root, checkout)
    _share_dvc_cache(root, checkout)
    _copy_data(
        _newest_trained([root, *(project_in_checkout(root, other) for other in others)]), checkout
    )
    for other in others:
        remove_worktree(root, other)
        other.with_suffix(READY_SUFFIX).unlink(missing_ok=True)


def _link_state(root: Path, checkout: Path) -> None:
    own, shared = load_params(checkout).paths.state, load_params(root).paths.state
    if own != shared:
        remove_path(own)
        own.parent.mkdir(parents=True, exist_ok=True)
        own.symlink_to(shared, target_is_directory=True)


def _share_dvc_cache(root: Path, checkout: Path) -> None:
    ensure_project(root)
    (checkout / ".dvc").mkdir(exist_ok=True)
    for settings in ("config", "config.local"):
        if (root / ".dvc" / settings).is_file():
            shutil.copy2(root / ".dvc" / settings, checkout / ".dvc" / settings)
    ensure_project(checkout)
    share_cache(checkout, root)


def _newest_trained(folders: list[Path]) -> Path:
    trained = [folder for folder in folders if (folder / LOCK_FILE).is_file()]
    return max(trained, key=lambda folder: (folder / LOCK_FILE).stat().st_mtime, default=folders[0])


def _copy_data(newest: Path, checkout: Path) -> None:
    places = dict(_project_paths(load_params(checkout)))
    for name, path in _project_paths(load_params(newest)):
        for found in (path, path.with_name(f"{path.name}.dvc")):
            _copy_path(found, places[name].with_name(found.name))
    _copy_path(newest / LOCK_FILE, checkout / LOCK_FILE)


def _project_paths(params: Params) -> list[tuple[str, Path]]:
    return [(name, path) for name, path in params.paths if name != "state"]


def _copy_path(source: Path, target: Path) -> None:
    if not source.exists() or source == target:
        return
    remove_path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)
