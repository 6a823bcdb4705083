"""The registry of a test's project, and MLflow's own client to look behind it."""

from pathlib import Path

from mlflow import MlflowClient

from evertune.registry.mlflow_registry import ModelRegistry
from evertune.registry.promotion import aliases_after_promotion

PROJECT_ID = "00000000-0000-4000-8000-000000000000"


def open_state(state: Path, name: str = "churn") -> ModelRegistry:
    """Return the registry whose embedded database lies in a state folder."""
    return ModelRegistry(state, name, PROJECT_ID)


def client_of(registry: ModelRegistry) -> MlflowClient:
    """Return MLflow's own client."""
    return MlflowClient(tracking_uri=registry.address)


def make_champion(registry: ModelRegistry, number: str) -> None:
    """Move the aliases as a promotion does, without a decision."""
    before = registry.aliases()
    registry.move_aliases(before=before, after=aliases_after_promotion(before, number))
