"""The deployed checkout: the committed project in a folder of its own, which schedules run.

`check_out` writes it to state/deployed/<commit>, a git worktree. Its `state` is the project's own
and its DVC uses the project's cache, so that scheduled runs and manual work in the working tree
share these and nothing else. It starts with the newest data of the project.
"""

import shutil
from pathlib import Path

from evertune.config.loader import edit_params, load_params
from evertune.errors import UnsafeError
from evertune.files import remove_path
from evertune.versioning.dvc import LOCK_FILE, ensure_project, share_cache
from evertune.versioning.git import (
    add_worktree,
    project_in_worktree,
    remove_worktree,
    require_commit,
    restore_committed_file,
)

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
    ready = place.with_suffix(READY_SUFFIX)
    checkout = project_in_worktree(root, place)
    is_complete = ready.exists() and checkout.is_dir()
    has_moved = is_complete and not _shares_state(checkout, root)
    if has_moved or not is_complete:
        try:
            ready.unlink(missing_ok=True)
            if has_moved:  # its links name the old folder; its data are taken over
                remove_path(place.with_name(f"{place.name}-moved"))
                place.rename(place.with_name(f"{place.name}-moved"))
            _set_up(root, add_worktree(root, place, commit=commit), place)
            ready.touch()
        except OSError as error:
            raise UnsafeError(f"{place} cannot be written: {error.strerror}.") from error
    restore_committed_file(checkout, "params.yaml")
    return checkout


def use_newest_clock(checkout: Path) -> None:
    """Have runs in a checkout take the newest event in the log as now."""
    edit_params(checkout, "monitoring", {"now": "latest_event"})


def _shares_state(checkout: Path, root: Path) -> bool:
    own, shared = load_params(checkout).paths.state, load_params(root).paths.state
    return own.resolve() == shared.resolve()


def _set_up(root: Path, checkout: Path, place: Path) -> None:
    others = [other for other in place.parent.iterdir() if other.is_dir() and other != place]
    own, shared = load_params(checkout).paths.state, load_params(root).paths.state
    if own != shared:
        remove_path(own)
        own.parent.mkdir(parents=True, exist_ok=True)
        own.symlink_to(shared, target_is_directory=True)
    ensure_project(root)
    (checkout / ".dvc").mkdir(exist_ok=True)
    for settings in ("config", "config.local"):
        if (root / ".dvc" / settings).is_file():
            shutil.copy2(root / ".dvc" / settings, checkout / ".dvc" / settings)
    ensure_project(checkout)
    share_cache(checkout, root)
    _copy_newest_data([root, *(project_in_worktree(root, other) for other in others)], checkout)
    for other in others:
        remove_worktree(root, other)
        other.with_suffix(READY_SUFFIX).unlink(missing_ok=True)


def _copy_newest_data(folders: list[Path], checkout: Path) -> None:
    trained = [folder for folder in folders if (folder / LOCK_FILE).is_file()]
    newest = max(
        trained, key=lambda folder: (folder / LOCK_FILE).stat().st_mtime, default=folders[0]
    )
    places = dict(load_params(checkout).paths)
    for name, path in load_params(newest).paths:
        if name != "state":
            for source in (path, path.with_name(f"{path.name}.dvc")):
                _copy_path(source, places[name].with_name(source.name))
    _copy_path(newest / LOCK_FILE, checkout / LOCK_FILE)


def _copy_path(source: Path, target: Path) -> None:
    if not source.exists() or source == target:
        return
    remove_path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)
