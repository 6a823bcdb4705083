import os
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from subprocess import PIPE, CompletedProcess, Popen

import pytest

from pipelines.stores.documents import edit_section

CHECKOUT = Path(__file__).parents[2]
PROJECT = ("flows", "pipelines", "infra", "params.yaml", "dvc.yaml", ".gitignore")
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


def start(root: Path, *arguments: str, **environment: str) -> Popen[str]:
    own = {name: value for name, value in os.environ.items() if name not in ADDRESSES}
    command = [sys.executable, "-m", "flows.cli", *arguments]
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
