"""Describe a model's performance on its hold-out, which production is compared with.

`build_performance_reference` keeps metrics, mean bounded loss, loss by day, and the same by
slice. For performance without labels it also keeps one of two fitted models:

- classification: an isotonic calibration of the stated probabilities (`fit_calibration`;
  Zadrozny and Elkan, 2002). `expand_over_classes` repeats each row once for each class,
  weighted by its calibrated probability, so that a weighted metric is an expected metric
  (CBPE);
- regression: a boosted tree that predicts a row's loss (`fit_error_model`; NannyML's "DLE"),
  kept as LightGBM's own text.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import lightgbm
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from evertune.metrics.losses import DailyLoss, bounded_losses, daily_losses, error_scale
from evertune.metrics.metrics import REGRESSION, Metric, compute_metrics
from evertune.trials import MetricValues
from evertune.types import FloatArray, Predictions, Task, take_rows

N_BINARY_CLASSES = 2
MIN_CALIBRATION_ROWS = 2
MAX_CALIBRATION_POINTS = 1000


@dataclass(frozen=True)
class IsotonicCalibration:
    """How often a probability comes true: straight lines between points, ends held."""

    x: tuple[float, ...]
    y: tuple[float, ...]


def fit_calibration(truth: FloatArray, predictions: Predictions) -> IsotonicCalibration | None:
    """Return the isotonic calibration of probabilities, None where there are none.

    Parameters
    ----------
    truth : array of shape (n,)
        Codes of classes.
    predictions : Predictions
        With two classes the positive one is calibrated, with more the one that is said.

    References
    ----------
    Zadrozny and Elkan (2002), Transforming classifier scores into accurate multiclass probability
    estimates.

    Examples
    --------
    >>> p = np.array([0.1, 0.2, 0.6, 0.7])
    >>> said = Predictions((p > 0.5) * 1.0, np.column_stack([1 - p, p]))
    >>> fit_calibration(np.array([0.0, 0.0, 0.0, 1.0]), said).y
    (0.0, 0.0, 1.0)
    """
    known = np.isfinite(truth)
    if predictions.probabilities is None or known.sum() < MIN_CALIBRATION_ROWS:
        return None
    stated, came_true = _stated_and_observed(truth, predictions.probabilities)
    fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    fitted.fit(stated[known], came_true[known])
    x, y = fitted.X_thresholds_, fitted.y_thresholds_
    if x.size > MAX_CALIBRATION_POINTS:
        kept = np.unique(np.linspace(0, x.size - 1, MAX_CALIBRATION_POINTS).round().astype(int))
        x, y = x[kept], y[kept]
    return IsotonicCalibration(tuple(map(float, x)), tuple(map(float, y)))


def calibrate_probabilities(
    calibration: IsotonicCalibration, probabilities: FloatArray
) -> FloatArray:
    """Return the calibrated probabilities of all classes, shape (n, n_classes).

    With more than two classes the class that is said is calibrated, and the others share what it
    leaves in proportion to what was stated.

    Examples
    --------
    >>> halves = IsotonicCalibration((0.0, 1.0), (0.0, 0.5))
    >>> calibrate_probabilities(halves, np.array([[0.2, 0.8], [1.0, 0.0]])).tolist()
    [[0.6, 0.4], [1.0, 0.0]]
    """
    if probabilities.shape[1] == N_BINARY_CLASSES:
        positive = np.interp(probabilities[:, 1], calibration.x, calibration.y)
        return np.column_stack([1 - positive, positive])
    best, rows = probabilities.argmax(axis=1), np.arange(len(probabilities))
    top = np.interp(probabilities[rows, best], calibration.x, calibration.y)
    others = probabilities.copy()
    others[rows, best] = 0.0
    sums = others.sum(axis=1)
    n_others = probabilities.shape[1] - 1
    shares = np.where(sums[:, None] > 0, others, 1.0 / n_others)
    shares[rows, best] = 0.0
    found = shares * ((1 - top) / np.where(sums > 0, sums, 1.0))[:, None]
    found[rows, best] = top
    return np.asarray(found)


def expand_over_classes(
    predictions: Predictions, chances: FloatArray
) -> tuple[FloatArray, Predictions, FloatArray]:
    """Return every row once for each class, with the class as truth and its chance as weight.

    A weighted metric of these is what it is expected to be, up to 1 / n.

    Parameters
    ----------
    predictions : Predictions
        Of n rows, with probabilities.
    chances : array of shape (n, n_classes)
        Calibrated.

    Returns
    -------
    truth, predictions, weights
        Of n n_classes rows.

    Examples
    --------
    >>> said = Predictions(np.array([1.0]), np.array([[0.2, 0.8]]))
    >>> truth, _, weights = expand_over_classes(said, np.array([[0.3, 0.7]]))
    >>> truth.tolist(), weights.tolist()
    ([0.0, 1.0], [0.3, 0.7])
    """
    n_rows, n_classes = chances.shape
    truth = np.tile(np.arange(n_classes, dtype=np.float64), n_rows)
    rows = np.repeat(np.arange(n_rows), n_classes)
    stated = None if predictions.probabilities is None else predictions.probabilities[rows]
    return truth, Predictions(predictions.values[rows], stated), chances.ravel()


def _stated_and_observed(truth: FloatArray, chances: FloatArray) -> tuple[FloatArray, FloatArray]:
    if chances.shape[1] == N_BINARY_CLASSES:
        return chances[:, 1], (truth == 1).astype(np.float64)
    return chances.max(axis=1), (truth == chances.argmax(axis=1)).astype(np.float64)


MAX_TEXT_LEVELS = 50
N_BOOSTING_ROUNDS = 60
LIGHTGBM_PARAMS = {
    "objective": "regression",
    "learning_rate": 0.1,
    "num_leaves": 8,
    "min_data_in_leaf": 20,
    "verbosity": -1,
    "num_threads": 1,
    "deterministic": True,
    "force_col_wise": True,
}


@dataclass(frozen=True)
class ErrorModel:
    """What expects the loss of a row from its columns and its prediction.

    Attributes
    ----------
    columns : tuple of str
    levels : dict
        The levels of each column of words, in the order of their codes.
    booster : str
        A LightGBM model as text.
    """

    columns: tuple[str, ...]
    levels: dict[str, tuple[str, ...]]
    booster: str


def fit_error_model(
    features: pd.DataFrame | None, values: FloatArray, losses: FloatArray, *, seed: int
) -> ErrorModel:
    """Return what expects the losses of rows.

    Parameters
    ----------
    features : DataFrame of n rows, optional
        Clean columns.
    values : array of shape (n,)
        What was predicted.
    losses : array of shape (n,)
        In [0, 1].
    seed : int
    """
    features = pd.DataFrame(index=range(values.size)) if features is None else features
    levels = {
        str(name): _frequent_levels(features[name]) for name in features if _is_text(features[name])
    }
    columns = tuple(str(name) for name in features)
    unfitted = ErrorModel(columns, levels, "")
    rows = lightgbm.Dataset(_feature_matrix(unfitted, features, values), losses)
    booster = lightgbm.train(
        {**LIGHTGBM_PARAMS, "seed": seed}, rows, num_boost_round=N_BOOSTING_ROUNDS
    )
    return ErrorModel(columns, levels, str(booster.model_to_string()))


def expected_losses(
    model: ErrorModel, features: pd.DataFrame | None, values: FloatArray
) -> FloatArray:
    """Return the expected loss of n rows, shape (n,).

    Raises
    ------
    ValueError
        If a column that it learned from is missing.
    """
    features = pd.DataFrame(index=range(values.size)) if features is None else features
    missing = [name for name in model.columns if name not in features]
    if missing:
        raise ValueError(f"Expected the columns {model.columns}, but {missing=}.")
    if not values.size:
        return np.zeros(0)
    booster = lightgbm.Booster(model_str=model.booster)
    said = booster.predict(_feature_matrix(model, features, values), num_threads=1)
    return np.clip(np.asarray(said, dtype=np.float64), 0.0, 1.0)


def _is_text(column: pd.Series) -> bool:
    return not (
        pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column)
    )


def _frequent_levels(column: pd.Series) -> tuple[str, ...]:
    counts = column.dropna().astype("str").value_counts()
    return tuple(str(level) for level in counts.index[:MAX_TEXT_LEVELS])


def _feature_matrix(model: ErrorModel, features: pd.DataFrame, values: FloatArray) -> FloatArray:
    columns = [_to_numeric(features[name], model.levels.get(name)) for name in model.columns]
    return np.column_stack([*columns, values])


def _to_numeric(column: pd.Series, levels: tuple[str, ...] | None) -> FloatArray:
    if levels is not None:
        codes = {level: float(code) for code, level in enumerate(levels)}
        return np.asarray(column.astype("str").map(codes), dtype=np.float64)
    if pd.api.types.is_datetime64_any_dtype(column):
        days = (column - pd.Timestamp(0)) / pd.Timedelta(days=1)
        return np.asarray(days, dtype=np.float64)
    return np.asarray(column.astype("float64"), dtype=np.float64)


MIN_SLICE_ROWS = 30
MAX_SLICES_PER_COLUMN = 50


@dataclass(frozen=True)
class SliceReference:
    """The rows of one value of a column (`part` is `column=value`)."""

    part: str
    n: int
    loss: float
    figures: MetricValues


@dataclass(frozen=True)
class PerformanceReference:
    """What a model's own hold-out says of it.

    Attributes
    ----------
    task : str
    metric : str
        The metric that is optimised.
    n : int
        Rows.
    figures : dict
        Every metric, by name.
    loss : float
        Mean bounded loss.
    dispersion : float
        Variance of the rows' losses over loss (1 - loss).
    days : tuple of DailyLoss
        Empty where the rows have no moments.
    scale : float, optional
        The error that counts as 1, in regression.
    calibration : IsotonicCalibration, optional
        Binary: of the positive class; multiclass: of the class that is said.
    errors : ErrorModel, optional
        In regression: what expects the loss of a row.
    slices : tuple of SliceReference
    """

    task: Task
    metric: str
    n: int
    figures: MetricValues
    loss: float
    dispersion: float
    days: tuple[DailyLoss, ...] = ()
    scale: float | None = None
    calibration: IsotonicCalibration | None = None
    errors: ErrorModel | None = None
    slices: tuple[SliceReference, ...] = ()


def build_performance_reference(
    truth: FloatArray,
    predictions: Predictions,
    *,
    task: Task,
    metrics: Sequence[Metric],
    moments: pd.Series | None = None,
    slices: pd.DataFrame | None = None,
    features: pd.DataFrame | None = None,
    seed: int = 0,
) -> PerformanceReference:
    """Return the reference of a model from its hold-out.

    Parameters
    ----------
    truth : array of shape (n,)
    predictions : Predictions
    task : str
    metrics : sequence of Metric
        The metric that is optimised comes first.
    moments : Series of datetime64, optional
        When each row was; without them nothing says how days differ, and the test is less sure.
    slices : DataFrame, optional
        Columns whose values are judged on their own.
    features : DataFrame, optional
        Clean columns, from which the loss of a regression is expected.
    seed : int

    Raises
    ------
    ValueError
        If there are no rows.

    Examples
    --------
    >>> from evertune.metrics.metrics import METRICS
    >>> said = Predictions(np.array([0.0, 1.0, 1.0, 0.0]))
    >>> found = build_performance_reference(
    ...     np.array([0.0, 1.0, 0.0, 0.0]), said, task="binary", metrics=[METRICS["accuracy"]]
    ... )
    >>> found.figures, found.loss, found.dispersion
    ({'accuracy': 0.75}, 0.25, 1.0)
    """
    if not truth.size:
        raise ValueError("Expected rows of the hold-out, but got none.")
    scale = error_scale(truth, predictions) if task == REGRESSION else None
    losses = bounded_losses(truth, predictions, task=task, scale=scale)
    mean = float(np.nanmean(losses))
    return PerformanceReference(
        task=task,
        metric=metrics[0].name,
        n=int(np.isfinite(losses).sum()),
        figures=compute_metrics(metrics, truth, predictions),
        loss=mean,
        dispersion=_dispersion(losses, mean),
        days=() if moments is None else daily_losses(moments.reset_index(drop=True), losses),
        scale=scale,
        calibration=fit_calibration(truth, predictions),
        errors=_fit_holdout_error_model(features, predictions, losses, seed=seed)
        if task == REGRESSION
        else None,
        slices=_slice_references(truth, predictions, losses, metrics=metrics, columns=slices),
    )


def _fit_holdout_error_model(
    features: pd.DataFrame | None, predictions: Predictions, losses: FloatArray, *, seed: int
) -> ErrorModel:
    known = np.isfinite(losses)
    rows = None if features is None else features[known]
    return fit_error_model(rows, predictions.values[known], losses[known], seed=seed)


def _dispersion(losses: FloatArray, mean: float) -> float:
    variance = mean * (1 - mean)
    return float(np.nanvar(losses)) / variance if variance > 0 else 1.0


def _slice_references(
    truth: FloatArray,
    predictions: Predictions,
    losses: FloatArray,
    *,
    metrics: Sequence[Metric],
    columns: pd.DataFrame | None,
) -> tuple[SliceReference, ...]:
    found = []
    for part, rows in slice_rows(columns, fewest=MIN_SLICE_ROWS):
        held = compute_metrics(metrics, truth[rows], take_rows(predictions, rows))
        found.append(SliceReference(part, len(rows), float(np.nanmean(losses[rows])), held))
    return tuple(found)


def slice_rows(
    columns: pd.DataFrame | None, *, fewest: int
) -> tuple[tuple[str, NDArray[np.int64]], ...]:
    """Return each value of each column as `column=value`, with the places of its rows.

    Parameters
    ----------
    columns : DataFrame of n rows, optional
    fewest : int
        Values with fewer rows are left out; of the others the fifty most frequent of a column
        are kept.

    Examples
    --------
    >>> columns = pd.DataFrame({"plan": ["basic", "premium", "basic"]})
    >>> [(part, rows.tolist()) for part, rows in slice_rows(columns, fewest=2)]
    [('plan=basic', [0, 2])]
    """
    found: list[tuple[str, NDArray[np.int64]]] = []
    for name in columns if columns is not None else ():
        values = columns[name].astype("str").reset_index(drop=True)  # type: ignore[index]
        counts = values.value_counts()
        kept = counts.index[counts >= fewest][:MAX_SLICES_PER_COLUMN]
        found.extend((f"{name}={value}", np.flatnonzero(values == value)) for value in kept)
    return tuple(found)
