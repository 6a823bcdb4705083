"""A sequential test that the loss of a model rose, with a stated budget of false alarms."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from pipelines.core.evidence import (
    WEEK,
    WHOLE_DAYS,
    bar,
    dispersion,
    increments,
    likeliest_start,
    log_evidence,
)
from pipelines.core.losses import LossDay, sums_of
from pipelines.core.performance_reference import PerformanceReference
from pipelines.core.predictions import Floats

LARGEST_LOG = 600.0
LEAST_DISPERSION = 1e-3


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


def loss_process(
    reference: PerformanceReference,
    days: Sequence[LossDay],
    *,
    tolerance: float = 0.005,
    false_alarm_days: float = 3650,
) -> LossProcess:
    """Return what the test says of days of matured losses.

    Parameters
    ----------
    reference : PerformanceReference
    days : sequence of LossDay
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
    >>> quiet = [LossDay(first + timedelta(day), 500, 50.0) for day in range(60)]
    >>> reference = PerformanceReference("binary", "roc_auc", 30_000, {}, 0.1, 1.0, tuple(quiet))
    >>> worse = [LossDay(each.day + timedelta(4), 500, 75.0) for each in quiet[-4:]]
    >>> found = loss_process(reference, [*quiet, *worse])
    >>> found.change_from.day, round(found.rise, 3)
    (30, 0.05)
    """
    counts, totals = sums_of(days)
    widened = dispersion(*sums_of(reference.days), rows=reference.dispersion).item()
    above = bar(
        reference.loss, tolerance=tolerance, widened=widened, n_rows=float(reference.n)
    ).item()
    steps = increments(counts, totals, bars=above, widened=max(widened, LEAST_DISPERSION))
    values = log_evidence(steps)
    raised, standing = _raised(values, math.log(false_alarm_days))
    start = None if standing is None else likeliest_start(steps)
    return LossProcess(
        days=tuple(each.day for each in days),
        values=tuple(float(value) for value in np.exp(np.minimum(values, LARGEST_LOG))),
        threshold=false_alarm_days,
        alarm_at=None if standing is None else days[standing].day,
        change_from=None if start is None else days[start].day,
        armed=standing is None,
        alarms=tuple(days[place].day for place in raised),
        base=reference.loss,
        bar=above,
        dispersion=widened,
        rise=None if start is None else _mean_since(counts, totals, start) - reference.loss,
        note=_note(len(reference.days)),
    )


def _raised(values: Floats, threshold: float) -> tuple[list[int], int | None]:
    """Return the places of all alarms, and of the one that stands."""
    raised, standing = [], None
    for place, value in enumerate(values):
        if standing is None and value > threshold:
            standing = place
            raised.append(place)
        elif value < threshold / 2:
            standing = None
    return raised, standing


def _mean_since(counts: Floats, totals: Floats, start: int) -> float:
    return float(totals[start:].sum() / counts[start:].sum())


def _note(n_days: int) -> str:
    if n_days >= WHOLE_DAYS:
        return ""
    if n_days < WEEK:
        return "the reference has no days to learn from how days differ; the test is far slower"
    return f"the reference has {n_days} days, fewer than {WHOLE_DAYS}; the test is slower"
