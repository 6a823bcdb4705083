"""Weighted metrics of predicted classes; see `kernels` for the form they all have."""

from collections.abc import Callable
from functools import partial

import numpy as np

from pipelines.core.kernels import (
    TWO_CLASSES,
    Weighed,
    mean_of_defined,
    n_classes,
    ratio,
    weighted_mean,
)
from pipelines.core.predictions import Floats, Predictions

Counts = Callable[[Floats], tuple[Floats, Floats, Floats]]


def accuracy(truth: Floats, predictions: Predictions) -> Weighed:
    """Weigh the share of rows whose class is right.

    Examples
    --------
    >>> weighed = accuracy(np.array([0.0, 1.0]), Predictions(np.array([0.0, 0.0])))
    >>> weighed(np.array([[1.0, 1.0], [3.0, 1.0]]))
    array([0.5 , 0.75])
    """
    return partial(weighted_mean, (truth == predictions.values).astype(np.float64))


def balanced_accuracy(truth: Floats, predictions: Predictions) -> Weighed:
    """Weigh the mean recall over the classes that occur in the truth.

    Examples
    --------
    >>> weighed = balanced_accuracy(np.array([0.0, 0.0, 1.0]), Predictions(np.zeros(3)))
    >>> weighed(np.ones((1, 3)))
    array([0.5])
    """
    counts = _class_counts(truth, predictions, n_least=TWO_CLASSES)

    def weighed(weights: Floats) -> Floats:
        hits, n_truth, _ = counts(weights)
        return mean_of_defined(ratio(hits, n_truth))

    return weighed


def precision(truth: Floats, predictions: Predictions, *, n_least: int = TWO_CLASSES) -> Weighed:
    """Weigh the precision of class 1, or its mean over classes where there are three or more.

    A class that is never predicted has precision 0.

    Examples
    --------
    >>> weighed = precision(np.array([0.0, 1.0]), Predictions(np.array([1.0, 1.0])))
    >>> weighed(np.ones((1, 2)))
    array([0.5])
    """
    return _by_class(class_precision, _class_counts(truth, predictions, n_least=n_least))


def recall(truth: Floats, predictions: Predictions, *, n_least: int = TWO_CLASSES) -> Weighed:
    """Weigh the recall of class 1, or its mean over classes where there are three or more.

    Examples
    --------
    >>> weighed = recall(np.array([0.0, 1.0, 1.0]), Predictions(np.array([0.0, 1.0, 0.0])))
    >>> weighed(np.ones((1, 3)))
    array([0.5])
    """
    return _by_class(class_recall, _class_counts(truth, predictions, n_least=n_least))


def f1(truth: Floats, predictions: Predictions, *, n_least: int = TWO_CLASSES) -> Weighed:
    """Weigh F1, 2 TP / (2 TP + FP + FN), of class 1, or its mean over three or more classes.

    Examples
    --------
    >>> weighed = f1(np.array([0.0, 1.0]), Predictions(np.array([1.0, 1.0])))
    >>> weighed(np.ones((1, 2))).round(3)
    array([0.667])
    """
    return _by_class(class_f1, _class_counts(truth, predictions, n_least=n_least))


def _class_counts(truth: Floats, predictions: Predictions, *, n_least: int) -> Counts:
    codes = np.arange(max(n_least, n_classes(truth, predictions)))
    true = (truth[:, None] == codes).astype(np.float64)
    said = (predictions.values[:, None] == codes).astype(np.float64)
    several = np.hstack([true * said, true, said])

    def counts(weights: Floats) -> tuple[Floats, Floats, Floats]:
        hits, n_truth, n_said = np.hsplit(weights @ several, 3)
        return hits, n_truth, n_said

    return counts


def _by_class(figure: Callable[..., Floats], counts: Counts) -> Weighed:
    return lambda weights: by_class(figure, *counts(weights))


def by_class(
    figure: Callable[..., Floats], hits: Floats, n_truth: Floats, n_said: Floats
) -> Floats:
    """Return a figure of class 1, or its mean over three or more classes, from counts of rows.

    Parameters
    ----------
    figure : callable
        `class_precision`, `class_recall` or `class_f1`.
    hits, n_truth, n_said : arrays of shape (k, n_classes)
        Rows of each class that are predicted right, that are of it, that are predicted to be.

    Examples
    --------
    >>> by_class(class_recall, *(np.array([row]) for row in ([0, 1.0], [0, 2.0], [3, 1.0])))
    array([0.5])
    """
    table = figure(hits, n_truth, n_said)
    if table.shape[1] == TWO_CLASSES:
        return np.asarray(table[:, 1])
    present = n_truth + n_said > 0
    return mean_of_defined(np.where(present, np.nan_to_num(table), np.nan))


def class_precision(hits: Floats, n_truth: Floats, n_said: Floats) -> Floats:
    """Return the share of each class's predicted rows that are right, 0 where none is."""
    return np.where((n_said == 0) & (n_truth > 0), 0.0, ratio(hits, n_said))


def class_recall(hits: Floats, n_truth: Floats, _: Floats) -> Floats:
    """Return the share of each class's rows that are found."""
    return ratio(hits, n_truth)


def class_f1(hits: Floats, n_truth: Floats, n_said: Floats) -> Floats:
    """Return F1 of each class."""
    return ratio(2 * hits, n_truth + n_said)
