"""Checks of a project's folder: settings, rights, DVC, locks, and what killed runs left."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from ruamel.yaml.error import YAMLError

from evertune.config.loader import load_params
from evertune.doctor.finding import Finding, Place
from evertune.errors import EvertuneError, ParamsError, StageError
from evertune.files import LOCK_OWNER_FILE
from evertune.search.check_params import check_search_params
from evertune.search.ray_guardian import marked_processes, ray_temp_folder
from evertune.versioning import dvc
from evertune.versioning.health import (
    damaged_objects,
    moved_settings,
    remote_fault,
    secret_settings,
)
from evertune.versioning.preview import dvc_settings, name_project, project_preview
from evertune.versioning.rwlock import rwlock_fault

SECRET_PATTERNS = ("ray.token", "*.token", "*.key", "*.pem", "secrets/*")
LEFTOVER_PATTERNS = (".*.part", ".*.old", ".*.new")


def check_params(place: Place) -> Iterator[Finding]:
    """Check that params.yaml has no faults."""
    if not (place.root / "params.yaml").is_file():
        yield Finding(
            "params.yaml",
            "error",
            f"{place.root} is no project: it has no params.yaml, nor has a folder above it.",
            by_hand="Go to the folder of a project, or make one: `evertune init DIR`.",
        )
        return
    try:
        load_params(place.root)
        check_search_params(place.root)
    except ParamsError as error:
        yield Finding("params.yaml", "error", str(error), by_hand="Correct these lines.")


def check_stages(place: Place) -> Iterator[Finding]:
    """Check that dvc.yaml and dvc.lock can be read by DVC."""
    if place.params is None:
        return
    try:
        with project_preview(place.root) as copy:
            try:
                dvc.list_stages(copy)
            except EvertuneError as error:
                text = name_project(str(error), copy, place.root)
                yield Finding(
                    "stages",
                    "error",
                    text,
                    by_hand="Correct the file that is named, or restore it from git"
                    " (`git checkout FILE`).",
                )
    except EvertuneError as error:
        yield Finding("stages", "error", str(error), by_hand="Correct .dvc/config.")


def check_writable(place: Place) -> Iterator[Finding]:
    """Check that the folders that a run writes to can be written."""
    folders = [place.root, place.state, place.paths.plan.parent, place.root / ".dvc"]
    for folder in dict.fromkeys(folders):
        if folder.exists() and not folder.is_dir():
            yield Finding(
                "writable",
                "error",
                f"{folder} must be a folder, but is a file.",
                command=f"mv {quote(str(folder))} {quote(f'{folder}.file')}",
            )
        elif folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
            is_read_only = bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
            yield Finding(
                "writable",
                "error",
                f"{folder} cannot be written"
                f"{': its disk is mounted to be read only' if is_read_only else ''}.",
                command=None if is_read_only else f"chmod u+wx {quote(str(folder))}",
                by_hand="Mount it to be written, or move the project." if is_read_only else None,
            )


def check_rights(place: Place) -> Iterator[Finding]:
    """Check that nobody else may change `state`, and secrets are for their owner alone."""
    if place.state.is_dir() and place.state.stat().st_mode & stat.S_IWOTH:
        yield Finding(
            "rights",
            "error",
            f"Every user of this machine may change {place.state}, from which models are loaded.",
            command=f"chmod o-w {quote(str(place.state))}",
        )
    folder = place.state / "secrets"
    if folder.is_dir() and folder.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield Finding(
            "rights",
            "error",
            f"Other users of this machine may look into {folder}, which holds secrets.",
            command=f"chmod 700 {quote(str(folder))}",
        )
    local = place.root / ".dvc" / "config.local"
    secrets = {path for pattern in SECRET_PATTERNS for path in place.state.glob(pattern)}
    secrets |= {place.root / ".env", *([local] if secret_settings(local) else [])}
    for path in sorted(path for path in secrets if path.is_file()):
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            yield Finding(
                "rights",
                "error",
                f"Other users of this machine may read {path}, which is a secret.",
                command=f"chmod 600 {quote(str(path))}",
            )
    for name in secret_settings(place.root / ".dvc" / "config"):
        yield Finding(
            "rights",
            "error",
            f".dvc/config, which git follows, holds the secret {name}.",
            by_hand=f"Move the line `{name} = ...` to the same section of .dvc/config.local, type"
            " `chmod 600 .dvc/config.local`, and have the secret renewed if it was committed.",
        )


def check_dvc_lock(place: Place) -> Iterator[Finding]:
    """Check that DVC's file of locks is whole and names no process of another kind."""
    fault = rwlock_fault(place.root)
    if fault is None:
        return
    command = f"mv {quote(str(fault.path))} {quote(f'{fault.path}.torn')}"
    if fault.owners:
        text = f"{fault.path} names {', '.join(fault.owners)}, which is not DVC: the id was given"
        text += " to another process after a kill. DVC waits for it."
        yield Finding("dvc lock", "error", text, command=command)
    else:
        text = f"{fault.path} was cut off by a kill: `dvc` refuses to work until it is moved away."
        yield Finding("dvc lock", "warning", text, command=command)


def check_cache(place: Place) -> Iterator[Finding]:
    """Check that what dvc.lock names is undamaged in DVC's cache."""
    try:
        damaged = list(damaged_objects(place.root, place.paths))
    except (ValueError, AttributeError, YAMLError, StageError):  # unreadable: another finding
        return
    has_remote = bool(damaged) and bool(dvc_settings(place.root).get("core", {}).get("remote"))
    for each in damaged:
        kept = quote(str(each.path))
        if each.good_copy is not None:
            copy = quote(str(each.good_copy))
            command = f"cp --remove-destination {copy} {kept} && chmod 444 {kept}"
        elif has_remote:
            command = f"rm -f {kept} && dvc fetch"
        else:
            command = f"rm -f {kept} && evertune train"
        yield Finding(
            "dvc cache",
            "error",
            f"{each.path} is the copy of {each.name} and must have the md5 {each.md5}, but has"
            f" {each.found}: it is damaged.",
            command=command,
        )


def check_remote(place: Place) -> Iterator[Finding]:
    """Check that DVC's remote answers, where there is one."""
    if not (place.root / ".dvc" / "config").is_file():
        return
    try:
        fault = remote_fault(place.root)
    except StageError:  # the settings, which is another finding
        return
    if fault is not None:
        yield Finding(
            "dvc remote",
            "error",
            f"DVC's remote cannot be used: {fault}.",
            by_hand="Make it reachable, correct its address (`dvc remote list`, `dvc remote modify"
            " NAME url ADDRESS`), or do without (`dvc config --unset core.remote`).",
        )


def check_moved(place: Place) -> Iterator[Finding]:
    """Check that DVC's settings name the folder that the project is in."""
    if moved_settings(place.root):
        yield Finding(
            "moved",
            "warning",
            f"DVC's settings are of another folder: the project was moved to {place.root}.",
            command="evertune status",
        )


def check_leftovers(place: Place) -> Iterator[Finding]:
    """Check that no killed run has left processes, temporary folders or its name."""
    if place.is_running:
        return
    owner = place.state / LOCK_OWNER_FILE
    if owner.is_file():
        yield Finding(
            "leftovers",
            "warning",
            f"{owner} names a run that was killed; nobody holds the project.",
            command=f"rm {quote(str(owner))}",
        )
    left = sorted(marked_processes(str(place.state / "ray.token")))
    if left:
        pids = " ".join(map(str, left))
        yield Finding(
            "leftovers",
            "warning",
            f"Processes of a search that was killed still run: {pids}.",
            command=f"kill -9 {pids}",
        )
    folders = [*{path.parent for name, path in place.paths if name != "state"}, place.state]
    files = [path for folder in folders for each in LEFTOVER_PATTERNS for path in folder.glob(each)]
    ray = ray_temp_folder(place.state)
    for path in sorted({*files, *([ray] if ray.is_dir() else [])}, key=str):
        yield Finding(
            "leftovers",
            "warning",
            f"{path} was left by a run that was killed.",
            command=f"rm -r {quote(str(Path(path)))}",
        )
