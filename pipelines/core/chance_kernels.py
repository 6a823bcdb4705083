"""Weighted metrics of stated probabilities; see `kernels` for the form they all have."""

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pipelines.core.kernels import (
    TWO_CLASSES,
    Weighed,
    mean_of_defined,
    probabilities_of,
    ratio,
    weighted_mean,
)
from pipelines.core.predictions import Floats, Predictions

N_CALIBRATION_BINS = 10


def roc_auc(truth: Floats, predictions: Predictions) -> Weighed:
    """Weigh the area under the ROC curve; each class against the rest where there are three.

    It is the chance that a random row of the class scores above a random other row, ties half.

    Examples
    --------
    >>> scores = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3]])
    >>> weighed = roc_auc(np.array([0.0, 1.0, 1.0]), Predictions(scores.argmax(axis=1), scores))
    >>> weighed(np.ones((1, 3)))
    array([1.])
    """
    return _one_against_rest(_area_under_roc, truth, predictions)


def pr_auc(truth: Floats, predictions: Predictions) -> Weighed:
    """Weigh average precision; the mean over classes against the rest where there are three.

    AP = sum over thresholds of (R_n - R_(n-1)) P_n, without interpolation.

    Examples
    --------
    >>> scores = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3]])
    >>> weighed = pr_auc(np.array([1.0, 1.0, 0.0]), Predictions(scores.argmax(axis=1), scores))
    >>> weighed(np.ones((1, 3))).round(3)
    array([0.833])
    """
    return _one_against_rest(_average_precision, truth, predictions)


def log_loss(truth: Floats, predictions: Predictions) -> Weighed:
    """Weigh the mean of -log of the probability of the true class, kept off 0 by 2.2e-16.

    Examples
    --------
    >>> halves = np.full((2, 2), 0.5)
    >>> weighed = log_loss(np.array([0.0, 1.0]), Predictions(np.zeros(2), halves))
    >>> weighed(np.ones((1, 2))).round(3)
    array([0.693])
    """
    chance = probability_of(truth, predictions)
    return partial(weighted_mean, -np.log(np.clip(chance, np.finfo(np.float64).eps, 1.0)))


def brier(truth: Floats, predictions: Predictions) -> Weighed:
    """Weigh the mean squared error of the probabilities.

    Of the positive class with two classes (0 to 1), summed over classes with more (0 to 2).

    Examples
    --------
    >>> halves = np.full((2, 2), 0.5)
    >>> weighed = brier(np.array([0.0, 1.0]), Predictions(np.zeros(2), halves))
    >>> weighed(np.ones((1, 2)))
    array([0.25])
    """
    table = probabilities_of(predictions)
    squares = np.einsum("ij,ij->i", table, table) - 2 * probability_of(truth, predictions) + 1
    return partial(weighted_mean, squares / 2 if table.shape[1] == TWO_CLASSES else squares)


def calibration_error(truth: Floats, predictions: Predictions) -> Weighed:
    """Weigh the expected calibration error over 10 bins of equal width.

    ECE = sum over bins of (weight of the bin) |share that is true - mean probability| (Naeini
    and others, 2015). With two classes the probability is the positive class's, with more the
    predicted class's.

    Examples
    --------
    >>> halves = np.full((4, 2), 0.5)
    >>> truth = np.array([0.0, 1.0, 1.0, 1.0])
    >>> weighed = calibration_error(truth, Predictions(np.zeros(4), halves))
    >>> weighed(np.ones((1, 4)))
    array([0.25])
    """
    table = probabilities_of(predictions)
    binary = table.shape[1] == TWO_CLASSES
    chance = table[:, 1] if binary else probability_of(predictions.values, predictions)
    happened = truth == 1 if binary else truth == predictions.values
    places = np.minimum((chance * N_CALIBRATION_BINS).astype(int), N_CALIBRATION_BINS - 1)
    surplus = np.eye(N_CALIBRATION_BINS)[places] * (happened - chance)[:, None]
    return lambda weights: ratio(np.abs(weights @ surplus).sum(axis=1), weights.sum(axis=1))


def probability_of(codes: Floats, predictions: Predictions) -> Floats:
    """Return the probability that each row's predictions give to one class.

    Examples
    --------
    >>> probability_of(np.array([1.0]), Predictions(np.array([1.0]), np.array([[0.2, 0.8]])))
    array([0.8])
    """
    chances: Floats = probabilities_of(predictions)[np.arange(codes.size), codes.astype(int)]
    return chances


def _one_against_rest(
    area: Callable[[NDArray[np.bool_], Floats], Weighed], truth: Floats, predictions: Predictions
) -> Weighed:
    table = probabilities_of(predictions)
    if table.shape[1] == TWO_CLASSES:
        return area(truth == 1, table[:, 1])
    return partial(_mean_area, [area(truth == code, s) for code, s in enumerate(table.T)])


def _mean_area(areas: Iterable[Weighed], weights: Floats) -> Floats:
    return mean_of_defined(np.column_stack([area(weights) for area in areas]))


def _area_under_roc(positive: NDArray[np.bool_], scores: Floats) -> Weighed:
    if 2 * np.count_nonzero(positive) > positive.size:
        return _area_under_roc(~positive, -scores)  # the same area, by fewer look-ups
    ups, downs = _ascending(positive, scores), _ascending(~positive, scores)
    below, upto = (np.searchsorted(scores[downs], scores[ups], side) for side in ("left", "right"))

    def weighed(weights: Floats) -> Floats:
        above, others = weights.take(ups, axis=1), _summed(weights.take(downs, axis=1))
        beaten = others.take(below, axis=1) + others.take(upto, axis=1)
        pairs = above.sum(axis=1) * others[:, -1]
        return ratio(np.einsum("ij,ij->i", above, beaten) / 2, pairs)

    return weighed


def _average_precision(positive: NDArray[np.bool_], scores: Floats) -> Weighed:
    ups, downs = _ascending(positive, -scores), _ascending(~positive, -scores)
    rank = -scores[ups]
    n_found, n_false = (np.searchsorted(-scores[side], rank, "right") for side in (ups, downs))

    def weighed(weights: Floats) -> Floats:
        above = weights.take(ups, axis=1)
        found = _summed(above).take(n_found, axis=1)
        false = _summed(weights.take(downs, axis=1)).take(n_false, axis=1)
        shares = ratio(above * found, found + false)
        return ratio(np.nansum(shares, axis=1), above.sum(axis=1))

    return weighed


def _ascending(side: NDArray[np.bool_], scores: Floats) -> NDArray[np.intp]:
    rows = np.flatnonzero(side)
    return rows[np.argsort(scores[rows], kind="stable")]


def _summed(weights: Floats) -> Floats:
    # The sum of the first j weights at j, from j = 0.
    sums = np.zeros((weights.shape[0], weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    return sums
