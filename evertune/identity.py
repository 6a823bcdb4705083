"""The ids of a project and of the place where it runs, by which shared servers tell them apart."""

import json
import os
import socket
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

from evertune.errors import InputError, UnsafeError

PROJECT_FILE = Path("data") / "project.json"
PROJECT_FILE_VERSION = 1
RUNNER_FILE = "runner.json"
RUN_BY_PREFIX = "run by "


def project_id(root: Path) -> str:
    """Return the id of a project, a UUID in `root`/data/project.json; made at first use.

    The file is meant to be committed: a clone, and the checkout that `evertune up` runs, is the
    same project. A copy under another name is another project once the file is removed from it.

    Raises
    ------
    InputError
        The file holds something else, or was written by a later release.
    UnsafeError
        The file cannot be written.
    """
    return _made_once(root / PROJECT_FILE)


def runner_name(state: Path) -> str:
    """Return who runs here, for records: machine, folder, and an id of the `state` folder.

    The id stays where a container is started again under another host name.

    Raises
    ------
    InputError, UnsafeError
        As for `project_id`.
    """
    place = state.resolve()
    return f"{RUN_BY_PREFIX}{socket.gethostname()}:{place} ({_made_once(state / RUNNER_FILE)})"


def is_runner_of(name: str, state: Path) -> bool:
    """Return whether a name of `runner_name`, also of an earlier release, means this folder."""
    former = f"{RUN_BY_PREFIX}{socket.gethostname()}:{state.resolve()}"
    if name == former:
        return True
    path = state / RUNNER_FILE
    return path.exists() and name.endswith(f"({_made_once(path)})")


def _made_once(path: Path) -> str:
    """Return the id in a file, which is written with a new one if it is not there."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return _read_project_id(path)
    beside = path.with_name(f".{path.name}.{uuid4().hex}.part")
    content = {"schema_version": PROJECT_FILE_VERSION, "id": str(uuid4())}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        with suppress(FileExistsError):
            os.link(beside, path)  # unlike a rename, it never replaces another process's file
        beside.unlink()
    except OSError as error:
        raise UnsafeError(f"{path} cannot be written: {error.strerror}.") from error
    return _read_project_id(path)


def _read_project_id(path: Path) -> str:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version, identity = content["schema_version"], str(UUID(content["id"]))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f'{path}: expected {{"schema_version": 1, "id": "<a UUID>"}}, but it holds something'
            " else. Restore it from git, or remove it to give the project a new id."
        ) from error
    if version != PROJECT_FILE_VERSION:
        raise InputError(
            f"{path}: expected schema_version {PROJECT_FILE_VERSION}, but found {version!r}."
            " Update evertune (`pip install -U evertune`)."
        )
    return identity
