from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from evertune.serving.app import create_app
from evertune.serving.service import ModelService
from tests.production import champion, day, project
from tests.services import quickly_learned, served

NOW = day(30)


def churn_app(root: Path, now: datetime) -> FastAPI:
    """Return the app of a project alone, at a time that stands still."""
    return create_app({"churn": ModelService(root, clock=lambda: now)})


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a model."""
    return quickly_learned(tmp_path_factory.mktemp("made"))


@pytest.fixture
def root(tmp_path: Path, state: Path, made: Path) -> Path:
    """Return a project with a champion."""
    assert state.parent == tmp_path
    champion(project(tmp_path), made, with_reference=False)
    return tmp_path


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
