"""Statistical tests that compare two models on the same folds or the same rows.

`corrected_resampled_t` (Nadeau and Bengio, 2003) serves scores over folds and differences of two:
training sets of folds share rows, so that a plain t test would find differences that do not exist.
It is a heuristic. `delong_test` compares two areas under the ROC curve, `holm_adjust` corrects
p-values that are read together, `required_sample_size` estimates how many rows would show an
observed difference. All are too short to need statsmodels; scikit-learn and scipy have none of
them.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evertune.metrics.metrics import prediction_mask
from evertune.stats.results import Estimate, PairedDifference, TestResult
from evertune.types import FloatArray, Predictions, take_rows

FoldScores = Sequence[float | None]


def corrected_resampled_t(
    scores: FoldScores,
    baseline: FoldScores | None = None,
    *,
    n_training: int,
    n_validation: int,
    confidence: float,
) -> Estimate:
    """Return the mean over folds, or the mean difference of two models, with a corrected t test.

    With J values of mean m and variance s^2, m / sqrt((1 / J + n_validation / n_training) s^2) is
    taken for a t with J - 1 degrees of freedom.

    Parameters
    ----------
    scores : sequence of float or None
        One score a fold. Folds without a score are left out.
    baseline : sequence of float or None, optional
        Of the other model on the same folds; the value is then the mean of scores - baseline.
    n_training, n_validation : int
        Rows of one fold.

    Returns
    -------
    Estimate
        Without an interval if fewer than two folds have a value, or all values are the same: folds
        that do not differ cannot show how far off they might be.

    Raises
    ------
    ValueError
        If scores and baseline differ in length, or there are no training rows.

    References
    ----------
    Nadeau and Bengio (2003), Inference for the Generalization Error.

    Examples
    --------
    >>> found = corrected_resampled_t(
    ...     [0.8, 0.9, 0.8], [0.7, 0.7, 0.8], n_training=80, n_validation=20, confidence=0.95
    ... )
    >>> round(found.value, 3), round(found.low, 3), round(found.p_value, 3)
    (0.1, -0.229, 0.16)
    """
    others: FoldScores = [0.0] * len(scores) if baseline is None else baseline
    if len(scores) != len(others):
        raise ValueError(
            "'scores' and 'baseline' must have a score a fold."
            f" Got {len(scores)} and {len(others)}."
        )
    if n_training < 1:
        raise ValueError(f"'n_training' must be at least 1. Got {n_training} instead.")
    pairs = zip(scores, others, strict=True)
    values = np.array([a - b for a, b in pairs if a is not None and b is not None], dtype=float)
    n_folds = values.size
    mean = float(values.mean()) if n_folds else None
    tolerance = np.finfo(np.float64).eps * np.abs(values).max(initial=0.0)
    if n_folds < 2 or mean is None or np.ptp(values) <= tolerance:
        return Estimate(mean, method="too few folds that differ", n=n_folds)
    scale = np.sqrt((1 / n_folds + n_validation / n_training) * values.var(ddof=1))
    half = float(stats.t.ppf((1 + confidence) / 2, n_folds - 1) * scale)
    p_value = float(stats.t.sf(mean / scale, n_folds - 1))
    method = f"corrected resampled t, {n_folds} folds"
    return Estimate(mean, mean - half, mean + half, method, p_value, n_folds)


def delong_test(
    y_true: FloatArray, left: Predictions, right: Predictions, *, confidence: float
) -> TestResult | None:
    """Return DeLong's test of the difference of two areas under the ROC curve.

    The placement of a row is the share of rows of the other class that it stands on the right side
    of, ties half; an area is the mean placement of the rows of either class. The difference has
    the variance of the mean gap in placement of the one class plus that of the other. Placements
    come from midranks in n log n steps.

    Parameters
    ----------
    y_true : array of shape (n,)
        1 for the positive class.
    left, right : Predictions
        Of the same rows; rows that either does not predict are left out.

    Returns
    -------
    TestResult or None
        None unless both have probabilities of two classes. Without interval and p-value if a
        class has fewer than two rows, or if the placements do not differ.

    References
    ----------
    DeLong, DeLong and Clarke-Pearson (1988). Sun and Xu (2014), Fast Implementation of DeLong's
    Algorithm for Comparing the Areas Under Correlated ROC Curves.
    """
    if any(p.probabilities is None or p.probabilities.shape[1] != 2 for p in (left, right)):
        return None
    mask = prediction_mask(left) & prediction_mask(right)
    positive, n = y_true[mask] == 1, int(mask.sum())
    n_rarer = min(positive.sum(), (~positive).sum())
    if not n_rarer:
        return TestResult("DeLong", None, None, None, None, n, "only one class occurs")
    first, second = (_placements(positive, take_rows(pred, mask)) for pred in (left, right))
    up, down = first[0] - second[0], first[1] - second[1]
    gap = float(up.mean())
    if n_rarer < 2:
        return TestResult("DeLong", gap, None, None, None, n, "one class has a single row")
    error = float(np.sqrt(up.var(ddof=1) / up.size + down.var(ddof=1) / down.size))
    if error <= np.finfo(np.float64).eps:
        return TestResult("DeLong", gap, None, None, None, n, "both rank all rows alike")
    half = float(stats.norm.ppf((1 + confidence) / 2)) * error
    p_value = float(stats.norm.sf(gap / error))
    return TestResult("DeLong", gap, gap - half, gap + half, p_value, n)


def _placements(positive: NDArray[np.bool_], pred: Predictions) -> tuple[FloatArray, FloatArray]:
    assert pred.probabilities is not None
    scores = pred.probabilities[:, 1]
    ranks = stats.rankdata(scores)
    up, down = ranks[positive], ranks[~positive]
    beaten = (up - stats.rankdata(scores[positive])) / down.size
    beaten_by = 1 - (down - stats.rankdata(scores[~positive])) / up.size
    return beaten, beaten_by


def holm_adjust(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return the adjusted p-values of Holm (1979), in the given order.

    The k-th smallest of m is multiplied by m - k + 1, is never below those before it and never
    above 1. Rejecting what stays at or below alpha makes any false claim with a probability of at
    most alpha, however the tests depend on each other.

    Raises
    ------
    ValueError
        If a value is not from 0 to 1.

    Examples
    --------
    >>> holm_adjust([0.01, 0.04, 0.03])
    (0.03, 0.06, 0.06)
    """
    values = np.asarray(p_values, dtype=np.float64)
    if not np.all((values >= 0) & (values <= 1)):
        raise ValueError(f"'p_values' must be from 0 to 1. Got {list(p_values)} instead.")
    order = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    adjusted[order] = np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1))
    return tuple(np.minimum(adjusted, 1.0).tolist())


def required_sample_size(difference: PairedDifference) -> int | None:
    """Return about how many rows would show that left is better, if it is as it seems.

    The half-width of an interval shrinks with the square root of the number of rows, so that
    n ((mean - low) / mean)^2 rows have an interval that ends above 0. None if left does not seem
    better, or by so little that no number of rows would do.

    Examples
    --------
    >>> required_sample_size(PairedDifference(0.01, -0.01, 0.03, share_better=0.8, n_rows=100))
    400
    """
    mean, low = difference.mean, difference.low
    if mean is None or low is None or mean <= 0:
        return None
    ratio = (mean - low) / mean
    n_rows = difference.n_rows * ratio * ratio
    return math.ceil(n_rows) if math.isfinite(n_rows) else None
