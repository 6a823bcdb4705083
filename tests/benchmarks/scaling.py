"""Measure how the search scales: with a second worker, and with the number of its trials.

    python -m tests.benchmarks.scaling [--seconds 60] [--trials 5000]

Fits are simulated. For the workers each trial is one fold that computes for one second of processor
time; trials a minute are counted once Ray's workers run. For the number of trials each takes about
a millisecond, the searcher is random, and the driver's cost of a trial is the time between two
trials that no fit accounts for.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from evertune.data.folds import Fold
from evertune.data.schema import Column, TableSchema
from evertune.metrics.metrics import METRICS, Metric, custom_metric
from evertune.search.objective import Objective
from evertune.search.run import run_search
from evertune.search.samplers import make_sampler
from evertune.search.study import Budget, SearchConfig, Study
from evertune.trials import Trial
from evertune.types import FloatArray

ROOT = Path(__file__).parents[2]
N_ROWS = 60
BUSY_SECONDS = 1.0
STARTED_SECONDS = 15  # by then Ray's workers run
STRETCH = 100  # trials at the start and at the end that are compared
FAMILY = "naive_bayes"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--trials", type=int, default=5000)
    args = parser.parse_args()
    rates = [trials_a_minute(workers, args.seconds) for workers in (1, 2)]
    sys.stdout.write(
        f"{rates[0]:.0f} trials a minute with 1 worker, {rates[1]:.0f} with 2: "
        f"{rates[1] / rates[0]:.2f} times (at least 1.6)\n"
    )
    first, last = milliseconds_a_trial(args.trials)
    sys.stdout.write(
        f"the driver's cost of a trial: {first:.1f} ms in the first {STRETCH}, {last:.1f} ms in "
        f"the last {STRETCH} of {args.trials}: {last / first:.2f} times (at most 2)\n"
    )


def trials_a_minute(workers: int, seconds: float) -> float:
    budget = Budget(time.monotonic(), seconds=seconds, trials=None)
    busy = custom_metric("busy", busy_figure, greater_is_better=True, task="binary")
    trials = searched(work(busy, n_folds=1), budget, workers=workers)
    ended = sorted(trial.elapsed_seconds for trial in trials)
    counted = [moment for moment in ended if moment > STARTED_SECONDS]
    return 60 * (len(counted) - 1) / (counted[-1] - counted[0])


def milliseconds_a_trial(n_trials: int) -> tuple[float, float]:
    budget = Budget(time.monotonic(), seconds=None, trials=n_trials)
    trials = searched(work(METRICS["accuracy"], n_folds=2), budget, workers=2)
    return beside_fits(trials[:STRETCH]), beside_fits(trials[-STRETCH:])


def beside_fits(trials: list[Trial]) -> float:
    """Return the mean milliseconds between trials, less what the fits of two workers took."""
    inside = sum(fold.fit_seconds + fold.predict_seconds for t in trials[1:] for fold in t.folds)
    lasted = trials[-1].elapsed_seconds - trials[0].elapsed_seconds
    return 1000 * (lasted - inside / 2) / (len(trials) - 1)


def searched(given: Objective, budget: Budget, *, workers: int) -> list[Trial]:
    trials: list[Trial] = []
    with tempfile.TemporaryDirectory() as folder:
        config = SearchConfig((FAMILY,), searcher="random", scheduler="none", workers=workers)
        study = Study(
            given,
            config,
            sampler=make_sampler(given, config),
            budget=budget,
            on_finished=lambda trial, _: trials.append(trial),
        )
        run_search(study, root=ROOT, state=Path(folder))
    return trials


def work(metric: Metric, *, n_folds: int) -> Objective:
    draws = np.random.default_rng(0)
    table = pd.DataFrame(draws.normal(size=(N_ROWS, 2)), columns=["a", "b"])
    truth = (table["a"] > 0).to_numpy(float)
    rows = np.arange(N_ROWS)
    folds = tuple(
        Fold(rows[rows % (n_folds + 1) != fold], rows[rows % (n_folds + 1) == fold])
        for fold in range(n_folds)
    )
    schema = TableSchema(
        tuple(Column(name, "number") for name in table), "y", "binary", ("no", "yes")
    )
    return Objective(table, truth, schema, folds, (metric,), 0)


def busy_figure(truth: FloatArray, values: FloatArray, _: FloatArray | None) -> float:
    """Compute for a second of this process's own time."""
    until = time.process_time() + BUSY_SECONDS
    while time.process_time() < until:
        np.sort(np.sin(np.arange(1000.0)))
    return float((truth == values).mean())


if __name__ == "__main__":
    main()
