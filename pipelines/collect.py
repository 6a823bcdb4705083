"""Free space, and never what a registered version needs.

Reads the registry, the pointers of the project and of its deployed checkouts. Removes from DVC's
store on this machine what none of them names, and from `state` what reproduced versions, Ray and
killed processes left. Nothing is ever removed from a remote.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import InputError
from pipelines.params import load_params
from pipelines.sections import Params
from pipelines.stores.files import is_held
from pipelines.stores.needs import needed_by_folder, needed_by_versions
from pipelines.stores.objects import kept_objects
from pipelines.stores.replacing import remove
from pipelines.stores.tracking import open_store
from pipelines.stores.versions import store_folder, with_store_locked
from pipelines.tuning.ray_places import ray_folder

DAY, HOUR = 86_400.0, 3_600.0
MEGABYTE = 1e6
VERSIONS = "files that no version and no project needs"
REPRODUCED = "versions that were made again"
RAY = "folders that Ray left"
HALF_WRITTEN = "files that a killed process left half-written"
YOUNG = "files that are younger than was asked for"


@dataclass(frozen=True)
class Part:
    """Some files of one kind: how many, and how much disk they take."""

    what: str
    count: int
    megabytes: float


@dataclass(frozen=True)
class Collected:
    """What was removed, or would be, and what was kept in DVC's store, and why."""

    removed: tuple[Part, ...]
    kept: tuple[Part, ...]

    @property
    def megabytes(self) -> float:
        """How much was freed."""
        return sum(part.megabytes for part in self.removed)


@dataclass(frozen=True)
class Rubbish:
    """A file or folder that may go."""

    what: str
    path: Path
    n_bytes: int


def collect(root: Path, *, keep_days: float = 0, others: Sequence[Path] = ()) -> Collected:
    """Remove what nothing needs and return what it was.

    Parameters
    ----------
    root : Path
        The project's folder; the caller holds its lock.
    keep_days : float
        What is younger is kept in any case.
    others : sequence of Path
        The folders of all other projects that keep their versions in the same store.

    Raises
    ------
    InputError
        The store is shared, and `others` does not say by which projects.
    """
    return with_store_locked(root, lambda: _collected(root, remove, keep_days, others))


def would_collect(root: Path, *, keep_days: float = 0, others: Sequence[Path] = ()) -> Collected:
    """Return what `collect` would remove, and remove nothing."""
    return _collected(root, lambda _: None, keep_days, others)


def _collected(
    root: Path, act: Callable[[Path], None], keep_days: float, others: Sequence[Path]
) -> Collected:
    params, since = load_params(root), time.time() - keep_days * DAY
    store = store_folder(root)
    _check_owned(root, store, others)
    reasons = _reasons(root, params, others, objects=store)
    objects, kept = _parted(store, reasons, since=since)
    found = [*objects, *_reproduced(params, since), *_left(params)]
    for each in found:
        act(each.path)
    return Collected(_counted(found), _counted(kept))


def _check_owned(root: Path, store: Path, others: Sequence[Path]) -> None:
    if store.is_relative_to(root.resolve()) or store.is_relative_to(root) or others:
        return
    raise InputError(
        f"expected DVC's store below the project {root}, but it is {store}, which other projects"
        " use too, and what they need there is not known here; name the folder of each with"
        " --project, and what all of them need is kept"
    )


def _reasons(
    root: Path, params: Params, others: Sequence[Path], *, objects: Path
) -> dict[str, frozenset[str]]:
    """Return who needs which md5s, those who are there anyway first."""
    pool = params.paths.pool.relative_to(root.absolute()).as_posix()
    reasons = {"the project as it is": needed_by_folder(root, objects=objects)}
    deployed = [lock.parent for lock in sorted((params.paths.state / "deployed").rglob("dvc.lock"))]
    for folder in (*deployed, *others):
        reasons[str(folder)] = needed_by_folder(folder, objects=objects)
    for folder in (root, *others):
        own = load_params(folder)
        registry = open_store(own.paths.state, own.registry.name)
        needs = dict(needed_by_versions(registry, objects=objects, pool=pool))
        reasons |= {f"version {label}": md5s for label, md5s in needs.items()}
    return reasons


def _parted(
    store: Path, reasons: dict[str, frozenset[str]], *, since: float
) -> tuple[list[Rubbish], list[Rubbish]]:
    whose: dict[str, str] = {}
    for who, md5s in reasons.items():
        for md5 in md5s:
            whose.setdefault(md5, who)
    unneeded: list[Rubbish] = []
    kept: list[Rubbish] = []
    for each in kept_objects(store):
        young = YOUNG if each.changed_seconds > since else None
        reason = whose.get(each.md5, young)
        target = unneeded if reason is None else kept
        target.append(Rubbish(reason or VERSIONS, each.path, each.n_bytes))
    return unneeded, kept


def _reproduced(params: Params, since: float) -> Iterator[Rubbish]:
    for folder in sorted((params.paths.state / "reproduced").glob("*")):
        if folder.stat().st_mtime <= since and not is_held(folder / "state"):
            yield Rubbish(REPRODUCED, folder, _n_bytes(folder))


def _left(params: Params) -> Iterator[Rubbish]:
    ray = ray_folder(params.paths.state)
    if ray.exists():
        yield Rubbish(RAY, ray, _n_bytes(ray))
    for folder in {params.paths.state, params.paths.trials.parent}:
        for ending in ("part", "old"):
            for path in sorted(folder.rglob(f".*.{ending}")):
                if path.stat().st_mtime < time.time() - HOUR:
                    yield Rubbish(HALF_WRITTEN, path, _n_bytes(path))


def _n_bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if not file.is_dir())


def _counted(found: Sequence[Rubbish]) -> tuple[Part, ...]:
    by_kind: dict[str, list[int]] = {}
    for each in found:
        by_kind.setdefault(each.what, []).append(each.n_bytes)
    return tuple(Part(what, len(sizes), sum(sizes) / MEGABYTE) for what, sizes in by_kind.items())
