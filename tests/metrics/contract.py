"""What every metric promises, as a suite that a new metric joins with one line of `ORACLES`.

`ORACLES` names, by task, scikit-learn's function of the same score; `sample(task)` gives truth,
predictions and whole weights to compare by.
"""

from collections.abc import Callable

import numpy as np
from sklearn import metrics as sk

from evertune.types import FloatArray, Predictions, Task

Sample = tuple[FloatArray, Predictions, FloatArray]
Oracle = Callable[[FloatArray, Predictions, FloatArray], float]
N_CLASSES = {"binary": 2, "multiclass": 4}


def sample(task: Task, n_rows: int = 150, seed: int = 0) -> Sample:
    """Return truth, predictions (with ties among probabilities) and weights from 0 to 3."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(0, 4, n_rows).astype(float)
    if task == "regression":
        y_true = rng.normal(10, 2, n_rows)
        return y_true, Predictions(y_true + rng.normal(size=n_rows)), weights
    n_classes = N_CLASSES[task]
    y_true = rng.integers(0, n_classes, n_rows).astype(float)
    proba = rng.dirichlet(np.ones(n_classes), n_rows).round(2) + 1e-3
    proba /= proba.sum(axis=1, keepdims=True)
    return y_true, Predictions(proba.argmax(axis=1).astype(float), proba), weights


def _labels(function: Callable[..., float], **options: object) -> Oracle:
    return lambda y, pred, w: function(y, pred.values, sample_weight=w, **options)


def _proba(function: Callable[..., float]) -> Oracle:
    return lambda y, pred, w: function(y, pred.probabilities, sample_weight=w)


def _positive(function: Callable[..., float]) -> Oracle:
    return lambda y, pred, w: function(y, pred.probabilities[:, 1], sample_weight=w)


def _one_vs_rest(function: Callable[..., float]) -> Oracle:
    return lambda y, pred, w: function(
        np.eye(pred.probabilities.shape[1])[y.astype(int)],
        pred.probabilities,
        average="macro",
        sample_weight=w,
    )


def _ece(y: FloatArray, pred: Predictions, w: FloatArray) -> float:
    """Return the expected calibration error bin by bin; scikit-learn has none."""
    if pred.probabilities.shape[1] == 2:
        stated, hit = pred.probabilities[:, 1], y == 1
    else:
        stated, hit = pred.probabilities.max(axis=1), y == pred.values
    bins = np.minimum((stated * 10).astype(int), 9)
    gaps = [abs(np.sum(w[bins == b] * (hit - stated)[bins == b])) for b in range(10)]
    return sum(gaps) / w.sum()


ORACLES: dict[Task, dict[str, Oracle]] = {
    "binary": {
        "roc_auc": _positive(sk.roc_auc_score),
        "pr_auc": _positive(sk.average_precision_score),
        "log_loss": _proba(sk.log_loss),
        "brier": _positive(sk.brier_score_loss),
        "calibration_error": _ece,
        "accuracy": _labels(sk.accuracy_score),
        "balanced_accuracy": _labels(sk.balanced_accuracy_score),
        "precision": _labels(sk.precision_score),
        "recall": _labels(sk.recall_score),
        "f1": _labels(sk.f1_score),
    },
    "multiclass": {
        "roc_auc": _one_vs_rest(sk.roc_auc_score),
        "pr_auc": _one_vs_rest(sk.average_precision_score),
        "log_loss": _proba(sk.log_loss),
        "brier": _proba(sk.brier_score_loss),
        "calibration_error": _ece,
        "accuracy": _labels(sk.accuracy_score),
        "balanced_accuracy": _labels(sk.balanced_accuracy_score),
        "precision": _labels(sk.precision_score, average="macro", zero_division=0),
        "recall": _labels(sk.recall_score, average="macro", zero_division=0),
        "f1": _labels(sk.f1_score, average="macro", zero_division=0),
    },
    "regression": {
        "rmse": _labels(sk.root_mean_squared_error),
        "mae": _labels(sk.mean_absolute_error),
        "mape": _labels(sk.mean_absolute_percentage_error),
        "r2": _labels(sk.r2_score),
        "pinball": _labels(sk.mean_pinball_loss, alpha=0.5),
    },
}
RANGES = {
    **dict.fromkeys(ORACLES["binary"], (0.0, 1.0)),
    "log_loss": (0.0, 37.0),
    "brier": (0.0, 2.0),
    **dict.fromkeys(ORACLES["regression"], (0.0, np.inf)),
    "r2": (-np.inf, 1.0),
}
