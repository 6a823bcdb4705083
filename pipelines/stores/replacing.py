"""Writing that leaves the old content or the new one, whenever the process is killed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from pipelines.errors import UnsafeError


@contextmanager
def replaced_file(path: Path) -> Iterator[BinaryIO]:
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
        force_to_disk(path.parent)
    except OSError as error:
        raise UnsafeError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        with suppress(OSError):
            beside.unlink()


def force_to_disk(path: Path) -> None:
    """Wait until a file or folder that was written is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder with all that is in it, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
