"""A sequential test that a model's loss rose, with a stated budget of false alarms.

`run_loss_process` tests days of matured losses against the reference's loss plus a tolerance.
It raises an alarm where the evidence passes `false_alarm_days`, the least average number of
days between false alarms, and clears it below the square root of that. It also estimates since
when the loss is higher. How much days differ is learned from the days of the reference; with
few of them the test is slower, and `note` says so.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from evertune.metrics.losses import DailyLoss, counts_and_totals
from evertune.monitoring.performance import PerformanceReference
from evertune.stats.sequential import (
    DAYS_PER_WEEK,
    RELIABLE_HISTORY_DAYS,
    estimate_change_point,
    log_evidence,
    log_likelihood_ratios,
    null_mean,
    overdispersion,
)
from evertune.types import FloatArray

MAX_LOG_EVIDENCE = 600.0
MIN_DISPERSION = 1e-3


@dataclass(frozen=True)
class LossProcess:
    """What the test says after each day.

    Attributes
    ----------
    days : tuple of datetime
        Starts of the days that were fed to it, oldest first.
    values : tuple of float
        The evidence after each of them; an alarm where it passes `threshold`.
    threshold : float
        Days between false alarms, at least, on average.
    alarm_at : datetime, optional
        The day on which the alarm that stands was raised; None where there is none, or where the
        evidence fell below the square root of the threshold since.
    change_from : datetime, optional
        Since when the loss is estimated to be higher: the start that makes the evidence since then
        largest. None while no alarm stands.
    armed : bool
        Whether a new alarm could be raised: no alarm stands.
    alarms : tuple of datetime
        All days on which an alarm was raised.
    base : float
        The reference's loss.
    bar : float
        The loss above which evidence gathers: base, tolerance and the base's own uncertainty.
    dispersion : float
        Variance of sums of losses, over the variance that independent rights and wrongs of the
        same mean would have.
    rise : float, optional
        Estimated rise of the loss since `change_from`.
    note : str
        What a reader has to know, such as a reference with few days.
    """

    days: tuple[datetime, ...]
    values: tuple[float, ...]
    threshold: float
    alarm_at: datetime | None
    change_from: datetime | None
    armed: bool
    alarms: tuple[datetime, ...]
    base: float
    bar: float
    dispersion: float
    rise: float | None = None
    note: str = ""


def run_loss_process(
    reference: PerformanceReference,
    days: Sequence[DailyLoss],
    *,
    tolerance: float = 0.005,
    false_alarm_days: float = 3650,
) -> LossProcess:
    """Return what the test says of days of matured losses.

    Parameters
    ----------
    days : sequence of DailyLoss
        Oldest first, of one version, matured only.
    tolerance : float
        A rise that does not matter.
    false_alarm_days : float
        Days between false alarms, at least, on average.

    Notes
    -----
    Whether an alarm comes within the stated days depends on how the reference's days stand for
    those of production; the tests of the project simulate years of days with effects of their
    own. An alarm is cleared, and another can be raised, once the evidence falls below the square
    root of the threshold.

    Examples
    --------
    >>> from datetime import UTC, timedelta
    >>> first = datetime(2024, 5, 1, tzinfo=UTC)
    >>> quiet = [DailyLoss(first + timedelta(day), 500, 50.0) for day in range(60)]
    >>> reference = PerformanceReference("binary", "roc_auc", 30_000, {}, 0.1, 1.0, tuple(quiet))
    >>> worse = [DailyLoss(each.day + timedelta(4), 500, 75.0) for each in quiet[-4:]]
    >>> found = run_loss_process(reference, [*quiet, *worse])
    >>> found.change_from.day, round(found.rise, 3)
    (30, 0.05)
    """
    counts, totals = counts_and_totals(days)
    widened = overdispersion(*counts_and_totals(reference.days), rows=reference.dispersion).item()
    above = null_mean(
        reference.loss, tolerance=tolerance, widened=widened, n_rows=float(reference.n)
    ).item()
    steps = log_likelihood_ratios(counts, totals, bars=above, widened=max(widened, MIN_DISPERSION))
    values = log_evidence(steps)
    raised, standing = _find_alarms(values, math.log(false_alarm_days))
    start = None if standing is None else estimate_change_point(steps)
    return LossProcess(
        days=tuple(each.day for each in days),
        values=tuple(float(value) for value in np.exp(np.minimum(values, MAX_LOG_EVIDENCE))),
        threshold=false_alarm_days,
        alarm_at=None if standing is None else days[standing].day,
        change_from=None if start is None else days[start].day,
        armed=standing is None,
        alarms=tuple(days[place].day for place in raised),
        base=reference.loss,
        bar=above,
        dispersion=widened,
        rise=None if start is None else _mean_loss_since(counts, totals, start) - reference.loss,
        note=_short_reference_note(len(reference.days)),
    )


def _find_alarms(values: FloatArray, threshold: float) -> tuple[list[int], int | None]:
    """Return the places of all alarms, and of the one that stands."""
    raised, standing = [], None
    for place, value in enumerate(values):
        if standing is None and value > threshold:
            standing = place
            raised.append(place)
        elif value < threshold / 2:
            standing = None
    return raised, standing


def _mean_loss_since(counts: FloatArray, totals: FloatArray, start: int) -> float:
    return float(totals[start:].sum() / counts[start:].sum())


def _short_reference_note(n_days: int) -> str:
    if n_days >= RELIABLE_HISTORY_DAYS:
        return ""
    if n_days < DAYS_PER_WEEK:
        return "the reference has no days to learn from how days differ; the test is far slower"
    return (
        f"the reference has {n_days} days, fewer than {RELIABLE_HISTORY_DAYS}; the test is slower"
    )
