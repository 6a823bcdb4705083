"""The baselines a model must beat: random guesses, the best constant, and simple models.

`expected_guess_metrics` works out what a random guess reaches on average; nothing is drawn.
`zero_rule` predicts the commonest class, or the median or mean target, for every row.
`baseline_predictions` collects the baselines that predict row by row, `BaselineResult` is the
record of one baseline on the folds.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from evertune.data.schema import TableSchema, encode_predictions
from evertune.evaluation.heuristics import Rule, best_constant, rule_predictions
from evertune.metrics.metrics import MEDIAN_METRICS, Metric, compute_metrics
from evertune.trials import FoldResult, MetricValues
from evertune.types import FloatArray, Predictions

RANDOM_BASELINES = ("uniform_random", "label_distribution")
SQUARED_ERROR_METRICS = frozenset({"rmse", "r2"})
MAX_QUANTILE_POINTS, MIN_QUANTILE_POINTS, MAX_EXPANDED_ROWS = 50, 5, 1_000_000


def class_distribution(truth: FloatArray, n_classes: int) -> FloatArray:
    """Return the share of every class, in the order of the codes.

    Examples
    --------
    >>> class_distribution(np.array([0.0, 0.0, 0.0, 1.0]), 2)
    array([0.75, 0.25])
    """
    shares: FloatArray = np.bincount(truth.astype(int), minlength=n_classes) / truth.size
    return shares


def expected_guess_metrics(
    name: str,
    metrics: Iterable[Metric],
    truth: FloatArray,
    *,
    training_truth: FloatArray,
    n_classes: int,
) -> MetricValues:
    """Return what a random guess is expected to reach in every metric.

    `uniform_random` says every class with the same chance, or any value between the least and
    the greatest target of training. `label_distribution` says a class with its share in
    training, or the target of a random training row. Nothing is drawn. A metric of classes is
    figured on the expected counts of true against guessed classes, so that F1 is
    2 t q / (t + q) where a share t is positive and a share q is guessed to be. Metrics of
    probabilities use the chances that the guess states. In regression the squared or absolute
    error of every row is its exact mean over all guesses; a metric of the user's own is figured
    on quantiles of the guesses.

    Parameters
    ----------
    name : str
        `uniform_random` or `label_distribution`.
    metrics : iterable of Metric
    truth : array of shape (n,)
        Of the rows that are guessed.
    training_truth : array of shape (m,)
        What the guess knows.
    n_classes : int
        0 in regression.

    Raises
    ------
    ValueError
        If there is no guess of that name.

    Examples
    --------
    >>> from evertune.metrics.metrics import METRICS
    >>> truth = np.array([1.0] + [0.0] * 9)
    >>> expected_guess_metrics(
    ...     "uniform_random", [METRICS["accuracy"]], truth, training_truth=truth, n_classes=2
    ... )
    {'accuracy': 0.5}
    """
    if name not in RANDOM_BASELINES:
        raise ValueError(
            f"A guess must be one of {', '.join(RANDOM_BASELINES)}. Got {name!r} instead."
        )
    if n_classes:
        shares = class_distribution(truth, n_classes)
        return _expected_class_metrics(
            metrics, shares, GUESS_PROBABILITIES[name](training_truth, n_classes)
        )
    return _expected_regression_metrics(metrics, truth, name=name, training_truth=training_truth)


def zero_rule(
    training_truth: FloatArray, *, n_rows: int, optimised: str, n_classes: int
) -> Predictions:
    """Return the same best guess for every row.

    It is the commonest class of training with the shares of the classes as probabilities, or the
    median of the targets where the optimised metric is mae, mape or pinball, else their mean.

    Parameters
    ----------
    training_truth : array of shape (m,)
    n_rows : int
        Rows to predict.
    optimised : str
        Name of the metric that is optimised.
    n_classes : int
        0 in regression.

    Examples
    --------
    >>> zero_rule(np.array([0.0, 1.0, 1.0]), n_rows=2, optimised="f1", n_classes=2).values
    array([1., 1.])
    >>> zero_rule(np.array([1.0, 2.0, 9.0]), n_rows=1, optimised="mae", n_classes=0).values
    array([2.])
    """
    if not n_classes:
        return Predictions(np.full(n_rows, best_constant(training_truth, optimised)))
    shares = class_distribution(training_truth, n_classes)
    return Predictions(np.full(n_rows, float(shares.argmax())), np.tile(shares, (n_rows, 1)))


def _expected_class_metrics(
    metrics: Iterable[Metric], shares: FloatArray, chances: FloatArray
) -> MetricValues:
    """Figure on one row for every pair of a true and a guessed class, weighed by its chance."""
    codes = np.arange(shares.size, dtype=np.float64)
    true, guessed = (grid.ravel() for grid in np.meshgrid(codes, codes, indexing="ij"))
    stated = np.broadcast_to(chances, (true.size, chances.size))
    return compute_metrics(
        metrics, true, Predictions(guessed, stated), np.outer(shares, chances).ravel()
    )


def _expected_regression_metrics(
    metrics: Iterable[Metric], truth: FloatArray, *, name: str, training_truth: FloatArray
) -> MetricValues:
    absolute, square = EXPECTED_ERRORS[name](truth, training_truth)
    found: MetricValues = {}
    for metric in metrics:
        if metric.name in SQUARED_ERROR_METRICS:
            found |= compute_metrics([metric], truth, Predictions(truth + np.sqrt(square)))
        elif metric.name in MEDIAN_METRICS:
            found |= compute_metrics([metric], truth, Predictions(truth + absolute))
        else:
            found |= _metric_on_quantiles(metric, truth, GUESS_QUANTILES[name](training_truth))
    return found


def _metric_on_quantiles(
    metric: Metric, truth: FloatArray, quantile: Callable[[FloatArray], FloatArray]
) -> MetricValues:
    n_points = int(
        np.clip(MAX_EXPANDED_ROWS // truth.size, MIN_QUANTILE_POINTS, MAX_QUANTILE_POINTS)
    )
    points = quantile((np.arange(n_points) + 0.5) / n_points)
    guessed = Predictions(np.repeat(points, truth.size))
    return compute_metrics([metric], np.tile(truth, n_points), guessed)


def _uniform_probabilities(_: FloatArray, n_classes: int) -> FloatArray:
    return np.full(n_classes, 1 / n_classes)


def _uniform_errors(truth: FloatArray, training_truth: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return E|t - g| and E(t - g)^2 of every row for g uniform on [low, high]."""
    low, high = training_truth.min(), training_truth.max()
    width, middle = high - low, (low + high) / 2
    absolute = np.abs(truth - middle)
    if width:
        inside = (truth > low) & (truth < high)
        split = ((truth - low) ** 2 + (high - truth) ** 2) / (2 * width)
        absolute = np.where(inside, split, absolute)
    return absolute, (truth - middle) ** 2 + width**2 / 12


def _empirical_errors(
    truth: FloatArray, training_truth: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return E|t - g| and E(t - g)^2 of every row for g a random training target."""
    targets = np.sort(training_truth)
    sums = np.concatenate([[0.0], np.cumsum(targets)])
    below = np.searchsorted(targets, truth)
    absolute = truth * (2 * below - targets.size) - 2 * sums[below] + sums[-1]
    return absolute / targets.size, (truth - targets.mean()) ** 2 + targets.var()


def _uniform_quantile(training_truth: FloatArray) -> Callable[[FloatArray], FloatArray]:
    low, high = training_truth.min(), training_truth.max()
    return lambda shares: low + (high - low) * shares


def _empirical_quantile(training_truth: FloatArray) -> Callable[[FloatArray], FloatArray]:
    return lambda shares: np.asarray(np.quantile(training_truth, shares), dtype=np.float64)


GUESS_PROBABILITIES = {
    "uniform_random": _uniform_probabilities,
    "label_distribution": class_distribution,
}
EXPECTED_ERRORS = {"uniform_random": _uniform_errors, "label_distribution": _empirical_errors}
GUESS_QUANTILES = {"uniform_random": _uniform_quantile, "label_distribution": _empirical_quantile}

BaselineKind = Literal["none", "model", "given"]
SIMPLEST_FAMILIES = {"logistic_regression": "linear", "ridge": "linear", "small_tree": "tree"}


@dataclass(frozen=True)
class BaselineResult:
    """One baseline on the folds of the training rows.

    Attributes
    ----------
    name : str
        uniform_random, label_distribution, zero_rule, heuristic, human, human_stated, existing,
        logistic_regression or ridge, small_tree.
    kind : str
        `none` (without a model), `model` (the simplest models) or `given` (by people or by the
        system in use).
    description : str
        What it does, in words.
    folds : tuple of FoldResult
        Empty for `human_stated`, of which only one figure is known.
    mean : dict from metric to float or None
        Over the folds in which the metric is defined.
    fit_seconds, predict_seconds : float
        Over all folds.
    """

    name: str
    kind: BaselineKind
    description: str
    folds: tuple[FoldResult, ...]
    mean: MetricValues
    fit_seconds: float
    predict_seconds: float


def mean_fold_metrics(folds: Iterable[FoldResult]) -> MetricValues:
    """Return the mean of every metric over the folds in which it is defined, else None.

    Examples
    --------
    >>> mean_fold_metrics([FoldResult(0, {"f1": 0.5}, 1.0, 0.1), FoldResult(1, {"f1": None}, 1.0, 0.1)])
    {'f1': 0.5}
    """
    table = pd.DataFrame([fold.figures for fold in folds], dtype=np.float64)
    means = table.mean(axis=0)
    return {str(name): float(mean) if pd.notna(mean) else None for name, mean in means.items()}


def expected_baseline_metrics(
    metrics: Sequence[Metric], truth: FloatArray, *, training_truth: FloatArray, n_classes: int
) -> dict[str, MetricValues]:
    """Return the expected figures of the baselines that guess at random.

    Parameters
    ----------
    metrics : sequence of Metric
    truth : array of shape (n,)
        Of the rows to be figured on, such as the hold-out.
    training_truth : array of shape (m,)
        What the guesses know.
    n_classes : int
        0 in regression.

    Returns
    -------
    dict
        From `uniform_random` and `label_distribution` to the figure of every metric.

    Examples
    --------
    >>> from evertune.metrics.metrics import METRICS
    >>> truth = np.array([1.0] + [0.0] * 9)
    >>> found = expected_baseline_metrics(
    ...     [METRICS["accuracy"]], truth, training_truth=truth, n_classes=2
    ... )
    >>> round(found["label_distribution"]["accuracy"], 2)
    0.82
    """
    return {
        name: expected_guess_metrics(
            name, metrics, truth, training_truth=training_truth, n_classes=n_classes
        )
        for name in RANDOM_BASELINES
    }


def baseline_predictions(
    table: pd.DataFrame,
    schema: TableSchema,
    *,
    training_truth: FloatArray,
    optimised: str,
    rule: Rule | None,
    models: Mapping[str, Predictions],
) -> dict[str, Predictions]:
    """Return the predictions of every baseline that predicts row by row.

    Parameters
    ----------
    table : DataFrame, n rows
        Clean rows, such as the hold-out.
    schema : TableSchema
    training_truth : array of shape (m,)
        What the zero rule knows.
    optimised : str
        Name of the metric that is optimised: the zero rule's constant suits it.
    rule : Rule, optional
        The heuristic, learned on training rows. None leaves it out.
    models : mapping from name to Predictions
        Of the simplest models, for the same rows.

    Returns
    -------
    dict
        From the baseline's name to Predictions; NaN where people or the system in use say
        nothing.
    """
    n_classes = len(schema.classes)
    constant = zero_rule(
        training_truth, n_rows=len(table), optimised=optimised, n_classes=n_classes
    )
    ruled = {} if rule is None else {"heuristic": rule_predictions(rule, table, schema)}
    columns = {"human": schema.human, "existing": schema.existing}
    given = {
        name: encode_predictions(table[column], schema)
        for name, column in columns.items()
        if column is not None
    }
    return {"zero_rule": constant, **ruled, **given, **models}
