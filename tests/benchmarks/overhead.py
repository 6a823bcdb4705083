"""Measure what of a budget the search spends inside fits, how soon it begins, and when it ends.

    python -m tests.benchmarks.overhead [--budgets 60,300] [--workers 2] [--rows 14000]

The table is the project's example. The clock starts with the call of the estimator's `fit`, Ray's
start included. Encoding and prediction of a fold count as parts of its fit; fits that the deadline
ended without a result do not count, so that the share is a little too low.
"""

import argparse
import sys
import time

from evertune.data.example import training_table
from evertune.estimator import TunedClassifier

TARGET = "churned"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--budgets", default="60,300")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rows", type=int, default=None)
    args = parser.parse_args()
    table = training_table()[: args.rows]
    for budget in map(float, args.budgets.split(",")):
        model = TunedClassifier(budget_seconds=budget, workers=args.workers)
        started = time.monotonic()
        model.fit(table.drop(columns=TARGET), table[TARGET])
        took = time.monotonic() - started
        sys.stdout.write(told(model, budget=budget, took=took, workers=args.workers))


def told(model: TunedClassifier, *, budget: float, took: float, workers: int) -> str:
    trials = model.leaderboard_
    inside = trials["fit_seconds"] + trials["predict_seconds"]
    first = (trials["elapsed_seconds"] - inside).min()
    counts = trials.groupby(["family", "status"]).size().unstack(fill_value=0)
    return (
        f"budget {budget:g} s: returned after {took:.1f} s, {len(trials)} trials\n"
        f"first fit begun within {first:.2f} s (limit 2.5)\n"
        f"inside fits: {inside.sum() / (workers * budget):.0%} of {workers} x {budget:g} s "
        f"(at least 65 % at 60 s, 85 % at 300 s)\n{counts.to_string()}\n"
    )


if __name__ == "__main__":
    main()
