"""The whole chain on the default table: the same by Prefect and by DVC, and served afterwards."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evertune.data.example import production_table
from evertune.files import read_table
from evertune.models.persistence import load_model, predict_rows

pytestmark = pytest.mark.slow
SERVE = """
import sys, mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/churn@champion")
model.predict(pd.read_parquet("rows.parquet")).to_parquet("predicted.parquet")
"""


def program(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=root, capture_output=True, text=True, check=True
    )


@pytest.fixture(scope="module")
def reproduced(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the trained project made once more, without Prefect and MLflow."""
    root = tmp_path_factory.mktemp("reproduced") / "project"
    made = shutil.ignore_patterns("data", "state", ".dvc", "dvc.lock", ".git")
    shutil.copytree(trained, root, ignore=made)
    program(root, "-m", "evertune.cli.app", "snapshot")
    program(root, "-m", "dvc", "repro")
    return root


def compared_figures(root: Path) -> dict[str, float]:
    evaluation = json.loads((root / "data/figures.json").read_text())
    return {f"holdout {k}": v for k, v in evaluation["holdout"].items()} | {
        f"{row['name']} {k}": v for row in evaluation["baselines"] for k, v in row["folds"].items()
    }


def test_dvc_and_the_flow_give_the_same_figures(trained, reproduced):
    assert compared_figures(reproduced) == pytest.approx(compared_figures(trained), abs=1e-9)


def test_dvc_and_the_flow_give_the_same_predictions(trained, reproduced):
    rows = production_table().head(500)
    made = [
        predict_rows(load_model(root / "data/model"), rows).probabilities
        for root in (trained, reproduced)
    ]
    assert made[0] == pytest.approx(made[1], abs=1e-9)


def test_dvc_repro_needs_neither_prefect_nor_mlflow(reproduced):
    assert not (reproduced / "state").exists() or not {"mlflow.db", "prefect"} & {
        path.name for path in (reproduced / "state").iterdir()
    }


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["metrics", "show"], ["holdout.roc_auc", "lift.roc_auc"]),
        (["plots", "show"], ["index.html"]),
        (["status"], ["always changed"]),
    ],
    ids=lambda value: value[0],
)
def test_the_commands_of_dvc_work(reproduced, command, words):
    said = program(reproduced, "-m", "dvc", *command).stdout
    assert [word for word in words if word not in said] == []


def strange_rows() -> pd.DataFrame:
    """Return production's rows, some with a city and a plan that training never had."""
    rows = production_table().head(200)
    rows.loc[:50, "city"] = "Atlantis"
    rows.loc[20:80, "plan"] = "diamond"
    rows.loc[60:120, ["age", "usage_hours", "contract", "signed_up"]] = None
    return rows


def test_the_champion_predicts_raw_rows_in_a_fresh_process_as_in_training(trained, tmp_path):
    strange_rows().to_parquet(tmp_path / "rows.parquet")
    program(tmp_path, "-W", "ignore", "-c", SERVE, f"sqlite:///{trained}/state/mlflow.db")
    served = read_table(tmp_path / "predicted.parquet")["probability_yes"]
    here = predict_rows(load_model(trained / "data/model"), strange_rows()).probabilities
    assert here is not None
    assert np.abs(served.to_numpy() - here[:, 1]).max() < 1e-12
