"""What a person sees in MLflow while a search is still running."""

import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest
from mlflow import MlflowClient

from evertune.config.yaml_file import edit_section
from tests.support.trained import small_project

PATIENCE_SECONDS = 120
HELD = """
import threading
import time
from pathlib import Path

HERE = Path(__file__).parent


def held(truth, values, probabilities):
    if threading.current_thread().name == "evaluating":  # the search, no stage before or after it
        with (HERE / "calls").open("a") as calls:
            calls.write("x")
        while (HERE / "calls").stat().st_size > 6 and not (HERE / "go").exists():
            time.sleep(0.1)
    return float((truth == values).mean())
"""


def nested(root: Path) -> list[str]:
    """Return the names of the trials that have a run in MLflow, once the search has begun."""
    if not (root / "data/trials.jsonl").exists():
        return []
    known = MlflowClient(f"sqlite:///{root}/state/mlflow.db")
    experiments = [each.experiment_id for each in known.search_experiments()]
    found = known.search_runs(experiments, "tags.evertune.trial != ''")
    return sorted(run.info.run_name.split(":")[0] for run in found)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return small_project(tmp_path / "project")


@pytest.mark.slow
def test_trials_are_in_mlflow_while_a_later_one_is_held_back(
    project: Path, started: Callable[..., Popen[str]]
) -> None:
    edit_section(project / "params.yaml", "search", {"budget_trials": 3})
    (project / "holding.py").write_text(HELD)
    own = {"held": {"function": "holding:held", "greater_is_better": True}}
    edit_section(project / "params.yaml", "metric", {"custom": own})
    with started("train") as run:
        end = time.monotonic() + PATIENCE_SECONDS
        while len(nested(project)) < 2 and time.monotonic() < end:
            time.sleep(0.5)
        seen, on_the_way = nested(project), run.poll() is None
        (project / "go").touch()
        run.communicate(timeout=PATIENCE_SECONDS)
    assert (seen, on_the_way) == (["trial 0", "trial 1"], True)
    assert nested(project) == ["trial 0", "trial 1", "trial 2"]
