"""How sure a figure is: intervals by bootstrap over rows, and over folds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from pipelines.core.kernels import Weighed
from pipelines.core.metrics import Metric, answered
from pipelines.core.predictions import Floats, Predictions
from pipelines.core.truths import taken

CELLS_AT_ONCE = 2_000_000
FEWEST_DEFINED = 0.5


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
    """

    mean: float | None
    low: float | None
    high: float | None
    share_better: float | None
    n_rows: int


def bootstrap_interval(  # noqa: PLR0913
    metric: Metric,
    truth: Floats,
    predictions: Predictions,
    *,
    draws: int,
    confidence: float,
    seed: int,
) -> Interval:
    """Return the percentile bootstrap interval of a metric over rows.

    Parameters
    ----------
    metric : Metric
    truth : array of shape (n,)
    predictions : Predictions
        Rows without a prediction are left out.
    draws : int
        Resamples of n rows; those in which the metric is undefined are left out.
    confidence : float
        Such as 0.95.
    seed : int

    Returns
    -------
    Interval
        Without ends where the metric is undefined in more than half of the draws.

    References
    ----------
    Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.

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
    found = _drawn(metric, truth[kept], [taken(predictions, kept)], draws=draws, seed=seed)[0]
    low, high = _ends(found, confidence)
    return Interval(low, high, "undefined" if low is None else f"bootstrap, {draws} draws")


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
    >>> truth = np.array([1.0, 0.0, 1.0, 1.0])
    >>> found = paired_difference(
    ...     METRICS["accuracy"], truth, Predictions(truth), Predictions(np.ones(4)),
    ...     draws=100, confidence=0.9, seed=0,
    ... )
    >>> found.mean, found.low, found.n_rows
    (0.25, 0.0, 4)
    """
    kept = answered(left) & answered(right)
    pair = [taken(left, kept), taken(right, kept)]
    sign = 1.0 if metric.greater_is_better else -1.0
    ours, theirs = _drawn(metric, truth[kept], pair, draws=draws, seed=seed)
    gaps = sign * (ours - theirs)
    low, high = _ends(gaps, confidence)
    whole = sign * (metric.figure(truth[kept], pair[0]) - metric.figure(truth[kept], pair[1]))
    return Difference(
        mean=_finite(whole),
        low=low,
        high=high,
        share_better=_share_better(gaps),
        n_rows=int(kept.sum()),
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


def _drawn(
    metric: Metric, truth: Floats, several: Sequence[Predictions], *, draws: int, seed: int
) -> list[Floats]:
    chances = all(predictions.probabilities is not None for predictions in several)
    if not truth.size or (metric.needs_probabilities and not chances):
        return [np.full(draws, np.nan) for _ in several]
    weighed = [metric.kernel(truth, predictions) for predictions in several]
    blocks = list(_figures_of_blocks(weighed, truth.size, draws=draws, seed=seed))
    return [np.concatenate(parts) for parts in zip(*blocks, strict=True)]


def _figures_of_blocks(
    weighed: Sequence[Weighed], n_rows: int, *, draws: int, seed: int
) -> Iterable[list[Floats]]:
    rng = np.random.default_rng(seed)
    size = max(1, CELLS_AT_ONCE // n_rows)
    for start in range(0, draws, size):
        weights = _draw_counts(rng, n_rows, min(size, draws - start))
        yield [figures(weights) for figures in weighed]


def _draw_counts(rng: np.random.Generator, n_rows: int, n_draws: int) -> Floats:
    rows = rng.integers(0, n_rows, size=(n_draws, n_rows))
    places = rows + n_rows * np.arange(n_draws)[:, None]
    counts = np.bincount(places.ravel(), minlength=n_draws * n_rows)
    return counts.reshape(n_draws, n_rows).astype(np.float64)


def _ends(figures: Floats, confidence: float) -> tuple[float | None, float | None]:
    defined = figures[np.isfinite(figures)]
    if defined.size < FEWEST_DEFINED * figures.size:
        return None, None
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _share_better(gaps: Floats) -> float | None:
    defined = gaps[np.isfinite(gaps)]
    return float(((defined > 0) + 0.5 * (defined == 0)).mean()) if defined.size else None


def _finite(figure: float) -> float | None:
    return figure if np.isfinite(figure) else None
