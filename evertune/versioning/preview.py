"""A stand-in for a project's folder, on which a run can be tried without touching the project.

`project_preview` makes a temporary folder that looks like the project: files and folders are links
to the project's own, and small files that DVC reads are copies; a file that is written anew
replaces the link alone. It is a DVC project of its own: whoever holds DVC's lock in the project is
not waited for, and nothing of the project is written.
`recorded_stage` reads what DVC recorded of a stage.
"""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dvc.config import Config
from dvc.exceptions import DvcException
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from evertune.config.loader import FILE as PARAMS_FILE
from evertune.config.loader import load_params
from evertune.errors import StageError
from evertune.fingerprint import CACHE, FOLDER, PARTS
from evertune.versioning.dvc import (
    LOCK_FILE,
    ensure_project,
    make_private_project,
    with_repository,
)

STAGES_FILE = "dvc.yaml"
LEFT_OUT = {Path(".dvc"), Path(".git")}


@contextmanager
def project_preview(root: Path) -> Iterator[Path]:
    """Give a folder that stands in for the project's until the block ends.

    Parameters
    ----------
    root : Path
        The project's folder.

    Raises
    ------
    StageError
        DVC's settings in the project cannot be read.
    """
    paths = load_params(root).paths
    state = Path(os.path.relpath(paths.state, root))
    state = Path("state") if state.parts[0] == ".." else state  # of a checkout, shared
    replaced = [Path(os.path.relpath(path, root)) for _, path in paths] + [FOLDER / "any"]
    with TemporaryDirectory(prefix="evertune-plan-") as folder:
        place = Path(folder).resolve()
        _link_entries(root, place, real=_parents(replaced), left_out={*LEFT_OUT, state, FOLDER})
        (place / state).mkdir(parents=True)
        for file in (CACHE, PARTS):
            if (root / file).is_file():
                (place / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / file, place / file)
        make_private_project(place)
        ensure_project(place)
        cache = configured_cache_folder(root)
        if cache.is_dir():
            (place / ".dvc" / "cache").symlink_to(cache)
        yield place


def name_project(text: str, place: Path, root: Path) -> str:
    """Return a message about the stand-in as one about the project."""
    return re.sub(rf"[^\s'\"]*{re.escape(place.name)}", lambda _: str(root), text)


@dataclass(frozen=True)
class RecordedStage:
    """What dvc.lock says of a stage: the md5 of each dependency, the sections of params.yaml."""

    dependencies: dict[str, str]
    params: dict[str, Any]


def recorded_stage(root: Path, stage: str) -> RecordedStage | None:
    """Return what DVC recorded when a stage last ran; None if it never did.

    Raises
    ------
    StageError
        dvc.lock cannot be read.
    """
    path = root / LOCK_FILE
    if not path.is_file():
        return None
    try:
        stages = (YAML(typ="safe").load(path) or {}).get("stages") or {}
    except (YAMLError, AttributeError) as error:
        raise StageError(
            f"{path}: expected DVC's record of the stages, but {error}. Restore it from git"
            f" (`git checkout {LOCK_FILE}`), or remove it to run every stage again."
        ) from error
    found = stages.get(stage)
    if found is None:
        return None
    dependencies = {each["path"]: each.get("md5", "") for each in found.get("deps", [])}
    return RecordedStage(dependencies, dict(found.get("params", {}).get(PARAMS_FILE, {})))


def stage_files(root: Path) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return the dependencies and the outputs of each stage, relative to the folder."""

    def read(repo: Any) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
        return {
            stage.name: tuple(  # type: ignore[misc]
                tuple(os.path.relpath(each.fs_path, repo.root_dir) for each in files)
                for files in (stage.deps, stage.outs)
            )
            for stage in repo.index.stages
            if getattr(stage, "name", None)
        }

    return with_repository(root, read)


def _parents(paths: list[Path]) -> set[Path]:
    return {parent for path in paths for parent in path.parents if parent != Path()}


def _link_entries(root: Path, place: Path, *, real: set[Path], left_out: set[Path]) -> None:
    """Link what a folder has; of `real`, relative to it, folders are made and filled alike."""
    waiting = [Path()]
    while waiting:
        folder = waiting.pop()
        for entry in sorted((root / folder).iterdir()):
            name = folder / entry.name
            if name in left_out:
                continue
            if name in real and entry.is_dir():
                (place / name).mkdir()
                waiting.append(name)
            elif entry.name in (PARAMS_FILE, STAGES_FILE, LOCK_FILE) or entry.suffix == ".dvc":
                shutil.copy2(entry, place / name)
            else:
                (place / name).symlink_to(entry)


def configured_cache_folder(root: Path) -> Path:
    """Return the folder of DVC's cache by the settings of a project, without opening it."""
    return Path(dvc_settings(root).get("cache", {}).get("dir") or root / ".dvc" / "cache")


def dvc_settings(root: Path) -> Mapping[str, Any]:
    """Return DVC's settings for a project, section by section; empty without DVC.

    Raises
    ------
    StageError
        They cannot be read.
    """
    settings = root / ".dvc"
    if not settings.is_dir():
        return {}
    try:
        return dict(Config(str(settings), validate=False))
    except DvcException as error:
        raise StageError(f"DVC's settings in {settings} cannot be read: {error}") from error
