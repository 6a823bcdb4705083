"""The weighted form of every metric, evaluated under many sets of weights at once.

Each metric is a function of `y_true`, shape (n,), and the `Predictions` of the same rows. It
returns a function from weights of shape (k, n) to k values, NaN where the metric is undefined.
What does not depend on the weights (errors, sort orders, class membership) is computed once, so
that a bootstrap of a thousand draws is one matrix product. scikit-learn has the same metrics
with `sample_weight`, but for one set of weights at a time; the tests compare the two.

Weights are not negative; a row of weight 2 counts as two rows. `weight_by_repetition` serves
functions that take no weights.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from evertune.types import FloatArray, Predictions

WeightedMetric = Callable[[FloatArray], FloatArray]
MetricKernel = Callable[[FloatArray, Predictions], WeightedMetric]
ClassScore = Callable[[FloatArray, FloatArray, FloatArray], FloatArray]

TWO_CLASSES = 2
N_CALIBRATION_BINS = 10
ROWS_FOR_FRACTIONAL_WEIGHTS = 10_000


# Values


def rmse(y_true: FloatArray, pred: Predictions) -> WeightedMetric:
    """Root of the mean squared error."""
    squares = (y_true - pred.values) ** 2
    return lambda weights: np.sqrt(weighted_mean(squares, weights))


def mae(y_true: FloatArray, pred: Predictions) -> WeightedMetric:
    """Mean absolute error."""
    return partial(weighted_mean, np.abs(y_true - pred.values))


def mape(y_true: FloatArray, pred: Predictions) -> WeightedMetric:
    """Mean of |error| / |y_true|; undefined if y_true is 0 in a row of positive weight."""
    ratios = np.nan_to_num(safe_divide(np.abs(y_true - pred.values), np.abs(y_true)))
    is_zero = (y_true == 0).astype(np.float64)
    return lambda weights: np.where(weights @ is_zero > 0, np.nan, weighted_mean(ratios, weights))


def r2(y_true: FloatArray, pred: Predictions) -> WeightedMetric:
    """1 - squared error / squared distance of y_true from its mean; undefined if constant."""
    centred = y_true - y_true.mean()
    squares = (y_true - pred.values) ** 2

    def evaluate(weights: FloatArray) -> FloatArray:
        total = weights @ centred**2
        spread = total - safe_divide((weights @ centred) ** 2, weights.sum(axis=1))
        constant = spread <= np.finfo(np.float64).eps * total
        return 1 - safe_divide(weights @ squares, np.where(constant, 0.0, spread))

    return evaluate


def pinball(y_true: FloatArray, pred: Predictions) -> WeightedMetric:
    """Pinball loss at the median, which is half the absolute error."""
    return partial(weighted_mean, np.abs(y_true - pred.values) / 2)


# Probabilities


def roc_auc(y_true: FloatArray, pred: Predictions) -> WeightedMetric:
    """Area under the ROC curve, ties half; with three or more classes the mean of one-vs-rest."""
    return _one_vs_rest(_area_under_roc, y_true, pred)


def pr_auc(y_true: FloatArray, pred: Predictions) -> WeightedMetric:
    """Average precision, sum (R_n - R_(n-1)) P_n; with three classes the mean of one-vs-rest."""
    return _one_vs_rest(_average_precision, y_true, pred)


def log_loss(y_true: FloatArray, pred: Predictions) -> WeightedMetric:
    """Mean of -log of the probability of the true class, clipped at 2.2e-16."""
    proba = class_probability(y_true, pred)
    return partial(weighted_mean, -np.log(np.clip(proba, np.finfo(np.float64).eps, 1.0)))


def brier(y_true: FloatArray, pred: Predictions) -> WeightedMetric:
    """Mean squared error of the probabilities.

    Of the positive class in a binary task (0 to 1), summed over the classes with more (0 to 2).
    """
    proba = require_probabilities(pred)
    squares = np.einsum("ij,ij->i", proba, proba) - 2 * class_probability(y_true, pred) + 1
    return partial(weighted_mean, squares / 2 if proba.shape[1] == TWO_CLASSES else squares)


def calibration_error(y_true: FloatArray, pred: Predictions) -> WeightedMetric:
    """Return the expected calibration error over 10 bins of equal width (Naeini and others, 2015).

    Sum over bins of (weight of the bin) |observed share - mean probability|, of the positive class
    in a binary task, else of the predicted class.
    """
    proba = require_probabilities(pred)
    if proba.shape[1] == TWO_CLASSES:
        stated, happened = proba[:, 1], y_true == 1
    else:
        stated, happened = class_probability(pred.values, pred), y_true == pred.values
    bins = np.minimum((stated * N_CALIBRATION_BINS).astype(int), N_CALIBRATION_BINS - 1)
    surplus = np.eye(N_CALIBRATION_BINS)[bins] * (happened - stated)[:, None]
    return lambda weights: safe_divide(np.abs(weights @ surplus).sum(axis=1), weights.sum(axis=1))


def require_probabilities(pred: Predictions) -> FloatArray:
    """Return the probabilities, shape (n, n_classes); ValueError if there are none."""
    if pred.probabilities is None:
        raise ValueError("This metric needs predictions with probabilities. Got none instead.")
    return pred.probabilities


def class_probability(codes: FloatArray, pred: Predictions) -> FloatArray:
    """Return the probability that each row's prediction gives to the class `codes[row]`."""
    proba: FloatArray = require_probabilities(pred)[np.arange(codes.size), codes.astype(int)]
    return proba


def _one_vs_rest(
    area: Callable[[NDArray[np.bool_], FloatArray], WeightedMetric],
    y_true: FloatArray,
    pred: Predictions,
) -> WeightedMetric:
    proba = require_probabilities(pred)
    if proba.shape[1] == TWO_CLASSES:
        return area(y_true == 1, proba[:, 1])
    areas = [area(y_true == code, scores) for code, scores in enumerate(proba.T)]
    return lambda weights: row_nanmean(np.column_stack([each(weights) for each in areas]))


def _area_under_roc(positive: NDArray[np.bool_], scores: FloatArray) -> WeightedMetric:
    if 2 * np.count_nonzero(positive) > positive.size:
        return _area_under_roc(~positive, -scores)  # the same area, by fewer look-ups
    pos, neg = _rows_by_score(positive, scores), _rows_by_score(~positive, scores)
    below, upto = (np.searchsorted(scores[neg], scores[pos], side) for side in ("left", "right"))

    def evaluate(weights: FloatArray) -> FloatArray:
        w_pos, w_neg = weights.take(pos, axis=1), _cumulative_weights(weights.take(neg, axis=1))
        beaten = w_neg.take(below, axis=1) + w_neg.take(upto, axis=1)
        n_pairs = w_pos.sum(axis=1) * w_neg[:, -1]
        return safe_divide(np.einsum("ij,ij->i", w_pos, beaten) / 2, n_pairs)

    return evaluate


def _average_precision(positive: NDArray[np.bool_], scores: FloatArray) -> WeightedMetric:
    pos, neg = _rows_by_score(positive, -scores), _rows_by_score(~positive, -scores)
    cuts = -scores[pos]
    n_true, n_false = (np.searchsorted(-scores[rows], cuts, "right") for rows in (pos, neg))

    def evaluate(weights: FloatArray) -> FloatArray:
        w_pos = weights.take(pos, axis=1)
        true = _cumulative_weights(w_pos).take(n_true, axis=1)
        false = _cumulative_weights(weights.take(neg, axis=1)).take(n_false, axis=1)
        precisions = safe_divide(w_pos * true, true + false)
        return safe_divide(np.nansum(precisions, axis=1), w_pos.sum(axis=1))

    return evaluate


def _rows_by_score(mask: NDArray[np.bool_], scores: FloatArray) -> NDArray[np.intp]:
    rows = np.flatnonzero(mask)
    return rows[np.argsort(scores[rows], kind="stable")]


def _cumulative_weights(weights: FloatArray) -> FloatArray:
    # Column j holds the sum of the first j weights.
    sums = np.zeros((weights.shape[0], weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    return sums


# Labels


def accuracy(y_true: FloatArray, pred: Predictions) -> WeightedMetric:
    """Share of rows whose class is right."""
    return partial(weighted_mean, (y_true == pred.values).astype(np.float64))


def balanced_accuracy(y_true: FloatArray, pred: Predictions) -> WeightedMetric:
    """Mean recall over the classes that occur in y_true."""
    return _metric_of_counts(
        lambda hits, n_true, _: row_nanmean(safe_divide(hits, n_true)), y_true, pred, TWO_CLASSES
    )


def precision(
    y_true: FloatArray, pred: Predictions, *, min_classes: int = TWO_CLASSES
) -> WeightedMetric:
    """Precision of class 1, or its mean over three or more classes; 0 if never predicted."""
    score = partial(average_over_classes, class_precision)
    return _metric_of_counts(score, y_true, pred, min_classes)


def recall(
    y_true: FloatArray, pred: Predictions, *, min_classes: int = TWO_CLASSES
) -> WeightedMetric:
    """Recall of class 1, or its mean over three or more classes."""
    return _metric_of_counts(partial(average_over_classes, class_recall), y_true, pred, min_classes)


def f1(y_true: FloatArray, pred: Predictions, *, min_classes: int = TWO_CLASSES) -> WeightedMetric:
    """F1, 2 TP / (2 TP + FP + FN), of class 1, or its mean over three or more classes."""
    return _metric_of_counts(partial(average_over_classes, class_f1), y_true, pred, min_classes)


def average_over_classes(
    score: ClassScore, hits: FloatArray, n_true: FloatArray, n_predicted: FloatArray
) -> FloatArray:
    """Return the score of class 1 of two, or the mean over three or more classes.

    Parameters
    ----------
    score : callable
        `class_precision`, `class_recall` or `class_f1`.
    hits, n_true, n_predicted : arrays of shape (k, n_classes)
        Rows of each class that are predicted right, that are of it, that are predicted to be.
        Classes without true and predicted rows are left out of the mean.
    """
    table = score(hits, n_true, n_predicted)
    if table.shape[1] == TWO_CLASSES:
        return np.asarray(table[:, 1])
    return row_nanmean(np.where(n_true + n_predicted > 0, np.nan_to_num(table), np.nan))


def class_precision(hits: FloatArray, n_true: FloatArray, n_predicted: FloatArray) -> FloatArray:
    """Return the precision of each class, 0 for a class that occurs and is never predicted."""
    return np.where((n_predicted == 0) & (n_true > 0), 0.0, safe_divide(hits, n_predicted))


def class_recall(hits: FloatArray, n_true: FloatArray, _: FloatArray) -> FloatArray:
    """Return the recall of each class."""
    return safe_divide(hits, n_true)


def class_f1(hits: FloatArray, n_true: FloatArray, n_predicted: FloatArray) -> FloatArray:
    """Return F1 of each class."""
    return safe_divide(2 * hits, n_true + n_predicted)


def _metric_of_counts(
    score: ClassScore, y_true: FloatArray, pred: Predictions, min_classes: int
) -> WeightedMetric:
    if pred.probabilities is not None:
        n_classes = pred.probabilities.shape[1]
    else:
        n_classes = int(max(y_true.max(), pred.values.max())) + 1
    codes = np.arange(max(min_classes, n_classes))
    true = (y_true[:, None] == codes).astype(np.float64)
    predicted = (pred.values[:, None] == codes).astype(np.float64)
    columns = np.hstack([true * predicted, true, predicted])
    return lambda weights: score(*np.hsplit(weights @ columns, 3))


# Functions that take no weights


def weight_by_repetition(
    function: Callable[[FloatArray, FloatArray, FloatArray | None], float],
    y_true: FloatArray,
    pred: Predictions,
) -> WeightedMetric:
    """Weight a function of (y_true, values, probabilities or None) by repeating rows.

    Weights that are not whole numbers are scaled to about 10,000 rows and rounded.
    """

    def score(weights: FloatArray) -> float:
        counts = np.rint(weights)
        if np.any(weights != counts):
            counts = np.rint(weights * (ROWS_FOR_FRACTIONAL_WEIGHTS / weights.sum()))
        rows = np.repeat(np.arange(y_true.size), counts.astype(np.int64))
        proba = pred.probabilities
        return float(
            function(y_true[rows], pred.values[rows], None if proba is None else proba[rows])
        )

    return lambda table: np.array([score(weights) for weights in table])


# Arithmetic


def weighted_mean(rows: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the mean of the rows' values, shape (n,), under each of k weightings (k, n).

    Examples
    --------
    >>> weighted_mean(np.array([0.0, 1.0]), np.array([[1.0, 1.0], [1.0, 3.0]]))
    array([0.5 , 0.75])
    """
    return safe_divide(weights @ rows, weights.sum(axis=1))


def safe_divide(above: FloatArray, below: FloatArray) -> FloatArray:
    """Return above / below, NaN where `below` is 0."""
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below != 0)


def row_nanmean(table: FloatArray) -> FloatArray:
    """Return the mean of each row without its NaNs; NaN for a row of NaNs only, unwarned."""
    defined = ~np.isnan(table)
    return safe_divide(np.where(defined, table, 0.0).sum(axis=1), defined.sum(axis=1) * 1.0)
