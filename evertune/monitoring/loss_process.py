"""A sequential test that a model's loss rose, with a stated budget of false alarms.

`run_loss_process` tests days of matured losses against the reference's loss plus a tolerance.
It raises an alarm when the evidence passes `false_alarm_days`, the least average number of
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

MAX_LOG_EVIDENCE = 600.0
MIN_DISPERSION = 1e-3


@dataclass(frozen=True)
class LossProcess:
    """The evidence after each day, and the alarms that it raised.

    Attributes
    ----------
    days : tuple of datetime
        Starts of the tested days, oldest first.
    values : tuple of float
        The evidence after each of them; an alarm is raised above `threshold`.
    threshold : float
        Days between false alarms, at least, on average.
    alarms : tuple of datetime
        All days on which an alarm was raised.
    alarm_at : datetime, optional
        The day on which the current alarm was raised; None if there is none, or if the evidence
        fell below the square root of the threshold since.
    change_from : datetime, optional
        Since when the loss is estimated to be higher: the start that makes the evidence since then
        largest. None without a current alarm.
    rise : float, optional
        Estimated rise of the loss since `change_from`.
    note : str
        Why the test is slower than usual, such as a reference with few days.
    """

    days: tuple[datetime, ...]
    values: tuple[float, ...]
    threshold: float
    alarms: tuple[datetime, ...] = ()
    alarm_at: datetime | None = None
    change_from: datetime | None = None
    rise: float | None = None
    note: str = ""


def run_loss_process(
    reference: PerformanceReference,
    days: Sequence[DailyLoss],
    *,
    tolerance: float = 0.005,
    false_alarm_days: float = 3650,
) -> LossProcess:
    """Return the evidence of days of matured losses that the loss rose.

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
    Whether an alarm comes within the stated days depends on how the reference's days resemble
    those of production; the tests of the project simulate years of days with effects of their
    own.

    Examples
    --------
    >>> from datetime import UTC, timedelta
    >>> first = datetime(2024, 5, 1, tzinfo=UTC)
    >>> quiet = [DailyLoss(first + timedelta(day), 500, 50.0) for day in range(60)]
    >>> reference = PerformanceReference("binary", "roc_auc", 30_000, {}, 0.1, 1.0, tuple(quiet))
    >>> worse = [DailyLoss(each.day + timedelta(4), 500, 75.0) for each in quiet[-4:]]
    >>> process = run_loss_process(reference, [*quiet, *worse])
    >>> process.change_from.day, round(process.rise, 3)
    (30, 0.05)
    """
    counts, totals = counts_and_totals(days)
    widened = overdispersion(*counts_and_totals(reference.days), rows=reference.dispersion).item()
    bar = null_mean(
        reference.loss, tolerance=tolerance, widened=widened, n_rows=float(reference.n)
    ).item()
    steps = log_likelihood_ratios(counts, totals, bars=bar, widened=max(widened, MIN_DISPERSION))
    evidence = log_evidence(steps)
    raised: list[int] = []
    is_alarming = False
    for day, value in enumerate(evidence):
        if not is_alarming and value > math.log(false_alarm_days):
            is_alarming = True
            raised.append(day)
        elif value < math.log(false_alarm_days) / 2:
            is_alarming = False
    change = rise = None
    if is_alarming:
        change = estimate_change_point(steps)
        rise = float(totals[change:].sum() / counts[change:].sum()) - reference.loss
    n_days, note = len(reference.days), ""
    if n_days < DAYS_PER_WEEK:
        note = "the reference has no days to learn from how days differ; the test is far slower"
    elif n_days < RELIABLE_HISTORY_DAYS:
        note = (
            f"the reference has {n_days} days, fewer than {RELIABLE_HISTORY_DAYS};"
            " the test is slower"
        )
    return LossProcess(
        days=tuple(each.day for each in days),
        values=tuple(np.exp(np.minimum(evidence, MAX_LOG_EVIDENCE)).tolist()),
        threshold=false_alarm_days,
        alarms=tuple(days[day].day for day in raised),
        alarm_at=days[raised[-1]].day if is_alarming else None,
        change_from=None if change is None else days[change].day,
        rise=rise,
        note=note,
    )
