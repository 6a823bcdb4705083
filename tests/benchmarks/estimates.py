"""Compare estimated with realised performance where inputs shift, and where the relation changes.

`python -m tests.benchmarks.estimates --seed 1`. Boosted trees learn from 20,000 rows; 5,000 others
are their hold-out, and 20,000 production. Two of six inputs shift by up to one standard deviation,
or the relation changes while the inputs stay: there the estimate is blind.
"""

import argparse
import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from evertune.metrics.metrics import get_metric
from evertune.monitoring.estimation import estimate_metrics
from evertune.monitoring.performance import (
    PerformanceReference,
    build_performance_reference,
)
from evertune.types import FloatArray, Predictions, Task
from tests.benchmarks.loss_rules import shown

N_TRAINING, N_HOLDOUT, N_PRODUCTION = 20_000, 5_000, 20_000
N_INPUTS = 6
CASES = {
    "nothing changed": (0.0, False),
    "inputs shift by .5 sd": (0.5, False),
    "inputs shift by 1 sd": (1.0, False),
    "the relation changes": (0.0, True),
}
SHOWN = {
    "binary": ("roc_auc", "accuracy", "log_loss", "brier"),
    "multiclass": ("roc_auc", "accuracy", "log_loss"),
    "regression": ("mae", "rmse"),
}


@dataclass(frozen=True, eq=False)
class Rows:
    """Inputs of shape (n, 6), and what followed."""

    X: FloatArray
    y: FloatArray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--repeats", type=int, default=20)
    given = parser.parse_args()
    for task, names in SHOWN.items():
        with threadpool_limits(1):
            runs = [_run(task, [given.seed, number]) for number in range(given.repeats)]
        table = {
            case: [_cell([run[case][name] for run in runs]) for name in names] for case in CASES
        }
        title = f"{task}: estimated, realised, mean and largest error of {given.repeats}"
        sys.stdout.write(f"{shown(title, table, list(names))}\n")
        sys.stdout.flush()


def _cell(pairs: list[tuple[float, float]]) -> str:
    estimated, realised = np.array(pairs).T
    errors = np.abs(estimated - realised)
    return f"{estimated.mean():.3f}, {realised.mean():.3f}, {errors.mean():.3f}, {errors.max():.3f}"


def _run(task: Task, seed: list[int]) -> dict[str, dict[str, tuple[float, float]]]:
    rng = np.random.default_rng(seed)
    weights = rng.normal(0.0, 1.0, (3, 2 * N_INPUTS))
    learner = (
        HistGradientBoostingRegressor if task == "regression" else HistGradientBoostingClassifier
    )
    training, holdout = (_rows(rng, weights, task, n) for n in (N_TRAINING, N_HOLDOUT))
    model = learner(max_iter=80, learning_rate=0.08, random_state=0).fit(training.X, training.y)
    metrics = [get_metric(name, task, {}) for name in SHOWN[task]]
    reference = build_performance_reference(
        holdout.y,
        _said(model, holdout.X, task),
        task=task,
        metrics=metrics,
        features=pd.DataFrame(holdout.X).rename(columns=str),
    )
    return {case: _compared(model, reference, rng, weights, case) for case in CASES}


def _compared(
    model: object,
    reference: PerformanceReference,
    rng: np.random.Generator,
    weights: FloatArray,
    case: str,
) -> dict[str, tuple[float, float]]:
    shift, changed = CASES[case]
    task = reference.task
    held = np.roll(weights, 1, axis=1) if changed else weights
    rows = _rows(rng, held, task, N_PRODUCTION, shift=shift)
    said = _said(model, rows.X, task)
    metrics = [get_metric(name, task, {}) for name in SHOWN[task]]
    real = {metric.name: metric.score(rows.y, said) for metric in metrics}
    if task == "regression":
        estimated = _expected(reference, rows.X, said)
    else:
        estimated = estimate_metrics(said, reference, metrics)
    return {name: (estimated[name], real[name]) for name in real}


def _expected(
    reference: PerformanceReference, X: FloatArray, said: Predictions
) -> dict[str, float]:
    assert reference.errors is not None
    losses = reference.errors.predict(pd.DataFrame(X).rename(columns=str), said.values)
    ratio = losses.mean() / reference.loss
    return {name: ratio * (reference.figures[name] or 0.0) for name in SHOWN["regression"]}


def _said(model: object, X: FloatArray, task: Task) -> Predictions:
    if task == "regression":
        return Predictions(model.predict(X))  # type: ignore[attr-defined]
    chances = model.predict_proba(X)  # type: ignore[attr-defined]
    return Predictions(chances.argmax(axis=1).astype(float), chances)


def _rows(
    rng: np.random.Generator, weights: FloatArray, task: Task, n_rows: int, *, shift: float = 0.0
) -> Rows:
    X = rng.normal(0.0, 1.0, (n_rows, N_INPUTS))
    X[:, :2] += shift
    signs = np.column_stack([X, np.maximum(X, 0.0) * np.roll(X, 1, axis=1)])
    scores = 0.7 * signs @ weights.T
    if task == "regression":
        return Rows(X, scores[:, 0] + rng.normal(0.0, 1.0, n_rows) * np.exp(0.4 * X[:, 0]))
    if task == "binary":
        return Rows(X, (rng.logistic(0.0, 1.0, n_rows) < scores[:, 0] - 1).astype(float))
    return Rows(X, (scores + rng.gumbel(0.0, 1.0, scores.shape)).argmax(axis=1).astype(float))


if __name__ == "__main__":
    main()
