import shutil
import signal
import tarfile
from pathlib import Path

import pytest

from evertune.registry.mlflow_client import open_tracking_store


FIXTURES = Path(__file__).parent / "fixtures"


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


@pytest.fixture(scope="session")
def golden_project_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project as release 0.1 left it (see fixtures/README.md); it must not be changed."""
    folder = tmp_path_factory.mktemp("golden") / "project"
    with tarfile.open(FIXTURES / "project-0.1.tar.xz", "r:xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def golden_project(tmp_path: Path, golden_project_files: Path) -> Path:
    """Return a project as release 0.1 left it, in a folder of the test's own."""
    return shutil.copytree(golden_project_files, tmp_path / "project", symlinks=True)


@pytest.fixture(scope="session")
def golden_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the models that release 0.1 saved; they must not be changed."""
    folder = tmp_path_factory.mktemp("golden-models")
    with tarfile.open(FIXTURES / "models-0.1.tar.xz", "r:xz") as archive:
        archive.extractall(folder, filter="data")
    return folder
