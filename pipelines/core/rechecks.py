"""Newer rows tried now and then, without an alarm that asks for it."""

from datetime import datetime, timedelta

from pipelines.core.standing import Policy, Standing, attempts


def check_due(standing: Standing, policy: Policy, *, now: datetime) -> bool:
    """Return whether newer rows are to be tried without an alarm.

    So it is `check_days` after the last promotion and the last attempt. A change so slow, or a
    reference so rough, that no test tells it apart is found in this way only.

    Examples
    --------
    >>> from datetime import UTC
    >>> day = datetime(2024, 5, 1, tzinfo=UTC)
    >>> standing = Standing("3", promoted_at=day)
    >>> check_due(standing, Policy(check_days=14), now=day + timedelta(days=14))
    True
    """
    if policy.check_days is None or standing.promoted_at is None:
        return False
    latest = max([standing.promoted_at, *(each.moment for each in attempts(standing))])
    return now >= latest + timedelta(days=policy.check_days)
