"""A model, a registry and a project with versions, for the tests of the registry."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from evertune.registry.decision_log import DecisionLog
from evertune.registry.mlflow_registry import ModelRegistry
from tests.support import production
from tests.support.registries import open_state


@pytest.fixture
def registry(state: Path) -> ModelRegistry:
    """Return an empty registry."""
    return open_state(state)


@pytest.fixture
def root(versions_root: Path) -> Path:
    return versions_root


@pytest.fixture
def decisions(root: Path) -> Iterator[DecisionLog]:
    """Return the decisions of that project."""
    with production.log_of(root) as log:
        yield DecisionLog(log)
