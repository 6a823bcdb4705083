"""A small project that was trained in this process, without Prefect."""

import shutil
from pathlib import Path

import pytest

from evertune.config.yaml_file import edit_section
from evertune.data.example import training_table
from evertune.orchestration.steps import perform_here, register_step, snapshot_step, stage_step
from evertune.versioning import dvc
from tests.support.projects import copied_project


def train(root: Path) -> dict[str, str]:
    """Do what the flow `train` does, and return the line of each step."""
    lines: dict[str, str] = {}
    perform_here(snapshot_step(root), lines.__setitem__)
    for name in dvc.list_stages(root):
        perform_here(stage_step(root, name), lines.__setitem__)
    perform_here(register_step(root), lines.__setitem__)
    return lines


def small_project(root: Path) -> Path:
    copied_project(root)
    training_table().tail(900).to_csv(root / "table.csv", index=False)
    edit_section(root / "params.yaml", "data", {"source": "table.csv"})
    edit_section(root / "params.yaml", "split", {"n_folds": 3})
    edit_section(root / "params.yaml", "search", {"budget_trials": 2})
    (root / "own.py").write_text("def half(x):\n    return x / 2\n")
    return root


def trained_project(root: Path, database: Path) -> Path:
    """Return a small project, trained, with an MLflow database that has its tables."""
    small_project(root)
    (root / "state").mkdir()
    shutil.copy(database, root / "state" / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        train(root)
    return root
