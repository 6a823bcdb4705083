"""Count how often intervals hold the true figure, for each metric, alone and as a difference.

`python -m tests.benchmarks.coverage --cases 2000` draws rows from tables of 200,000 whose figure
is known, and asks for 95 % intervals; 93 to 97 % of them should hold it. `usual` has 20 % positive
rows and normal errors; `hard` 4 % positive rows, 98 % accuracy and heavy-tailed errors. The last
lines are fold tests of two linear models, which are heuristics: what they hold is the difference
that is expected over training sets of that size.
"""

import argparse
import sys
import time
from collections.abc import Iterator

import numpy as np

from evertune.metrics.metrics import METRICS, REGRESSION, Metric
from evertune.stats.bootstrap import bootstrap_interval, paired_difference
from evertune.stats.comparison import corrected_resampled_t
from evertune.types import FloatArray, Predictions, take_rows

POPULATION = 200_000
WANTED = ("accuracy", "f1", "roc_auc", "pr_auc", "log_loss", "rmse", "mae")
HOW = {"draws": 1000, "confidence": 0.95}
FOLDS, FEATURES = 5, 10
HEAD = f"{'rows':<7}{'table':<8}{'metric':<12}{'alone':>16}{'difference':>16}{'low':>8}{'high':>8}"

Judged = tuple[FloatArray, Predictions, Predictions]
Ends = tuple[float | None, float | None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--rows", default="200,1000")
    parser.add_argument("--tables", default="usual,hard")
    parser.add_argument("--metrics", default=",".join(WANTED))
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    sys.stdout.write(
        f"{given.cases} cases; share that hold the figure, of those that are defined;"
        f" differences that miss it below and above\n{HEAD}\n"
    )
    for n_rows in (int(each) for each in given.rows.split(",")):
        for table in given.tables.split(","):
            for name in given.metrics.split(","):
                line = _line(METRICS[name], table, n_rows, cases=given.cases, seed=given.seed)
                sys.stdout.write(f"{n_rows:<7}{table:<8}{name:<12}{line}\n")
                sys.stdout.flush()
    for line in _of_folds(given.cases, given.seed):
        sys.stdout.write(f"{line}\n")


def _line(metric: Metric, table: str, n_rows: int, *, cases: int, seed: int) -> str:
    start = time.perf_counter()
    rng = np.random.default_rng([seed, n_rows])
    truth, left, right = population(metric, table, np.random.default_rng(seed))
    figures = [metric.score(truth, said) for said in (left, right)]
    gap = (figures[0] - figures[1]) * (1 if metric.greater_is_better else -1)
    alone, pairs = [], []
    for case in range(cases):
        rows = rng.integers(0, POPULATION, n_rows)
        drawn = (truth[rows], take_rows(left, rows), take_rows(right, rows))
        alone.append(_alone(metric, drawn, case))
        pairs.append(_pair(metric, drawn, case))
    below, above = _missed(pairs, gap)
    seconds = time.perf_counter() - start
    return (
        f"{_held(alone, figures[0]):>16}{_held(pairs, gap):>16}"
        f"{100 * below:>7.1f}%{100 * above:>7.1f}%{seconds:>6.0f} s"
    )


def _alone(metric: Metric, judged: Judged, seed: int) -> Ends:
    found = bootstrap_interval(metric, judged[0], judged[1], seed=seed, **HOW)
    return found.low, found.high


def _pair(metric: Metric, judged: Judged, seed: int) -> Ends:
    found = paired_difference(metric, *judged, seed=seed, **HOW)
    return found.low, found.high


def population(metric: Metric, table: str, rng: np.random.Generator) -> Judged:
    """Return a table of rows that stands for all rows, and what two models say of them."""
    if REGRESSION in metric.tasks:
        return _values(table == "hard", rng)
    hard = table == "hard"
    log_odds = rng.normal(-7.0 if hard else -2.2, 3.6 if hard else 2.0, POPULATION)
    truth = (rng.random(POPULATION) < 1 / (1 + np.exp(-log_odds))).astype(float)
    noises = (0.5, 0.7)
    left, right = (_said(log_odds + rng.normal(0, noise, POPULATION)) for noise in noises)
    return truth, left, right


def _said(log_odds: FloatArray) -> Predictions:
    chance = 1 / (1 + np.exp(-log_odds))
    return Predictions((chance > 0.5).astype(float), np.column_stack([1 - chance, chance]))


def _values(hard: bool, rng: np.random.Generator) -> Judged:
    truth = rng.normal(size=POPULATION)
    errors = rng.standard_t(5, (2, POPULATION)) if hard else rng.normal(size=(2, POPULATION))
    shared = rng.normal(size=POPULATION)
    return truth, Predictions(truth + shared + errors[0]), Predictions(truth + shared + errors[1])


def _held(found: list[Ends], true: float) -> str:
    ends = _defined(found)
    inside = ((ends[:, 0] <= true) & (true <= ends[:, 1])).mean()
    return f"{100 * inside:.1f}% of {len(ends)}"


def _missed(found: list[Ends], true: float) -> tuple[float, float]:
    ends = _defined(found)
    return float((ends[:, 0] > true).mean()), float((ends[:, 1] < true).mean())


def _defined(found: list[Ends]) -> FloatArray:
    return np.array([ends for ends in found if None not in ends], dtype=np.float64)


def _of_folds(cases: int, seed: int) -> Iterator[str]:
    for n_rows in (100, 500):
        every = [_fold_gaps(np.random.default_rng([seed, n_rows, k]), n_rows) for k in range(cases)]
        true = float(np.mean([np.mean(left) - np.mean(right) for left, right in every]))
        size = n_rows // FOLDS
        sizes = {"n_training": n_rows - size, "n_validation": size, "confidence": 0.95}
        corrected = [_fold_ends(left, right, sizes) for left, right in every]
        plain = [_fold_ends(left, right, sizes | {"n_validation": 0}) for left, right in every]
        yield (
            f"{n_rows} rows, {FOLDS} folds, rmse of two linear models:"
            f" corrected t {_held(corrected, true)}; t without correction {_held(plain, true)}"
        )


def _fold_ends(left: list[float], right: list[float], sizes: dict[str, float]) -> Ends:
    found = corrected_resampled_t(left, right, **sizes)
    return found.low, found.high


def _fold_gaps(rng: np.random.Generator, n_rows: int) -> tuple[list[float], list[float]]:
    table = rng.normal(size=(n_rows, FEATURES))
    truth = table @ np.linspace(0.5, 0.05, FEATURES) + rng.normal(size=n_rows)
    fold = np.arange(n_rows) % FOLDS
    both = [[_score(table[:, :k], truth, fold == f) for f in range(FOLDS)] for k in (FEATURES, 7)]
    return both[0], both[1]


def _score(table: FloatArray, truth: FloatArray, held_out: FloatArray) -> float:
    weights = np.linalg.lstsq(table[~held_out], truth[~held_out], rcond=None)[0]
    return -float(np.sqrt(np.mean((truth[held_out] - table[held_out] @ weights) ** 2)))


if __name__ == "__main__":
    main()
