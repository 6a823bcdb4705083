"""The points of the curves that show how good probabilities are."""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from pipelines.core.predictions import Floats

BINARY = 2
MOST_CURVES = 10


@dataclass(frozen=True, eq=False)
class Curve:
    """Points to be joined by a line: x and y of shape (n_points,), and the line's name."""

    name: str
    x: Floats
    y: Floats


def roc(truth: Floats, probabilities: Floats, *, classes: tuple[str, ...]) -> tuple[Curve, ...]:
    """Return one ROC curve a class, each against the rest; binary: of the positive class only.

    A class without rows, or without rows of the rest, has no curve.

    Parameters
    ----------
    truth : array of shape (n,)
        Codes of the true classes.
    probabilities : array of shape (n, n_classes)
    classes : tuple of str
        Names in the order of the codes.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.array([0.0, 0.0, 1.0, 1.0])
    >>> p = np.array([0.1, 0.6, 0.4, 0.9])
    >>> (curve,) = roc(truth, np.column_stack([1 - p, p]), classes=("no", "yes"))
    >>> curve.name, curve.x.tolist(), curve.y.tolist()
    ('yes', [0.0, 0.0, 0.5, 0.5, 1.0], [0.0, 0.5, 0.5, 1.0, 1.0])
    """
    curves = []
    for code in _drawn(truth, classes):
        false_rate, true_rate, _ = roc_curve(truth == code, probabilities[:, code])
        curves.append(Curve(classes[code], false_rate, true_rate))
    return tuple(curves)


def precision_recall(
    truth: Floats, probabilities: Floats, *, classes: tuple[str, ...]
) -> tuple[Curve, ...]:
    """Return precision (y) over recall (x), one curve a class; binary: of the positive class.

    Parameters
    ----------
    truth : array of shape (n,)
        Codes of the true classes.
    probabilities : array of shape (n, n_classes)
    classes : tuple of str
        Names in the order of the codes.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.array([0.0, 1.0])
    >>> p = np.array([0.1, 0.9])
    >>> (curve,) = precision_recall(truth, np.column_stack([1 - p, p]), classes=("no", "yes"))
    >>> curve.x.tolist(), curve.y.tolist()
    ([1.0, 1.0, 0.0], [0.5, 1.0, 1.0])
    """
    curves = []
    for code in _drawn(truth, classes):
        precision, recall, _ = precision_recall_curve(truth == code, probabilities[:, code])
        curves.append(Curve(classes[code], recall, precision))
    return tuple(curves)


def calibration(truth: Floats, probabilities: Floats, *, n_bins: int = 10) -> Curve:
    """Return how often predictions were right (y) over how sure they were (x), in bins.

    Bins hold about the same number of rows each. Binary: the share of the positive class over its
    probability; more classes: the share of right predictions over the highest probability.

    Parameters
    ----------
    truth : array of shape (n,)
        Codes of the true classes.
    probabilities : array of shape (n, n_classes)
    n_bins : int
        At most so many points.

    Raises
    ------
    ValueError
        If there are no rows.

    Examples
    --------
    >>> import numpy as np
    >>> p = np.array([0.2, 0.2, 0.8, 0.8])
    >>> truth = np.array([0.0, 1.0, 1.0, 1.0])
    >>> curve = calibration(truth, np.column_stack([1 - p, p]), n_bins=2)
    >>> curve.x.tolist(), curve.y.tolist()
    ([0.2, 0.8], [0.5, 1.0])
    """
    if not len(truth):
        raise ValueError("Expected rows to bin, but got none.")
    if probabilities.shape[1] == BINARY:
        stated, right = probabilities[:, 1], truth == 1
    else:
        stated, right = probabilities.max(axis=1), truth == probabilities.argmax(axis=1)
    edges = np.unique(np.quantile(stated, np.linspace(0, 1, n_bins + 1)[1:-1]))
    bins = np.searchsorted(edges, stated, side="right")
    counts = np.bincount(bins)
    filled = counts > 0
    x = np.bincount(bins, stated)[filled] / counts[filled]
    y = np.bincount(bins, right)[filled] / counts[filled]
    return Curve("", x, y)


def _drawn(truth: Floats, classes: tuple[str, ...]) -> list[int]:
    """Return the codes of the classes that get a line: the most frequent ones, in their order."""
    counts = np.bincount(truth.astype(int), minlength=len(classes))
    frequent = np.argsort(-counts, kind="stable")[:MOST_CURVES]
    codes = [1] if len(classes) == BINARY else np.sort(frequent).tolist()
    return [code for code in codes if 0 < counts[code] < len(truth)]
