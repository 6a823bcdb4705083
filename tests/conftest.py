import shutil
import signal
from pathlib import Path

import pytest

from evertune.registry.mlflow_client import open_tracking_store


def pytest_configure() -> None:
    """Let Ctrl-C reach what tests start: a shell starts what runs in the background without it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an MLflow database with its tables, which take seconds to make."""
    state = tmp_path_factory.mktemp("project") / "state"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        state.mkdir()
        open_tracking_store(state, "unused")
    return state / "mlflow.db"


@pytest.fixture
def state(tmp_path: Path, new_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the state folder of a new project."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "state"
    folder.mkdir()
    shutil.copy(new_database, folder / "mlflow.db")
    return folder
