"""The DVC repository of a project, opened for one call.

It is opened anew each time (0.05 s), so that what another process changed is seen. DVC's own lock
is waited for a while, and what a killed process left of it is set aside.
"""

import contextlib
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo
from dvc.rwlock import RWLockFileCorruptedError

from pipelines.errors import BusyError, StageError

LOCK_SECONDS = 10.0
T = TypeVar("T")


def with_repository(root: Path, action: Callable[[Repo], T]) -> T:
    """Return what an action gives on the repository of the project in `root`.

    Raises
    ------
    BusyError
        Another process has held DVC's lock for ten seconds.
    StageError
        DVC refuses.
    """
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            with quiet(), Repo(str(root)) as repo:
                return action(repo)
        except RWLockFileCorruptedError:
            _set_aside(root / ".dvc" / "tmp" / "rwlock")
        except LockError as error:
            if time.monotonic() > deadline:
                raise BusyError(f"DVC is in use in {root}: {error}") from error
            time.sleep(0.2)
        except DvcException as error:
            raise StageError(f"DVC in {root}: {error}") from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
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


def _set_aside(torn: Path) -> None:
    # DVC writes this file in place: a kill can leave half of it, which blocks every later call.
    torn.replace(torn.with_name(f"{torn.name}.torn"))
