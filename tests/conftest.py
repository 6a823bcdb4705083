import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from threadpoolctl import threadpool_limits

from evertune.database import open_log
from evertune.monitoring.prediction_log import PredictionLog
from tests.support import production, trained, versioned
from tests.support.projects import ADDRESSES, SHARED_FILES, copied_with_dvc
from tests.support.registries import open_state

FIXTURES = Path(__file__).parent / "fixtures"
PLACES = Path("/usr/lib/postgresql")
MISSING = (
    "PostgreSQL is not installed; to run these tests install it, on Debian with"
    " `apt-get install postgresql`"
)
SERVER_USER = "postgres"
SHARED = pytest.StashKey[str]()
BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)]


def pytest_configure(config: pytest.Config) -> None:
    """Let Ctrl-C reach what tests start, and make a folder for what all processes share.

    A shell starts what runs in the background without Ctrl-C.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if SHARED_FILES not in os.environ:  # the process that starts the others
        os.environ[SHARED_FILES] = config.stash[SHARED] = tempfile.mkdtemp(prefix="evertune-tests-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what the processes of this run shared."""
    if folder := config.stash.get(SHARED, None):
        shutil.rmtree(folder)
        del os.environ[SHARED_FILES]


@pytest.fixture(scope="module", autouse=True)
def no_servers() -> None:
    """Forget addresses of servers that an earlier test left, before fixtures make projects."""
    for name in ADDRESSES:
        os.environ.pop(name, None)


@pytest.fixture(autouse=True)
def no_cached_places() -> Iterator[None]:
    """Have MLflow look up again where a run's files lie: copies of a project share run ids.

    A model that MLflow loads puts its code before ours on the path, for processes that start later.
    """
    forget_artifact_places()
    before = sys.path.copy()
    yield
    sys.path[:] = before


def forget_artifact_places() -> None:
    """Clear what MLflow remembers, within a process, of where the files of a run lie."""
    if places := sys.modules.get("mlflow.tracking._tracking_service.utils"):
        places._artifact_repos_cache.clear()


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an MLflow database with its tables, which take seconds to make."""
    state = tmp_path_factory.mktemp("project") / "state"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        state.mkdir()
        open_state(state, "unused")
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
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a model and its reference, which take seconds to make; read only."""
    with threadpool_limits(1):
        return production.learned(tmp_path_factory.mktemp("learned"))


@pytest.fixture(scope="session")
def champion_state(
    tmp_path_factory: pytest.TempPathFactory, new_database: Path, learned: Path
) -> Path:
    """Return the state folder of a project in which that model is the champion; read only."""
    return production.champion_state(tmp_path_factory.mktemp("champion"), new_database, learned)


@pytest.fixture
def champion_root(tmp_path: Path, champion_state: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a state folder in which version 1 is the champion."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(champion_state, tmp_path / "state")
    return tmp_path


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small model, to be read only."""
    return versioned.learned(tmp_path_factory.mktemp("learned"))


@pytest.fixture(scope="session")
def versions_project(
    tmp_path_factory: pytest.TempPathFactory, new_database: Path, saved_model: Path
) -> Path:
    """Return a project in which version 2 took the place of 1, and 3 is challenger."""
    root = tmp_path_factory.mktemp("versions")
    (root / "state").mkdir()
    shutil.copy(new_database, root / "state" / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return versioned.project(root, saved_model)


@pytest.fixture(scope="session")
def once_trained(tmp_path_factory: pytest.TempPathFactory, new_database: Path) -> Path:
    """Return a small project in which a run has registered a model; it must not be changed."""
    return trained.trained_project(tmp_path_factory.mktemp("trained") / "project", new_database)


@pytest.fixture
def trained_root(once_trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of that project, which goes on in its new folder."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return copied_with_dvc(once_trained, tmp_path / "project")


@pytest.fixture
def versions_root(versions_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of that project, which goes on in its new folder."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return shutil.copytree(versions_project, tmp_path / "project")


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


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """Return the address of an empty PostgreSQL of our own, which no root may run."""
    programs = max(PLACES.glob("*/bin"), default=None)
    if programs is None:
        pytest.skip(MISSING)
    folder, port = Path(tempfile.mkdtemp(prefix="evertune-postgresql-")), free_port()
    as_user = {"user": SERVER_USER, "group": SERVER_USER, "extra_groups": []}
    drop = as_user if os.geteuid() == 0 else {}
    if drop:
        shutil.chown(folder, SERVER_USER, SERVER_USER)
    make = [programs / "initdb", "-D", folder / "data", "-U", "evertune", "-A", "trust", "-N"]
    subprocess.run(make, check=True, capture_output=True, cwd=folder, **drop)
    serve = [programs / "postgres", "-D", folder / "data", "-h", "127.0.0.1", "-p", str(port)]
    options = ["-k", "", "-c", "fsync=off"]
    server = subprocess.Popen([*serve, *options], cwd=folder, stderr=subprocess.DEVNULL, **drop)
    try:
        yield answering(f"postgresql://evertune@127.0.0.1:{port}/postgres", server)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(60)
        shutil.rmtree(folder)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def answering(address: str, server: subprocess.Popen[bytes]) -> str:
    while server.poll() is None:
        try:
            psycopg.connect(address).close()
            return address
        except psycopg.OperationalError:
            time.sleep(0.05)
    raise RuntimeError(f"PostgreSQL ended with {server.returncode} before it answered.")


@pytest.fixture(params=BOTH)
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of a database, once of each kind."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgresql"))
    return f"sqlite:///{tmp_path}/predictions.db"


@pytest.fixture
def log(address: str, tmp_path: Path) -> Iterator[PredictionLog]:
    """Return an empty log: that of a model of its own, since all share one PostgreSQL."""
    with open_log(tmp_path, model=f"model-{uuid4().hex}", address=address) as opened:
        yield PredictionLog(opened.engine, opened.model)
