import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess, Popen

import pytest
from typer.testing import CliRunner, Result

from tests.projects import ADDRESSES, copied_project, run, start


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


@pytest.fixture
def evertune(project: Path) -> Callable[..., CompletedProcess[str]]:
    """Return what runs `evertune` in the project to its end, as a shell would."""
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
