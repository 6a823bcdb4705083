"""Tests of two models by their scores on the same folds.

Training sets of folds share rows, so that fold scores are alike and a plain t test finds
differences that are none. Both tests here allow for it, by an approximation: they are heuristics.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from pipelines.core.judging.results import TestResult
from pipelines.core.predictions import Floats

Scores = Sequence[float | None]
FEWEST_FOLDS = 2


@dataclass(frozen=True)
class Chances:
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


def fold_difference(
    left: Scores, right: Scores, *, n_training: int, n_validation: int, confidence: float
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
    >>> found = fold_difference(
    ...     [0.8, 0.9, 0.8], [0.7, 0.7, 0.8], n_training=80, n_validation=20, confidence=0.95
    ... )
    >>> round(found.difference, 3), round(found.low, 3), round(found.p_value, 3)
    (0.1, -0.229, 0.16)
    """
    gaps = _gaps(left, right, n_training)
    name, mean = "corrected resampled t on folds", _mean(gaps)
    scale = _scale(gaps, n_training=n_training, n_validation=n_validation)
    if scale is None or mean is None:
        return TestResult(name, mean, None, None, None, gaps.size, "too few folds that differ")
    free = gaps.size - 1
    half = float(stats.t.ppf((1 + confidence) / 2, free)) * scale
    p_value = float(stats.t.sf(mean / scale, free))
    return TestResult(name, mean, mean - half, mean + half, p_value, gaps.size)


def correlated_t(
    left: Scores, right: Scores, *, n_training: int, n_validation: int, rope: float
) -> Chances | None:
    """Return how likely it is that either is better, or that it makes no difference in practice.

    The posterior of the mean difference is a t with J - 1 degrees of freedom about the mean of
    the J differences, with scale^2 = (1 / J + rho / (1 - rho)) s^2, where the correlation of folds
    is rho = n_validation / (n_training + n_validation).

    Parameters
    ----------
    left, right : sequence of float or None
        As for `fold_difference`.
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
    >>> found = correlated_t(
    ...     [0.8, 0.9, 0.8], [0.7, 0.7, 0.8], n_training=80, n_validation=20, rope=0.01
    ... )
    >>> round(found.left_better, 2), round(found.equivalent, 2), round(found.right_better, 2)
    (0.82, 0.04, 0.14)
    """
    if rope < 0:
        raise ValueError(f"'rope' must not be negative. Got {rope} instead.")
    gaps = _gaps(left, right, n_training)
    mean = _mean(gaps)
    if gaps.size < FEWEST_FOLDS or mean is None:
        return None
    scale = _scale(gaps, n_training=n_training, n_validation=n_validation)
    if scale is None:
        return Chances(float(mean > rope), float(abs(mean) <= rope), float(mean < -rope))
    free = gaps.size - 1
    above = float(stats.t.sf((rope - mean) / scale, free))
    below = float(stats.t.cdf((-rope - mean) / scale, free))
    return Chances(above, 1 - above - below, below)


def _gaps(left: Scores, right: Scores, n_training: int) -> Floats:
    if len(left) != len(right):
        raise ValueError(
            f"'left' and 'right' must have a score a fold. Got {len(left)} and {len(right)}."
        )
    if n_training < 1:
        raise ValueError(f"'n_training' must be at least 1. Got {n_training} instead.")
    pairs = zip(left, right, strict=True)
    return np.array([a - b for a, b in pairs if a is not None and b is not None], dtype=np.float64)


def _mean(gaps: Floats) -> float | None:
    return float(gaps.mean()) if gaps.size else None


def _scale(gaps: Floats, *, n_training: int, n_validation: int) -> float | None:
    # n_validation / n_training is rho / (1 - rho): both tests have the same scale.
    if gaps.size < FEWEST_FOLDS or np.ptp(gaps) <= np.finfo(np.float64).eps * np.abs(gaps).max():
        return None
    return float(np.sqrt((1 / gaps.size + n_validation / n_training) * gaps.var(ddof=1)))
