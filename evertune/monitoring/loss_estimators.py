"""Models of the loss that a prediction will have: isotonic calibration, and a boosted tree.

They are fitted on the hold-out and used to estimate performance without labels:

- classification: an isotonic calibration of the stated probabilities (`fit_calibration`; Zadrozny
  and Elkan, 2002). `expand_over_classes` repeats each row once for each class, weighted by its
  calibrated probability, so that a weighted metric is an expected metric (CBPE);
- regression: a boosted tree that predicts the loss of a row (`fit_error_model`; direct loss
  estimation, DLE), stored as LightGBM's own text.
"""

from dataclasses import dataclass

import lightgbm
import numpy as np
import pandas as pd
from sklearn.isotonic import IsotonicRegression

from evertune.types import FloatArray, Predictions

N_BINARY_CLASSES = 2
MIN_CALIBRATION_ROWS = 2
MAX_CALIBRATION_POINTS = 1000
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
        With two classes the positive one is calibrated, with more the predicted one.

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
    proba = predictions.probabilities
    known &= np.isfinite(proba).all(axis=1)
    if proba.shape[1] == N_BINARY_CLASSES:
        stated, came_true = proba[:, 1], truth == 1
    else:
        stated, came_true = proba.max(axis=1), truth == proba.argmax(axis=1)
    fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    fitted.fit(stated[known], came_true[known].astype(np.float64))
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


@dataclass(frozen=True)
class ErrorModel:
    """What expects the loss of a row from its columns and its prediction.

    Attributes
    ----------
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
