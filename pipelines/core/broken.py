"""Windows whose data broke its contract: what happened in them is no evidence."""

from collections.abc import Sequence
from datetime import timedelta

from pipelines.core.findings import Finding, Window
from pipelines.core.losses import LossDay
from pipelines.core.row_faults import is_broken

DAY = timedelta(days=1)


def broken_windows(findings: Sequence[Finding]) -> tuple[Window, ...]:
    """Return the windows whose rows break the contract, oldest first."""
    found = {each.window.start: each.window for each in findings if is_broken(each)}
    return tuple(found[start] for start in sorted(found))


def judged_days(days: Sequence[LossDay], findings: Sequence[Finding]) -> tuple[LossDay, ...]:
    """Return the days of which no part lies in a window whose data is broken.

    What a model loses on broken data says nothing about the relation that it learned.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> monday = datetime(2024, 5, 6, tzinfo=UTC)
    >>> broke = Finding("missing", "contract", Window(monday, monday + DAY), 0.9, state="breach")
    >>> days = [LossDay(monday, 9, 5.0), LossDay(monday + DAY, 9, 1.0)]
    >>> [each.day.day for each in judged_days(days, [broke])]
    [7]
    """
    broken = broken_windows(findings)
    return tuple(each for each in days if not any(_touches(each, window) for window in broken))


def _touches(day: LossDay, window: Window) -> bool:
    return window.start < day.day + DAY and day.day < window.end
