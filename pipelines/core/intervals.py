"""How sure a figure is: intervals by bootstrap over rows, and over folds."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from pipelines.core.judging.bootstrapping import Sample, bootstrapped
from pipelines.core.metrics import Metric, answered
from pipelines.core.predictions import Floats, Predictions
from pipelines.core.truths import taken


@dataclass(frozen=True)
class Interval:
    """A confidence interval; both ends are None where there is too little to tell.

    Attributes
    ----------
    low, high : float, optional
    method : str
        How it was made, or why it is missing.
    """

    low: float | None
    high: float | None
    method: str


@dataclass(frozen=True)
class Difference:
    """By how much one prediction is better than another; positive means that left is better.

    Attributes
    ----------
    mean : float, optional
        The difference on all rows, in the metric's own unit.
    low, high : float, optional
        Its confidence interval.
    share_better : float, optional
        The share of draws in which left is better, ties counted half.
    n_rows : int
        Rows that both predict.
    method : str
        How the interval was made, or why it is missing.
    p_value : float, optional
        One-sided, of "left is not better": below (1 - confidence) / 2 where `low` is above 0.
    """

    mean: float | None
    low: float | None
    high: float | None
    share_better: float | None
    n_rows: int
    method: str = ""
    p_value: float | None = None


def bootstrap_interval(  # noqa: PLR0913
    metric: Metric,
    truth: Floats,
    predictions: Predictions,
    *,
    draws: int,
    confidence: float,
    seed: int,
) -> Interval:
    """Return the BCa bootstrap interval of a metric over rows.

    Where no draw differs from another (a perfect model on few rows) rows show no spread, but that
    is no certainty: rows of a kind that is rare may be missing. A metric from 0 to 1 then gets
    what as many rows can rule out, see `unseen_share`; any other metric gets no ends.

    Parameters
    ----------
    metric : Metric
    truth : array of shape (n,)
    predictions : Predictions
        Rows without a prediction are left out.
    draws : int
        Resamples of n rows, at least; more are drawn where the confidence asks for ends that so
        many do not show. Those in which the metric is undefined are left out.
    confidence : float
        Such as 0.95.
    seed : int

    Returns
    -------
    Interval
        Without ends where the metric is undefined in more than half of the draws.

    References
    ----------
    Efron (1987), Better Bootstrap Confidence Intervals. Hesterberg (2015), What Teachers Should
    Know About the Bootstrap, 5.3: the tails are those of a t with n - 1 degrees of freedom.

    Examples
    --------
    >>> from pipelines.core.metrics import METRICS
    >>> said = Predictions(np.array([1.0, 0.0] * 50))
    >>> found = bootstrap_interval(
    ...     METRICS["accuracy"], np.ones(100), said, draws=1000, confidence=0.95, seed=0
    ... )
    >>> 0.38 < found.low < 0.42 and 0.58 < found.high < 0.62
    True
    """
    kept = answered(predictions)
    sample = Sample(metric, truth[kept], (taken(predictions, kept),))
    found = bootstrapped(sample, draws=draws, confidence=confidence, seed=seed)
    return Interval(found.low, found.high, found.method)


def paired_difference(  # noqa: PLR0913
    metric: Metric,
    truth: Floats,
    left: Predictions,
    right: Predictions,
    *,
    draws: int,
    confidence: float,
    seed: int,
) -> Difference:
    """Return by how much `left` is better than `right` on the same rows, with its interval.

    Both are figured on the same resamples, so that what makes a row hard for both cancels.

    Parameters
    ----------
    metric : Metric
    truth : array of shape (n,)
    left, right : Predictions
        Of the same n rows; rows that either does not predict are left out.
    draws, confidence, seed
        As for `bootstrap_interval`.

    Examples
    --------
    >>> from pipelines.core.metrics import METRICS
    >>> truth = np.array([1.0, 0.0, 1.0, 1.0] * 25)
    >>> found = paired_difference(
    ...     METRICS["accuracy"], truth, Predictions(truth), Predictions(np.ones(100)),
    ...     draws=100, confidence=0.9, seed=0,
    ... )
    >>> found.mean, found.n_rows, found.low > 0.15
    (0.25, 100, True)
    """
    kept = answered(left) & answered(right)
    sample = Sample(metric, truth[kept], (taken(left, kept), taken(right, kept)))
    found = bootstrapped(sample, draws=draws, confidence=confidence, seed=seed)
    return Difference(
        mean=found.figure,
        low=found.low,
        high=found.high,
        share_better=_share_better(found.draws),
        n_rows=int(kept.sum()),
        method=found.method,
        p_value=found.p_value,
    )


def fold_interval(
    scores: Iterable[float | None], *, n_training: int, n_validation: int, confidence: float
) -> Interval:
    """Return the corrected resampled t interval of the mean over folds.

    The training sets of folds share rows, so that the plain interval is far too narrow. With J
    scores of variance s^2 it is mean +- t(J - 1) sqrt((1 / J + n_validation / n_training) s^2).

    Parameters
    ----------
    scores : iterable of float or None
        One a fold; folds without a figure are left out.
    n_training, n_validation : int
        Rows of one fold.
    confidence : float

    Raises
    ------
    ValueError
        If there are no training rows.

    References
    ----------
    Nadeau and Bengio (2003), Inference for the Generalization Error.

    Examples
    --------
    >>> found = fold_interval([0.7, 0.8, 0.9], n_training=80, n_validation=20, confidence=0.95)
    >>> round(found.low, 3), round(found.high, 3)
    (0.471, 1.129)
    """
    if n_training < 1:
        raise ValueError(f"'n_training' must be at least 1. Got {n_training} instead.")
    known = np.array([score for score in scores if score is not None], dtype=np.float64)
    if known.size <= 1:
        return Interval(None, None, "too few folds")
    scale = np.sqrt((1 / known.size + n_validation / n_training) * known.var(ddof=1))
    half = float(stats.t.ppf((1 + confidence) / 2, known.size - 1) * scale)
    mean = float(known.mean())
    return Interval(mean - half, mean + half, f"corrected resampled t, {known.size} folds")


def _share_better(gaps: Floats) -> float | None:
    return float(((gaps > 0) + 0.5 * (gaps == 0)).mean()) if gaps.size else None
