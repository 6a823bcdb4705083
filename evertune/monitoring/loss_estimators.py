"""Models of the loss that a prediction will have: isotonic calibration, and a boosted tree.

They are fitted on the hold-out and used to estimate performance without labels:

- classification: an isotonic calibration of the probabilities (`fit_calibration`; Zadrozny and
  Elkan, 2002). `expand_over_classes` repeats each row once for each class, weighted by its
  calibrated probability, so that a weighted metric is an expected metric (CBPE);
- regression: a boosted tree that predicts the loss of a row (`fit_error_model`; direct loss
  estimation, DLE), stored as LightGBM's own text.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from evertune.types import FloatArray, Predictions, take_rows

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
    """How often a probability comes true: straight lines between points, constant beyond them."""

    x: tuple[float, ...]
    y: tuple[float, ...]

    def calibrate(self, proba: FloatArray) -> FloatArray:
        """Return the calibrated probabilities of all classes, shape (n, n_classes).

        With more than two classes the predicted one is calibrated, and the others share the rest
        in proportion to their probabilities.

        Examples
        --------
        >>> halves = IsotonicCalibration((0.0, 1.0), (0.0, 0.5))
        >>> halves.calibrate(np.array([[0.2, 0.8], [1.0, 0.0]])).tolist()
        [[0.6, 0.4], [1.0, 0.0]]
        """
        n_classes = proba.shape[1]
        if n_classes == N_BINARY_CLASSES:
            positive = np.interp(proba[:, 1], self.x, self.y)
            return np.column_stack([1 - positive, positive])
        best, rows = proba.argmax(axis=1), np.arange(len(proba))
        top = np.interp(proba[rows, best], self.x, self.y)
        others = proba.copy()
        others[rows, best] = 0.0
        total = others.sum(axis=1, keepdims=True)
        shares = np.where(total > 0, others / np.where(total > 0, total, 1.0), 1 / (n_classes - 1))
        calibrated = shares * (1 - top)[:, None]
        calibrated[rows, best] = top
        return np.asarray(calibrated, dtype=np.float64)


def fit_calibration(y_true: FloatArray, pred: Predictions) -> IsotonicCalibration | None:
    """Return the isotonic calibration of probabilities, None where there are none.

    Parameters
    ----------
    y_true : array of shape (n,)
        Codes of classes.
    pred : Predictions
        With two classes the positive one is calibrated, with more the predicted one.

    References
    ----------
    Zadrozny and Elkan (2002), Transforming classifier scores into accurate multiclass probability
    estimates.

    Examples
    --------
    >>> p = np.array([0.1, 0.2, 0.6, 0.7])
    >>> pred = Predictions((p > 0.5) * 1.0, np.column_stack([1 - p, p]))
    >>> fit_calibration(np.array([0.0, 0.0, 0.0, 1.0]), pred).y
    (0.0, 0.0, 1.0)
    """
    from sklearn.isotonic import IsotonicRegression

    proba, known = pred.probabilities, np.isfinite(y_true)
    if proba is None or known.sum() < MIN_CALIBRATION_ROWS:
        return None
    known &= np.isfinite(proba).all(axis=1)
    if proba.shape[1] == N_BINARY_CLASSES:
        stated, came_true = proba[:, 1], y_true == 1
    else:
        stated, came_true = proba.max(axis=1), y_true == proba.argmax(axis=1)
    isotonic = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    isotonic.fit(stated[known], came_true[known].astype(np.float64))
    x, y = isotonic.X_thresholds_, isotonic.y_thresholds_
    if x.size > MAX_CALIBRATION_POINTS:
        drawn = np.unique(np.linspace(0, x.size - 1, MAX_CALIBRATION_POINTS).round().astype(int))
        x, y = x[drawn], y[drawn]
    return IsotonicCalibration(tuple(map(float, x)), tuple(map(float, y)))


def expand_over_classes(
    pred: Predictions, proba: FloatArray
) -> tuple[FloatArray, Predictions, FloatArray]:
    """Return every row once for each class, with the class as y_true and its chance as weight.

    A weighted metric of these is what it is expected to be, up to 1 / n.

    Parameters
    ----------
    pred : Predictions
        For n rows.
    proba : array of shape (n, n_classes)
        Calibrated.

    Returns
    -------
    y_true, pred, weights
        Of n n_classes rows.

    Examples
    --------
    >>> pred = Predictions(np.array([1.0]), np.array([[0.2, 0.8]]))
    >>> y_true, _, weights = expand_over_classes(pred, np.array([[0.3, 0.7]]))
    >>> y_true.tolist(), weights.tolist()
    ([0.0, 1.0], [0.3, 0.7])
    """
    n_rows, n_classes = proba.shape
    y_true = np.tile(np.arange(n_classes, dtype=np.float64), n_rows)
    return y_true, take_rows(pred, np.repeat(np.arange(n_rows), n_classes)), proba.ravel()


@dataclass(frozen=True)
class ErrorModel:
    """Predicts the loss of a row from its columns and its prediction.

    Attributes
    ----------
    levels : dict
        The levels of each text column, in the order of their codes.
    booster : str
        A LightGBM model as text.
    """

    columns: tuple[str, ...]
    levels: dict[str, tuple[str, ...]]
    booster: str

    def predict(self, features: pd.DataFrame | None, values: FloatArray) -> FloatArray:
        """Return the expected loss of n rows, shape (n,).

        Parameters
        ----------
        features : DataFrame of n rows, optional
            Clean columns.
        values : array of shape (n,)
            The predictions.

        Raises
        ------
        ValueError
            If a column that the model was fitted on is missing.
        """
        import lightgbm

        given = () if features is None else features.columns
        missing = [name for name in self.columns if name not in given]
        if missing:
            raise ValueError(f"Expected the columns {self.columns}, but {missing=}.")
        if not values.size:
            return np.zeros(0)
        booster = lightgbm.Booster(model_str=self.booster)
        losses = booster.predict(self.matrix(features, values), num_threads=1)
        return np.clip(np.asarray(losses, dtype=np.float64), 0.0, 1.0)

    def matrix(self, features: pd.DataFrame | None, values: FloatArray) -> FloatArray:
        """Return the input of the booster, shape (n, n_columns + 1); the last are `values`."""
        columns = [] if features is None else [self._numbers(features[n]) for n in self.columns]
        return np.column_stack([*columns, values])

    def _numbers(self, column: pd.Series) -> FloatArray:
        if column.name in self.levels:
            codes = {level: float(code) for code, level in enumerate(self.levels[column.name])}
            column = column.astype("str").map(codes)
        elif pd.api.types.is_datetime64_any_dtype(column):
            column = (column - pd.Timestamp(0)) / pd.Timedelta(days=1)
        return np.asarray(column.astype("float64"), dtype=np.float64)


def fit_error_model(
    features: pd.DataFrame | None, values: FloatArray, losses: FloatArray, *, seed: int
) -> ErrorModel:
    """Return the model of the losses of n rows.

    Parameters
    ----------
    features : DataFrame of n rows, optional
        Clean columns.
    values : array of shape (n,)
        The predictions.
    losses : array of shape (n,)
        In [0, 1].
    """
    import lightgbm

    levels = {}
    for name, column in () if features is None else features.items():
        is_number = pd.api.types.is_numeric_dtype(column)
        if not is_number and not pd.api.types.is_datetime64_any_dtype(column):
            counts = column.dropna().astype("str").value_counts()
            levels[str(name)] = tuple(str(level) for level in counts.index[:MAX_TEXT_LEVELS])
    columns = () if features is None else tuple(str(name) for name in features)
    unfitted = ErrorModel(columns, levels, "")
    booster = lightgbm.train(
        {**LIGHTGBM_PARAMS, "seed": seed},
        lightgbm.Dataset(unfitted.matrix(features, values), losses),
        num_boost_round=N_BOOSTING_ROUNDS,
    )
    return replace(unfitted, booster=str(booster.model_to_string()))
