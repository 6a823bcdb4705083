"""Statistical tests that compare two models on the same rows or the same folds.

`delong_test` compares areas under the ROC curve, `mcnemar_test` accuracies, and `metric_tests`
chooses the one that fits a metric. `corrected_resampled_t_test` (Nadeau and Bengio, 2003) and
`bayesian_correlated_t_test` compare fold scores: training sets of folds share rows, so a plain
t test would find differences that do not exist. Both correct for it by an approximation and are
heuristics. `holm_adjust` corrects several p-values that are read together;
`required_sample_size` estimates how many rows would show an observed difference.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from evertune.metrics.metrics import Metric, prediction_mask
from evertune.metrics.weighted import TWO_CLASSES
from evertune.stats.bootstrap import PairedDifference, TestResult
from evertune.types import FloatArray, Predictions, take_rows

FoldScores = Sequence[float | None]
MIN_FOLDS = 2


@dataclass(frozen=True)
class PosteriorProbabilities:
    """How likely each of three answers is; they sum to 1.

    Attributes
    ----------
    left_better, right_better : float
        That one is better by more than the region of practical equivalence.
    equivalent : float
        That the difference is within it.
    """

    left_better: float
    equivalent: float
    right_better: float


def corrected_resampled_t_test(
    left: FoldScores, right: FoldScores, *, n_training: int, n_validation: int, confidence: float
) -> TestResult:
    """Return the corrected resampled t test of paired fold scores.

    With J differences of mean m and variance s^2, m / sqrt((1 / J + n_validation / n_training)
    s^2) is taken for a t with J - 1 degrees of freedom.

    Parameters
    ----------
    left, right : sequence of float or None
        One score a fold, greater is better; folds without one of the two are left out.
    n_training, n_validation : int
        Rows of one fold.
    confidence : float

    Returns
    -------
    TestResult
        Without ends where fewer than two folds have both scores, and where the differences do
        not vary: folds that all say the same cannot tell how far they might be off.

    Raises
    ------
    ValueError
        If left and right differ in length, or there are no training rows.

    References
    ----------
    Nadeau and Bengio (2003), Inference for the Generalization Error.

    Examples
    --------
    >>> found = corrected_resampled_t_test(
    ...     [0.8, 0.9, 0.8], [0.7, 0.7, 0.8], n_training=80, n_validation=20, confidence=0.95
    ... )
    >>> round(found.difference, 3), round(found.low, 3), round(found.p_value, 3)
    (0.1, -0.229, 0.16)
    """
    gaps = _fold_differences(left, right, n_training)
    name, mean = "corrected resampled t on folds", _mean_difference(gaps)
    scale = _corrected_standard_error(gaps, n_training=n_training, n_validation=n_validation)
    if scale is None or mean is None:
        return TestResult(name, mean, None, None, None, gaps.size, "too few folds that differ")
    free = gaps.size - 1
    half = float(stats.t.ppf((1 + confidence) / 2, free)) * scale
    p_value = float(stats.t.sf(mean / scale, free))
    return TestResult(name, mean, mean - half, mean + half, p_value, gaps.size)


def bayesian_correlated_t_test(
    left: FoldScores, right: FoldScores, *, n_training: int, n_validation: int, rope: float
) -> PosteriorProbabilities | None:
    """Return how likely it is that either is better, or that it makes no difference in practice.

    The posterior of the mean difference is a t with J - 1 degrees of freedom about the mean of
    the J differences, with scale^2 = (1 / J + rho / (1 - rho)) s^2, where the correlation of folds
    is rho = n_validation / (n_training + n_validation).

    Parameters
    ----------
    left, right : sequence of float or None
        As for `corrected_resampled_t_test`.
    n_training, n_validation : int
    rope : float
        Not negative: a difference up to it, either way, makes none in practice.

    Returns
    -------
    Chances or None
        None where fewer than two folds have both scores. Where the differences do not vary, all
        of the chance lies on the answer that they give.

    Raises
    ------
    ValueError
        If left and right differ in length, there are no training rows, or `rope` is negative.

    References
    ----------
    Benavoli, Corani, Demsar and Zaffalon (2017), Time for a Change: a Tutorial for Comparing
    Multiple Classifiers Through Bayesian Analysis.

    Examples
    --------
    >>> found = bayesian_correlated_t_test(
    ...     [0.8, 0.9, 0.8], [0.7, 0.7, 0.8], n_training=80, n_validation=20, rope=0.01
    ... )
    >>> round(found.left_better, 2), round(found.equivalent, 2), round(found.right_better, 2)
    (0.82, 0.04, 0.14)
    """
    if rope < 0:
        raise ValueError(f"'rope' must not be negative. Got {rope} instead.")
    gaps = _fold_differences(left, right, n_training)
    mean = _mean_difference(gaps)
    if gaps.size < MIN_FOLDS or mean is None:
        return None
    scale = _corrected_standard_error(gaps, n_training=n_training, n_validation=n_validation)
    if scale is None:
        return PosteriorProbabilities(
            float(mean > rope), float(abs(mean) <= rope), float(mean < -rope)
        )
    free = gaps.size - 1
    above = float(stats.t.sf((rope - mean) / scale, free))
    below = float(stats.t.cdf((-rope - mean) / scale, free))
    return PosteriorProbabilities(above, 1 - above - below, below)


def _fold_differences(left: FoldScores, right: FoldScores, n_training: int) -> FloatArray:
    if len(left) != len(right):
        raise ValueError(
            f"'left' and 'right' must have a score a fold. Got {len(left)} and {len(right)}."
        )
    if n_training < 1:
        raise ValueError(f"'n_training' must be at least 1. Got {n_training} instead.")
    pairs = zip(left, right, strict=True)
    return np.array([a - b for a, b in pairs if a is not None and b is not None], dtype=np.float64)


def _mean_difference(gaps: FloatArray) -> float | None:
    return float(gaps.mean()) if gaps.size else None


def _corrected_standard_error(
    gaps: FloatArray, *, n_training: int, n_validation: int
) -> float | None:
    # n_validation / n_training is rho / (1 - rho): both tests have the same scale.
    if gaps.size < MIN_FOLDS or np.ptp(gaps) <= np.finfo(np.float64).eps * np.abs(gaps).max():
        return None
    return float(np.sqrt((1 / gaps.size + n_validation / n_training) * gaps.var(ddof=1)))


MIN_ROWS_PER_CLASS = 2
DELONG = "DeLong"


def delong_test(
    positive: NDArray[np.bool_], left: FloatArray, right: FloatArray, *, confidence: float
) -> TestResult:
    """Return DeLong's test of the difference of two areas under the ROC curve.

    A row's placement is the share of rows of the other class that it stands on the right side of,
    ties half; an area is the mean placement of the positive rows, of the negative ones, too. The
    difference has the variance of the mean gap in placement of the one class plus that of the
    other. Placements come from midranks in n log n steps.

    Parameters
    ----------
    positive : array of shape (n,)
    left, right : arrays of shape (n,)
        The scores that each gives; greater means positive.
    confidence : float

    Returns
    -------
    TestResult
        Without ends and p-value where a class has fewer than two rows, and where the placements
        do not differ: two perfect rankings do not tell how far each may be off.

    References
    ----------
    DeLong, DeLong and Clarke-Pearson (1988). Sun and Xu (2014), Fast Implementation of DeLong's
    Algorithm for Comparing the Areas Under Correlated ROC Curves.

    Examples
    --------
    >>> positive = np.array([True, True, True, False, False, False])
    >>> left, right = np.array([6.0, 5, 3, 4, 2, 1]), np.array([6.0, 3, 2, 5, 4, 1])
    >>> found = delong_test(positive, left, right, confidence=0.95)
    >>> round(found.difference, 3), round(found.low, 3), round(found.p_value, 3)
    (0.333, -0.2, 0.11)
    """
    n_rows, n_least = positive.size, min(positive.sum(), (~positive).sum())
    if not n_least:
        return TestResult(DELONG, None, None, None, None, n_rows, "only one class occurs")
    up, down = (
        a - b
        for a, b in zip(_placements(positive, left), _placements(positive, right), strict=True)
    )
    gap = float(up.mean())
    if n_least < MIN_ROWS_PER_CLASS:
        return TestResult(DELONG, gap, None, None, None, n_rows, "one class has a single row")
    error = float(np.sqrt(up.var(ddof=1) / up.size + down.var(ddof=1) / down.size))
    if error <= np.finfo(np.float64).eps:
        return TestResult(DELONG, gap, None, None, None, n_rows, "no row tells them apart")
    half = float(stats.norm.ppf((1 + confidence) / 2)) * error
    p_value = float(stats.norm.sf(gap / error))
    return TestResult(DELONG, gap, gap - half, gap + half, p_value, n_rows)


def _placements(positive: NDArray[np.bool_], scores: FloatArray) -> tuple[FloatArray, FloatArray]:
    among_all = stats.rankdata(scores)
    up, down = among_all[positive], among_all[~positive]
    beaten = (up - stats.rankdata(scores[positive])) / down.size
    beaten_by = 1 - (down - stats.rankdata(scores[~positive])) / up.size
    return beaten, beaten_by


MCNEMAR_EXACT_BELOW = 25


def mcnemar_test(
    left_right: NDArray[np.bool_], right_right: NDArray[np.bool_], *, confidence: float
) -> TestResult:
    """Return McNemar's test of the difference in accuracy.

    Only rows on which one of the two is right count: of b + c such rows, b on which left is. Were
    left not better, b would be at most binomial(b + c, 1/2). Below 25 such rows the p-value is
    exact, P(B >= b); from there on it is the mid-p, P(B > b) + P(B = b) / 2, whose level stays
    within the nominal one where the exact test's is well below and the continuity correction's
    further still. The interval turns that of b / (b + c), by the same tail, into (2 b / (b + c) -
    1) (b + c) / n: it is above 0 where the p-value is below (1 - confidence) / 2.

    Parameters
    ----------
    left_right, right_right : arrays of shape (n,)
        Whether left, and whether right, is right about each row.
    confidence : float

    Returns
    -------
    TestResult
        Without ends and p-value where no row tells the two apart.

    References
    ----------
    McNemar (1947). Fagerland, Lydersen and Laake (2013), The McNemar Test for Binary Matched-Pairs
    Data: Mid-p and Asymptotic Are Better Than Exact Conditional.

    Examples
    --------
    >>> left, right = np.array([True] * 9 + [False]), np.array([False] * 6 + [True] * 4)
    >>> found = mcnemar_test(left, right, confidence=0.95)
    >>> round(found.difference, 6), round(found.p_value, 4), found.note
    (0.5, 0.0625, '6 rows to 1, exact')
    """
    n_left = int(np.count_nonzero(left_right & ~right_right))
    n_right = int(np.count_nonzero(right_right & ~left_right))
    n_told, n_rows = n_left + n_right, int(left_right.size)
    if not n_told:
        gap = 0.0 if n_rows else None
        return TestResult("McNemar", gap, None, None, None, n_rows, "no row tells them apart")
    mid = 0.5 if n_told >= MCNEMAR_EXACT_BELOW else 0.0
    tail = (1 - confidence) / 2
    low = _lower_share_limit(n_left, n_told, tail=tail, mid=mid)
    high = 1 - _lower_share_limit(n_right, n_told, tail=tail, mid=mid)
    return TestResult(
        "McNemar",
        (n_left - n_right) / n_rows,
        (2 * low - 1) * n_told / n_rows,
        (2 * high - 1) * n_told / n_rows,
        _binomial_tail(0.5, n_left, n_told, mid),
        n_rows,
        f"{n_left} rows to {n_right}, {'mid-p' if mid else 'exact'}",
    )


def _binomial_tail(share: float, n_left: int, n_told: int, mid: float) -> float:
    beyond = stats.binom.sf(n_left - 1, n_told, share)
    return float(beyond - mid * stats.binom.pmf(n_left, n_told, share))


def _lower_share_limit(n_left: int, n_told: int, *, tail: float, mid: float) -> float:
    if n_left == 0:
        return 0.0

    def excess(share: float) -> float:
        return _binomial_tail(share, n_left, n_told, mid) - tail

    return float(optimize.brentq(excess, 0.0, 1.0)) if excess(1.0) > 0 else 1.0


def holm_adjust(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return the adjusted p-values, in the given order.

    The k-th smallest of m is multiplied by m - k + 1, is never below those before it and never
    above 1. Whoever rejects what stays at or below alpha makes any false claim at all with a
    chance of at most alpha, however the tests depend on each other.

    Parameters
    ----------
    p_values : sequence of float
        From 0 to 1.

    Raises
    ------
    ValueError
        If one is not from 0 to 1.

    References
    ----------
    Holm (1979), A Simple Sequentially Rejective Multiple Test Procedure.

    Examples
    --------
    >>> holm_adjust([0.01, 0.04, 0.03])
    (0.03, 0.06, 0.06)
    """
    known = np.asarray(p_values, dtype=np.float64)
    if not np.all((known >= 0) & (known <= 1)):
        raise ValueError(f"'p_values' must be from 0 to 1. Got {list(p_values)} instead.")
    order = np.argsort(known, kind="stable")
    raised = np.maximum.accumulate(known[order] * np.arange(known.size, 0, -1))
    adjusted = np.empty_like(known)
    adjusted[order] = np.minimum(raised, 1.0)
    return tuple(adjusted.tolist())


def required_sample_size(difference: PairedDifference) -> int | None:
    """Return about how many rows would tell that left is better, if it is as it seems.

    The half-width of an interval shrinks with the square root of the number of rows, so that
    n ((mean - low) / mean)^2 rows have an interval that ends above 0. None where left does not
    seem better.

    Parameters
    ----------
    difference : PairedDifference

    Examples
    --------
    >>> required_sample_size(PairedDifference(mean=0.01, low=-0.01, high=0.03, share_better=0.8, n_rows=100))
    400
    """
    if difference.mean is None or difference.low is None or difference.mean <= 0:
        return None
    return math.ceil(
        difference.n_rows * ((difference.mean - difference.low) / difference.mean) ** 2
    )


def metric_tests(
    metric: Metric, truth: FloatArray, left: Predictions, right: Predictions, *, confidence: float
) -> tuple[TestResult, ...]:
    """Return the tests that are made for the metric: DeLong's, McNemar's, or none.

    Parameters
    ----------
    metric : Metric
        DeLong's serves ROC AUC of two classes, McNemar's accuracy.
    truth : array of shape (n,)
    left, right : Predictions
        Of the same n rows; rows that either does not predict are left out.
    confidence : float

    Examples
    --------
    >>> from evertune.metrics.metrics import METRICS
    >>> truth, ones = np.array([1.0, 0.0, 1.0]), Predictions(np.ones(3))
    >>> found = metric_tests(
    ...     METRICS["accuracy"], truth, Predictions(truth), ones, confidence=0.95
    ... )
    >>> [(each.name, each.p_value) for each in found]
    [('McNemar', 0.5)]
    """
    kept = prediction_mask(left) & prediction_mask(right)
    truth, left, right = truth[kept], take_rows(left, kept), take_rows(right, kept)
    if metric.name == "accuracy":
        return (mcnemar_test(left.values == truth, right.values == truth, confidence=confidence),)
    scores = [_positive_probabilities(said) for said in (left, right)]
    if metric.name != "roc_auc" or scores[0] is None or scores[1] is None:
        return ()
    return (delong_test(truth == 1, scores[0], scores[1], confidence=confidence),)


def _positive_probabilities(said: Predictions) -> FloatArray | None:
    table = said.probabilities
    if table is None or table.shape[1] != TWO_CLASSES:
        return None
    return np.asarray(table[:, 1], dtype=np.float64)
