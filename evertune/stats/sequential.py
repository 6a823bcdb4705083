"""Sequential tests on daily losses: for a risen mean loss, and for one model worse than another.

The first part detects a rise above a reference by the sum over all possible start days (Shiryaev,
1963; Roberts, 1966; Shin, Ramdas and Rinaldo, 2024): `null_mean`, `log_likelihood_ratios`,
`log_evidence`, and `estimate_change_point` (Page, 1954). These take arrays whose last axis is days
and broadcast over the axes before it, so that hundreds of streams are tested at once.
`overdispersion` widens the test for days and weeks that vary more than independent rows would.
`paired_sequential_test` compares two models on the same rows by a t likelihood ratio.

Why not `river.drift`: its detectors have no stated budget of false alarms. On the simulated years
of `tests/benchmarks`, Page-Hinkley alarms 5.8 to 25 times a year without a change.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import stats

from evertune.metrics.losses import DailyLoss
from evertune.types import FloatArray

RISES = np.array([0.02, 0.04, 0.08])
DAYS_PER_WEEK = 7
RELIABLE_HISTORY_DAYS = 75
SHORT_HISTORY_FACTOR = 5.0
BASE_ERROR_MARGIN = 0.1
# below 1 since the sum over starts stays under its budget; measured on simulated years
OVERDISPERSION_DISCOUNT = 0.9
MIN_NULL_MEAN = 1e-6

EFFECT_SIZES = (0.25, 0.5, 1.0, 2.0)
DEPENDENCE_EXPONENT = 2 / 3
MIN_PAIRED_DAYS = 3
MAX_T_STATISTIC = 30.0
MIN_LOG_RATIO = -50.0


def overdispersion(
    counts: FloatArray, totals: FloatArray, *, rows: FloatArray | float = 1.0
) -> FloatArray:
    """Return the variance of sums of losses over that of independent rights and wrongs.

    It is the largest of what single rows, days and weeks show: days that differ for reasons of
    their own, weekends and runs of bad days all widen sums of days more than rows alone do. A
    week is any seven days in a row. With fewer than 75 days it is multiplied by 75 / days, since
    few weeks say little about weeks.

    Parameters
    ----------
    counts, totals : array of shape (..., n_days)
        Rows of each day and the sums of their losses.
    rows : float or array of shape (...)
        Variance of single losses over mean (1 - mean); 1 for rights and wrongs.

    Examples
    --------
    >>> counts = np.full(80, 100.0)
    >>> steady, rough = np.full(80, 10.0), np.tile([0.0, 20.0], 40)
    >>> overdispersion(counts, steady).item(), round(overdispersion(counts, rough).item(), 1)
    (1.0, 10.0)
    """
    n_days = counts.shape[-1]
    floor = np.broadcast_to(np.asarray(rows, dtype=np.float64), counts.shape[:-1])
    if n_days < DAYS_PER_WEEK:
        return np.maximum(floor, 0.0) * SHORT_HISTORY_FACTOR
    mean = totals.sum(axis=-1) / counts.sum(axis=-1)
    variance = mean * (1 - mean)
    excess = totals - counts * mean[..., None]
    daily = _variance_ratio(excess, counts, variance)
    weekly = _variance_ratio(_weekly_sums(excess), _weekly_sums(counts), variance)
    weekly = weekly * n_days / (n_days - DAYS_PER_WEEK + 1)
    widest = np.maximum(floor, OVERDISPERSION_DISCOUNT * np.maximum(daily, weekly))
    return np.asarray(widest * max(1.0, RELIABLE_HISTORY_DAYS / n_days))


def null_mean(
    base: FloatArray | float,
    *,
    tolerance: float,
    widened: FloatArray | float,
    n_rows: FloatArray | float,
) -> FloatArray:
    """Return the mean loss above which evidence grows.

    base + tolerance + a tenth of the base's standard error: a reference of few rows may have been
    lucky.

    Parameters
    ----------
    base : float or array
        Mean loss of the reference.
    widened : float or array
        From `overdispersion`.
    n_rows : float or array
        Of the reference.

    Examples
    --------
    >>> round(null_mean(0.1, tolerance=0.005, widened=4.0, n_rows=3600.0).item(), 4)
    0.106
    """
    base = np.asarray(base, dtype=np.float64)
    error = np.sqrt(widened * base * (1 - base) / np.maximum(n_rows, 1.0))
    return np.clip(base + tolerance + BASE_ERROR_MARGIN * error, MIN_NULL_MEAN, 1 - MIN_NULL_MEAN)


def log_likelihood_ratios(
    counts: FloatArray, totals: FloatArray, *, bars: FloatArray | float, widened: FloatArray | float
) -> FloatArray:
    """Return what each day adds to the log of the evidence for each of three rises.

    The log-likelihood ratio (k log(q / m) + (n - k) log((1 - q) / (1 - m))) / dispersion of a mean
    q = m + rise against the null mean m. For losses in [0, 1] of mean m at most and a dispersion of
    1 its exponential has a mean of 1 at most, whatever their distribution.

    Parameters
    ----------
    bars, widened : float or array of shape (...)
        From `null_mean` and `overdispersion`.
    """
    low = np.asarray(bars, dtype=np.float64)[..., None, None]
    high = np.minimum(low + RISES, (1 + low) / 2)
    gain = totals[..., None] * np.log(high / low)
    lost = (counts - totals)[..., None] * np.log((1 - high) / (1 - low))
    return np.asarray((gain + lost) / np.asarray(widened, dtype=np.float64)[..., None, None])


def log_evidence(steps: FloatArray) -> FloatArray:
    """Return the log of the evidence after each day that the mean rose on some day before.

    The sum over all days s of exp(steps from s on), R = (R + 1) exp(step), averaged over the
    rises. If exp(step) has a mean of 1 at most, R passes A for the first time after A days or more
    on average (Shiryaev, 1963; Roberts, 1966; Shin, Ramdas and Rinaldo, 2024).

    Examples
    --------
    >>> np.exp(log_evidence(np.zeros((3, 3)))).round(6)
    array([1., 2., 3.])
    """
    log_sum = np.full((*steps.shape[:-2], steps.shape[-1]), -np.inf)
    days = []
    for day in range(steps.shape[-2]):
        log_sum = np.logaddexp(log_sum, 0.0) + steps[..., day, :]
        days.append(np.logaddexp.reduce(log_sum, axis=-1) - np.log(log_sum.shape[-1]))
    return np.stack(days, axis=-1) if days else np.zeros(steps.shape[:-1])


def estimate_change_point(steps: FloatArray) -> int:
    """Return the day, counted from 0, from which on the evidence of one stream is largest.

    The argument of the maximum over starts and rises of the sum of steps from there on (Page,
    1954).
    """
    since = steps[::-1].cumsum(axis=0)[::-1]
    return int(since.max(axis=1).argmax())


def _weekly_sums(days: FloatArray) -> FloatArray:
    return np.asarray(sliding_window_view(days, DAYS_PER_WEEK, axis=-1).sum(axis=-1))


def _variance_ratio(excess: FloatArray, counts: FloatArray, variance: FloatArray) -> FloatArray:
    expected = counts.sum(axis=-1) * variance
    squares = (excess**2).sum(axis=-1)
    return np.asarray(np.divide(squares, expected, out=np.zeros_like(squares), where=expected > 0))


@dataclass(frozen=True)
class PairedSequentialResult:
    """The evidence after each day that the champion is worse than another model.

    Attributes
    ----------
    days : tuple of datetime
        Starts of the days that both models have, oldest first.
    values : tuple of float
        Evidence; the champion is called worse once it passes `threshold`, 1 / error.
    worse_at : datetime, optional
        The first day on which it passed.
    difference : float, optional
        Mean loss of the champion above the other's, over all days; None without days.
    n : int
        Rows.
    """

    days: tuple[datetime, ...]
    values: tuple[float, ...]
    threshold: float
    worse_at: datetime | None
    difference: float | None
    n: int


def paired_sequential_test(
    champion: Sequence[DailyLoss], other: Sequence[DailyLoss], *, error: float = 0.05
) -> PairedSequentialResult:
    """Return the evidence that the champion is worse than another model on the same rows.

    The likelihood ratio of the t statistic of the daily mean differences between a mean of 0.25,
    0.5, 1 or 2 standard deviations and a mean of 0, averaged, to the power of 2 / 3. What makes a
    day hard for both models cancels. The power is the price for days that depend on each other;
    the first two days count nothing.

    Parameters
    ----------
    champion, other : sequence of DailyLoss
        Of the same rows by day; days that only one of them has, or for which they have different
        numbers of rows, are left out.
    error : float
        Probability of ever calling a champion worse that is not.

    References
    ----------
    Rushton (1950), On a sequential t-test; Perez-Ortiz, Lardy, de Heide and Grunwald (2024),
    E-statistics, group invariance and anytime-valid testing.

    Examples
    --------
    >>> from datetime import UTC
    >>> days = [datetime(2024, 5, day, tzinfo=UTC) for day in range(1, 11)]
    >>> champion = [DailyLoss(day, 500, 80.0 + day.day % 3) for day in days]
    >>> previous = [DailyLoss(day, 500, 50.0) for day in days]
    >>> found = paired_sequential_test(champion, previous)
    >>> found.worse_at.day, round(found.difference, 3)
    (5, 0.062)
    """
    by_day = {day.day: day for day in other}
    pairs = [(ours, by_day[ours.day]) for ours in champion if ours.day in by_day]
    pairs = [(ours, theirs) for ours, theirs in pairs if ours.n == theirs.n and ours.n > 0]
    means = np.array([(ours.total - theirs.total) / ours.n for ours, theirs in pairs])
    values = DEPENDENCE_EXPONENT * _log_ratios_by_day(means)
    passed = np.flatnonzero(values > math.log(1 / error))
    n_rows = sum(ours.n for ours, _ in pairs)
    total = sum(ours.total - theirs.total for ours, theirs in pairs)
    return PairedSequentialResult(
        days=tuple(ours.day for ours, _ in pairs),
        values=tuple(float(value) for value in np.exp(values)),
        threshold=1 / error,
        worse_at=pairs[passed[0]][0].day if passed.size else None,
        difference=total / n_rows if n_rows else None,
        n=n_rows,
    )


def _log_ratios_by_day(means: FloatArray) -> FloatArray:
    """Return the log of the averaged likelihood ratio after each day, shape (n_days,)."""
    counts = np.arange(1, means.size + 1, dtype=np.float64)
    sums, squares = means.cumsum(), (means**2).cumsum()
    variance = np.maximum(squares - sums**2 / counts, 0.0) / np.maximum(counts - 1, 1)
    error = np.sqrt(np.maximum(variance / counts, np.finfo(np.float64).tiny))
    t = np.clip(sums / counts / error, -MAX_T_STATISTIC, MAX_T_STATISTIC)
    late = counts >= MIN_PAIRED_DAYS
    t, counts, freedom = t[late], counts[late], counts[late] - 1
    ratios = np.array(
        [stats.nct.logpdf(t, freedom, effect * np.sqrt(counts)) for effect in EFFECT_SIZES]
    )
    ratios = np.nan_to_num(ratios - stats.t.logpdf(t, freedom), nan=MIN_LOG_RATIO)
    result = np.zeros(means.size)
    result[late] = np.logaddexp.reduce(np.maximum(ratios, MIN_LOG_RATIO), axis=0) - math.log(
        len(EFFECT_SIZES)
    )
    return result
