"""Measure what registering costs: `python -m tests.benchmarks.registering [--trials 100,1000]`.

Trials of five folds with 10 figures and 10 settings each are logged, 50 of them with a run of
their own and all of them in the table, and a linear model is registered and promoted. The targets
are 10 s for 100 trials and 15 s for 1,000, on a quiet machine, with a database that has its tables.
"""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import pandas as pd

from evertune.data.schema import Column, TableSchema
from evertune.models.families import fit_configuration
from evertune.models.fitted_model import Model
from evertune.models.persistence import save_model
from evertune.registry.mlflow_registry import ModelRegistry
from evertune.registry.run_page import ModelDescription, RunPage
from evertune.search.leaderboard import leaderboard
from evertune.trials import Configuration, FoldResult, Trial
from tests.support.registries import make_champion, open_state

NESTED = 50
ROWS = pd.DataFrame({"age": np.arange(100.0)})
SCHEMA = TableSchema((Column("age", "number"),), "price", "regression")


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


def register(store: ModelRegistry, model: Path, n_trials: int) -> None:
    """Log the trials, register the model and make it champion."""
    run_id = store.open_run(f"{n_trials} trials", title="benchmark")
    trials = [trial(number) for number in range(n_trials)]
    store.log_trials(run_id, trials, greater_is_better=True, most=NESTED)
    table = leaderboard(trials, greater_is_better=True)
    store.log_page(run_id, RunPage("benchmark", "", leaderboard=table))
    identity, ends = str(n_trials), ({"age": "any"}, {"prediction": "double"})
    page = ModelDescription(identity, "", *ends, ROWS.head(3))
    make_champion(store, store.register_version(run_id, model=model, description=page).number)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", default="100,1000")
    counts = [int(count) for count in parser.parse_args().trials.split(",")]
    for count in counts:
        with TemporaryDirectory() as folder:
            state = Path(folder) / "state"
            state.mkdir()
            started = perf_counter()
            store = open_state(state, "benchmark")
            opened = perf_counter()
            register(store, saved_model(Path(folder) / "model"), count)
            seconds = perf_counter() - opened
        sys.stdout.write(f"new database and import of MLflow: {opened - started:.1f} s\n")
        sys.stdout.write(f"{count} trials logged and registered: {seconds:.1f} s\n")


if __name__ == "__main__":
    main()
