import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from subprocess import PIPE, CompletedProcess, Popen
from typing import TYPE_CHECKING

import pytest

from evertune.config.yaml_file import edit_section
from evertune.orchestration.server import prefect_api_url, server_on_socket, wait_for_server

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

CHECKOUT = Path(__file__).parents[2]
PROJECT = ("flows", "pipelines", "params.yaml", "dvc.yaml", ".gitignore", ".dvcignore")
ADDRESSES = {"PREFECT_API_URL", "PREFECT_HOME", "MLFLOW_TRACKING_URI", "RAY_ADDRESS"}
SMALL = {
    "search": {
        "budget_seconds": None,
        "budget_trials": 3,
        "families": ["linear"],
        "workers": 1,
    },
    "evaluation": {"bootstrap_draws": 100, "importance_rows": 100, "importance_repeats": 1},
}


def copied_project(root: Path) -> Path:
    """Return a project of its own with a search that ends soon."""
    root.mkdir()
    for name in PROJECT:
        copy = shutil.copytree if (CHECKOUT / name).is_dir() else shutil.copy2
        copy(CHECKOUT / name, root / name)
    for section, values in SMALL.items():
        edit_section(root / "params.yaml", section, values)
    return root


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def commit(root: Path) -> None:
    """Commit all of a project, in a repository of its own."""
    author = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for arguments in (["init", "-q"], ["add", "."], [*author, "commit", "-qm", "change"]):
        subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True)


def start(root: Path, *arguments: str, **environment: str) -> Popen[str]:
    own = {name: value for name, value in os.environ.items() if name not in ADDRESSES}
    command = [sys.executable, "-m", "evertune.cli.app", *arguments]
    settings = own | {"PYTHONPATH": str(root)} | environment
    return Popen(command, cwd=root, env=settings, stdout=PIPE, stderr=PIPE, text=True)


def run(root: Path, *arguments: str, **environment: str) -> CompletedProcess[str]:
    with start(root, *arguments, **environment) as process:
        output, errors = process.communicate(timeout=600)
    return CompletedProcess(arguments, process.returncode, output, errors)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return copied_project(tmp_path / "project")


@pytest.fixture
def started(project: Path) -> Callable[..., Popen[str]]:
    """Return what starts `evertune` in the project, as a shell would."""
    return partial(start, project)


@pytest.fixture
def evertune(project: Path) -> Callable[..., CompletedProcess[str]]:
    """Return what runs `evertune` in the project to its end."""
    return partial(run, project)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project in which `evertune train` has run; first.txt has its output."""
    root = copied_project(tmp_path_factory.mktemp("trained") / "project")
    done = run(root, "train")
    (root / "first.txt").write_text(f"{done.returncode}\n{done.stdout}{done.stderr}")
    return root


@pytest.fixture(scope="session")
def again(trained: Path) -> CompletedProcess[str]:
    """Return how a second run went."""
    return run(trained, "train")


@pytest.fixture(scope="session")
def standing(trained: Path) -> CompletedProcess[str]:
    """Return what `evertune status` says of it."""
    return run(trained, "status")


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator["SyncPrefectClient"]:
    """Return a client of a Prefect server with all its services."""
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    home = tmp_path_factory.mktemp("prefect")
    listener = socket.create_server(("127.0.0.1", 0))
    address, log = prefect_api_url(listener.getsockname()[1]), home / "server.log"
    with (
        server_on_socket(listener, log=log, settings={"PREFECT_HOME": str(home)}) as process,
        temporary_settings({PREFECT_API_URL: address}),
    ):
        wait_for_server(address, process=process, log=log)
        with get_client(sync_client=True) as known:
            yield known
