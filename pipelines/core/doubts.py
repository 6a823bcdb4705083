"""Attempts that the gate could not tell from the champion: how many rows the next one waits for."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipelines.core.findings import Outcome
from pipelines.core.standing import Policy, Standing, asked_attempts

MOST_TIMES = 2.0  # as many rows as there were: of more rows more is learned, too


@dataclass(frozen=True)
class Awaited:
    """What the next attempt waits for.

    Attributes
    ----------
    version : str, optional
        That was refused for want of rows.
    n_rows : int
        Labelled rows since the change.
    until : datetime
        When it is tried again, even with fewer.
    """

    version: str | None
    n_rows: int
    until: datetime


def awaited(standing: Standing, policy: Policy) -> Awaited | None:
    """Return what the next attempt waits for, None where the last one lacked no rows.

    The same share of the rows since a change judges at every attempt, so that as many times the
    rows are waited for as would have told the last one; at most twice, and not for ever.

    Examples
    --------
    >>> from datetime import UTC
    >>> from pipelines.core.findings import Decision
    >>> day = datetime(2024, 5, 1, tzinfo=UTC)
    >>> asked = Decision("d", day, "churn", "3", "retune", ("loss rose",), n_rows=800)
    >>> doubt = Outcome("d", day, "refused", "4", "", "not enough evidence", 200, 300)
    >>> awaited(Standing("3", decisions=(asked,), outcomes=(doubt,)), Policy()).n_rows
    1200
    """
    tried = asked_attempts(standing)
    if not tried or not tried[-1].undecided:
        return None
    last = tried[-1]
    known = {each.id: each.n_rows for each in standing.decisions}[last.decision_id] or 0
    until = last.moment + timedelta(days=policy.longest_wait_days)
    return Awaited(last.version, math.ceil(_times(last) * known), until)


def _times(doubt: Outcome) -> float:
    if not doubt.n_rows or doubt.rows_needed is None:
        return MOST_TIMES
    return min(doubt.rows_needed / doubt.n_rows, MOST_TIMES)
