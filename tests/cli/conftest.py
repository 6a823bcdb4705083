import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess, Popen

import pytest
from filelock import FileLock
from typer.testing import CliRunner, Result

from evertune.config.yaml_file import edit_section
from evertune.data.example import training_table
from tests.support.projects import ADDRESSES, copied_project, run, start

ROWS = 5000  # enough evidence for a champion, in a third less time than the whole example


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return copied_project(tmp_path / "project")


@pytest.fixture
def invoke(project: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Return what runs `evertune` in the project, in this process."""
    from evertune.cli.app import app

    monkeypatch.setattr(os, "environ", os.environ.copy())
    for name in ADDRESSES:
        os.environ.pop(name, None)
    monkeypatch.chdir(project)
    return lambda *arguments: CliRunner().invoke(app, arguments)


@pytest.fixture
def started(project: Path) -> Callable[..., Popen[str]]:
    """Return what starts `evertune` in the project, as a shell would."""
    return partial(start, project)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all processes of this test run share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def trained(shared: Path) -> Path:
    """Return a project in which `evertune train` has run; first.txt has its output.

    It is made once, whichever process of the test run is the first that needs it.
    """
    root = shared / "trained" / "project"
    with FileLock(shared / "trained.lock"):
        if not (root / "first.txt").exists():
            root.parent.mkdir()
            training_table().tail(ROWS).to_csv(copied_project(root) / "table.csv", index=False)
            edit_section(root / "params.yaml", "data", {"source": "table.csv"})
            done = run(root, "train")
            (root / "first.txt").write_text(f"{done.returncode}\n{done.stdout}{done.stderr}")
    return root


@pytest.fixture(scope="session")
def again(trained: Path, shared: Path) -> CompletedProcess[str]:
    """Return how another run went."""
    with FileLock(shared / "trained.lock"):
        return run(trained, "train")


@pytest.fixture(scope="session")
def standing(trained: Path, shared: Path) -> CompletedProcess[str]:
    """Return what `evertune status` says of it."""
    with FileLock(shared / "trained.lock"):
        return run(trained, "status")
