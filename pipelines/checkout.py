"""Lay out what is deployed: the committed project in a folder of its own.

Reads the repository, and the newest data of the project. Writes state/deployed/<commit>, a git
worktree whose `state` is the project's own and whose DVC keeps its versions in the project's store,
so that runs by schedule and hands on the working tree never meet but in what they share.
"""

import shutil
from pathlib import Path

from pipelines.errors import UnsafeError
from pipelines.params import load_params
from pipelines.sections import Params
from pipelines.stores.documents import edit_section
from pipelines.stores.replacing import remove
from pipelines.stores.versions import ensure_project, share_store
from pipelines.stores.worktrees import (
    add_worktree,
    committed,
    project_in,
    remove_worktree,
    restore_file,
)

LOCK = "dvc.lock"
SHORT = 12
DONE = ".ready"


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
    commit = committed(root)
    place = load_params(root).paths.state / "deployed" / commit[:SHORT]
    done = place.with_suffix(DONE)
    checkout = project_in(root, place)
    if not done.exists() or not checkout.is_dir():
        try:
            done.unlink(missing_ok=True)
            _lay_out(root, add_worktree(root, place, commit=commit), place)
            done.touch()
        except OSError as error:
            raise UnsafeError(f"{place} cannot be written: {error.strerror}.") from error
    restore_file(checkout, "params.yaml")
    return checkout


def use_newest_clock(checkout: Path) -> None:
    """Have runs in a checkout take the newest event in the log as now."""
    edit_section(checkout / "params.yaml", "monitoring", {"clock": "newest"})


def _lay_out(root: Path, checkout: Path, place: Path) -> None:
    others = [other for other in place.parent.iterdir() if other.is_dir() and other != place]
    _link_state(root, checkout)
    _share_versions(root, checkout)
    _copy_data(_newest([root, *(project_in(root, other) for other in others)]), checkout)
    for other in others:
        remove_worktree(root, other)
        other.with_suffix(DONE).unlink(missing_ok=True)


def _link_state(root: Path, checkout: Path) -> None:
    own, shared = load_params(checkout).paths.state, load_params(root).paths.state
    if own != shared:
        remove(own)
        own.parent.mkdir(parents=True, exist_ok=True)
        own.symlink_to(shared, target_is_directory=True)


def _share_versions(root: Path, checkout: Path) -> None:
    ensure_project(root)
    (checkout / ".dvc").mkdir(exist_ok=True)
    for settings in ("config", "config.local"):
        if (root / ".dvc" / settings).is_file():
            shutil.copy2(root / ".dvc" / settings, checkout / ".dvc" / settings)
    ensure_project(checkout)
    share_store(checkout, root)


def _newest(folders: list[Path]) -> Path:
    trained = [folder for folder in folders if (folder / LOCK).is_file()]
    return max(trained, key=lambda folder: (folder / LOCK).stat().st_mtime, default=folders[0])


def _copy_data(newest: Path, checkout: Path) -> None:
    places = dict(_places(load_params(checkout)))
    for name, path in _places(load_params(newest)):
        for found in (path, path.with_name(f"{path.name}.dvc")):
            _copy(found, places[name].with_name(found.name))
    _copy(newest / LOCK, checkout / LOCK)


def _places(params: Params) -> list[tuple[str, Path]]:
    return [(name, path) for name, path in params.paths if name != "state"]


def _copy(source: Path, target: Path) -> None:
    if not source.exists() or source == target:
        return
    remove(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)
