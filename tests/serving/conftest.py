import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from evertune.serving.app import create_app
from evertune.serving.service import ModelService
from tests.support.production import champion_state, day, project
from tests.support.services import quickly_learned, served

NOW = day(30)


def churn_app(root: Path, now: datetime) -> FastAPI:
    """Return the app of a project alone, at a time that stands still."""
    return create_app({"churn": ModelService(root, clock=lambda: now)})


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a model."""
    return quickly_learned(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="session")
def served_state(tmp_path_factory: pytest.TempPathFactory, new_database: Path, made: Path) -> Path:
    """Return the state folder of a project in which the model is the champion; read only."""
    root = tmp_path_factory.mktemp("served")
    return champion_state(root, new_database, made, with_reference=False)


@pytest.fixture
def root(tmp_path: Path, served_state: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project with a champion."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(served_state, tmp_path / "state")
    return project(tmp_path)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], httpx.Client]]:
    """Return what starts the service of the project, in January 2024."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(served(churn_app(tmp_path, NOW)))


@pytest.fixture
def client(root: Path, start: Callable[[], httpx.Client]) -> httpx.Client:
    """Return a client of the service."""
    assert root.is_dir()
    return start()
