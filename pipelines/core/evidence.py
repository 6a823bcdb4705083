"""Evidence that a mean rose, day by day: the arithmetic of the sequential test.

All functions take arrays whose last axis is days and broadcast over the axes before it, so that
hundreds of streams are tested at once.
"""

import numpy as np

from pipelines.core.predictions import Floats

RISES = np.array([0.02, 0.04, 0.08])
WEEK = 7
WHOLE_DAYS = 75
WITHOUT_DAYS = 5.0
UNSURE_BASE = 0.1
# below 1 since the sum over starts stays under its budget; measured on simulated years
TEMPER = 0.9
LEAST_BAR = 1e-6


def dispersion(counts: Floats, totals: Floats, *, rows: Floats | float = 1.0) -> Floats:
    """Return the variance of sums of losses over that of independent rights and wrongs.

    It is the largest of what single rows, days and weeks show: days that differ for reasons of
    their own, weekends and runs of bad days all widen sums of days more than rows alone tell. A
    week is any seven days in a row. Of fewer than 75 days it is widened by 75 / days, since few
    weeks say little about weeks.

    Parameters
    ----------
    counts, totals : array of shape (..., n_days)
        Rows of each day and the sums of their losses.
    rows : float or array of shape (...)
        Variance of single losses over mean (1 - mean); 1 for rights and wrongs.

    Returns
    -------
    array of shape (...)

    Examples
    --------
    >>> counts = np.full(80, 100.0)
    >>> steady, rough = np.full(80, 10.0), np.tile([0.0, 20.0], 40)
    >>> dispersion(counts, steady).item(), round(dispersion(counts, rough).item(), 1)
    (1.0, 10.0)
    """
    n_days = counts.shape[-1]
    floor = np.broadcast_to(np.asarray(rows, dtype=np.float64), counts.shape[:-1])
    if n_days < WEEK:
        return np.maximum(floor, 0.0) * WITHOUT_DAYS
    mean = totals.sum(axis=-1) / counts.sum(axis=-1)
    variance = mean * (1 - mean)
    over = totals - counts * mean[..., None]
    daily = _spread(over, counts, variance)
    weekly = _spread(_weeks(over), _weeks(counts), variance) * n_days / (n_days - WEEK + 1)
    widest = np.maximum(floor, TEMPER * np.maximum(daily, weekly))
    return np.asarray(widest * max(1.0, WHOLE_DAYS / n_days))


def bar(
    base: Floats | float, *, tolerance: float, widened: Floats | float, n_rows: Floats | float
) -> Floats:
    """Return the mean above which evidence gathers.

    It is base + tolerance + a tenth of the base's standard error: a reference of few rows may
    have been lucky.

    Parameters
    ----------
    base : float or array
        Mean loss of the reference.
    tolerance : float
    widened : float or array
        From `dispersion`.
    n_rows : float or array
        Of the reference.

    Examples
    --------
    >>> round(bar(0.1, tolerance=0.005, widened=4.0, n_rows=3600.0).item(), 4)
    0.106
    """
    base = np.asarray(base, dtype=np.float64)
    error = np.sqrt(widened * base * (1 - base) / np.maximum(n_rows, 1.0))
    return np.clip(base + tolerance + UNSURE_BASE * error, LEAST_BAR, 1 - LEAST_BAR)


def increments(
    counts: Floats, totals: Floats, *, bars: Floats | float, widened: Floats | float
) -> Floats:
    """Return what each day adds to the log of the evidence for each of three rises.

    It is the log-likelihood ratio (k log(q / m) + (n - k) log((1 - q) / (1 - m))) / dispersion
    of a mean q = m + rise against the bar m. For losses in [0, 1] of mean m at most and a
    dispersion of 1 its exponential has a mean of 1 at most, whatever their distribution.

    Parameters
    ----------
    counts, totals : array of shape (..., n_days)
    bars, widened : float or array of shape (...)

    Returns
    -------
    array of shape (..., n_days, 3)
    """
    low = np.asarray(bars, dtype=np.float64)[..., None, None]
    high = np.minimum(low + RISES, (1 + low) / 2)
    gain = totals[..., None] * np.log(high / low)
    lost = (counts - totals)[..., None] * np.log((1 - high) / (1 - low))
    return np.asarray((gain + lost) / np.asarray(widened, dtype=np.float64)[..., None, None])


def log_evidence(steps: Floats) -> Floats:
    """Return the log of the evidence after each day that the mean rose at some day before.

    The sum over all days s of exp(steps from s on), R = (R + 1) exp(step), averaged over the
    rises. Where steps have means of exp(step) of 1 at most, R passes A for the first time after A
    days or more on average (Shiryaev, 1963; Roberts, 1966; Shin, Ramdas and Rinaldo, 2024).

    Parameters
    ----------
    steps : array of shape (..., n_days, n_rises)

    Returns
    -------
    array of shape (..., n_days)

    Examples
    --------
    >>> np.exp(log_evidence(np.zeros((3, 3)))).round(6)
    array([1., 2., 3.])
    """
    found = np.full((*steps.shape[:-2], steps.shape[-1]), -np.inf)
    days = []
    for day in range(steps.shape[-2]):
        found = np.logaddexp(found, 0.0) + steps[..., day, :]
        days.append(np.logaddexp.reduce(found, axis=-1) - np.log(found.shape[-1]))
    return np.stack(days, axis=-1) if days else np.zeros(steps.shape[:-1])


def likeliest_start(steps: Floats) -> int:
    """Return the day from which on the evidence of one stream is largest, counted from 0.

    The argument of the maximum over starts of the sum of steps from there on, over all rises (Page,
    1954).

    Parameters
    ----------
    steps : array of shape (n_days, n_rises), n_days >= 1

    Examples
    --------
    >>> likeliest_start(np.array([[-1.0], [-1.0], [2.0], [1.0]]))
    2
    """
    since = steps[::-1].cumsum(axis=0)[::-1]
    return int(since.max(axis=1).argmax())


def _weeks(days: Floats) -> Floats:
    sums = np.cumsum(days, axis=-1)
    before = np.concatenate([np.zeros_like(sums[..., :1]), sums[..., :-WEEK]], axis=-1)
    return np.asarray(sums[..., WEEK - 1 :] - before)


def _spread(over: Floats, counts: Floats, variance: Floats) -> Floats:
    expected = counts.sum(axis=-1) * variance
    found = (over**2).sum(axis=-1)
    return np.asarray(np.divide(found, expected, out=np.zeros_like(found), where=expected > 0))
