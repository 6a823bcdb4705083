"""Time the paired difference of two models by each metric, beside a loop over scikit-learn.

`python -m tests.benchmarks.gate_speed` takes 100,000 rows and 2,000 draws; `--metrics` narrows it.
The loop draws rows and asks scikit-learn for both figures, a few times; it is extrapolated, and
has neither the acceleration nor a p-value. Processor seconds are told beside those of the clock,
which other work on the machine lengthens.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from sklearn import metrics as theirs

from evertune.metrics.metrics import METRICS, REGRESSION, Metric, custom_metric
from evertune.stats.bootstrap import paired_difference
from evertune.types import FloatArray, Predictions

NAIVE_DRAWS = 5
MEGABYTE = 1024  # ru_maxrss is in kilobytes
HEAD = f"{'metric':<20}{'seconds':>9}{'cpu':>8}{'sklearn':>10}{'ratio':>8}{'peak MB':>9}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--draws", type=int, default=2_000)
    parser.add_argument("--metrics", default="")
    given = parser.parse_args()
    wanted = given.metrics.split(",") if given.metrics else [*METRICS, "custom"]
    sys.stdout.write(f"{given.rows} rows, {given.draws} draws, both models together\n{HEAD}\n")
    for name in wanted:
        sys.stdout.write(f"{_row(name, given.rows, given.draws)}\n")
        sys.stdout.flush()


def _row(name: str, n_rows: int, draws: int) -> str:
    metric = METRICS.get(name) or _custom()
    truth, left, right = _judged(metric, n_rows)
    seconds, cpu = _timed(
        partial(paired_difference, metric, truth, left, right, draws=draws, confidence=0.95, seed=0)
    )
    naive = _naive_seconds(name, truth, left, right) * draws
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEGABYTE
    ratio = naive / seconds
    return f"{name:<20}{seconds:>9.2f}{cpu:>8.2f}{naive:>10.0f}{ratio:>8.0f}{peak:>9.0f}"


def _judged(metric: Metric, n_rows: int) -> tuple[FloatArray, Predictions, Predictions]:
    rng = np.random.default_rng(0)
    if REGRESSION in metric.tasks:
        truth = rng.lognormal(size=n_rows)
        left, right = (Predictions(truth + rng.normal(0, s, n_rows)) for s in (0.5, 0.51))
        return truth, left, right
    log_odds = rng.normal(-1.5, 1.2, n_rows)
    truth = (rng.random(n_rows) < _chance(log_odds)).astype(float)
    left, right = (_said(_chance(log_odds + rng.normal(0, s, n_rows))) for s in (0.5, 0.55))
    return truth, left, right


def _chance(log_odds: FloatArray) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-log_odds)))


def _said(chance: FloatArray) -> Predictions:
    return Predictions((chance > 0.5).astype(float), np.column_stack([1 - chance, chance]))


def _custom() -> Metric:
    def cost(truth: FloatArray, values: FloatArray, _: FloatArray | None) -> float:
        return float(np.mean(5 * (truth > values) + (truth < values)))

    return custom_metric("custom", cost, greater_is_better=False, task="binary")


def _timed(call: Callable[[], object]) -> tuple[float, float]:
    start, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start, time.process_time() - cpu


def _naive_seconds(name: str, truth: FloatArray, left: Predictions, right: Predictions) -> float:
    figure = THEIRS[name]
    rng = np.random.default_rng(0)

    def draw() -> None:
        rows = rng.integers(0, truth.size, truth.size)
        for said in (left, right):
            figure(truth[rows], _scores(name, said)[rows])

    return sum(_timed(draw)[0] for _ in range(NAIVE_DRAWS)) / NAIVE_DRAWS


def _scores(name: str, said: Predictions) -> FloatArray:
    by_chance = METRICS[name].needs_probabilities if name in METRICS else False
    return said.probabilities[:, 1] if by_chance and said.probabilities is not None else said.values


def _calibration_error(truth: FloatArray, chance: FloatArray) -> float:
    places = np.minimum((chance * 10).astype(int), 9)
    return sum(
        abs(float(truth[places == each].mean() - chance[places == each].mean()))
        * float((places == each).mean())
        for each in np.unique(places)
    )


THEIRS: dict[str, Callable[[FloatArray, FloatArray], float]] = {
    "roc_auc": theirs.roc_auc_score,
    "pr_auc": theirs.average_precision_score,
    "log_loss": theirs.log_loss,
    "brier": theirs.brier_score_loss,
    "calibration_error": _calibration_error,
    "accuracy": theirs.accuracy_score,
    "balanced_accuracy": theirs.balanced_accuracy_score,
    "precision": theirs.precision_score,
    "recall": theirs.recall_score,
    "f1": theirs.f1_score,
    "rmse": theirs.root_mean_squared_error,
    "mae": theirs.mean_absolute_error,
    "mape": theirs.mean_absolute_percentage_error,
    "r2": theirs.r2_score,
    "pinball": theirs.mean_pinball_loss,
    "custom": theirs.zero_one_loss,
}

if __name__ == "__main__":
    main()
