"""Atomic file writes, tables, records, digests and the project lock.

A file is written next to its target, forced to disk and then renamed (`atomic_write`,
`atomic_folder`), so that a killed process leaves either the old content or the new one.
`append_line` cuts off the half line that a killed process left.

Tables are Parquet (`read_table`, `write_table`): equal tables give equal bytes. Records are
dataclasses as sorted JSON (`read_record`, `write_record`). `load_function` imports a
`module:function` of the project. `project_lock` keeps two runs of a project apart.
"""

import fcntl
import filecmp
import hashlib
import importlib.util
import json
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar
from uuid import uuid4

import numpy as np
from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from evertune.errors import (
    InputError,
    ParamsError,
    ProjectBusyError,
    StageError,
    TableError,
    UnsafeError,
)
from evertune.messages import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
BLOCK_BYTES = 4096
LOCK_FILE, LOCK_OWNER_FILE = "run.lock", "run.json"
LOCK_SECONDS = 0.2  # `is_project_locked` of another process holds the lock for an instant


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Yield a file beside `path` that is renamed to it when the block ends without an error.

    Raises
    ------
    UnsafeError
        The file cannot be written.
    """
    beside = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        _fsync(path.parent)
    except OSError as error:
        raise UnsafeError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        with suppress(OSError):
            beside.unlink()


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder that replaces `path` when the block ends without an error."""
    beside, old = path.with_name(f".{path.name}.part"), path.with_name(f".{path.name}.old")
    remove_path(beside)
    beside.mkdir(parents=True)
    try:
        yield beside
        for file in beside.rglob("*"):
            _fsync(file)
    except BaseException:
        remove_path(beside)
        raise
    remove_path(old)
    if path.exists() or path.is_symlink():
        path.rename(old)
    beside.rename(path)
    _fsync(path.parent)
    remove_path(old)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8."""
    with atomic_write(path) as file:
        file.write(text.encode())


def append_line(path: Path, line: str) -> None:
    """Append one line and force it to disk; half a line that a killed process left is cut off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        file.truncate(_end_of_complete_lines(file))
        file.write(line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_lines(path: Path) -> list[str]:
    """Return the complete lines of a file that may still be written to; none if it is missing."""
    if not path.exists():
        return []
    complete, _, _ = path.read_bytes().rpartition(b"\n")
    return complete.decode().split("\n") if complete else []


def remove_path(path: Path) -> None:
    """Remove a file, a link or a whole folder, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def read_table(path: Path) -> "pd.DataFrame":
    """Return the table of a Parquet file, text columns as pandas' `str`.

    Raises
    ------
    TableError
        The file is missing or not Parquet.
    """
    import pyarrow as pa  # pandas and pyarrow take half a second, and most commands read no table
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            table: pd.DataFrame = file.read().to_pandas()
            return table
    except FileNotFoundError as error:
        raise TableError(_missing_file_message(path)) from error
    except (pa.ArrowInvalid, OSError) as error:
        raise TableError(f"{path}: expected a Parquet file, but {error}.") from error


def write_table(path: Path, table: "pd.DataFrame") -> None:
    """Write a table as Parquet; equal tables give equal bytes, and the index is not stored.

    Raises
    ------
    TableError
        A column mixes types that Parquet cannot hold in one column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    plain = table.reset_index(drop=True).infer_objects()
    plain.columns = [str(name) for name in plain.columns]
    plain.attrs = {}
    try:
        columns = pa.Table.from_pandas(plain, preserve_index=False).combine_chunks()
        with atomic_write(path) as file:
            pq.write_table(columns, file)
    except (pa.ArrowException, ValueError) as error:
        reason = " ".join(str(part) for part in error.args)
        raise TableError(f"{path}: the table cannot be written as Parquet: {reason}.") from error


def write_table_if_changed(
    path: Path, table: "pd.DataFrame", *, before: Callable[[], object] = lambda: None
) -> bool:
    """Write a table if it differs from the file's, and return whether it did.

    Parameters
    ----------
    before : function
        Called right before the file changes, for what must be done whenever it does: a run that is
        killed after it, and before the change, calls it again.
    """
    beside = path.with_name(f".{path.name}.new")
    write_table(beside, table)
    if path.is_file() and filecmp.cmp(beside, path, shallow=False):
        beside.unlink()
        return False
    before()
    beside.replace(path)
    return True


def read_record(path: Path, kind: type[T]) -> T:
    """Return the record, or the dict or tuple of records, that `write_record` wrote.

    Parameters
    ----------
    kind : type
        A dataclass, or a type such as ``dict[str, Trial]``.

    Raises
    ------
    InputError
        The file is missing or holds something else.
    """
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes(), strict=True)
    except FileNotFoundError as error:
        raise InputError(_missing_file_message(path)) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(step) for step in first["loc"]) or "the file"
        raise InputError(f"{path} is not what a step wrote: {key}: {first['msg']}.") from error


def write_record(path: Path, record: object) -> None:
    """Write dataclasses, and dicts and tuples of them, as sorted and indented JSON.

    NaN and infinities are written as null; a field that can be one of them is `float | None`.

    Raises
    ------
    ValueError
        The record holds something else than records, text, numbers, dicts and tuples.
    """
    plain = json.loads(to_json(record, inf_nan_mode="null", fallback=_to_plain_scalar))
    write_text(path, json.dumps(plain, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def digest_files(paths: Iterable[Path]) -> str:
    """Return the SHA-256 of the names and contents of files and of whole folders.

    Names are relative to the folder that all paths share, so that a moved project keeps its
    digest.
    """
    files = sorted({file for path in paths for file in _list_files(path)})
    shared = os.path.commonpath([file.parent for file in files])
    digest = hashlib.sha256()
    for file in files:
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{content} {file.relative_to(shared).as_posix()}\n".encode())
    return digest.hexdigest()


def load_function(reference: str, root: Path) -> Callable[..., Any]:
    """Return the function `module:function`, looked up in the project's folder first.

    The folder stays on the import path, for what the function imports later.

    Raises
    ------
    ParamsError
        The module cannot be imported or has no such function.
    """
    module_name, _, name = reference.partition(":")
    sys.path[:] = [str(root), *(entry for entry in sys.path if entry != str(root))]
    importlib.invalidate_caches()
    own, loaded = root / f"{module_name.replace('.', '/')}.py", sys.modules.get(module_name)
    if own.exists() and loaded and Path(str(loaded.__file__)).resolve() != own.resolve():
        del sys.modules[module_name]  # a module of the same name, from another project
    try:
        module = importlib.import_module(module_name)
    except (ImportError, SyntaxError) as error:
        raise ParamsError(f"'{reference}': cannot import '{module_name}': {error}.") from error
    function: Callable[..., Any] | None = getattr(module, name, None)
    if not callable(function):
        hint = did_you_mean(name, vars(module))
        raise ParamsError(f"'{reference}': '{module_name}' has no function '{name}'.{hint}")
    return function


def load_project_file(path: Path) -> ModuleType:
    """Return the module in a file of the project, loaded by its path, anew each time.

    A process may serve several projects, and none gets onto the import path.

    Raises
    ------
    StageError
        The file imports what is not there, as one of an earlier release may.
    """
    name = f"evertune_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # what pickle and dataclasses look for
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, (ImportError, SyntaxError)):
            raise StageError(
                f"expected to import {path}, but: {error}. Correct it, or, if it is of an earlier"
                " release of Evertune, run `evertune upgrade`."
            ) from error
        raise
    return module


@contextmanager
def project_lock(state: Path, purpose: str) -> Iterator[None]:
    """Hold the project for one run; the kernel frees it when the process ends, however it ends.

    `state/run.lock` is the lock. `state/run.json` tells people who holds it: `purpose`, `pid`,
    `host` and `since`; it is meaningless while the lock is free.

    Raises
    ------
    ProjectBusyError
        Another run holds the project; it has the other run's `purpose` and `pid`.
    UnsafeError
        The folder cannot be written.
    """
    owner_path = state / LOCK_OWNER_FILE
    try:
        state.mkdir(parents=True, exist_ok=True)
        lock = FileLock(state / LOCK_FILE, timeout=LOCK_SECONDS, thread_local=False)
        lock.acquire()
    except Timeout as error:
        raise _busy_error(owner_path, purpose) from error
    except OSError as error:
        reason = error.strerror
        raise UnsafeError(f"{state / LOCK_FILE} cannot be written: {reason}.") from error
    try:
        owner = {
            "purpose": purpose,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        write_text(owner_path, json.dumps(owner) + "\n")
        yield
    finally:
        owner_path.unlink(missing_ok=True)
        lock.release()


def is_project_locked(state: Path) -> bool:
    """Return whether a living run holds the project.

    It asks the kernel rather than `run.json`, whose process id may have been given to another
    process since.
    """
    try:
        with (state / LOCK_FILE).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except (BlockingIOError, PermissionError):  # the second: of another user
        return True
    return False


def _busy_error(owner_path: Path, purpose: str) -> ProjectBusyError:
    try:
        owner = json.loads(owner_path.read_bytes())
        other, pid, host = str(owner["purpose"]), int(owner["pid"]), owner["host"]
        holder = f"'{other}' (process {pid} on {host}) has been running since {owner['since']}"
    except FileNotFoundError:  # it has just taken the lock, or is just giving it back
        other, pid, holder = None, None, "another run holds the project"
    return ProjectBusyError(f"'{purpose}' cannot start: {holder}.", purpose=other, pid=pid)


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def _end_of_complete_lines(file: BinaryIO) -> int:
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = file.seek(max(0, end - BLOCK_BYTES))
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _list_files(path: Path) -> list[Path]:
    if path.is_dir():
        files = (file for file in path.rglob("*") if file.is_file())
        return [file for file in files if "__pycache__" not in file.parts]
    if not path.exists():
        raise InputError(_missing_file_message(path))
    return [path]


def _missing_file_message(path: Path) -> str:
    return f"{path} does not exist; `evertune train` makes what a step needs."


def _to_plain_scalar(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"A record cannot hold {value!r} of {type(value)}.")


def template_folder() -> Path:
    """Return the folder whose flows, pipelines and dvc.yaml a new project gets.

    It is part of the wheel. An editable installation has them beside the package.
    """
    packaged = Path(__file__).parent / "_project"
    return packaged if packaged.is_dir() else Path(__file__).parents[1]
