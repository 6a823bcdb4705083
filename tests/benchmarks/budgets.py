"""Measure when runs return after a budget in seconds, also while other processes take the machine.

    python -m tests.benchmarks.budgets [--budgets 20,60] [--runs 20] [--busy 2] [TABLE.csv TARGET]

Each run is a fresh process that calls the estimator's `fit`; the clock starts with the call, Ray's
start included. `--busy` processes compute without a pause meanwhile. Without a table it is the
project's example. One line a run: seconds over the budget, how many trials ran on all folds, and
whether it ended in the baseline.
"""

import argparse
import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pandas as pd

from evertune.data.example import training_table

EXAMPLE_TARGET = "churned"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("table", nargs="?")
    parser.add_argument("target", nargs="?", default=EXAMPLE_TARGET)
    parser.add_argument("--budgets", default="20,60")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--busy", type=int, default=0)
    parser.add_argument("--one", type=float, help="a single run, in this process")
    args = parser.parse_args()
    if args.one is not None:
        sys.stdout.write(f"{json.dumps(one_run(args.table, args.target, args.one))}\n")
        return
    given = [] if args.table is None else [args.table, args.target]
    for budget in map(float, args.budgets.split(",")):
        with busy_processes(args.busy):
            results = [fresh_run(given, budget) for _ in range(args.runs)]
        over = [result["over"] for result in results]
        sys.stdout.write(
            f"budget {budget:g} s beside {args.busy} busy processes: {max(over):+.2f} s at most; "
            f"{sum(each <= 1 for each in over)} of {len(over)} within 1 s, "
            f"{sum(each <= 3 for each in over)} within 3 s; "
            f"{sum(result['baseline'] for result in results)} ended in the baseline\n"
        )


def fresh_run(given: list[str], budget: float) -> dict[str, float]:
    """Return what a run in a process of its own says."""
    command = [sys.executable, "-m", "tests.benchmarks.budgets", *given, "--one", str(budget)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    sys.stdout.write(f"{budget:g} s: {result}\n")
    sys.stdout.flush()
    return result


def one_run(path: str | None, target: str, budget: float) -> dict[str, float]:
    """Return how long one call of `fit` took beyond its budget, and what it reached."""
    from evertune.estimator import TunedClassifier, TunedRegressor

    table = training_table() if path is None else pd.read_csv(path)
    y = table.pop(target)
    is_number = pd.api.types.is_float_dtype(y) and y.nunique() > 20
    model = (TunedRegressor if is_number else TunedClassifier)(budget_seconds=budget)
    began = time.monotonic()
    model.fit(table, y)
    over = time.monotonic() - began - budget
    complete = int((model.leaderboard_["status"] == "complete").sum())
    return {"over": round(over, 2), "complete": complete, "baseline": model.ended_in_baseline_}


@contextmanager
def busy_processes(number: int) -> Iterator[None]:
    """Have so many processes compute without a pause while the block runs."""
    processes = [multiprocessing.Process(target=compute, daemon=True) for _ in range(number)]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


def compute() -> None:
    while True:
        sum(range(1_000_000))


if __name__ == "__main__":
    main()
