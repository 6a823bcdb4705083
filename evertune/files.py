"""Atomic file writes, records, digests and the project lock.

A file is written next to its target, forced to disk and then renamed (`atomic_write`,
`atomic_folder`), so that a killed process leaves either the old content or the new one.
`append_line` cuts off the half line that a killed process left. `project_lock` keeps two runs
apart; the kernel frees it when the process ends, however it ends.

Tables are Parquet (`read_table`, `write_table`): equal tables give equal bytes. Records are
dataclasses as sorted JSON (`read_record`, `write_record`). `load_function` imports a
`module:function` of the project.
"""

import fcntl
import filecmp
import hashlib
import importlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, TypeVar
from uuid import uuid4

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from evertune.errors import BusyError, InputError, ParamsError, TableError, UnsafeError
from evertune.messages import did_you_mean


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Give a file beside `path` that is renamed to it when the block ends without an error.

    Raises
    ------
    UnsafeError
        Where the disk does not take it.
    """
    beside = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        fsync_path(path.parent)
    except OSError as error:
        raise UnsafeError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        with suppress(OSError):
            beside.unlink()


def fsync_path(path: Path) -> None:
    """Wait until a file or folder that was written is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def remove_path(path: Path) -> None:
    """Remove a file, a link or a folder with all that is in it, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


T = TypeVar("T")
BLOCK_BYTES = 4096


def read_table(path: Path) -> pd.DataFrame:
    """Return the table of a Parquet file, text columns as pandas' `str`.

    Raises
    ------
    TableError
        Where there is no such file, or it is no Parquet file.
    """
    try:
        with pq.ParquetFile(path) as file:
            table: pd.DataFrame = file.read().to_pandas()
            return table
    except FileNotFoundError as error:
        raise TableError(_missing_file_message(path)) from error
    except (pa.ArrowInvalid, OSError) as error:
        raise TableError(f"{path}: expected a Parquet file, but {error}.") from error


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as Parquet; equal tables give equal bytes, and the index is not kept.

    Raises
    ------
    TableError
        Where a column mixes kinds of values that Parquet cannot hold in one column.
    """
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


def read_record(path: Path, kind: type[T]) -> T:
    """Return the record, or the dict or tuple of records, that `write_record` wrote.

    Parameters
    ----------
    path : Path
    kind : type
        A dataclass, or a type such as ``dict[str, Trial]``.

    Raises
    ------
    InputError
        Where there is no such file, or it holds something else.
    """
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes(), strict=True)
    except FileNotFoundError as error:
        raise InputError(_missing_file_message(path)) from error
    except ValidationError as error:
        raise InputError(
            f"{path} is not what a step wrote: {_first_validation_error(error)}."
        ) from error


def write_record(path: Path, record: object) -> None:
    """Write dataclasses, and dicts and tuples of them, as sorted and indented JSON.

    NaN and infinities are written as null; a field that can be one of them is `float | None`.

    Raises
    ------
    ValueError
        Where the record holds something else than records, text, numbers, dicts and tuples.
    """
    plain = json.loads(to_json(record, inf_nan_mode="null", fallback=_to_plain_scalar))
    write_text(path, json.dumps(plain, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8."""
    with atomic_write(path) as file:
        file.write(text.encode())


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder that takes the place of `path` when the block ends without an error."""
    beside, old = path.with_name(f".{path.name}.part"), path.with_name(f".{path.name}.old")
    remove_path(beside)
    beside.mkdir(parents=True)
    try:
        yield beside
        for file in beside.rglob("*"):
            fsync_path(file)
    except BaseException:
        remove_path(beside)
        raise
    remove_path(old)
    if path.exists() or path.is_symlink():
        path.rename(old)
    beside.rename(path)
    fsync_path(path.parent)
    remove_path(old)


def append_line(path: Path, line: str) -> None:
    """Add one line and force it to disk; half a line that a killed process left is cut off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        file.truncate(_end_of_complete_lines(file))
        file.write(line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read_lines(path: Path) -> list[str]:
    """Return the whole lines of a file that may still be written to; none if there is no file.

    A last line without its end is left out.
    """
    if not path.exists():
        return []
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    return whole.decode().split("\n") if whole else []


def load_function(reference: str, root: Path) -> Callable[..., Any]:
    """Return the function that `module:function` names, looked for in the project folder first.

    The folder stays on the import path, for what the function imports later.

    Raises
    ------
    ParamsError
        Where the module cannot be imported or has no such function.
    """
    module_name, _, name = reference.partition(":")
    try:
        module = _import_module(module_name, root)
    except (ImportError, SyntaxError) as error:
        raise ParamsError(f"'{reference}': cannot import '{module_name}': {error}.") from error
    function: Callable[..., Any] | None = getattr(module, name, None)
    if not callable(function):
        hint = did_you_mean(name, vars(module))
        raise ParamsError(f"'{reference}': '{module_name}' has no function '{name}'.{hint}")
    return function


def digest_files(paths: Iterable[Path]) -> str:
    """Return the SHA-256 of the names and contents of files, folders with all that is in them.

    Names count from the folder that all paths share, so that a moved project keeps its digest.
    """
    files = sorted({file for path in paths for file in _list_files(path)})
    shared = os.path.commonpath([file.parent for file in files])
    digest = hashlib.sha256()
    for file in files:
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{content} {file.relative_to(shared).as_posix()}\n".encode())
    return digest.hexdigest()


@contextmanager
def project_lock(state: Path, purpose: str) -> Iterator[None]:
    """Hold the project for one run; the kernel frees it when the process ends, however it ends.

    `state/run.lock` says who holds it: `pid`, `purpose` and `since`.

    Raises
    ------
    BusyError
        Where another run holds the project.
    UnsafeError
        Where the folder cannot be written.
    """
    path = state / "run.lock"
    with _open_lock(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyError(f"'{purpose}' cannot start: {_describe_lock_owner(path)}.") from error
        _write_lock_owner(file, purpose)
        try:
            yield
        finally:
            file.truncate(0)


def is_project_locked(state: Path) -> bool:
    """Whether a run that is alive holds the project; asking takes nothing from anybody."""
    try:
        owner = json.loads((state / "run.lock").read_bytes())
        os.kill(int(owner["pid"]), 0)
    except (FileNotFoundError, json.JSONDecodeError, ProcessLookupError):
        return False
    except PermissionError:  # it is alive, and another user's
        return True
    return True


def _import_module(name: str, root: Path) -> ModuleType:
    sys.path[:] = [str(root), *(entry for entry in sys.path if entry != str(root))]
    importlib.invalidate_caches()
    own, loaded = root / f"{name.replace('.', '/')}.py", sys.modules.get(name)
    if own.exists() and loaded and Path(str(loaded.__file__)).resolve() != own.resolve():
        del sys.modules[name]  # a module of the same name, from the folder of another project
    return importlib.import_module(name)


def _write_lock_owner(file: BinaryIO, purpose: str) -> None:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    file.truncate(0)
    file.write(json.dumps({"pid": os.getpid(), "purpose": purpose, "since": since}).encode())
    file.flush()


def _describe_lock_owner(path: Path) -> str:
    try:
        owner = json.loads(path.read_bytes())
        return f"'{owner['purpose']}' (process {owner['pid']}) runs since {owner['since']}"
    except json.JSONDecodeError:
        return "another run holds the project"


def _open_lock(path: Path) -> BinaryIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+b")
    except OSError as error:
        raise UnsafeError(f"{path} cannot be written: {error.strerror}.") from error


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
        return [
            file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts
        ]
    if not path.exists():
        raise InputError(_missing_file_message(path))
    return [path]


def _missing_file_message(path: Path) -> str:
    return f"{path} does not exist; `evertune train` makes what a step needs."


def _first_validation_error(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(step) for step in first["loc"]) or "the file"
    return f"{place}: {first['msg']}"


def _to_plain_scalar(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"A record cannot hold {value!r} of {type(value)}.")


def write_table_if_changed(path: Path, table: pd.DataFrame) -> bool:
    """Return whether the table differs from the file's; only then the file is replaced."""
    beside = path.with_name(f".{path.name}.new")
    write_table(beside, table)
    if path.is_file() and filecmp.cmp(beside, path, shallow=False):
        beside.unlink()
        return False
    beside.replace(path)
    return True
