"""The metrics by name: which serve a task, their values, and which of two values is better.

`Metric` holds a metric's direction, its tasks and its weighted form (see
`evertune.metrics.weighted`). `METRICS` lists the built-in ones, `get_metric` finds one by name
or `auto`, `custom_metric` makes one from a user's function, and `compute_metrics` evaluates
several. A value is None where the metric is undefined or infinite; None is worse than any
number. `lift` is positive where the first value is better, whatever the metric's direction.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial

import numpy as np
from numpy.typing import NDArray

from evertune.metrics import weighted
from evertune.metrics import weighted as chance_kernels
from evertune.metrics import weighted as kernels
from evertune.metrics.weighted import TWO_CLASSES, MetricKernel
from evertune.types import FloatArray, Predictions, Task, take_rows

BINARY: Task = "binary"
MULTICLASS: Task = "multiclass"
REGRESSION: Task = "regression"
DEFAULT_METRICS: dict[Task, str] = {BINARY: "roc_auc", MULTICLASS: "log_loss", REGRESSION: "rmse"}
MACRO_AVERAGED_KERNELS: dict[str, MetricKernel] = {
    "precision": partial(weighted.precision, n_least=TWO_CLASSES + 1),
    "recall": partial(weighted.recall, n_least=TWO_CLASSES + 1),
    "f1": partial(weighted.f1, n_least=TWO_CLASSES + 1),
}

CustomMetricFunction = Callable[[FloatArray, FloatArray, FloatArray | None], float]


@dataclass(frozen=True)
class Metric:
    """A figure of predictions against the truth.

    Attributes
    ----------
    name : str
    tasks : frozenset of str
        The tasks that it serves.
    greater_is_better : bool
    needs_probabilities : bool
        Whether it is undefined for predictions without probabilities.
    kernel : callable
        The weighted form, see `evertune.metrics.weighted`.
    """

    name: str
    tasks: frozenset[Task]
    greater_is_better: bool
    needs_probabilities: bool
    kernel: MetricKernel

    def figure(
        self, truth: FloatArray, predictions: Predictions, weights: FloatArray | None = None
    ) -> float:
        """Return the figure of the rows that have a prediction; NaN where it is undefined.

        Parameters
        ----------
        truth : array of shape (n,)
        predictions : Predictions
            Rows whose value is NaN have no prediction and are left out.
        weights : array of shape (n,), optional
            Not negative; a weight of 2 counts as two rows.
        """
        kept = prediction_mask(predictions)
        if not kept.any() or (self.needs_probabilities and predictions.probabilities is None):
            return math.nan
        weights = np.ones(truth.size) if weights is None else weights
        weighed = self.kernel(truth[kept], take_rows(predictions, kept))
        return float(weighed(weights[kept][None, :])[0])


def _classification_metric(
    name: str, kernel: MetricKernel, *, greater: bool = True, chances: bool = False
) -> Metric:
    return Metric(name, frozenset({BINARY, MULTICLASS}), greater, chances, kernel)


def _regression_metric(name: str, kernel: MetricKernel, *, greater: bool = False) -> Metric:
    return Metric(name, frozenset({REGRESSION}), greater, False, kernel)


def prediction_mask(predictions: Predictions) -> NDArray[np.bool_]:
    """Return a mask of the rows that have a prediction.

    Examples
    --------
    >>> prediction_mask(Predictions(np.array([1.0, np.nan])))
    array([ True, False])
    """
    return ~np.isnan(predictions.values)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        _classification_metric("roc_auc", chance_kernels.roc_auc, chances=True),
        _classification_metric("pr_auc", chance_kernels.pr_auc, chances=True),
        _classification_metric("log_loss", chance_kernels.log_loss, greater=False, chances=True),
        _classification_metric("brier", chance_kernels.brier, greater=False, chances=True),
        _classification_metric(
            "calibration_error", chance_kernels.calibration_error, greater=False, chances=True
        ),
        _classification_metric("accuracy", weighted.accuracy),
        _classification_metric("balanced_accuracy", weighted.balanced_accuracy),
        _classification_metric("precision", weighted.precision),
        _classification_metric("recall", weighted.recall),
        _classification_metric("f1", weighted.f1),
        _regression_metric("rmse", kernels.rmse),
        _regression_metric("mae", kernels.mae),
        _regression_metric("mape", kernels.mape),
        _regression_metric("r2", kernels.r2, greater=True),
        _regression_metric("pinball", kernels.pinball),
    )
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
    return tuple(
        _metric_for_task(metric, task) for metric in METRICS.values() if task in metric.tasks
    )


def get_metric(name: str, task: Task, custom: Mapping[str, Metric]) -> Metric:
    """Return the metric of a name for a task.

    Parameters
    ----------
    name : str
        A built-in metric, one of `custom`, or `auto`: roc_auc (binary), log_loss (multiclass),
        rmse (regression).
    task : str
    custom : mapping from name to Metric
        The user's own metrics; they go before built-in ones.

    Raises
    ------
    ValueError
        If there is no metric of that name, or it does not serve the task.

    Examples
    --------
    >>> get_metric("auto", "binary", {}).name
    'roc_auc'
    """
    known = {**{metric.name: metric for metric in metrics_for(task)}, **custom}
    wanted = DEFAULT_METRICS[task] if name == "auto" else name
    if wanted in known:
        return known[wanted]
    near = get_close_matches(wanted, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"The metric of a {task} task must be one of {', '.join(known)}. "
        f"Got {name!r} instead.{hint}"
    )


def custom_metric(
    name: str, function: CustomMetricFunction, *, greater_is_better: bool, task: Task
) -> Metric:
    """Return a metric of the user's own.

    Parameters
    ----------
    name : str
    function : callable
        Called with the truth (class codes or values), the predicted codes or values, and the
        probabilities of shape (n, n_classes) or None; gives one number, NaN where undefined.
    greater_is_better : bool
    task : str

    Examples
    --------
    >>> def worst(truth, values, probabilities):
    ...     return abs(truth - values).max()
    >>> metric = custom_metric("worst", worst, greater_is_better=False, task="regression")
    >>> metric.figure(np.array([1.0, 2.0]), Predictions(np.array([1.0, 5.0])))
    3.0
    """
    kernel = partial(kernels.weight_by_repetition, function)
    return Metric(name, frozenset({task}), greater_is_better, False, kernel)


def compute_metrics(
    metrics: Iterable[Metric],
    truth: FloatArray,
    predictions: Predictions,
    weights: FloatArray | None = None,
) -> dict[str, float | None]:
    """Return the figure of every metric, None where it is undefined or infinite.

    Examples
    --------
    >>> labels = Predictions(np.array([1.0, 1.0]))
    >>> compute_metrics([METRICS["accuracy"], METRICS["log_loss"]], np.array([0.0, 1.0]), labels)
    {'accuracy': 0.5, 'log_loss': None}
    """
    found = {metric.name: metric.figure(truth, predictions, weights) for metric in metrics}
    return {name: figure if math.isfinite(figure) else None for name, figure in found.items()}


def is_better(metric: Metric, left: float | None, right: float | None) -> bool:
    """Return whether `left` is strictly better than `right`; None is worse than any figure.

    Examples
    --------
    >>> is_better(METRICS["rmse"], 1.0, 2.0), is_better(METRICS["rmse"], None, 2.0)
    (True, False)
    """
    if left is None:
        return False
    if right is None:
        return True
    return left > right if metric.greater_is_better else left < right


def lift(metric: Metric, figure: float | None, baseline: float | None) -> float | None:
    """Return by how much a figure is better than a baseline's, in the metric's own unit.

    It is figure - baseline where greater is better and baseline - figure where smaller is, so
    that positive always means better. None where either is undefined.

    Examples
    --------
    >>> lift(METRICS["rmse"], 1.5, 2.0)
    0.5
    """
    if figure is None or baseline is None:
        return None
    return figure - baseline if metric.greater_is_better else baseline - figure


def confusion_matrix(
    truth: FloatArray, predictions: Predictions, n_classes: int
) -> NDArray[np.int64]:
    """Return the count of rows by true class (row) and predicted class (column).

    Examples
    --------
    >>> confusion_matrix(np.array([0.0, 1.0, 1.0]), Predictions(np.array([0.0, 0.0, 1.0])), 2)
    array([[1, 0],
           [1, 1]])
    """
    kept = prediction_mask(predictions)
    places = truth[kept] * n_classes + predictions.values[kept]
    counts = np.bincount(places.astype(np.int64), minlength=n_classes**2)
    return counts.reshape(n_classes, n_classes)


def _metric_for_task(metric: Metric, task: Task) -> Metric:
    if task != MULTICLASS:
        return metric
    return replace(metric, kernel=MACRO_AVERAGED_KERNELS.get(metric.name, metric.kernel))


MEDIAN_METRICS = frozenset({"mae", "mape", "pinball"})
