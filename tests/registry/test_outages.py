"""A real `mlflow server` that stops, dies and comes back while a model is registered."""

import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evertune.config.loader import load_params
from evertune.errors import BusyError
from evertune.registry.mlflow_registry import open_registry
from evertune.registry.register import register
from tests.support import registered
from tests.support.registries import client_of
from tests.support.servers import Server, mlflow_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, new_database: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(new_database, folder / "mlflow.db")
    with mlflow_server(folder) as started:
        yield started


@pytest.fixture
def root(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project whose MLflow is the server, and whose stages are up to date."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    name = f"houses_{tmp_path.name}"
    monkeypatch.setattr(
        registered, "PARAMS", registered.PARAMS.replace("name: houses", f"name: {name}")
    )
    place = registered.project(tmp_path)
    registered.made(place, model=registered.fitted(registered.table(60)))
    return place


def once_a_run_is_there(server: Server, act: Callable[[], None]) -> threading.Thread:
    """Act, in another thread, when the server's database has one more run than now."""

    def count() -> int:
        with sqlite3.connect(f"file:{server.folder}/mlflow.db?mode=ro", uri=True) as database:
            return int(database.execute("SELECT count(*) FROM runs").fetchone()[0])

    before = count()

    def wait() -> None:
        deadline = time.monotonic() + 60
        while count() == before and time.monotonic() < deadline:
            time.sleep(0.02)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def registered_once(root: Path) -> bool:
    """Return whether there is one run of the search and one version, and all is ended."""
    registry = open_registry(load_params(root))
    runs = client_of(registry).search_runs([registry.experiment_id])
    searches = [run for run in runs if "evertune.search" in run.data.tags]
    trials = [run for run in runs if "evertune.trial" in run.data.tags]
    statuses = {run.info.status for run in runs}
    return (len(searches), len(trials), len(registry.versions()), statuses) == (
        1,
        2,
        1,
        {"FINISHED"},
    )


def test_a_server_that_stands_still_for_a_second_is_waited_for(root, server):
    def stand_still() -> None:
        server.send(signal.SIGSTOP)
        time.sleep(1)
        server.send(signal.SIGCONT)

    thread = once_a_run_is_there(server, stand_still)
    verdict = register(root)
    thread.join()
    assert (verdict.version, registered_once(root)) == ("1", True)


def test_a_server_that_dies_is_named_soon_and_nothing_is_logged_twice(root, server):
    thread = once_a_run_is_there(server, lambda: server.send(signal.SIGKILL))
    began = time.monotonic()
    with pytest.raises(BusyError, match=f"MLflow at {server.address} does not answer"):
        register(root)
    thread.join()
    assert time.monotonic() - began < 60
    began = time.monotonic()
    with pytest.raises(BusyError, match=f"expected an answer from {server.address}"):
        register(root)
    assert time.monotonic() - began < 10
    server.start()
    assert (register(root).version, registered_once(root)) == ("1", True)
    assert register(root).version == "1"
    assert registered_once(root)
