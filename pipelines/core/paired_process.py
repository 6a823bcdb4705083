"""A sequential test that one model is worse than another on the same rows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from scipy import stats

from pipelines.core.losses import LossDay
from pipelines.core.predictions import Floats

EFFECTS = (0.25, 0.5, 1.0, 2.0)
TEMPER = 2 / 3
FEWEST_DAYS = 3
LARGEST_T = 30.0
LEAST_LOG = -50.0


@dataclass(frozen=True)
class PairedProcess:
    """What the test says after each day.

    Attributes
    ----------
    days : tuple of datetime
        Starts of the days that both models have, oldest first.
    values : tuple of float
        Evidence that the champion is worse; it says so where this passes `threshold`.
    threshold : float
        1 / error.
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


def paired_process(
    champion: Sequence[LossDay], other: Sequence[LossDay], *, error: float = 0.05
) -> PairedProcess:
    """Return the evidence that the champion is worse than another model on the same rows.

    It is the likelihood ratio of the t statistic of the daily mean differences between a mean of
    0.25, 0.5, 1 or 2 standard deviations and a mean of 0, averaged, to the power of 2 / 3. What
    makes a day hard for both models cancels. The power is a price for days that depend on each
    other; before three days nothing is said.

    Parameters
    ----------
    champion, other : sequence of LossDay
        Of the same rows by day; days that only one of them has, or for which they have different
        numbers of rows, are left out.
    error : float
        Probability of ever saying "worse" of a champion that is not.

    References
    ----------
    Rushton (1950), On a sequential t-test; Perez-Ortiz, Lardy, de Heide and Grunwald (2024),
    E-statistics, group invariance and anytime-valid testing.

    Examples
    --------
    >>> from datetime import UTC
    >>> days = [datetime(2024, 5, day, tzinfo=UTC) for day in range(1, 11)]
    >>> champion = [LossDay(day, 500, 80.0 + day.day % 3) for day in days]
    >>> previous = [LossDay(day, 500, 50.0) for day in days]
    >>> found = paired_process(champion, previous)
    >>> found.worse_at.day, round(found.difference, 3)
    (5, 0.062)
    """
    pairs = _pairs(champion, other)
    means = np.array([(ours.total - theirs.total) / ours.n for ours, theirs in pairs])
    values = TEMPER * _log_ratios(means)
    passed = np.flatnonzero(values > math.log(1 / error))
    n_rows = sum(ours.n for ours, _ in pairs)
    total = sum(ours.total - theirs.total for ours, theirs in pairs)
    return PairedProcess(
        days=tuple(ours.day for ours, _ in pairs),
        values=tuple(float(value) for value in np.exp(values)),
        threshold=1 / error,
        worse_at=pairs[passed[0]][0].day if passed.size else None,
        difference=total / n_rows if n_rows else None,
        n=n_rows,
    )


def _pairs(champion: Sequence[LossDay], other: Sequence[LossDay]) -> list[tuple[LossDay, LossDay]]:
    theirs = {each.day: each for each in other}
    both = [(each, theirs[each.day]) for each in champion if each.day in theirs]
    return [(ours, their) for ours, their in both if ours.n == their.n and ours.n > 0]


def _log_ratios(means: Floats) -> Floats:
    """Return the log of the averaged likelihood ratio after each day, shape (n_days,)."""
    counts = np.arange(1, means.size + 1, dtype=np.float64)
    sums, squares = means.cumsum(), (means**2).cumsum()
    spread = np.maximum(squares - sums**2 / counts, 0.0) / np.maximum(counts - 1, 1)
    error = np.sqrt(np.maximum(spread / counts, np.finfo(np.float64).tiny))
    t = np.clip(sums / counts / error, -LARGEST_T, LARGEST_T)
    late = counts >= FEWEST_DAYS
    found = np.zeros(means.size)
    found[late] = _log_ratio(t[late], counts[late])
    return found


def _log_ratio(t: Floats, counts: Floats) -> Floats:
    freedom = counts - 1
    under_none = stats.t.logpdf(t, freedom)
    ratios = np.array(
        [stats.nct.logpdf(t, freedom, effect * np.sqrt(counts)) for effect in EFFECTS]
    )
    bounded = np.maximum(np.nan_to_num(ratios - under_none, nan=LEAST_LOG), LEAST_LOG)
    return np.asarray(np.logaddexp.reduce(bounded, axis=0) - math.log(len(EFFECTS)))
