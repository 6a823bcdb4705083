"""Measure what the search machinery adds to a trial: seconds beyond the bare fits.

    python tests/benchmarks/search_overhead.py [n_trials]

One worker evaluates quick linear models on three folds, so that all that is not fitting shows. The
time from the first finished trial to the last one counts: Ray's start is a cost of the search, not
of a trial, and is printed beside it.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.core.folds import folds
from pipelines.core.metrics import METRICS
from pipelines.core.schema import Column, Schema
from pipelines.core.trials import Trial
from pipelines.tuning.strategies import Budget, Places, Strategy
from pipelines.tuning.tuner import run_trials
from pipelines.tuning.work import Work

N_TRIALS = 100
N_ROWS = 1000
LIMIT_MILLISECONDS = 60


def main() -> int:
    """Print the figures; return 1 where the overhead is over the limit."""
    n_trials = int(sys.argv[1]) if len(sys.argv) > 1 else N_TRIALS
    start = time.monotonic()
    trials = searched(n_trials, start)
    overhead = 1000 * overhead_seconds(trials)
    sys.stdout.write(
        f"{len(trials)} trials, {time.monotonic() - start:.1f} s in all, "
        f"first trial after {trials[0].elapsed_seconds:.1f} s\n"
        f"overhead {overhead:.1f} ms a trial beyond bare fits (limit {LIMIT_MILLISECONDS})\n"
    )
    return int(overhead > LIMIT_MILLISECONDS)


def searched(n_trials: int, started: float) -> list[Trial]:
    """Return the trials of a search on made-up rows."""
    trials: list[Trial] = []
    with tempfile.TemporaryDirectory() as folder:
        run_trials(
            work(),
            Strategy(families=("linear",), searcher="random", scheduler="none", workers=1),
            budget=Budget(started, seconds=None, trials=n_trials),
            finished=(),
            places=Places(Path(__file__).parents[2], Path(folder)),
            on_finished=trials.append,
        )
    return trials


def work() -> Work:
    """Return rows, folds and a metric."""
    draws = np.random.default_rng(0)
    table = pd.DataFrame(draws.normal(size=(N_ROWS, 5)), columns=list("abcde"))
    truth = (table["a"] + draws.normal(size=N_ROWS) > 0).to_numpy(float)
    made = folds(
        "stratified",
        n_rows=N_ROWS,
        truth=truth,
        groups=None,
        times=None,
        n_folds=3,
        n_repeats=1,
        gap_days=0,
        seed=0,
        task="binary",
    )
    schema = Schema(tuple(Column(name, "number") for name in table), "y", "binary", ("no", "yes"))
    return Work(table, truth, schema, made, (METRICS["roc_auc"],), 0)


def overhead_seconds(trials: list[Trial]) -> float:
    """Return the mean seconds of a trial, the first one left out, that no fold accounts for."""
    bare = sum(fold.fit_seconds + fold.predict_seconds for t in trials[1:] for fold in t.folds)
    lasted = trials[-1].elapsed_seconds - trials[0].elapsed_seconds
    return (lasted - bare) / (len(trials) - 1)


if __name__ == "__main__":
    raise SystemExit(main())
