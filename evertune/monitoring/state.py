"""The state of monitoring: past decisions, their outcomes, and the labelled rows since.

`MonitoringState` answers what the retraining policy asks about the past: which attempts there
were, when the cool-down ends, whether a follow-up is due. An *attempt* is a refit or a retune; an
*episode* of alarms ends with a promotion, a rollback, a person's acknowledgement, or a run of
monitoring without a retraining alarm.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from evertune.config.schema import PolicySection
from evertune.decisions import (
    FINAL_OUTCOMES,
    REQUEST_ACTIONS,
    RETRAINING_ACTIONS,
    Alarm,
    DecisionOutcome,
    MonitoringDecision,
)

CHAMPION_OUTCOMES = ("promoted", "rolled back")
EPISODE_ENDS = (*CHAMPION_OUTCOMES, "acknowledged")
MAX_RUN_TIME = timedelta(days=1)
MONTH = timedelta(days=30)
MAX_ROW_FACTOR = 2.0  # twice the rows also teach more, so there is no use in waiting longer


@dataclass(frozen=True)
class RetryCondition:
    """When the next attempt after an inconclusive gate may start.

    Attributes
    ----------
    version : str, optional
        The version that was refused.
    n_rows : int
        Labelled rows since the change that are needed.
    until : datetime
        From then on fewer rows are enough.
    """

    version: str | None
    n_rows: int
    until: datetime


@dataclass(frozen=True)
class MonitoringState:
    """The past of a champion, and its rows in production.

    Attributes
    ----------
    champion : str, optional
        None if there is none yet.
    promoted_at : datetime, optional
        Since when it is champion, by the log's clock.
    decisions, outcomes : tuple
        All there are, oldest first.
    rows_since_change : int
        Labelled rows since the change that the alarms estimate, or since the promotion.
    unlabelled_since_change : int
        Rows of the same time without a label.
    rows_since_promotion : int
        Labelled rows since `promoted_at`.
    loss_rise : float, optional
        Realised loss since the change, less that of the reference.
    explained_rise : float, optional
        The same for the loss that is estimated without labels.
    worse_than_previous : str, optional
        The evidence, if the paired test finds the champion worse than the version before it.
    unreadable : str, optional
        Why the stored past cannot be read.
    challenger : str, optional
        The version that was trained last and not promoted.
    """

    champion: str | None
    promoted_at: datetime | None = None
    decisions: tuple[MonitoringDecision, ...] = ()
    outcomes: tuple[DecisionOutcome, ...] = ()
    rows_since_change: int = 0
    unlabelled_since_change: int = 0
    rows_since_promotion: int = 0
    rows_a_day: float = 0
    loss_rise: float | None = None
    explained_rise: float | None = None
    worse_than_previous: str | None = None
    unreadable: str | None = None
    challenger: str | None = None

    def champion_change(self) -> DecisionOutcome | None:
        """Return the promotion or rollback that made the champion, None if none is recorded."""
        changes = [
            each
            for each in self.outcomes
            if each.version == self.champion and each.kind in CHAMPION_OUTCOMES
        ]
        return changes[-1] if changes else None

    def pending_request(self) -> MonitoringDecision | None:
        """Return the newest request about the champion that nobody has begun to carry out."""
        begun = {outcome.decision_id for outcome in self.outcomes}
        pending = [
            each
            for each in self._decisions_about_champion()
            if each.action in REQUEST_ACTIONS and each.id not in begun
        ]
        return pending[-1] if pending else None

    def running_attempt(self, now: datetime) -> DecisionOutcome | None:
        """Return the start of an attempt that has not ended; after a day it counts as dead."""
        ended = {each.decision_id for each in self.outcomes if each.kind in FINAL_OUTCOMES}
        running = [
            each
            for each in self.outcomes
            if each.kind == "started"
            and each.decision_id not in ended
            and now - each.moment < MAX_RUN_TIME
        ]
        return running[-1] if running else None

    def interrupted_request(self, now: datetime) -> MonitoringDecision | None:
        """Return the newest request about the champion whose run was killed within a day.

        A rollback that was killed may have made its version champion already.
        """
        last = {each.decision_id: each for each in self.outcomes}
        return next(
            (
                each
                for each in reversed(self.decisions)
                if each.id in last
                and self.champion in (each.champion, last[each.id].version or each.champion)
                and last[each.id].kind == "interrupted"
                and now - last[each.id].moment < MAX_RUN_TIME
            ),
            None,
        )

    def dead_attempts(self, now: datetime) -> tuple[DecisionOutcome, ...]:
        """Return the starts of attempts that have no end after a day."""
        ended = {each.decision_id for each in self.outcomes if each.kind in FINAL_OUTCOMES}
        return tuple(
            each
            for each in self.outcomes
            if each.kind in ("started", "interrupted")
            and each.decision_id not in ended
            and now - each.moment >= MAX_RUN_TIME
        )

    def attempts(self) -> tuple[DecisionOutcome, ...]:
        """Return the last outcome of every attempt, oldest first.

        One that began and never ended counts as failed, unless it is `running_attempt`; one that
        was outdated before it began is none.
        """
        ids = {each.id for each in self.decisions if each.action in RETRAINING_ACTIONS}
        last = {
            each.decision_id: each
            for each in sorted(self.outcomes, key=lambda each: each.moment)
            if each.decision_id in ids and each.kind not in ("outdated", "acknowledged")
        }
        return tuple(sorted(last.values(), key=lambda each: each.moment))

    def alarm_attempts(self) -> tuple[DecisionOutcome, ...]:
        """Return the attempts of this episode that alarms requested, without follow-ups."""
        ids = {each.id for each in self._decisions_about_champion() if each.is_on_alarm}
        return tuple(each for each in self._attempts_in_episode() if each.decision_id in ids)

    def n_failed_gates(self) -> int:
        """Return how many attempts in a row the gate refused in this episode.

        Follow-ups do not count (that the champion is good enough is no failure), nor do gates that
        had too few rows to decide.
        """
        return sum(each.kind == "refused" and not each.undecided for each in self.alarm_attempts())

    def was_refit_refused(self) -> bool:
        """Return whether the gate refused a refit in this episode, with enough rows to decide."""
        refits = {each.id for each in self._decisions_about_champion() if each.action == "refit"}
        return any(
            each.kind == "refused" and not each.undecided and each.decision_id in refits
            for each in self._attempts_in_episode()
        )

    def cooldown_end(self, policy: PolicySection) -> datetime | None:
        """Return when the next attempt may start; every failed gate doubles the wait.

        A refused periodic refit does not hold up alarms.
        """
        periodic = {each.id for each in self.decisions if each.is_periodic}
        ended = [
            each
            for each in self.attempts()
            if each.kind != "refused" or each.decision_id not in periodic
        ]
        if not ended:
            return None
        days = policy.cooldown_days * 2.0 ** self.n_failed_gates()
        return ended[-1].moment + timedelta(days=min(days, policy.longest_cooldown_days))

    def n_retunes_in_month(self, now: datetime) -> int:
        """Return the retunes of the last 30 days, without those whose gate lacked rows."""
        ids = {each.id for each in self.decisions if each.action == "retune"}
        return sum(
            each.decision_id in ids and not each.undecided and now - each.moment < MONTH
            for each in self.attempts()
        )

    def retry_condition(self, policy: PolicySection) -> RetryCondition | None:
        """Return what to wait for after an inconclusive gate, None if the last one was conclusive.

        The same share of the rows since a change judges every attempt. So the next one waits for
        the multiple of rows that would have been conclusive, at most twice as many, and at most
        `longest_wait_days`.

        Examples
        --------
        >>> from datetime import UTC
        >>> day = datetime(2024, 5, 1, tzinfo=UTC)
        >>> request = MonitoringDecision("d", day, "churn", "3", "retune", (), n_rows=800)
        >>> doubt = DecisionOutcome("d", day, "refused", "4", "", "not enough evidence", 200, 300)
        >>> state = MonitoringState("3", decisions=(request,), outcomes=(doubt,))
        >>> state.retry_condition(PolicySection()).n_rows
        1200
        """
        attempts = self.alarm_attempts()
        if not attempts or not attempts[-1].undecided:
            return None
        last = attempts[-1]
        n_rows = {each.id: each.n_rows for each in self.decisions}[last.decision_id] or 0
        factor = MAX_ROW_FACTOR
        if last.n_rows and last.rows_needed is not None:
            factor = min(last.rows_needed / last.n_rows, MAX_ROW_FACTOR)
        until = last.moment + timedelta(days=policy.longest_wait_days)
        return RetryCondition(last.version, math.ceil(factor * n_rows), until)

    def due_follow_up(
        self, policy: PolicySection, now: datetime
    ) -> tuple[MonitoringDecision, int] | None:
        """Return the retune whose follow-up refit is due, and the follow-up's number, from 1.

        It is the last promoted retune that alarms requested, unless it was rolled back.
        """
        by_id = {each.id: each for each in self.decisions}
        origin: tuple[MonitoringDecision, datetime] | None = None
        for each in sorted(self.outcomes, key=lambda each: each.moment):
            decision = by_id.get(each.decision_id)
            if each.kind == "rolled back":
                origin = None
            elif each.kind == "promoted" and decision and decision.is_on_alarm:
                origin = (decision, each.moment) if decision.action == "retune" else None
        if origin is None:
            return None
        retune, promoted = origin
        since = (each for each in self.decisions if each.moment >= promoted)
        done = max((each.follow_up for each in since if each.is_follow_up), default=0)
        due = max(
            (
                number
                for number, days in enumerate(policy.follow_up_days, start=1)
                if now >= promoted + timedelta(days=days)
            ),
            default=0,
        )
        return (retune, due) if due > done else None

    def is_periodic_refit_due(self, policy: PolicySection, now: datetime) -> bool:
        """Return whether `refit_interval_days` passed since the last promotion and attempt."""
        if policy.refit_interval_days is None or self.promoted_at is None:
            return False
        latest = max([self.promoted_at, *(each.moment for each in self.attempts())])
        return now >= latest + timedelta(days=policy.refit_interval_days)

    def expected_gain(self, policy: PolicySection) -> float | None:
        """Return what removing the loss rise is worth over the horizon, None if not known.

        The rise of the loss, times the rows of the horizon, times what a unit of loss costs.

        Examples
        --------
        >>> state = MonitoringState("3", rows_a_day=100, loss_rise=0.05)
        >>> state.expected_gain(PolicySection(gain_per_row=2.0))
        900.0
        """
        if policy.gain_per_row is None or self.loss_rise is None:
            return None
        return self.loss_rise * self.rows_a_day * policy.horizon_days * policy.gain_per_row

    def _decisions_about_champion(self) -> list[MonitoringDecision]:
        return [each for each in self.decisions if each.champion == self.champion]

    def _attempts_in_episode(self) -> list[DecisionOutcome]:
        ends = [each.moment for each in self.outcomes if each.kind in EPISODE_ENDS]
        ends += [
            each.moment
            for each in self.decisions
            if each.action == "nothing" and not retraining_alarms(each.alarms)
        ]
        return [each for each in self.attempts() if not ends or each.moment > max(ends)]


def retraining_alarms(alarms: Sequence[Alarm]) -> tuple[Alarm, ...]:
    """Return the alarms that ask for a refit or a retune."""
    return tuple(alarm for alarm in alarms if alarm.action in RETRAINING_ACTIONS)


def change_point(alarms: Sequence[Alarm]) -> datetime | None:
    """Return the latest change that retraining alarms estimate; older rows are of the past."""
    moments = [alarm.since for alarm in retraining_alarms(alarms) if alarm.since is not None]
    return max(moments, default=None)


def with_claimed_requests(
    decisions: Sequence[MonitoringDecision],
    outcomes: Sequence[DecisionOutcome],
    unclaimed: Sequence[MonitoringDecision],
) -> tuple[DecisionOutcome, ...]:
    """Return all outcomes; a request that was claimed and has no outcome counts as started."""
    known = {each.id for each in unclaimed} | {each.decision_id for each in outcomes}
    started = [
        DecisionOutcome(each.id, each.moment, "started")
        for each in decisions
        if each.action in REQUEST_ACTIONS and each.id not in known
    ]
    return tuple(sorted([*started, *outcomes], key=lambda each: each.moment))
