from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from evertune.serving.app import create_app
from tests.production import champion, day, project
from tests.services import quickly_learned, served

NOW = day(30)


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
        yield lambda: stack.enter_context(served(create_app(tmp_path, clock=lambda: NOW)))


@pytest.fixture
def client(root: Path, start: Callable[[], httpx.Client]) -> httpx.Client:
    """Return a client of the service."""
    assert root.is_dir()
    return start()
