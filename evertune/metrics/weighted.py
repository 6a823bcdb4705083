"""The weighted form of every metric, evaluated under many sets of weights at once.

Every function takes the true and predicted values of n rows and returns a function that turns
weights of shape (k, n) into k metric values, NaN where a value is undefined. What does not
depend on the weights (errors, sort orders, class membership) is computed once, so a bootstrap
of a thousand draws is one matrix of a thousand rows of weights. Weights are not negative; a row
of weight 2 counts as two rows. `weight_by_repetition` serves functions that know no weights.
"""

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from evertune.types import FloatArray, Predictions

WeightedMetric = Callable[[FloatArray], FloatArray]
MetricKernel = Callable[[FloatArray, Predictions], WeightedMetric]

TWO_CLASSES = 2
ROWS_FOR_FRACTIONAL_WEIGHTS = 10_000


def count_classes(truth: FloatArray, predictions: Predictions) -> int:
    """Return the number of classes that the rows tell of, at least 2.

    Examples
    --------
    >>> count_classes(np.array([0.0, 2.0]), Predictions(np.array([0.0, 1.0])))
    3
    """
    if predictions.probabilities is not None:
        return int(predictions.probabilities.shape[1])
    return max(TWO_CLASSES, int(max(truth.max(), predictions.values.max())) + 1)


def require_probabilities(predictions: Predictions) -> FloatArray:
    """Return the probabilities of predictions.

    Raises
    ------
    ValueError
        If there are none.

    Examples
    --------
    >>> require_probabilities(Predictions(np.array([1.0]), np.array([[0.2, 0.8]])))
    array([[0.2, 0.8]])
    """
    if predictions.probabilities is None:
        raise ValueError("This metric needs predictions with probabilities. Got none instead.")
    return predictions.probabilities


def weighted_mean(rows: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the mean of the rows' values under each weighting.

    Examples
    --------
    >>> weighted_mean(np.array([0.0, 1.0]), np.array([[1.0, 1.0], [1.0, 3.0]]))
    array([0.5 , 0.75])
    """
    return safe_divide(weights @ rows, weights.sum(axis=1))


def safe_divide(above: FloatArray, below: FloatArray) -> FloatArray:
    """Return above / below, NaN where `below` is 0.

    Examples
    --------
    >>> safe_divide(np.array([1.0, 1.0]), np.array([2.0, 0.0]))
    array([0.5, nan])
    """
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below != 0)


def row_nanmean(table: FloatArray) -> FloatArray:
    """Return the mean of each row's numbers that are not NaN; NaN where there are none.

    Examples
    --------
    >>> row_nanmean(np.array([[1.0, np.nan], [np.nan, np.nan]]))
    array([ 1., nan])
    """
    defined = ~np.isnan(table)
    return safe_divide(
        np.where(defined, table, 0.0).sum(axis=1), defined.sum(axis=1).astype(np.float64)
    )


def rmse(truth: FloatArray, predictions: Predictions) -> WeightedMetric:
    """Weigh the root of the mean squared error.

    Examples
    --------
    >>> rmse(np.array([1.0, 5.0]), Predictions(np.array([1.0, 1.0])))(np.array([[3.0, 1.0]]))
    array([2.])
    """
    squares = (truth - predictions.values) ** 2
    return lambda weights: np.sqrt(weighted_mean(squares, weights))


def mae(truth: FloatArray, predictions: Predictions) -> WeightedMetric:
    """Weigh the mean absolute error.

    Examples
    --------
    >>> mae(np.array([1.0, 5.0]), Predictions(np.array([1.0, 1.0])))(np.ones((1, 2)))
    array([2.])
    """
    return partial(weighted_mean, np.abs(truth - predictions.values))


def mape(truth: FloatArray, predictions: Predictions) -> WeightedMetric:
    """Weigh the mean of |error| / |truth|; undefined where the truth holds a zero.

    Examples
    --------
    >>> mape(np.array([2.0, 4.0]), Predictions(np.array([1.0, 4.0])))(np.ones((1, 2)))
    array([0.25])
    """
    shares = safe_divide(np.abs(truth - predictions.values), np.abs(truth))
    zero = (truth == 0).astype(np.float64)

    def weighed(weights: FloatArray) -> FloatArray:
        figures = weighted_mean(np.nan_to_num(shares), weights)
        return np.where(weights @ zero > 0, np.nan, figures)

    return weighed


def r2(truth: FloatArray, predictions: Predictions) -> WeightedMetric:
    """Weigh 1 - (squared error) / (squared distance of the truth from its mean).

    Undefined where the truth is constant.

    Examples
    --------
    >>> r2(np.array([1.0, 3.0]), Predictions(np.array([2.0, 2.0])))(np.ones((1, 2)))
    array([0.])
    """
    centred = truth - truth.mean()
    squares = (truth - predictions.values) ** 2

    def weighed(weights: FloatArray) -> FloatArray:
        spread = weights @ centred**2 - safe_divide((weights @ centred) ** 2, weights.sum(axis=1))
        constant = spread <= np.finfo(np.float64).eps * (weights @ centred**2)
        return 1 - safe_divide(weights @ squares, np.where(constant, 0.0, spread))

    return weighed


def pinball(truth: FloatArray, predictions: Predictions) -> WeightedMetric:
    """Weigh the pinball loss at the median, which is half the absolute error.

    Examples
    --------
    >>> pinball(np.array([1.0, 5.0]), Predictions(np.array([1.0, 1.0])))(np.ones((1, 2)))
    array([1.])
    """
    return partial(weighted_mean, np.abs(truth - predictions.values) / 2)


def weight_by_repetition(
    function: Callable[[FloatArray, FloatArray, FloatArray | None], float],
    truth: FloatArray,
    predictions: Predictions,
) -> WeightedMetric:
    """Weigh a function that knows no weights, by repeating rows.

    Weights that are not whole numbers are scaled to about 10,000 rows and rounded.

    Examples
    --------
    >>> def hits(truth, values, probabilities):
    ...     return (truth == values).mean()
    >>> weighed = weight_by_repetition(hits, np.array([0.0, 1.0]), Predictions(np.array([0.0, 0.0])))
    >>> weighed(np.array([[1.0, 1.0], [3.0, 1.0]]))
    array([0.5 , 0.75])
    """

    def figure(weights: FloatArray) -> float:
        rows = np.repeat(np.arange(truth.size), _integer_weights(weights))
        chances = predictions.probabilities
        return float(
            function(
                truth[rows], predictions.values[rows], None if chances is None else chances[rows]
            )
        )

    return lambda table: np.array([figure(weights) for weights in table])


def _integer_weights(weights: FloatArray) -> NDArray[np.int64]:
    counts = np.rint(weights)
    if np.any(weights != counts):
        counts = np.rint(weights * (ROWS_FOR_FRACTIONAL_WEIGHTS / weights.sum()))
    return counts.astype(np.int64)


N_CALIBRATION_BINS = 10


def roc_auc(truth: FloatArray, predictions: Predictions) -> WeightedMetric:
    """Weigh the area under the ROC curve; each class against the rest where there are three.

    It is the chance that a random row of the class scores above a random other row, ties half.

    Examples
    --------
    >>> scores = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3]])
    >>> weighed = roc_auc(np.array([0.0, 1.0, 1.0]), Predictions(scores.argmax(axis=1), scores))
    >>> weighed(np.ones((1, 3)))
    array([1.])
    """
    return _one_vs_rest(_area_under_roc, truth, predictions)


def pr_auc(truth: FloatArray, predictions: Predictions) -> WeightedMetric:
    """Weigh average precision; the mean over classes against the rest where there are three.

    AP = sum over thresholds of (R_n - R_(n-1)) P_n, without interpolation.

    Examples
    --------
    >>> scores = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3]])
    >>> weighed = pr_auc(np.array([1.0, 1.0, 0.0]), Predictions(scores.argmax(axis=1), scores))
    >>> weighed(np.ones((1, 3))).round(3)
    array([0.833])
    """
    return _one_vs_rest(_average_precision, truth, predictions)


def log_loss(truth: FloatArray, predictions: Predictions) -> WeightedMetric:
    """Weigh the mean of -log of the probability of the true class, kept off 0 by 2.2e-16.

    Examples
    --------
    >>> halves = np.full((2, 2), 0.5)
    >>> weighed = log_loss(np.array([0.0, 1.0]), Predictions(np.zeros(2), halves))
    >>> weighed(np.ones((1, 2))).round(3)
    array([0.693])
    """
    chance = class_probability(truth, predictions)
    return partial(weighted_mean, -np.log(np.clip(chance, np.finfo(np.float64).eps, 1.0)))


def brier(truth: FloatArray, predictions: Predictions) -> WeightedMetric:
    """Weigh the mean squared error of the probabilities.

    Of the positive class with two classes (0 to 1), summed over classes with more (0 to 2).

    Examples
    --------
    >>> halves = np.full((2, 2), 0.5)
    >>> weighed = brier(np.array([0.0, 1.0]), Predictions(np.zeros(2), halves))
    >>> weighed(np.ones((1, 2)))
    array([0.25])
    """
    table = require_probabilities(predictions)
    squares = np.einsum("ij,ij->i", table, table) - 2 * class_probability(truth, predictions) + 1
    return partial(weighted_mean, squares / 2 if table.shape[1] == TWO_CLASSES else squares)


def calibration_error(truth: FloatArray, predictions: Predictions) -> WeightedMetric:
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
    table = require_probabilities(predictions)
    binary = table.shape[1] == TWO_CLASSES
    chance = table[:, 1] if binary else class_probability(predictions.values, predictions)
    happened = truth == 1 if binary else truth == predictions.values
    places = np.minimum((chance * N_CALIBRATION_BINS).astype(int), N_CALIBRATION_BINS - 1)
    surplus = np.eye(N_CALIBRATION_BINS)[places] * (happened - chance)[:, None]
    return lambda weights: safe_divide(np.abs(weights @ surplus).sum(axis=1), weights.sum(axis=1))


def class_probability(codes: FloatArray, predictions: Predictions) -> FloatArray:
    """Return the probability that each row's predictions give to one class.

    Examples
    --------
    >>> class_probability(np.array([1.0]), Predictions(np.array([1.0]), np.array([[0.2, 0.8]])))
    array([0.8])
    """
    chances: FloatArray = require_probabilities(predictions)[
        np.arange(codes.size), codes.astype(int)
    ]
    return chances


def _one_vs_rest(
    area: Callable[[NDArray[np.bool_], FloatArray], WeightedMetric],
    truth: FloatArray,
    predictions: Predictions,
) -> WeightedMetric:
    table = require_probabilities(predictions)
    if table.shape[1] == TWO_CLASSES:
        return area(truth == 1, table[:, 1])
    return partial(_mean_over_classes, [area(truth == code, s) for code, s in enumerate(table.T)])


def _mean_over_classes(areas: Iterable[WeightedMetric], weights: FloatArray) -> FloatArray:
    return row_nanmean(np.column_stack([area(weights) for area in areas]))


def _area_under_roc(positive: NDArray[np.bool_], scores: FloatArray) -> WeightedMetric:
    if 2 * np.count_nonzero(positive) > positive.size:
        return _area_under_roc(~positive, -scores)  # the same area, by fewer look-ups
    ups, downs = _rows_by_score(positive, scores), _rows_by_score(~positive, scores)
    below, upto = (np.searchsorted(scores[downs], scores[ups], side) for side in ("left", "right"))

    def weighed(weights: FloatArray) -> FloatArray:
        above, others = weights.take(ups, axis=1), _cumulative_weights(weights.take(downs, axis=1))
        beaten = others.take(below, axis=1) + others.take(upto, axis=1)
        pairs = above.sum(axis=1) * others[:, -1]
        return safe_divide(np.einsum("ij,ij->i", above, beaten) / 2, pairs)

    return weighed


def _average_precision(positive: NDArray[np.bool_], scores: FloatArray) -> WeightedMetric:
    ups, downs = _rows_by_score(positive, -scores), _rows_by_score(~positive, -scores)
    rank = -scores[ups]
    n_found, n_false = (np.searchsorted(-scores[side], rank, "right") for side in (ups, downs))

    def weighed(weights: FloatArray) -> FloatArray:
        above = weights.take(ups, axis=1)
        found = _cumulative_weights(above).take(n_found, axis=1)
        false = _cumulative_weights(weights.take(downs, axis=1)).take(n_false, axis=1)
        shares = safe_divide(above * found, found + false)
        return safe_divide(np.nansum(shares, axis=1), above.sum(axis=1))

    return weighed


def _rows_by_score(side: NDArray[np.bool_], scores: FloatArray) -> NDArray[np.intp]:
    rows = np.flatnonzero(side)
    return rows[np.argsort(scores[rows], kind="stable")]


def _cumulative_weights(weights: FloatArray) -> FloatArray:
    # The sum of the first j weights at j, from j = 0.
    sums = np.zeros((weights.shape[0], weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    return sums


ClassCountsFunction = Callable[[FloatArray], tuple[FloatArray, FloatArray, FloatArray]]


def accuracy(truth: FloatArray, predictions: Predictions) -> WeightedMetric:
    """Weigh the share of rows whose class is right.

    Examples
    --------
    >>> weighed = accuracy(np.array([0.0, 1.0]), Predictions(np.array([0.0, 0.0])))
    >>> weighed(np.array([[1.0, 1.0], [3.0, 1.0]]))
    array([0.5 , 0.75])
    """
    return partial(weighted_mean, (truth == predictions.values).astype(np.float64))


def balanced_accuracy(truth: FloatArray, predictions: Predictions) -> WeightedMetric:
    """Weigh the mean recall over the classes that occur in the truth.

    Examples
    --------
    >>> weighed = balanced_accuracy(np.array([0.0, 0.0, 1.0]), Predictions(np.zeros(3)))
    >>> weighed(np.ones((1, 3)))
    array([0.5])
    """
    counts = _class_counts(truth, predictions, n_least=TWO_CLASSES)

    def weighed(weights: FloatArray) -> FloatArray:
        hits, n_truth, _ = counts(weights)
        return row_nanmean(safe_divide(hits, n_truth))

    return weighed


def precision(
    truth: FloatArray, predictions: Predictions, *, n_least: int = TWO_CLASSES
) -> WeightedMetric:
    """Weigh the precision of class 1, or its mean over classes where there are three or more.

    A class that is never predicted has precision 0.

    Examples
    --------
    >>> weighed = precision(np.array([0.0, 1.0]), Predictions(np.array([1.0, 1.0])))
    >>> weighed(np.ones((1, 2)))
    array([0.5])
    """
    return _weighted_class_metric(
        class_precision, _class_counts(truth, predictions, n_least=n_least)
    )


def recall(
    truth: FloatArray, predictions: Predictions, *, n_least: int = TWO_CLASSES
) -> WeightedMetric:
    """Weigh the recall of class 1, or its mean over classes where there are three or more.

    Examples
    --------
    >>> weighed = recall(np.array([0.0, 1.0, 1.0]), Predictions(np.array([0.0, 1.0, 0.0])))
    >>> weighed(np.ones((1, 3)))
    array([0.5])
    """
    return _weighted_class_metric(class_recall, _class_counts(truth, predictions, n_least=n_least))


def f1(
    truth: FloatArray, predictions: Predictions, *, n_least: int = TWO_CLASSES
) -> WeightedMetric:
    """Weigh F1, 2 TP / (2 TP + FP + FN), of class 1, or its mean over three or more classes.

    Examples
    --------
    >>> weighed = f1(np.array([0.0, 1.0]), Predictions(np.array([1.0, 1.0])))
    >>> weighed(np.ones((1, 2))).round(3)
    array([0.667])
    """
    return _weighted_class_metric(class_f1, _class_counts(truth, predictions, n_least=n_least))


def _class_counts(
    truth: FloatArray, predictions: Predictions, *, n_least: int
) -> ClassCountsFunction:
    codes = np.arange(max(n_least, count_classes(truth, predictions)))
    true = (truth[:, None] == codes).astype(np.float64)
    said = (predictions.values[:, None] == codes).astype(np.float64)
    several = np.hstack([true * said, true, said])

    def counts(weights: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        hits, n_truth, n_said = np.hsplit(weights @ several, 3)
        return hits, n_truth, n_said

    return counts


def _weighted_class_metric(
    figure: Callable[..., FloatArray], counts: ClassCountsFunction
) -> WeightedMetric:
    return lambda weights: average_over_classes(figure, *counts(weights))


def average_over_classes(
    figure: Callable[..., FloatArray], hits: FloatArray, n_truth: FloatArray, n_said: FloatArray
) -> FloatArray:
    """Return a figure of class 1, or its mean over three or more classes, from counts of rows.

    Parameters
    ----------
    figure : callable
        `class_precision`, `class_recall` or `class_f1`.
    hits, n_truth, n_said : arrays of shape (k, n_classes)
        Rows of each class that are predicted right, that are of it, that are predicted to be.

    Examples
    --------
    >>> average_over_classes(class_recall, *(np.array([row]) for row in ([0, 1.0], [0, 2.0], [3, 1.0])))
    array([0.5])
    """
    table = figure(hits, n_truth, n_said)
    if table.shape[1] == TWO_CLASSES:
        return np.asarray(table[:, 1])
    present = n_truth + n_said > 0
    return row_nanmean(np.where(present, np.nan_to_num(table), np.nan))


def class_precision(hits: FloatArray, n_truth: FloatArray, n_said: FloatArray) -> FloatArray:
    """Return the share of each class's predicted rows that are right, 0 where none is."""
    return np.where((n_said == 0) & (n_truth > 0), 0.0, safe_divide(hits, n_said))


def class_recall(hits: FloatArray, n_truth: FloatArray, _: FloatArray) -> FloatArray:
    """Return the share of each class's rows that are found."""
    return safe_divide(hits, n_truth)


def class_f1(hits: FloatArray, n_truth: FloatArray, n_said: FloatArray) -> FloatArray:
    """Return F1 of each class."""
    return safe_divide(2 * hits, n_truth + n_said)
