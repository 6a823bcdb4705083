"""From a decision to what the run is to do: which rows judge, which teach, what is tried first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from pipelines.core.findings import Decision, aware, naive
from pipelines.core.plans import Plan, TrainingWindow, WindowName
from pipelines.core.trials import Configuration

LEAST_TO_JUDGE = 100
ENOUGH_TO_JUDGE = 200


@dataclass(frozen=True)
class RetuneRule:
    """How a retune differs from a first search; see `monitoring.retune` in params.yaml."""

    budget_seconds: float | None = 60
    budget_trials: int | None = None
    judge_fraction: float = 0.5
    judge_days: float | None = None
    windows: tuple[WindowName, ...] = ("since_change", "latest", "all", "decayed")
    latest_days: float = 90
    half_life_days: float = 60
    warm_starts: int = 5


def plan_of(
    decision: Decision,
    *,
    moments: pd.Series,
    rule: RetuneRule,
    champion: Sequence[Configuration],
    tops: Sequence[Configuration] = (),
) -> Plan:
    """Return what a refit or a retune is to do.

    Parameters
    ----------
    decision : Decision
        Its action is `refit` or `retune`.
    moments : Series of datetime64, n rows
        When the labelled rows happened that the champion has not learned from.
    rule : RetuneRule
    champion : sequence of Configuration
        Those that it is made of, the heaviest first.
    tops : sequence of Configuration
        The best of past searches, best first.

    Raises
    ------
    ValueError
        If fewer rows than can judge are there.

    Examples
    --------
    >>> from datetime import UTC
    >>> asked = datetime(2024, 5, 1, tzinfo=UTC)
    >>> decision = Decision("d", asked, "churn", "1", "refit", ("loss rose",))
    >>> days = pd.Series(pd.date_range("2024-01-01", periods=120, unit="us")).repeat(10)
    >>> tree = Configuration("tree")
    >>> plan = plan_of(decision, moments=days, rule=RetuneRule(), champion=[tree])
    >>> plan.judge_from, [window.name for window in plan.windows]
    ('2024-03-15T00:00:00+00:00', ['latest', 'all', 'decayed'])
    """
    cut = judged_from(moments, change_from=decision.change_from, rule=rule)
    refit = decision.action == "refit"
    starts = list({str(each): each for each in (*champion, *tops)}.values())
    return Plan(
        mode="refit" if refit else "retune",
        warm_starts=tuple(champion) if refit else tuple(starts[: rule.warm_starts]),
        judge_from=cut.isoformat(),
        windows=tuple(_windows(decision.change_from, cut, rule)),
        budget_seconds=None if refit else rule.budget_seconds,
        budget_trials=len(champion) if refit else rule.budget_trials,
    )


def judged_from(moments: pd.Series, *, change_from: datetime | None, rule: RetuneRule) -> datetime:
    """Return the moment from which rows judge: `judge_fraction` of the rows since the change do.

    Without a change it is of the rows of the last `latest_days`. At least 100 rows judge; where
    200 are enough, only those of the last `judge_days`, so that the others can teach. Rows of one
    moment stay together, so that the share is met as nearly as they allow.

    Parameters
    ----------
    moments : Series of datetime64, n rows
    change_from : datetime, optional
    rule : RetuneRule

    Raises
    ------
    ValueError
        If there are fewer than 100 rows.

    Examples
    --------
    >>> days = pd.Series(pd.date_range("2024-01-01", periods=40, unit="us")).repeat(10)
    >>> judged_from(days, change_from=None, rule=RetuneRule()).date()
    datetime.date(2024, 1, 21)
    """
    if len(moments) < LEAST_TO_JUDGE:
        raise ValueError(
            f"At least {LEAST_TO_JUDGE} labelled rows that the champion has not learned from must"
            f" judge a new model. Got {len(moments)} instead; wait for more labels."
        )
    since = moments.max() - timedelta(days=rule.latest_days)
    since = since if change_from is None else naive(change_from)
    wanted = max(rule.judge_fraction * float((moments >= since).sum()), LEAST_TO_JUDGE)
    if rule.judge_days is not None:
        newest = moments > moments.max() - timedelta(days=rule.judge_days)
        wanted = min(wanted, max(float(newest.sum()), ENOUGH_TO_JUDGE))
    starts, counts = np.unique(moments.to_numpy(), return_counts=True)
    rows_from = np.cumsum(counts[::-1])[::-1]
    enough = rows_from >= LEAST_TO_JUDGE
    nearest = np.abs(rows_from[enough] - wanted).argmin()
    return aware(pd.Timestamp(starts[enough][nearest]))


def _windows(change: datetime | None, cut: datetime, rule: RetuneRule) -> Iterator[TrainingWindow]:
    latest = cut - timedelta(days=rule.latest_days)
    for name in rule.windows:
        if name == "since_change" and change is not None and change < cut:
            yield TrainingWindow(name, change.isoformat())
        elif name == "latest":
            yield TrainingWindow(name, latest.isoformat())
        elif name == "all":
            yield TrainingWindow(name)
        elif name == "decayed":
            yield TrainingWindow(name, half_life_days=rule.half_life_days)
