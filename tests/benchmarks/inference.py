"""Measure how long the model takes to predict one row, and 100,000.

    python -m tests.benchmarks.inference [--budget 60] [--modes auto,single]

The table is the project's example, and the call is that of the estimator, with its look at the
table. `made ready` is the same model as the service uses it, on cells as a request brings them.
"""

import argparse
import sys
import time
from collections.abc import Callable
from statistics import median

import pandas as pd

from evertune.data.example import training_table
from evertune.estimator import TunedClassifier
from evertune.models.compiled import compile_model, predict_compiled

TARGET = "churned"
MANY_ROWS = 100_000
CALLS = 50
LIMITS = {"auto": (50, 30), "single": (10, 10)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--budget", type=float, default=60)
    parser.add_argument("--modes", default="auto,single")
    args = parser.parse_args()
    table = training_table()
    for mode in args.modes.split(","):
        model = TunedClassifier(budget_seconds=args.budget, mode=mode)
        model.fit(table.drop(columns=TARGET), table[TARGET])
        sys.stdout.write(told(model, table.drop(columns=TARGET), mode=mode))


def told(model: TunedClassifier, table: pd.DataFrame, *, mode: str) -> str:
    one = table.head(1)
    many = table.iloc[[n % len(table) for n in range(MANY_ROWS)]].reset_index(drop=True)
    fast, row = compile_model(model.model_), one.to_dict("records")
    milliseconds, seconds = LIMITS.get(mode, (0, 0))
    families = ", ".join(member.configuration.family for member in model.model_.fitted.members)
    return (
        f"mode {mode}: {families}\n"
        f"one row {1000 * timed(lambda: model.predict_proba(one), CALLS):.1f} ms, made "
        f"ready {1000 * timed(lambda: predict_compiled(row, fast), CALLS):.1f} ms "
        f"(limit {milliseconds})\n"
        f"{MANY_ROWS} rows {timed(lambda: model.predict_proba(many), 1):.1f} s (limit {seconds})\n"
    )


def timed(call: Callable[[], object], times: int) -> float:
    """Return the median seconds of some calls."""
    took = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        took.append(time.perf_counter() - started)
    return median(took)


if __name__ == "__main__":
    main()
