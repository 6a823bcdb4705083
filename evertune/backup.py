"""Copy a project into one file, and lay it out again: `evertune backup` and `evertune restore`.

The file is a compressed tar archive of the project's folder: settings, data, DVC's store, git's
history, and the state with MLflow's database, models, decisions and the log. SQLite databases are
copied as they are at one moment, whoever writes to them meanwhile. What lies elsewhere, on servers
or in folders beside the project, is not in it; `back_up` returns a note about each.
"""

import io
import json
import os
import sqlite3
import tarfile
import time
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from evertune.config.loader import load_params
from evertune.errors import InputError, UnsafeError
from evertune.files import LOCK_FILE, LOCK_OWNER_FILE, atomic_write, remove_path

SCHEMA_VERSION = 1
RECORD_FILE = ".evertune-backup.json"  # the first file of the archive
SQLITE_HEADER = b"SQLite format 3\0"
LEFT_OUT_NAMES = {"__pycache__", LOCK_FILE, LOCK_OWNER_FILE, RECORD_FILE}
LEFT_OUT_ENDINGS = (".part", "-wal", "-shm", "-journal")  # unfinished, or part of a database


def back_up(root: Path, file: Path) -> tuple[str, ...]:
    """Write a copy of a project to a file, and return what is not in it.

    Parameters
    ----------
    root : Path
        The project's folder; the caller holds its lock.
    file : Path
        Outside the project; an older one is replaced when the new one is complete.

    Raises
    ------
    InputError
        The file would lie in the project.
    UnsafeError
        The file cannot be written, or a database is damaged.
    """
    root, file = root.resolve(), file.absolute()
    if file.resolve().is_relative_to(root):
        raise InputError(f"expected a file outside the project {root}, but got {file}")
    record = {
        "schema_version": SCHEMA_VERSION,
        "evertune": version("evertune"),
        "moment": datetime.now(UTC).isoformat(timespec="seconds"),
        "folder": str(root),
    }
    notes = list(_what_lies_elsewhere(root))
    with (
        atomic_write(file) as target,
        tarfile.open(fileobj=target, mode="w:gz", compresslevel=1) as archive,
        TemporaryDirectory() as beside,
    ):
        os.fchmod(target.fileno(), 0o600)  # tokens of the project are in it
        content = json.dumps(record).encode()
        entry = tarfile.TarInfo(RECORD_FILE)
        entry.size, entry.mtime = len(content), int(time.time())
        archive.addfile(entry, io.BytesIO(content))
        for path in _files(root):
            name = path.relative_to(root).as_posix()
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                notes.append(f"{name} leads to {path.resolve()}, which is not in the copy")
            elif not path.is_symlink() and _is_database(path):
                copy = Path(beside) / "copy.db"
                _copy_database(path, copy)
                archive.add(copy, name)
            else:
                with suppress(FileNotFoundError):  # the service removes files meanwhile
                    archive.add(path, name, recursive=False)
    return tuple(notes)


def restore(file: Path, folder: Path) -> None:
    """Lay a project out in a folder as `back_up` found it.

    Parameters
    ----------
    folder : Path
        Empty, or not there; nothing is written to it unless the copy is whole.

    Raises
    ------
    InputError
        The file is no such copy, is damaged, or a newer Evertune wrote it; or the folder has files.
    """
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"expected an empty folder or none, but {folder} has files")
    beside = folder.with_name(f".{folder.name}.part")
    remove_path(beside)
    try:
        with tarfile.open(file, "r:gz") as archive:
            first = archive.next()
            stored = archive.extractfile(first) if first and first.name == RECORD_FILE else None
            found = json.loads(stored.read())["schema_version"] if stored else None
            if found != SCHEMA_VERSION:
                raise InputError(
                    f"{file}: expected a copy of a project (schema_version {SCHEMA_VERSION}), but"
                    f" found {'none' if found is None else found}; `evertune backup` writes them"
                )
            archive.extractall(beside, filter="data")  # nothing outside the folder
        (beside / RECORD_FILE).unlink()
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside.replace(folder)
    except (OSError, EOFError, zlib.error, tarfile.TarError, ValueError, LookupError) as error:
        raise InputError(f"{file} cannot be restored: {error}; nothing was written") from error
    finally:
        remove_path(beside)


def _files(root: Path) -> Iterator[Path]:
    """Yield the folders, files and links of a project, but for what belongs to processes."""
    for folder, names, files in os.walk(root):
        here = Path(folder)
        names[:] = sorted(
            name
            for name in names
            if name not in LEFT_OUT_NAMES
            and (here / name) != root / ".dvc" / "tmp"
            and not (here / name / "pyvenv.cfg").exists()
        )
        yield from (here / name for name in names)
        for name in sorted(files):
            path = here / name
            known = name in LEFT_OUT_NAMES or name.endswith(LEFT_OUT_ENDINGS)
            if not known and (path.is_file() or path.is_symlink()):  # no sockets and pipes
                yield path


def _is_database(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(SQLITE_HEADER)) == SQLITE_HEADER


def _copy_database(path: Path, copy: Path) -> None:
    copy.unlink(missing_ok=True)
    try:
        with (
            closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=20)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
            (fault,) = target.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        fault = str(error)
    if fault != "ok":
        raise UnsafeError(
            f"{path} cannot be copied: {fault}; no copy was written: `evertune doctor` says more"
        )


def _what_lies_elsewhere(root: Path) -> Iterator[str]:
    params = load_params(root)
    if os.environ.get("MLFLOW_TRACKING_URI"):
        yield "runs, versions and models are on the server of MLFLOW_TRACKING_URI: copy them there"
    if params.scoring.log_variable is not None:
        variable = params.scoring.log_variable
        yield f"the log and the decisions are in the database of {variable}: pg_dump copies it"
    if not params.paths.state.resolve().is_relative_to(root):
        yield f"the state is in {params.paths.state}: copy that folder, too"
