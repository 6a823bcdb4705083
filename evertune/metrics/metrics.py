"""The metrics by name: which serve a task, their scores, and which of two scores is better.

`METRICS` lists the built-in ones, `get_metric` finds one by name or `auto`, `custom_metric` makes
one from a user's function, `compute_metrics` evaluates several. A score is None where the metric
is undefined or infinite; None is worse than any number. `lift` is positive where the first score
is better, whatever the metric's direction.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evertune.metrics import weighted
from evertune.metrics.weighted import MetricKernel
from evertune.types import FloatArray, Predictions, Task, take_rows

BINARY: Task = "binary"
MULTICLASS: Task = "multiclass"
REGRESSION: Task = "regression"
DEFAULT_METRICS: dict[Task, str] = {BINARY: "roc_auc", MULTICLASS: "log_loss", REGRESSION: "rmse"}
LABEL_METRICS = ("accuracy", "balanced_accuracy", "precision", "recall", "f1")
MEDIAN_METRICS = frozenset({"mae", "mape", "pinball"})  # the best constant is the median

CustomMetricFunction = Callable[[FloatArray, FloatArray, FloatArray | None], float]


@dataclass(frozen=True)
class Metric:
    """A score of predictions against the true classes or values.

    Attributes
    ----------
    tasks : frozenset of str
        The tasks that it serves.
    needs_probabilities : bool
        True if it is undefined for predictions without probabilities.
    kernel : callable
        The weighted form, see `evertune.metrics.weighted`.
    """

    name: str
    tasks: frozenset[Task]
    greater_is_better: bool
    needs_probabilities: bool
    kernel: MetricKernel

    def score(
        self, y_true: FloatArray, pred: Predictions, sample_weight: FloatArray | None = None
    ) -> float:
        """Return the score of the rows that have a prediction; NaN if it is undefined.

        Parameters
        ----------
        pred : Predictions
            Rows whose value is NaN have no prediction and are left out.
        sample_weight : array of shape (n,), optional
            Not negative; a weight of 2 counts as two rows.
        """
        mask = prediction_mask(pred)
        if not mask.any() or (self.needs_probabilities and pred.probabilities is None):
            return math.nan
        weights = np.ones(y_true.size) if sample_weight is None else sample_weight
        evaluate = self.kernel(y_true[mask], take_rows(pred, mask))
        return float(evaluate(weights[mask][None, :])[0])


def _classification(
    name: str, kernel: MetricKernel, *, greater: bool = True, proba: bool = False
) -> Metric:
    return Metric(name, frozenset({BINARY, MULTICLASS}), greater, proba, kernel)


def _regression(name: str, kernel: MetricKernel, *, greater: bool = False) -> Metric:
    return Metric(name, frozenset({REGRESSION}), greater, False, kernel)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        _classification("roc_auc", weighted.roc_auc, proba=True),
        _classification("pr_auc", weighted.pr_auc, proba=True),
        _classification("log_loss", weighted.log_loss, greater=False, proba=True),
        _classification("brier", weighted.brier, greater=False, proba=True),
        _classification("calibration_error", weighted.calibration_error, greater=False, proba=True),
        _classification("accuracy", weighted.accuracy),
        _classification("balanced_accuracy", weighted.balanced_accuracy),
        _classification("precision", weighted.precision),
        _classification("recall", weighted.recall),
        _classification("f1", weighted.f1),
        _regression("rmse", weighted.rmse),
        _regression("mae", weighted.mae),
        _regression("mape", weighted.mape),
        _regression("r2", weighted.r2, greater=True),
        _regression("pinball", weighted.pinball),
    )
}
# Means over the classes of a multiclass task, also where only two of its classes occur.
MACRO_AVERAGED: dict[str, MetricKernel] = {
    "precision": partial(weighted.precision, min_classes=3),
    "recall": partial(weighted.recall, min_classes=3),
    "f1": partial(weighted.f1, min_classes=3),
}


def metrics_for(task: Task) -> tuple[Metric, ...]:
    """Return the built-in metrics that serve a task.

    Precision, recall and F1 are those of the positive class in a binary task, and means over
    classes in a multiclass one.

    Examples
    --------
    >>> [metric.name for metric in metrics_for("regression")]
    ['rmse', 'mae', 'mape', 'r2', 'pinball']
    """
    kernels = MACRO_AVERAGED if task == MULTICLASS else {}
    return tuple(
        replace(metric, kernel=kernels.get(metric.name, metric.kernel))
        for metric in METRICS.values()
        if task in metric.tasks
    )


def get_metric(name: str, task: Task, custom: Mapping[str, Metric]) -> Metric:
    """Return the metric of a name for a task.

    Parameters
    ----------
    name : str
        A built-in metric, one of `custom`, or `auto`: roc_auc (binary), log_loss (multiclass),
        rmse (regression).
    custom : mapping from name to Metric
        The user's own metrics; they take precedence over built-in ones.

    Raises
    ------
    ValueError
        If there is no metric of that name, or it does not serve the task.

    Examples
    --------
    >>> get_metric("auto", "binary", {}).name
    'roc_auc'
    """
    available = {**{metric.name: metric for metric in metrics_for(task)}, **custom}
    wanted = DEFAULT_METRICS[task] if name == "auto" else name
    if wanted in available:
        return available[wanted]
    near = get_close_matches(wanted, available, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"The metric of a {task} task must be one of {', '.join(available)}. "
        f"Got {name!r} instead.{hint}"
    )


def custom_metric(
    name: str, function: CustomMetricFunction, *, greater_is_better: bool, task: Task
) -> Metric:
    """Return a metric of the user's own.

    Parameters
    ----------
    function : callable
        Called with the true class codes or values, the predicted codes or values, and the
        probabilities of shape (n, n_classes) or None; returns one number, NaN if undefined.

    Examples
    --------
    >>> def worst(y_true, values, probabilities):
    ...     return abs(y_true - values).max()
    >>> metric = custom_metric("worst", worst, greater_is_better=False, task="regression")
    >>> metric.score(np.array([1.0, 2.0]), Predictions(np.array([1.0, 5.0])))
    3.0
    """
    kernel = partial(weighted.weight_by_repetition, function)
    return Metric(name, frozenset({task}), greater_is_better, False, kernel)


def compute_metrics(
    metrics: Iterable[Metric],
    y_true: FloatArray,
    pred: Predictions,
    sample_weight: FloatArray | None = None,
) -> dict[str, float | None]:
    """Return the score of every metric by its name, None where it is undefined or infinite.

    Examples
    --------
    >>> labels = Predictions(np.array([1.0, 1.0]))
    >>> compute_metrics([METRICS["accuracy"], METRICS["log_loss"]], np.array([0.0, 1.0]), labels)
    {'accuracy': 0.5, 'log_loss': None}
    """
    scores = {metric.name: metric.score(y_true, pred, sample_weight) for metric in metrics}
    return {name: score if math.isfinite(score) else None for name, score in scores.items()}


def mean_metrics(folds: Iterable[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Return the mean of every metric over the folds in which it is defined, else None.

    Examples
    --------
    >>> mean_metrics([{"f1": 0.25, "roc_auc": None}, {"f1": 0.5, "roc_auc": None}, {"f1": None}])
    {'f1': 0.375, 'roc_auc': None}
    """
    known: dict[str, list[float]] = {}
    for scores in folds:
        for name, score in scores.items():
            known.setdefault(name, []).extend([] if score is None else [score])
    return {name: float(np.mean(scores)) if scores else None for name, scores in known.items()}


class Directed(Protocol):
    """Whatever has a direction: a `Metric`, or a record of one, such as `MetricRow`."""

    @property
    def greater_is_better(self) -> bool:
        """Whether a greater score is better."""


def is_better(metric: Directed, left: float | None, right: float | None) -> bool:
    """Return True if `left` is strictly better than `right`; None is worse than any score."""
    if left is None or right is None:
        return left is not None
    return left > right if metric.greater_is_better else left < right


def lift(metric: Directed, score: float | None, baseline: float | None) -> float | None:
    """Return by how much a score is better than a baseline's, in the metric's own unit.

    score - baseline if greater is better, else baseline - score; None if either is None.

    Examples
    --------
    >>> lift(METRICS["rmse"], 1.5, 2.0)
    0.5
    """
    if score is None or baseline is None:
        return None
    return score - baseline if metric.greater_is_better else baseline - score


def keeps_bound(metric: Directed, score: float | None, bound: float) -> bool:
    """Return True if a score reaches a bound, or does not exceed it if smaller is better."""
    return score is not None and not is_better(metric, bound, score)


def prediction_mask(pred: Predictions) -> NDArray[np.bool_]:
    """Return a mask of the rows that have a prediction, whose value is not NaN."""
    return ~np.isnan(pred.values)


def confusion_matrix(y_true: FloatArray, pred: Predictions, n_classes: int) -> NDArray[np.int64]:
    """Return the rows with a prediction, counted by true (row) and predicted class (column)."""
    mask = prediction_mask(pred)
    cells = (y_true[mask] * n_classes + pred.values[mask]).astype(np.int64)
    return np.bincount(cells, minlength=n_classes**2).reshape(n_classes, n_classes)
