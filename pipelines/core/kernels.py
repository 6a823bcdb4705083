"""Weighted metrics, many weightings at once.

Every kernel takes the truth and the predictions of n rows and returns a function that turns
weights of shape (k, n) into k figures, NaN where a figure is undefined. What does not depend on
the weights (errors, sort orders, class membership) is worked out once; a bootstrap of a thousand
draws is then a thousand rows of weights. Weights are not negative; a row of weight 2 counts as
two rows.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pipelines.core.predictions import Floats, Predictions

Weighed = Callable[[Floats], Floats]
Kernel = Callable[[Floats, Predictions], Weighed]

TWO_CLASSES = 2
ROWS_OF_A_FRACTIONAL_TABLE = 10_000


def n_classes(truth: Floats, predictions: Predictions) -> int:
    """Return the number of classes that the rows tell of, at least 2.

    Examples
    --------
    >>> n_classes(np.array([0.0, 2.0]), Predictions(np.array([0.0, 1.0])))
    3
    """
    if predictions.probabilities is not None:
        return int(predictions.probabilities.shape[1])
    return max(TWO_CLASSES, int(max(truth.max(), predictions.values.max())) + 1)


def probabilities_of(predictions: Predictions) -> Floats:
    """Return the probabilities of predictions.

    Raises
    ------
    ValueError
        If there are none.

    Examples
    --------
    >>> probabilities_of(Predictions(np.array([1.0]), np.array([[0.2, 0.8]])))
    array([[0.2, 0.8]])
    """
    if predictions.probabilities is None:
        raise ValueError("This metric needs predictions with probabilities. Got none instead.")
    return predictions.probabilities


def weighted_mean(rows: Floats, weights: Floats) -> Floats:
    """Return the mean of the rows' values under each weighting.

    Examples
    --------
    >>> weighted_mean(np.array([0.0, 1.0]), np.array([[1.0, 1.0], [1.0, 3.0]]))
    array([0.5 , 0.75])
    """
    return ratio(weights @ rows, weights.sum(axis=1))


def ratio(above: Floats, below: Floats) -> Floats:
    """Return above / below, NaN where `below` is 0.

    Examples
    --------
    >>> ratio(np.array([1.0, 1.0]), np.array([2.0, 0.0]))
    array([0.5, nan])
    """
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below != 0)


def mean_of_defined(table: Floats) -> Floats:
    """Return the mean of each row's numbers that are not NaN; NaN where there are none.

    Examples
    --------
    >>> mean_of_defined(np.array([[1.0, np.nan], [np.nan, np.nan]]))
    array([ 1., nan])
    """
    defined = ~np.isnan(table)
    return ratio(np.where(defined, table, 0.0).sum(axis=1), defined.sum(axis=1).astype(np.float64))


def rmse(truth: Floats, predictions: Predictions) -> Weighed:
    """Weigh the root of the mean squared error.

    Examples
    --------
    >>> rmse(np.array([1.0, 5.0]), Predictions(np.array([1.0, 1.0])))(np.array([[3.0, 1.0]]))
    array([2.])
    """
    squares = (truth - predictions.values) ** 2
    return lambda weights: np.sqrt(weighted_mean(squares, weights))


def mae(truth: Floats, predictions: Predictions) -> Weighed:
    """Weigh the mean absolute error.

    Examples
    --------
    >>> mae(np.array([1.0, 5.0]), Predictions(np.array([1.0, 1.0])))(np.ones((1, 2)))
    array([2.])
    """
    return partial(weighted_mean, np.abs(truth - predictions.values))


def mape(truth: Floats, predictions: Predictions) -> Weighed:
    """Weigh the mean of |error| / |truth|; undefined where the truth holds a zero.

    Examples
    --------
    >>> mape(np.array([2.0, 4.0]), Predictions(np.array([1.0, 4.0])))(np.ones((1, 2)))
    array([0.25])
    """
    shares = ratio(np.abs(truth - predictions.values), np.abs(truth))
    zero = (truth == 0).astype(np.float64)

    def weighed(weights: Floats) -> Floats:
        figures = weighted_mean(np.nan_to_num(shares), weights)
        return np.where(weights @ zero > 0, np.nan, figures)

    return weighed


def r2(truth: Floats, predictions: Predictions) -> Weighed:
    """Weigh 1 - (squared error) / (squared distance of the truth from its mean).

    Undefined where the truth is constant.

    Examples
    --------
    >>> r2(np.array([1.0, 3.0]), Predictions(np.array([2.0, 2.0])))(np.ones((1, 2)))
    array([0.])
    """
    centred = truth - truth.mean()
    squares = (truth - predictions.values) ** 2

    def weighed(weights: Floats) -> Floats:
        spread = weights @ centred**2 - ratio((weights @ centred) ** 2, weights.sum(axis=1))
        constant = spread <= np.finfo(np.float64).eps * (weights @ centred**2)
        return 1 - ratio(weights @ squares, np.where(constant, 0.0, spread))

    return weighed


def pinball(truth: Floats, predictions: Predictions) -> Weighed:
    """Weigh the pinball loss at the median, which is half the absolute error.

    Examples
    --------
    >>> pinball(np.array([1.0, 5.0]), Predictions(np.array([1.0, 1.0])))(np.ones((1, 2)))
    array([1.])
    """
    return partial(weighted_mean, np.abs(truth - predictions.values) / 2)


def repeated(
    function: Callable[[Floats, Floats, Floats | None], float],
    truth: Floats,
    predictions: Predictions,
) -> Weighed:
    """Weigh a function that knows no weights, by repeating rows.

    Weights that are not whole numbers are scaled to about 10,000 rows and rounded.

    Examples
    --------
    >>> def hits(truth, values, probabilities):
    ...     return (truth == values).mean()
    >>> weighed = repeated(hits, np.array([0.0, 1.0]), Predictions(np.array([0.0, 0.0])))
    >>> weighed(np.array([[1.0, 1.0], [3.0, 1.0]]))
    array([0.5 , 0.75])
    """

    def figure(weights: Floats) -> float:
        rows = np.repeat(np.arange(truth.size), _whole(weights))
        chances = predictions.probabilities
        return float(
            function(
                truth[rows], predictions.values[rows], None if chances is None else chances[rows]
            )
        )

    return lambda table: np.array([figure(weights) for weights in table])


def _whole(weights: Floats) -> NDArray[np.int64]:
    counts = np.rint(weights)
    if np.any(weights != counts):
        counts = np.rint(weights * (ROWS_OF_A_FRACTIONAL_TABLE / weights.sum()))
    return counts.astype(np.int64)
