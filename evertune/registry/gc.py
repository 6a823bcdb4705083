"""Free disk space without removing anything that a registered version needs.

`collect_garbage` removes from DVC's cache on this machine what no registered version, project
or deployed checkout refers to, and from `state` what reproduced versions, Ray and killed
processes left behind. Nothing is ever removed from a remote. Versions of all models are
considered; the pool's fold models are not kept, since they can be fitted again, but the list of
them is.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from evertune.config.loader import load_params
from evertune.config.schema import Params
from evertune.errors import InputError
from evertune.files import is_project_locked, remove_path
from evertune.registry.mlflow_registry import ModelRegistry, open_registry
from evertune.registry.reproduce import PROJECT_FOLDER, REPRODUCED_FOLDER
from evertune.search.ray_guardian import ray_temp_folder
from evertune.versioning.dvc import (
    LOCK_FILE,
    cache_folder,
    iter_cache_objects,
    lock_outputs,
    pointer_files,
    read_md5s,
    run_with_cache_locked,
    with_folder_contents,
)

SECONDS_PER_DAY, SECONDS_PER_HOUR = 86_400.0, 3_600.0
BYTES_PER_MEGABYTE = 1e6
UNNEEDED_OBJECTS = "files that no version and no project needs"
REPRODUCED_VERSIONS = "versions that were made again"
RAY_FOLDERS = "folders that Ray left"
HALF_WRITTEN_FILES = "files that a killed process left half-written"
RECENT_FILES = "files that are younger than was asked for"


@dataclass(frozen=True)
class SpaceUsage:
    """Some files of one kind: how many, and how much disk they take."""

    what: str
    count: int
    megabytes: float


@dataclass(frozen=True)
class CollectionResult:
    """What was removed, or would be, and what was kept in DVC's cache, and why."""

    removed: tuple[SpaceUsage, ...]
    kept: tuple[SpaceUsage, ...]

    @property
    def megabytes(self) -> float:
        """How much was freed."""
        return sum(part.megabytes for part in self.removed)


@dataclass(frozen=True)
class Garbage:
    """A file or folder that may go."""

    what: str
    path: Path
    n_bytes: int


def collect_garbage(
    root: Path, *, keep_days: float = 0, others: Sequence[Path] = ()
) -> CollectionResult:
    """Remove what nothing needs and return what it was.

    Parameters
    ----------
    root : Path
        The project's folder; the caller holds its lock.
    keep_days : float
        What is younger is kept in any case.
    others : sequence of Path
        The folders of all other projects that keep their data in the same cache.

    Raises
    ------
    InputError
        The cache is shared, and `others` does not say by which projects.
    """
    return run_with_cache_locked(
        root, lambda: _collect(root, keep_days=keep_days, others=others, remove=True)
    )


def preview_garbage(
    root: Path, *, keep_days: float = 0, others: Sequence[Path] = ()
) -> CollectionResult:
    """Return what `collect_garbage` would remove, and remove nothing."""
    return _collect(root, keep_days=keep_days, others=others, remove=False)


def md5s_needed_by_folder(root: Path, *, objects: Path) -> frozenset[str]:
    """Return the md5s that the dvc.lock and the pointers of a project name."""
    named = frozenset[str]().union(*(read_md5s(path) for path in pointer_files(root)))
    return with_folder_contents(objects, named)


def md5s_needed_by_versions(
    registry: ModelRegistry, *, objects: Path, pool: str
) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield every version in the registry with the md5s that it needs to be made again.

    Versions of all models are looked at, whichever folder they came from. Those that carry no md5
    of data were registered by something else and need nothing.
    """
    for name in registry.model_names():
        for version in registry.of_model(name).versions():
            named = set(version.data_md5s.values())
            if not named:
                continue
            refittable: set[str] = set()
            with TemporaryDirectory() as beside:
                run_id, folder = version.run_id, Path(beside)
                project = registry.download_artifact(run_id, name=PROJECT_FOLDER, folder=folder)
                for path in [] if project is None else project.glob("*.dvc"):
                    named |= read_md5s(path)
                for path in [] if project is None else project.glob(LOCK_FILE):
                    named |= read_md5s(path)
                    refittable |= {lock_outputs(path).get(pool, "")}
            needed = with_folder_contents(objects, named - refittable) | named
            yield f"{name} {version.number}", needed


def _collect(
    root: Path, *, keep_days: float, others: Sequence[Path], remove: bool
) -> CollectionResult:
    params, since = load_params(root), time.time() - keep_days * SECONDS_PER_DAY
    objects = cache_folder(root)
    is_own = objects.is_relative_to(root.resolve()) or objects.is_relative_to(root)
    if not is_own and not others:
        raise InputError(
            f"expected DVC's cache below the project {root}, but it is {objects}, which other"
            " projects use too, and what they need there is not known here; name the folder of"
            " each with --project, and what all of them need is kept"
        )
    unneeded, kept = _split_objects(root, params, others, objects=objects, since=since)
    garbage = [*unneeded, *_reproduced_garbage(params, since), *_leftover_garbage(params)]
    if remove:
        for each in garbage:
            remove_path(each.path)
    return CollectionResult(_summarize_usage(garbage), _summarize_usage(kept))


def _split_objects(
    root: Path, params: Params, others: Sequence[Path], *, objects: Path, since: float
) -> tuple[list[Garbage], list[Garbage]]:
    """Return the objects of the cache that nobody needs, and the others with who needs them."""
    users: dict[str, str] = {}
    for user, md5s in _needs(root, params, others, objects=objects):
        for md5 in md5s:
            users.setdefault(md5, user)
    unneeded: list[Garbage] = []
    kept: list[Garbage] = []
    for each in iter_cache_objects(objects):
        reason = users.get(each.md5, RECENT_FILES if each.changed_seconds > since else None)
        found = Garbage(reason or UNNEEDED_OBJECTS, each.path, each.n_bytes)
        (unneeded if reason is None else kept).append(found)
    return unneeded, kept


def _needs(
    root: Path, params: Params, others: Sequence[Path], *, objects: Path
) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield who needs which md5s, those who are there anyway first."""
    yield "the project as it is", md5s_needed_by_folder(root, objects=objects)
    deployed = [lock.parent for lock in sorted((params.paths.state / "deployed").rglob(LOCK_FILE))]
    for folder in (*deployed, *others):
        yield str(folder), md5s_needed_by_folder(folder, objects=objects)
    pool = params.paths.pool.relative_to(root.absolute()).as_posix()
    for folder in (root, *others):
        registry = open_registry(load_params(folder))
        for label, md5s in md5s_needed_by_versions(registry, objects=objects, pool=pool):
            yield f"version {label}", md5s


def _reproduced_garbage(params: Params, since: float) -> Iterator[Garbage]:
    for folder in sorted((params.paths.state / REPRODUCED_FOLDER).glob("*")):
        if folder.stat().st_mtime <= since and not is_project_locked(folder / "state"):
            yield Garbage(REPRODUCED_VERSIONS, folder, _size_bytes(folder))


def _leftover_garbage(params: Params) -> Iterator[Garbage]:
    ray = ray_temp_folder(params.paths.state)
    if ray.exists():
        yield Garbage(RAY_FOLDERS, ray, _size_bytes(ray))
    for folder in {params.paths.state, params.paths.trials.parent}:
        for ending in ("part", "old"):
            for path in sorted(folder.rglob(f".*.{ending}")):
                if path.stat().st_mtime < time.time() - SECONDS_PER_HOUR:
                    yield Garbage(HALF_WRITTEN_FILES, path, _size_bytes(path))


def _size_bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if not file.is_dir())


def _summarize_usage(found: Iterable[Garbage]) -> tuple[SpaceUsage, ...]:
    by_kind: dict[str, list[int]] = {}
    for each in found:
        by_kind.setdefault(each.what, []).append(each.n_bytes)
    return tuple(
        SpaceUsage(what, len(sizes), sum(sizes) / BYTES_PER_MEGABYTE)
        for what, sizes in by_kind.items()
    )
