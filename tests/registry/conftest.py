"""A model, a registry and a project with versions, for the tests of the registry."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from evertune.database import close_log
from evertune.registry.decision_log import DecisionLog
from evertune.registry.model_registry import ModelRegistry
from tests import production, versioned
from tests.registries import open_state


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small model, to be read only."""
    return versioned.learned(tmp_path_factory.mktemp("learned"))


@pytest.fixture
def registry(state: Path) -> ModelRegistry:
    """Return an empty registry."""
    return open_state(state)


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


@pytest.fixture
def root(versions_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of that project, which goes on in its new folder."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return shutil.copytree(versions_project, tmp_path / "project")


@pytest.fixture
def decisions(root: Path) -> Iterator[DecisionLog]:
    """Return the decisions of that project."""
    log = production.log_of(root)
    yield DecisionLog(log)
    close_log(log)
