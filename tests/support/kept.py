"""A project with several registered versions, for tests of what keeps them."""

import shutil
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pandas as pd

from evertune.config.loader import load_params
from evertune.config.yaml_file import edit_section
from evertune.data.training_windows import TrainingWindow
from evertune.files import write_record
from evertune.plan import Plan
from evertune.registry.register import register
from evertune.stages.runner import run_outdated_stages
from evertune.stages.snapshot import take_snapshot
from evertune.trials import Configuration
from tests.support import production

CHECKOUT = Path(__file__).parents[2]
METRIC = """def gain(truth, said, chances):
    return float((said == truth).mean() - (said != truth).mean())
"""
SECTIONS = {
    "data": {"source": "rows.parquet", "target": "left", "time": "day"},
    "metric": {"custom": {"gain": {"function": "my_metrics:gain", "greater_is_better": True}}},
    "split": {"n_folds": 3},
    "search": {
        "budget_seconds": None,
        "budget_trials": 2,
        "families": ["linear", "hist_gradient_boosting"],
        "workers": 1,
    },
    "evaluation": {"bootstrap_draws": 100, "importance_rows": 100, "importance_repeats": 1},
}
REFIT = Plan(
    "refit",
    (Configuration("linear"), Configuration("hist_gradient_boosting", {"max_iter": 20})),
    judge_from="2024-01-20T00:00:00+00:00",
    windows=(TrainingWindow("all"), TrainingWindow("decayed", half_life_days=30.0)),
    budget_seconds=20.0,
)


def project(root: Path, database: Path) -> Path:
    """Return a project without a run, whose code lies in its folder as in any checkout."""
    root.mkdir(exist_ok=True)
    for name in ("flows", "pipelines", "infra"):
        (root / name).symlink_to(CHECKOUT / name)
    for name in ("params.yaml", "dvc.yaml", ".dvcignore"):
        shutil.copy2(CHECKOUT / name, root)
    for section, values in SECTIONS.items():
        edit_section(root / "params.yaml", section, values)
    (root / "my_metrics.py").write_text(METRIC)
    (root / "state").mkdir()
    shutil.copy(database, root / "state" / "mlflow.db")
    return root


def train(root: Path, *, n_days: int, plan: Plan | None = None) -> str:
    """Return the version that is made of the rows of so many days."""
    rows = [production.rows(-60, 60, a_day=8), production.rows(0, n_days, a_day=8)]
    pd.concat(rows, ignore_index=True).to_parquet(root / "rows.parquet")
    with redirect_stdout(StringIO()):
        take_snapshot(root)
        write_record(load_params(root).paths.plan, plan or Plan())
        run_outdated_stages(root, lambda *_: None)
        return str(register(root).version)
