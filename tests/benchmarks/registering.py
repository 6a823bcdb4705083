"""Measure what registering costs: `python tests/benchmarks/registering.py` prints seconds.

100 trials with 10 figures and 10 settings each are logged, 50 of them with a run of their own,
and a linear model is registered and promoted. The target is 10 s on a quiet machine, with a
database that has its tables.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import pandas as pd

from pipelines.core.model import Model
from pipelines.core.pages import ServedPage
from pipelines.core.schema import Column, Schema
from pipelines.core.trials import Configuration, FoldResult, Trial
from pipelines.stores.models import save_model
from pipelines.stores.registry import promote, register_version
from pipelines.stores.tracking import Store, log_trials, open_run, open_store
from pipelines.tuning.families import fit_configuration

N_TRIALS, NESTED, TARGET_SECONDS = 100, 50, 10.0
ROWS = pd.DataFrame({"age": np.arange(100.0)})
SCHEMA = Schema((Column("age", "number"),), "price", "regression")


def trial(number: int) -> Trial:
    """Return a trial of five folds."""
    figures: dict[str, float | None] = {f"metric_{k}": number + k / 10 for k in range(10)}
    folds = tuple(FoldResult(fold, figures, 0.1, 0.01) for fold in range(5))
    chosen = Configuration("lightgbm", {f"setting_{k}": k / 10 for k in range(10)})
    return Trial(number, chosen, "complete", folds, float(number), None, float(number))


def saved_model(folder: Path) -> Path:
    """Return the folder of a small model."""
    linear, truth = Configuration("linear"), ROWS["age"].to_numpy()
    fitted = fit_configuration(linear, ROWS, truth, schema=SCHEMA, seed=0, n_jobs=1)
    save_model(folder, Model(SCHEMA, linear, fitted, ()))
    return folder


def register(store: Store, model: Path) -> None:
    """Log the trials, register the model and make it champion."""
    run_id = open_run(store, "digest", title="benchmark")
    trials = [trial(number) for number in range(N_TRIALS)]
    log_trials(store, run_id, trials=trials, greater_is_better=True, most=NESTED)
    page = ServedPage("1", "", {"age": "any"}, {"prediction": "double"}, ROWS.head(3), ("numpy",))
    promote(store, register_version(store, run_id, model=model, page=page).number, over=None)


def main() -> int:
    """Print the figures and return 1 where the target is missed."""
    with TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        state.mkdir()
        started = perf_counter()
        store = open_store(state, "benchmark")
        opened = perf_counter()
        register(store, saved_model(Path(folder) / "model"))
        seconds = perf_counter() - opened
    sys.stdout.write(f"new database and import of MLflow: {opened - started:.1f} s\n")
    sys.stdout.write(f"{N_TRIALS} trials logged and registered: {seconds:.1f} s\n")
    return int(seconds > TARGET_SECONDS)


if __name__ == "__main__":
    raise SystemExit(main())
