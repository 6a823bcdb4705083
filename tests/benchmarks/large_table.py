"""Measure time, memory and quality on a large table.

    python -m tests.benchmarks.large_table [--rows 1000000] [--columns 30] [--budget 300]

The target of the made-up table depends on sums, products and steps of its columns, a third of which
are categories. A child process tunes a classifier on nine tenths of the rows; the proportional set
size is summed over its process tree twice a second, so that memory that workers share counts once.
LightGBM at its defaults learns from the same rows, and both are scored on the rest.
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import cast

import numpy as np
import pandas as pd
import psutil
from lightgbm import LGBMClassifier
from sklearn.metrics import log_loss, roc_auc_score

from evertune.estimator import TunedClassifier

TARGET, HELD_OUT = "target", 0.1
PAUSE_SECONDS = 0.5
GIGABYTE = 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=30)
    parser.add_argument("--budget", type=float, default=300)
    args = parser.parse_args()
    rows = made_up(args.rows, args.columns)
    size = rows.memory_usage(deep=True).sum() / GIGABYTE
    del rows
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    child = context.Process(target=tuned, args=(there, args.rows, args.columns, args.budget))
    child.start()
    peak = max(gigabytes_while(here, psutil.Process(child.pid)))
    took, ended_in_baseline, ours = cast("tuple[float, bool, str]", here.recv())
    child.join()
    limit = 3 * size + 1.5
    sys.stdout.write(
        f"{args.rows} x {args.columns} rows, {size:.2f} GB in memory; budget {args.budget:g} s\n"
        f"returned after {took:.1f} s, ended in a baseline: {ended_in_baseline}\n"
        f"peak of the process tree {peak:.2f} GB (limit {limit:.2f})\n"
        f"ours: {ours}\nLightGBM at its defaults: {lightgbm(args.rows, args.columns)}\n"
    )


def made_up(n_rows: int, n_columns: int) -> pd.DataFrame:
    """Return numbers and categories with a target of two classes, one in five positive."""
    random = np.random.default_rng(0)
    n_levels = n_columns // 3
    numbers = random.normal(size=(n_rows, n_columns - n_levels)).astype(np.float64)
    codes = random.integers(0, 12, size=(n_rows, n_levels))
    effects = random.normal(size=(n_levels, 12))
    score = numbers[:, :5].sum(axis=1) + 1.5 * numbers[:, 0] * numbers[:, 1]
    score += 2.0 * (numbers[:, 2] > 0.5) * (numbers[:, 3] < 0) + np.abs(numbers[:, 4])
    score += sum(effects[place, codes[:, place]] for place in range(n_levels))
    score += random.logistic(scale=1.5, size=n_rows)
    columns: dict[str, object] = {f"n{k}": numbers[:, k] for k in range(numbers.shape[1])}
    names = np.array([f"level {k}" for k in range(12)], dtype=object)
    columns |= {f"c{k}": pd.Series(names[codes[:, k]], dtype="str") for k in range(n_levels)}
    columns[TARGET] = np.where(score > np.quantile(score, 0.8), "yes", "no")
    return pd.DataFrame(columns)


def parted(n_rows: int, n_columns: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    table = made_up(n_rows, n_columns)
    cut = int(n_rows * (1 - HELD_OUT))
    return table[:cut], table[cut:]


def tuned(answer: Connection, n_rows: int, n_columns: int, budget: float) -> None:
    """Tune in a process of its own and send seconds, how it ended, and its scores."""
    training, holdout = parted(n_rows, n_columns)
    started = time.monotonic()
    model = TunedClassifier(metric="roc_auc", budget_seconds=budget)
    model.fit(training.drop(columns=TARGET), training[TARGET])
    took = time.monotonic() - started
    chances = model.predict_proba(holdout.drop(columns=TARGET))[:, 1]
    answer.send((took, model.ended_in_baseline_, scores(holdout[TARGET], chances)))


def gigabytes_while(answer: Connection, process: psutil.Process) -> Iterator[float]:
    """Yield the memory of a process tree until it has answered."""
    while not answer.poll(PAUSE_SECONDS):
        yield sum(map(proportional_size, [process, *process.children(recursive=True)])) / GIGABYTE


def proportional_size(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def lightgbm(n_rows: int, n_columns: int) -> str:
    training, holdout = (
        part.apply(lambda column: column.astype("category") if column.dtype == "str" else column)
        for part in parted(n_rows, n_columns)
    )
    model = LGBMClassifier(verbose=-1).fit(training.drop(columns=TARGET), training[TARGET])
    return scores(holdout[TARGET], model.predict_proba(holdout.drop(columns=TARGET))[:, 1])


def scores(truth: pd.Series, chances: np.ndarray) -> str:
    is_yes = truth == "yes"
    return f"ROC AUC {roc_auc_score(is_yes, chances):.5f}, log loss {log_loss(is_yes, chances):.5f}"


if __name__ == "__main__":
    main()
