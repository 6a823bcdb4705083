"""DVC: record and restore the versions of tables and models, and run state of the stages.

Everything works with and without git. Each call opens the repository anew (0.05 s), so that changes
by other processes are seen; DVC's own lock is waited for, and a lock file that a killed process
left half-written, or whose process id another process has got, is moved away. `commit_stage`
records what a stage has just made; call it only after success. `restore_by_md5` writes a file from
the cache or else the remote, and checks it. The cache holds files by md5; a folder is a list of its
files whose md5 ends in `.dir` (`folder_contents`).
"""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import subprocess
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, TypeVar

from dvc.config import Config, NoRemoteError
from dvc.config_schema import RelPath
from dvc.dependency import ParamsDependency
from dvc.exceptions import DvcException, OutputNotFoundError
from dvc.lock import LockError
from dvc.repo import Repo
from dvc.rwlock import RWLockFileCorruptedError
from dvc.scm import SCM, SCMError
from dvc.stage import PipelineStage
from dvc.utils.serialize import parse_yaml_for_update
from dvc.utils.strictyaml import YAMLSyntaxError, YAMLValidationError, determine_linecol
from ruamel.yaml import YAML

from evertune.errors import BusyError, StageError, UnsafeError
from evertune.fingerprint import write_fingerprints
from evertune.versioning.rwlock import set_aside_stale_lock

LOCK_TIMEOUT_SECONDS = 10.0
MISLEADING_SIGNS = "@\\{}\n"  # in paths: DVC looks for stages, templates and separators there
CODE_STAGE = "code"
LOCK_FILE = "dvc.lock"
FOLDER_SUFFIX = ".dir"  # ends the md5 of a folder
T = TypeVar("T")


def with_repository(root: Path, action: Callable[[Repo], T]) -> T:
    """Return what an action gives on the repository of the project in `root`."""
    deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
    while True:
        try:
            settings = {"core": {"site_cache_dir": _site_caches(root)}}
            with silence_dvc(), Repo(str(root), config=settings) as repo:
                return action(repo)
        except RWLockFileCorruptedError:
            # DVC writes this file in place: a kill can leave half of it, which blocks later calls.
            torn = root / ".dvc" / "tmp" / "rwlock"
            torn.replace(torn.with_name(f"{torn.name}.torn"))
        except LockError as error:
            if set_aside_stale_lock(root):
                continue
            if time.monotonic() > deadline:
                raise BusyError(f"DVC is in use in {root}: {error}") from error
            time.sleep(0.2)
        except DvcException as error:
            raise StageError(f"DVC in {root}: {_describe_error(error)}") from error


def _describe_error(error: DvcException) -> str:
    """Return DVC's message; of faults in dvc.yaml and dvc.lock it has only printed the places."""
    if isinstance(error, YAMLSyntaxError):
        cause = error.exc.__cause__
        mark = getattr(cause, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(cause, "problem", None) or cause or error.exc
        name = Path(error.path).name
        return (
            f"{name}{place}: expected YAML, but {problem}. Correct it, or restore it from git"
            f" (`git checkout {name}`)."
        )
    if isinstance(error, YAMLValidationError):
        data = parse_yaml_for_update(error.text, error.path)
        faults = []
        for fault in error.exc.errors:
            line, _, _ = determine_linecol(data, list(fault.path))
            key = ".".join(map(str, fault.path))
            place = f", line {line}" if line is not None else ""
            faults.append(f"{Path(error.path).name}{place}, {key}: {fault.error_message}")
        return f"{'; '.join(faults)}. Correct it."
    return str(error)


@contextlib.contextmanager
def silence_dvc() -> Iterator[None]:
    """Keep DVC from writing to the terminal until the block ends."""
    log = logging.getLogger("dvc")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of what DVC uses
            yield
    finally:
        log.setLevel(level)


def ensure_project(root: Path) -> None:
    """Make `root` a DVC project if it is none, and say in its local settings whether git is there.

    The settings also name a folder in the project for DVC's own caches, by default /var/tmp/dvc. In
    a folder whose path DVC's files cannot hold, only commands of DVC itself use that default.

    Raises
    ------
    StageError
        DVC refuses, for example because git ignores .dvc.
    UnsafeError
        DVC cannot work in a folder with that path.
    """
    check_folder_path(root)
    with silence_dvc():
        git = _has_git(root)
        try:
            if not (root / ".dvc").is_dir():
                Repo.init(str(root), no_scm=not git, subdir=git).close()
                _set_config(root, "repo", {"analytics": False, "check_update": False})
            caches = _site_caches(root)
            named = caches if _fits_settings(caches) else None
            _set_config(root, "local", {"no_scm": not git, "site_cache_dir": named})
        except DvcException as error:
            raise StageError(f"DVC cannot keep versions in {root}: {error}") from error


def check_folder_path(folder: Path) -> None:
    """Check that DVC can work in a folder; most signs are fine, and a few mislead it.

    Raises
    ------
    UnsafeError
        The path has such a sign, or is not UTF-8.
    """
    path = str(folder)
    try:
        path.encode()
    except UnicodeEncodeError:
        raise UnsafeError(
            f"expected a folder whose path is UTF-8, but got {path!r}: set LC_ALL to C.UTF-8 if the"
            " terminal shows it wrongly, or else rename it"
        ) from None
    found = next((sign for sign in MISLEADING_SIGNS if sign in path), None)
    if found is not None:
        raise UnsafeError(
            "expected a folder without any of @, \\, {, } and line ends in its path, which DVC"
            f" misreads, but got {path!r} with {found!r}; move the project or rename the folder"
        )


def make_private_project(folder: Path) -> None:
    """Make a folder a DVC project apart from the one that it lies in, without git."""
    settings = folder / ".dvc" / "config"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text("[core]\n    no_scm = True\n    analytics = False\n", encoding="utf-8")


def share_cache(root: Path, other: Path) -> None:
    """Have DVC keep the versions of the project in `root` where it keeps those of `other`."""
    place = with_repository(other, lambda repo: str(repo.cache.local_cache_dir))
    relative = os.path.relpath(place, root / ".dvc")
    if not _fits_settings(relative):
        raise StageError(
            f"expected a folder for DVC's store whose path DVC's settings can hold, but got {place}"
            " (plain ASCII without a double quote is safe); set another one: `dvc cache dir FOLDER`"
        )
    _set_config(root, "local", {"dir": RelPath(place)}, part="cache")


def list_stages(root: Path) -> tuple[str, ...]:
    """Return the names of the stages of dvc.yaml, each after those that it depends on.

    The stage `code`, which writes the fingerprints of the code, is left out: it takes milliseconds
    and is done here, so that whoever asks next what is current asks about the code as it is.
    """

    def sorted_names(repo: Repo) -> tuple[str, ...]:
        named = {each: each.name for each in repo.index.stages if isinstance(each, PipelineStage)}
        needs = {
            name: [named[other] for other in repo.index.graph.successors(stage) if other in named]
            for stage, name in named.items()
        }
        return tuple(TopologicalSorter(needs).static_order())

    names = with_repository(root, sorted_names)
    if CODE_STAGE in names:
        write_fingerprints(root)
    return tuple(name for name in names if name != CODE_STAGE)


def is_stage_current(root: Path, stage: str) -> bool:
    """Return whether a stage's dependencies, parameters and outputs are as DVC recorded them."""
    return not stage_status(root, stage)


def outdated_stages(root: Path) -> tuple[str, ...]:
    """Return the stages that are not as DVC recorded them, in the order of `list_stages`."""
    names = list_stages(root)
    found = stage_statuses(root, names)
    return tuple(name for name in names if found[name])


def stage_status(root: Path, stage: str) -> dict[str, dict[str, Any]]:
    """Return what of a stage is not as DVC recorded it; see `stage_statuses`."""
    return stage_statuses(root, [stage])[stage]


def stage_statuses(root: Path, stages: Sequence[str]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return what of each stage is not as DVC recorded it; empty for one that is up to date.

    The keys are `changed deps` and `changed outs`, with DVC's word for each path, relative to
    `root` (for params.yaml, a word for each section), and `changed command`.
    """
    # DVC reads dvc.yaml and dvc.lock anew for each target: it is asked once about several stages.
    target = _stage_address(root, stages[0]) if len(stages) == 1 else str(root / "dvc.yaml")
    statuses = with_repository(root, lambda repo: repo.status([target])) if stages else {}
    found: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in stages}
    for address, entries in statuses.items():
        # DVC leaves the file out where the process runs beside it.
        name = stages[0] if len(stages) == 1 else address.rpartition(":")[2]
        for entry in entries if name in found else ():
            for kind, words in entry.items() if isinstance(entry, dict) else [(entry, {})]:
                paths = {os.path.relpath(root / path, root): word for path, word in words.items()}
                found[name][kind] = found[name].get(kind, {}) | paths
    return found


def changed_files(root: Path, stage: str) -> tuple[set[str], set[str]]:
    """Return the dependencies and the outputs of a stage that are not as DVC recorded them.

    Paths are relative to `root`; parameters are left out.
    """
    found = stage_status(root, stage)
    return set(found.get("changed deps", ())) - {"params.yaml"}, set(found.get("changed outs", ()))


def dependency_hashes(root: Path, stage: str) -> dict[str, str]:
    """Return the present hash of each file, folder and section that a stage depends on.

    Raises
    ------
    StageError
        A dependency does not exist.
    """

    def hash_of(dependency: Any) -> str:
        if not dependency.exists:
            raise StageError(
                f"expected {dependency} to exist, but it does not; run `evertune train`"
            )
        value = dependency.get_hash().value
        if not isinstance(dependency, ParamsDependency):
            return str(value)
        text = json.dumps(value, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def hashes(repo: Repo) -> dict[str, str]:
        loaded = repo.stage.load_one(path=os.path.join(repo.root_dir, "dvc.yaml"), name=stage)
        return {os.path.relpath(each.fs_path, repo.root_dir): hash_of(each) for each in loaded.deps}

    return with_repository(root, hashes)


def commit_stage(root: Path, stage: str) -> None:
    """Have DVC record what the stage's function has just made; only call it after success."""
    # DVC's cache of runs looks for dvc.yaml in the folder that the process runs in.
    with contextlib.chdir(root):
        with_repository(root, lambda repo: repo.commit(_stage_address(root, stage), force=True))


def add_file(root: Path, path: Path) -> str:
    """Put a file under DVC's care and return its md5; the pointer `path`.dvc is written."""
    return with_repository(root, lambda repo: str(repo.add(str(path))[0].outs[0].hash_info.value))


def output_hash(root: Path, path: Path) -> str:
    """Return the md5 that DVC recorded for an output or an added file (ends in .dir for a folder).

    Raises
    ------
    StageError
        Nothing was recorded for that path.
    """
    return output_hashes(root, [path])[path]


def output_hashes(root: Path, paths: Sequence[Path]) -> dict[Path, str]:
    """Return the md5 that DVC recorded for each of some outputs or added files.

    Opening a repository and reading its stages takes a good part of a second: all are read at once.

    Raises
    ------
    StageError
        Nothing was recorded for a path.
    """
    recorded = with_repository(root, lambda repo: {path: _recorded(repo, path) for path in paths})
    for path, md5 in recorded.items():
        if md5 is None:
            raise StageError(
                f"expected a recorded version of {path.relative_to(root)}, but DVC has none;"
                " run `evertune train`"
            )
    return {path: str(md5) for path, md5 in recorded.items()}


def recorded_hash(root: Path, path: Path) -> str | None:
    """Return the md5 that DVC recorded for an output or an added file, None if there is none."""
    return with_repository(root, lambda repo: _recorded(repo, path))


def _recorded(repo: Repo, path: Path) -> str | None:
    try:
        found = repo.find_outs_by_path(str(path), strict=True)
    except OutputNotFoundError:
        return None
    return found[0].hash_info.value if found[0].hash_info else None


def pointer_files(root: Path) -> tuple[Path, ...]:
    """Return dvc.lock and the .dvc files: with them and DVC's store all data can be restored."""
    pointers = with_repository(root, lambda repo: {Path(s.path_in_repo) for s in repo.index.stages})
    found = {path for path in pointers if path.suffix == ".dvc"} | {Path(LOCK_FILE)}
    return tuple(root / path for path in sorted(found) if (root / path).is_file())


def restore_by_md5(root: Path, md5: str, *, target: Path) -> None:
    """Write the file with this md5 to `target`, from DVC's cache or else from its remote.

    Raises
    ------
    StageError
        Neither has it, or what was found is damaged.
    """
    kept = with_repository(root, lambda repo: _cached_path(repo, md5))
    if not kept.is_file():
        raise StageError(f"expected a file with md5 {md5} in DVC's store, but it has none")
    found = hashlib.md5(kept.read_bytes(), usedforsecurity=False).hexdigest()
    if found != md5:
        raise StageError(f"expected md5 {md5} in {kept}, but found {found}: the copy is damaged")
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f"{target.name}.new")
    shutil.copyfile(kept, beside)
    beside.replace(target)


def cache_folder(root: Path) -> Path:
    """Return the folder in which DVC keeps the versions of the project, by their md5s."""
    return with_repository(root, lambda repo: Path(repo.cache.local.path))


def run_with_cache_locked(root: Path, action: Callable[[], T]) -> T:
    """Return what an action gives while no other process puts anything into DVC's store."""

    def held(repo: Repo) -> T:
        with repo.lock:
            return action()

    return with_repository(root, held)


def has_remote(root: Path) -> bool:
    """Return whether DVC has a remote to push to (`dvc remote add --default NAME ADDRESS`)."""
    return with_repository(root, lambda repo: bool(repo.config["core"].get("remote")))


def push_to_remote(root: Path) -> bool | None:
    """Copy what the project's pointers name to the remote.

    Returns
    -------
    bool or None
        Whether anything had to be copied; None without a remote.

    Raises
    ------
    BusyError
        The remote cannot be used now; nothing is lost, the next push copies it.
    """
    if not has_remote(root):
        return None
    try:
        return with_repository(root, lambda repo: bool(repo.push()))
    except (StageError, OSError) as error:
        raise BusyError(
            f"expected to push to DVC's remote, but it failed: {error};"
            " all is kept here, check `dvc remote list` and run again"
        ) from error


def _has_git(root: Path) -> bool:
    try:
        SCM(str(root)).close()
    except SCMError:
        return False
    # inside a folder that git ignores, such as a replay's project in state/, DVC works without git
    done = subprocess.run(
        ["git", "check-ignore", "--quiet", str(root)], cwd=root, capture_output=True, check=False
    )
    return done.returncode != 0


def _site_caches(root: Path) -> str:
    return str(root / ".dvc" / "tmp" / "site")


def _fits_settings(path: str) -> bool:
    """Return whether DVC can write a path to its settings and read it again.

    It writes ASCII, and takes ``%(name)s`` for a reference.
    """
    return path.isascii() and path.isprintable() and '"' not in path and "%(" not in path


def _set_config(root: Path, level: str, values: dict[str, Any], part: str = "core") -> None:
    """Set values of DVC's settings; None removes one."""
    config = Config(str(root / ".dvc"), validate=False)
    known = config.read(level).get(part, {})
    if all(str(known.get(key)) == str(value) for key, value in values.items()):
        return
    with config.edit(level) as edited:
        section = edited.setdefault(part, {})
        section.update(values)
        edited[part] = {key: value for key, value in section.items() if value is not None}


def _stage_address(root: Path, stage: str) -> str:
    # A bare name would be looked for in the dvc.yaml of the folder that the process runs in.
    return f"{root / 'dvc.yaml'}:{stage}"


def _cached_path(repo: Repo, md5: str) -> Path:
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.transfer import transfer

    kept = Path(repo.cache.local.oid_to_path(md5))
    if not kept.is_file():
        try:
            remote = repo.cloud.get_remote_odb()
        except NoRemoteError:
            return kept
        transfer(remote, repo.cache.local, {HashInfo("md5", md5)})
    return kept


@dataclass(frozen=True)
class CacheObject:
    """One file in DVC's store; `changed_seconds` is when it was put there, since 1970."""

    md5: str
    path: Path
    n_bytes: int
    changed_seconds: float


def iter_cache_objects(store: Path) -> Iterator[CacheObject]:
    """Yield every file of the store; what is being written is left out."""
    for path in sorted(store.glob("[0-9a-f][0-9a-f]/*")):
        md5 = f"{path.parent.name}{path.name}"
        if len(md5.removesuffix(FOLDER_SUFFIX)) == 32:
            found = path.stat()
            yield CacheObject(md5, path, found.st_size, found.st_mtime)


def folder_contents(store: Path, md5: str) -> dict[str, str]:
    """Return the md5 of each file of a folder by its path there; empty if not in the store."""
    path = store / md5[:2] / md5[2:]
    if not path.is_file():
        return {}
    return {entry["relpath"]: entry["md5"] for entry in json.loads(path.read_bytes())}


def with_folder_contents(store: Path, md5s: Iterable[str]) -> frozenset[str]:
    """Return md5s with those of all files in the folders among them."""
    named = frozenset(md5s)
    folders = [md5 for md5 in named if md5.endswith(FOLDER_SUFFIX)]
    return named.union(*(folder_contents(store, md5).values() for md5 in folders))


def read_md5s(path: Path) -> frozenset[str]:
    """Return every md5 that a dvc.lock or a .dvc file names."""
    found: set[str] = set()
    waiting: list[Any] = [YAML(typ="safe").load(path)]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            found |= {str(part["md5"])} if "md5" in part else set()
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    return frozenset(found)


def lock_outputs(lock: Path) -> dict[str, str]:
    """Return the md5 of everything that the stages wrote, by its path in the project."""
    stages = YAML(typ="safe").load(lock).get("stages", {})
    outs = [out for stage in stages.values() for out in stage.get("outs", [])]
    return {out["path"]: out["md5"] for out in outs if "md5" in out}
