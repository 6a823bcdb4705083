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

from evertune.errors import InputError, StageError

if TYPE_CHECKING:
    from evertune.registry.mlflow_client import TrackingStore
    from evertune.registry.versions import ModelVersion
    from evertune.types import Predictions


ExamplePredictor = Callable[[Path], "Predictions"]
SmokeTest = Callable[["TrackingStore", "ModelVersion"], "Predictions"]


def smoke_test(store: "TrackingStore", version: "ModelVersion") -> "Predictions":
    """Return what a version says of the rows that it was registered with.

    Raises
    ------
    InputError
        It cannot be loaded, or cannot predict them; nothing was changed.
    """
    return _run_smoke_test(store, version, say=predict_example)


@contextmanager
def smoke_test_in_subprocess() -> Iterator[SmokeTest]:
    """Give a `smoke_test` that works in a process of its own.

    That one imports what predicting takes while this one imports what the registry takes: who
    has to go back in a hurry waits for the longer of the two.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(preload_predictor)
        yield partial(
            _run_smoke_test, say=lambda files: pool.submit(predict_example, files).result()
        )


def preload_predictor() -> None:
    """Import what predicting takes."""
    import evertune.models.persistence  # noqa: F401


def predict_example(files: Path) -> "Predictions":
    """Return what a version says of its example, both read from a folder of its files."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    from evertune.models.persistence import load_model, predict_rows
    from evertune.registry.pyfunc import MODEL_FOLDER, read_example_rows

    with threadpool_limits(1):  # for a few rows
        return predict_rows(load_model(files / "data" / MODEL_FOLDER), read_example_rows(files))


def _run_smoke_test(
    store: "TrackingStore", version: "ModelVersion", *, say: ExamplePredictor
) -> "Predictions":
    from evertune.registry.versions import download_version

    try:
        with TemporaryDirectory() as beside:
            return say(download_version(store, version, folder=Path(beside)))
    except (StageError, InputError, ValueError, BrokenProcessPool) as error:
        raise InputError(
            f"expected version {version.number} of {store.name} to predict its own example, but:"
            f" {error}; the champion stays"
        ) from error
