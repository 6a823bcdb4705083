"""The baselines a model must beat: random guesses, the best constant, and simple models.

`expected_guess_metrics` computes what a random guess scores on average; nothing is drawn.
scikit-learn's `DummyClassifier` would draw once, and the lift over it would inherit that chance.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from evertune.data.schema import TableSchema, encode_predictions
from evertune.evaluation.heuristics import Rule, best_constant, rule_predictions
from evertune.metrics.metrics import MEDIAN_METRICS, Metric, compute_metrics
from evertune.trials import FoldResult, MetricValues
from evertune.types import FloatArray, Predictions

BaselineKind = Literal["none", "model", "given"]
RANDOM_BASELINES = ("uniform_random", "label_distribution")
SIMPLEST_FAMILIES = {"logistic_regression": "linear", "ridge": "linear", "small_tree": "tree"}
SQUARED_ERROR_METRICS = frozenset({"rmse", "r2"})
MAX_QUANTILE_POINTS, MIN_QUANTILE_POINTS, MAX_EXPANDED_ROWS = 50, 5, 1_000_000


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
    folds : tuple of FoldResult
        Empty for `human_stated`, of which only one score is known.
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


def expected_baseline_metrics(
    metrics: Sequence[Metric], y_true: FloatArray, *, y_training: FloatArray, n_classes: int
) -> dict[str, MetricValues]:
    """Return `expected_guess_metrics` of both random baselines, by their names."""
    return {
        name: expected_guess_metrics(
            name, metrics, y_true, y_training=y_training, n_classes=n_classes
        )
        for name in RANDOM_BASELINES
    }


def expected_guess_metrics(
    name: str,
    metrics: Iterable[Metric],
    y_true: FloatArray,
    *,
    y_training: FloatArray,
    n_classes: int,
) -> MetricValues:
    """Return the expectation of every metric for a random guess.

    `uniform_random` guesses every class with the same probability, or any value between the least
    and the greatest training target. `label_distribution` guesses a class with its share in
    training, or the target of a random training row.

    A metric of classes is computed on the expected counts of true against guessed classes, so
    that F1 is 2 t q / (t + q) with a share t of positive rows of which q are guessed to be. Metrics
    of probabilities use the probabilities of the guess. In regression the squared or absolute error
    of every row is its exact mean over all guesses; a metric of the user's own is computed on
    quantiles of the guesses.

    Parameters
    ----------
    name : str
        `uniform_random` or `label_distribution`.
    y_true : array of shape (n,)
        Of the rows that are guessed, such as the hold-out.
    y_training : array of shape (m,)
        All that the guess knows.
    n_classes : int
        0 in regression.

    Raises
    ------
    ValueError
        If there is no guess of that name.

    Examples
    --------
    >>> from evertune.metrics.metrics import METRICS
    >>> y_true = np.array([1.0] + [0.0] * 9)
    >>> expected_guess_metrics(
    ...     "uniform_random", [METRICS["accuracy"]], y_true, y_training=y_true, n_classes=2
    ... )
    {'accuracy': 0.5}
    """
    if name not in RANDOM_BASELINES:
        raise ValueError(
            f"A guess must be one of {', '.join(RANDOM_BASELINES)}. Got {name!r} instead."
        )
    uniform = name == "uniform_random"
    if not n_classes:
        return _expected_regression_metrics(metrics, y_true, y_training, uniform=uniform)
    shares = class_distribution(y_true, n_classes)
    proba = np.full(n_classes, 1 / n_classes)
    if not uniform:
        proba = class_distribution(y_training, n_classes)
    # One row for every pair of a true and a guessed class, weighted by its probability.
    codes = np.arange(n_classes, dtype=np.float64)
    true, guessed = (grid.ravel() for grid in np.meshgrid(codes, codes, indexing="ij"))
    pred = Predictions(guessed, np.broadcast_to(proba, (true.size, n_classes)))
    return compute_metrics(metrics, true, pred, np.outer(shares, proba).ravel())


def zero_rule(
    y_training: FloatArray, *, n_rows: int, optimised: str, n_classes: int
) -> Predictions:
    """Return the same best guess for each of `n_rows` rows.

    It is the most common class of training with the class shares as probabilities; in regression
    (`n_classes` is 0) the median of the targets if the optimised metric is mae, mape or pinball,
    else their mean.

    Examples
    --------
    >>> zero_rule(np.array([0.0, 1.0, 1.0]), n_rows=2, optimised="f1", n_classes=2).values
    array([1., 1.])
    """
    if not n_classes:
        return Predictions(np.full(n_rows, best_constant(y_training, optimised)))
    shares = class_distribution(y_training, n_classes)
    return Predictions(np.full(n_rows, float(shares.argmax())), np.tile(shares, (n_rows, 1)))


def baseline_predictions(
    table: pd.DataFrame,
    schema: TableSchema,
    *,
    y_training: FloatArray,
    optimised: str,
    rule: Rule | None,
    models: Mapping[str, Predictions],
) -> dict[str, Predictions]:
    """Return the predictions of every baseline that predicts the rows of a clean table, by name.

    They are NaN where people or the system in use give none.

    Parameters
    ----------
    optimised : str
        Name of the metric that is optimised: the zero rule's constant suits it.
    rule : Rule, optional
        The heuristic, learned on training rows.
    models : mapping from name to Predictions
        Of the simplest models, for the same rows.
    """
    predictions = {
        "zero_rule": zero_rule(
            y_training,
            n_rows=len(table),
            optimised=optimised,
            n_classes=len(schema.classes),
        )
    }
    if rule is not None:
        predictions["heuristic"] = rule_predictions(rule, table, schema)
    for name, column in (("human", schema.human), ("existing", schema.existing)):
        if column is not None:
            predictions[name] = encode_predictions(table[column], schema)
    return predictions | dict(models)


def class_distribution(y_true: FloatArray, n_classes: int) -> FloatArray:
    """Return the share of every class, in the order of the codes."""
    shares: FloatArray = np.bincount(y_true.astype(int), minlength=n_classes) / y_true.size
    return shares


def _expected_regression_metrics(
    metrics: Iterable[Metric], y_true: FloatArray, y_training: FloatArray, *, uniform: bool
) -> MetricValues:
    errors = _uniform_errors if uniform else _empirical_errors
    absolute, square = errors(y_true, y_training)
    expected: MetricValues = {}
    for metric in metrics:
        true, pred = y_true, y_true
        if metric.name in SQUARED_ERROR_METRICS:
            pred = y_true + np.sqrt(square)
        elif metric.name in MEDIAN_METRICS:
            pred = y_true + absolute
        else:
            n_points = int(
                np.clip(MAX_EXPANDED_ROWS // y_true.size, MIN_QUANTILE_POINTS, MAX_QUANTILE_POINTS)
            )
            shares = (np.arange(n_points) + 0.5) / n_points
            low, high = y_training.min(), y_training.max()
            points = low + (high - low) * shares if uniform else np.quantile(y_training, shares)
            true, pred = np.tile(y_true, n_points), np.repeat(points, y_true.size)
        expected |= compute_metrics([metric], true, Predictions(pred))
    return expected


def _uniform_errors(y_true: FloatArray, y_training: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return E|t - g| and E(t - g)^2 of every row for g uniform on [low, high]."""
    low, high = y_training.min(), y_training.max()
    width, middle = high - low, (low + high) / 2
    absolute = np.abs(y_true - middle)
    if width:
        inside = (y_true > low) & (y_true < high)
        split = ((y_true - low) ** 2 + (high - y_true) ** 2) / (2 * width)
        absolute = np.where(inside, split, absolute)
    return absolute, (y_true - middle) ** 2 + width**2 / 12


def _empirical_errors(y_true: FloatArray, y_training: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return E|t - g| and E(t - g)^2 of every row for g a random training target."""
    targets = np.sort(y_training)
    sums = np.concatenate([[0.0], np.cumsum(targets)])
    below = np.searchsorted(targets, y_true)
    absolute = y_true * (2 * below - targets.size) - 2 * sums[below] + sums[-1]
    return absolute / targets.size, (y_true - targets.mean()) ** 2 + targets.var()
