"""How often stated probabilities come true, and predictions with their truth left open."""

from dataclasses import dataclass

import numpy as np
from sklearn.isotonic import IsotonicRegression

from pipelines.core.predictions import Floats, Predictions

BINARY = 2
FEWEST_ROWS = 2
MOST_POINTS = 1000


@dataclass(frozen=True)
class Calibration:
    """How often a probability comes true: straight lines between points, ends held."""

    x: tuple[float, ...]
    y: tuple[float, ...]


def calibration_of(truth: Floats, predictions: Predictions) -> Calibration | None:
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
    >>> calibration_of(np.array([0.0, 0.0, 0.0, 1.0]), said).y
    (0.0, 0.0, 1.0)
    """
    known = np.isfinite(truth)
    if predictions.probabilities is None or known.sum() < FEWEST_ROWS:
        return None
    stated, came_true = _stated(truth, predictions.probabilities)
    fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    fitted.fit(stated[known], came_true[known])
    x, y = fitted.X_thresholds_, fitted.y_thresholds_
    if x.size > MOST_POINTS:
        kept = np.unique(np.linspace(0, x.size - 1, MOST_POINTS).round().astype(int))
        x, y = x[kept], y[kept]
    return Calibration(tuple(map(float, x)), tuple(map(float, y)))


def calibrated(calibration: Calibration, probabilities: Floats) -> Floats:
    """Return the calibrated probabilities of all classes, shape (n, n_classes).

    With more than two classes the class that is said is calibrated, and the others share what it
    leaves in proportion to what was stated.

    Examples
    --------
    >>> halves = Calibration((0.0, 1.0), (0.0, 0.5))
    >>> calibrated(halves, np.array([[0.2, 0.8], [1.0, 0.0]])).tolist()
    [[0.6, 0.4], [1.0, 0.0]]
    """
    if probabilities.shape[1] == BINARY:
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


def open_truth(predictions: Predictions, chances: Floats) -> tuple[Floats, Predictions, Floats]:
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
    >>> truth, _, weights = open_truth(said, np.array([[0.3, 0.7]]))
    >>> truth.tolist(), weights.tolist()
    ([0.0, 1.0], [0.3, 0.7])
    """
    n_rows, n_classes = chances.shape
    truth = np.tile(np.arange(n_classes, dtype=np.float64), n_rows)
    rows = np.repeat(np.arange(n_rows), n_classes)
    stated = None if predictions.probabilities is None else predictions.probabilities[rows]
    return truth, Predictions(predictions.values[rows], stated), chances.ravel()


def _stated(truth: Floats, chances: Floats) -> tuple[Floats, Floats]:
    if chances.shape[1] == BINARY:
        return chances[:, 1], (truth == 1).astype(np.float64)
    return chances.max(axis=1), (truth == chances.argmax(axis=1)).astype(np.float64)
