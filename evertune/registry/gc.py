"""Free disk space without removing anything that a registered version needs.

`collect_garbage` removes from DVC's cache on this machine what no registered version, project
or deployed checkout refers to, and from `state` what reproduced versions, Ray and killed
processes left behind. `preview_garbage` returns the same and removes nothing. Nothing is ever
removed from a remote. Versions of all models are considered; the pool's fold models are not
kept, since they can be fitted again, but the list of them is.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from evertune.config.loader import load_params
from evertune.config.schema import Params
from evertune.errors import InputError
from evertune.files import is_project_locked, remove_path
from evertune.registry.mlflow_client import (
    TrackingStore,
    create_client,
    open_tracking_store,
    translate_mlflow_errors,
)
from evertune.registry.reproduce import LOCK_FILE, PROJECT_FOLDER, find_md5s, find_path_md5
from evertune.registry.runs import download_artifact
from evertune.registry.versions import ModelVersion, list_versions
from evertune.search.ray_guardian import ray_temp_folder
from evertune.versioning.dvc import (
    cache_folder,
    iter_cache_objects,
    pointer_files,
    run_with_cache_locked,
    with_folder_contents,
)

DATA_TAG_PREFIX = "dvc."


def md5s_needed_by_folder(root: Path, *, objects: Path) -> frozenset[str]:
    """Return the md5s that the dvc.lock and the pointers of a project name.

    Parameters
    ----------
    root : Path
        The project's folder.
    objects : Path
        DVC's store, which tells what is in folders.
    """
    texts = [path.read_text(encoding="utf-8") for path in pointer_files(root)]
    return with_folder_contents(objects, _find_all_md5s(texts))


def md5s_needed_by_versions(
    store: TrackingStore, *, objects: Path, pool: str
) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield every version in the registry with the md5s that it needs to be made again.

    Versions of all models are looked at, whichever folder they came from. Those that carry no md5
    of data were registered by something else and need nothing.

    Parameters
    ----------
    store : TrackingStore
    objects : Path
        DVC's store, which tells what is in folders.
    pool : str
        The path of the pool in a project: its models are fitted again, so they are not needed, but
        the list of them is.
    """
    for name in _registered_model_names(store):
        own = replace(store, name=name)
        for version in list_versions(own):
            named = {md5 for tag, md5 in version.tags.items() if tag.startswith(DATA_TAG_PREFIX)}
            if named:
                texts = _pointer_texts(own, version)
                models = {find_path_md5(text, pool) for text in texts} - {None}
                every = named | _find_all_md5s(texts)
                yield (
                    f"{name} {version.number}",
                    with_folder_contents(objects, every - models) | every,
                )


def _pointer_texts(store: TrackingStore, version: ModelVersion) -> list[str]:
    with TemporaryDirectory() as beside:
        project = download_artifact(store, version.run_id, name=PROJECT_FOLDER, folder=Path(beside))
        pointers = [] if project is None else [*project.glob(LOCK_FILE), *project.glob("*.dvc")]
        return [path.read_text(encoding="utf-8") for path in pointers]


def _find_all_md5s(texts: list[str]) -> frozenset[str]:
    return frozenset[str]().union(*(find_md5s(text) for text in texts))


@translate_mlflow_errors
def _registered_model_names(store: TrackingStore) -> tuple[str, ...]:
    known = create_client(store.address)
    names: list[str] = []
    page = known.search_registered_models()
    while True:
        names += [str(model.name) for model in page]
        if not page.token:
            return tuple(sorted(names))
        page = known.search_registered_models(page_token=page.token)


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
    """What was removed, or would be, and what was kept in DVC's store, and why."""

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
        The folders of all other projects that keep their versions in the same store.

    Raises
    ------
    InputError
        The store is shared, and `others` does not say by which projects.
    """
    return run_with_cache_locked(root, lambda: _collect(root, remove_path, keep_days, others))


def preview_garbage(
    root: Path, *, keep_days: float = 0, others: Sequence[Path] = ()
) -> CollectionResult:
    """Return what `collect_garbage` would remove, and remove nothing."""
    return _collect(root, lambda _: None, keep_days, others)


def _collect(
    root: Path, act: Callable[[Path], None], keep_days: float, others: Sequence[Path]
) -> CollectionResult:
    params, since = load_params(root), time.time() - keep_days * SECONDS_PER_DAY
    store = cache_folder(root)
    _check_cache_not_shared(root, store, others)
    reasons = _md5s_by_user(root, params, others, objects=store)
    objects, kept = _split_objects(store, reasons, since=since)
    found = [*objects, *_reproduced_garbage(params, since), *_leftover_garbage(params)]
    for each in found:
        act(each.path)
    return CollectionResult(_summarize_usage(found), _summarize_usage(kept))


def _check_cache_not_shared(root: Path, store: Path, others: Sequence[Path]) -> None:
    if store.is_relative_to(root.resolve()) or store.is_relative_to(root) or others:
        return
    raise InputError(
        f"expected DVC's store below the project {root}, but it is {store}, which other projects"
        " use too, and what they need there is not known here; name the folder of each with"
        " --project, and what all of them need is kept"
    )


def _md5s_by_user(
    root: Path, params: Params, others: Sequence[Path], *, objects: Path
) -> dict[str, frozenset[str]]:
    """Return who needs which md5s, those who are there anyway first."""
    pool = params.paths.pool.relative_to(root.absolute()).as_posix()
    reasons = {"the project as it is": md5s_needed_by_folder(root, objects=objects)}
    deployed = [lock.parent for lock in sorted((params.paths.state / "deployed").rglob("dvc.lock"))]
    for folder in (*deployed, *others):
        reasons[str(folder)] = md5s_needed_by_folder(folder, objects=objects)
    for folder in (root, *others):
        own = load_params(folder)
        registry = open_tracking_store(own.paths.state, own.registry.name)
        needs = dict(md5s_needed_by_versions(registry, objects=objects, pool=pool))
        reasons |= {f"version {label}": md5s for label, md5s in needs.items()}
    return reasons


def _split_objects(
    store: Path, reasons: dict[str, frozenset[str]], *, since: float
) -> tuple[list[Garbage], list[Garbage]]:
    whose: dict[str, str] = {}
    for who, md5s in reasons.items():
        for md5 in md5s:
            whose.setdefault(md5, who)
    unneeded: list[Garbage] = []
    kept: list[Garbage] = []
    for each in iter_cache_objects(store):
        young = RECENT_FILES if each.changed_seconds > since else None
        reason = whose.get(each.md5, young)
        target = unneeded if reason is None else kept
        target.append(Garbage(reason or UNNEEDED_OBJECTS, each.path, each.n_bytes))
    return unneeded, kept


def _reproduced_garbage(params: Params, since: float) -> Iterator[Garbage]:
    for folder in sorted((params.paths.state / "reproduced").glob("*")):
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


def _summarize_usage(found: Sequence[Garbage]) -> tuple[SpaceUsage, ...]:
    by_kind: dict[str, list[int]] = {}
    for each in found:
        by_kind.setdefault(each.what, []).append(each.n_bytes)
    return tuple(
        SpaceUsage(what, len(sizes), sum(sizes) / BYTES_PER_MEGABYTE)
        for what, sizes in by_kind.items()
    )
