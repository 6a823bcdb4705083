"""Whether a version predicts the rows that it was registered with.

Importing this module takes no time, so that a process of its own can begin before anything else.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pipelines.errors import InputError, StageError

if TYPE_CHECKING:
    from pipelines.core.predictions import Predictions
    from pipelines.stores.registry import Version
    from pipelines.stores.tracking import Store

Say = Callable[[Path], "Predictions"]
Prove = Callable[["Store", "Version"], "Predictions"]


def proved(store: "Store", version: "Version") -> "Predictions":
    """Return what a version says of the rows that it was registered with.

    Raises
    ------
    InputError
        It cannot be loaded, or cannot predict them; nothing was changed.
    """
    return _proved(store, version, say=said_of)


@contextmanager
def proving_beside() -> Iterator[Prove]:
    """Give a `proved` that works in a process of its own.

    That one imports what predicting takes while this one imports what the registry takes: who
    has to go back in a hurry waits for the longer of the two.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(prepare)
        yield partial(_proved, say=lambda files: pool.submit(said_of, files).result())


def prepare() -> None:
    """Import what predicting takes."""
    import pipelines.stores.logged_models
    import pipelines.stores.models  # noqa: F401


def said_of(files: Path) -> "Predictions":
    """Return what a version says of its example, both read from a folder of its files."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    from pipelines.stores.logged_models import FOLDER, example_in
    from pipelines.stores.models import load_model, predict_rows

    with threadpool_limits(1):  # for a few rows
        return predict_rows(load_model(files / "data" / FOLDER), example_in(files))


def _proved(store: "Store", version: "Version", *, say: Say) -> "Predictions":
    from pipelines.stores.registry import download_version

    try:
        with TemporaryDirectory() as beside:
            return say(download_version(store, version, folder=Path(beside)))
    except (StageError, InputError, ValueError, BrokenProcessPool) as error:
        raise InputError(
            f"expected version {version.number} of {store.name} to predict its own example, but:"
            f" {error}; the champion stays"
        ) from error
