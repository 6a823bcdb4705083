"""How things stand when a decision is made: the policy, the past, and what can be told from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipelines.core.findings import Alarm, Decision, Outcome
from pipelines.core.triggers import layer_of

ENDS = {"promoted", "refused", "failed", "outdated", "rolled back"}
REQUESTS = {"refit", "retune", "rollback"}
CHECK = -1  # in place of a follow-up's number: newer rows are tried without a change
ALMOST_UNCHANGED = 0.005
HELD_SHARE = 0.5
LONGEST_RUN = timedelta(days=1)
MONTH = timedelta(days=30)


@dataclass(frozen=True)
class Policy:
    """When an alarm leads to a retune, and when it does not; see `monitoring.policy`."""

    cooldown_days: float = 7
    longest_cooldown_days: float = 56
    longest_wait_days: float = 28
    retunes_a_month: int = 4
    failed_gates: int = 2
    follow_up_days: tuple[float, ...] = (7, 21, 45)
    check_days: float | None = None
    least_rows: int = 200
    shadow_days: float = 14
    horizon_days: float = 90
    gain_per_row: float | None = None
    cost: float = 0
    labels_come: bool = True


@dataclass(frozen=True)
class Standing:
    """How things stand.

    Attributes
    ----------
    champion : str, optional
        None where there is none yet.
    promoted_at : datetime, optional
        Since when it is champion, by the log's clock.
    decisions, outcomes : tuple
        All that was decided and came of it, oldest first.
    rows_since_change : int
        Labelled rows since the change that `change_of` names; since the promotion, without one.
    unlabelled_since_change : int
        Those that still have no label.
    rows_since_promotion : int
        Labelled rows since `promoted_at`.
    rows_a_day : float
    loss_rise : float, optional
        By how much the realised loss since the change is above its reference.
    explained_rise : float, optional
        By how much the loss of the same rows, estimated without labels, is above it.
    worse_than_previous : str, optional
        The evidence where the paired test says that the champion is worse than the version
        before it.
    unreadable : str, optional
        What could not be read of the state.
    """

    champion: str | None
    promoted_at: datetime | None = None
    decisions: tuple[Decision, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    rows_since_change: int = 0
    unlabelled_since_change: int = 0
    rows_since_promotion: int = 0
    rows_a_day: float = 0
    loss_rise: float | None = None
    explained_rise: float | None = None
    worse_than_previous: str | None = None
    unreadable: str | None = None


def asking(alarms: Sequence[Alarm]) -> tuple[Alarm, ...]:
    """Return the alarms that ask for a refit or a retune."""
    return tuple(alarm for alarm in alarms if alarm.action in ("refit", "retune"))


def change_of(alarms: Sequence[Alarm]) -> datetime | None:
    """Return since when something is estimated to have changed, by the alarms that ask to learn.

    The latest of them: rows of before would teach the old relation.
    """
    moments = [alarm.since for alarm in asking(alarms) if alarm.since is not None]
    return max(moments, default=None)


def with_claims(
    decisions: Sequence[Decision], outcomes: Sequence[Outcome], unserved: Sequence[Decision]
) -> tuple[Outcome, ...]:
    """Return what came of decisions, a request that was claimed and never begun as begun.

    Parameters
    ----------
    decisions, outcomes : sequence
        All there are, oldest first.
    unserved : sequence of Decision
        The requests that nobody has claimed.
    """
    known = {each.id for each in unserved} | {each.decision_id for each in outcomes}
    silent = [each for each in decisions if each.action in REQUESTS and each.id not in known]
    begun = [Outcome(each.id, each.moment, "started") for each in silent]
    return tuple(sorted([*begun, *outcomes], key=lambda each: each.moment))


def unserved_request(standing: Standing) -> Decision | None:
    """Return the newest request about the champion that nobody has begun to serve."""
    begun = {outcome.decision_id for outcome in standing.outcomes}
    waiting = [
        each
        for each in _about_champion(standing)
        if each.action in REQUESTS and each.id not in begun
    ]
    return waiting[-1] if waiting else None


def running(standing: Standing, now: datetime) -> Outcome | None:
    """Return the begin of an attempt that has not ended; after a day it counts as dead."""
    ended = {each.decision_id for each in standing.outcomes if each.kind in ENDS}
    begun = [
        each
        for each in standing.outcomes
        if each.kind == "started"
        and each.decision_id not in ended
        and now - each.moment < LONGEST_RUN
    ]
    return begun[-1] if begun else None


def attempts(standing: Standing) -> tuple[Outcome, ...]:
    """Return what came last of every attempt to learn, oldest first; a rollback is none.

    An attempt that began and never ended has failed, unless it is `running`; what was outdated
    before it began is none.
    """
    ids = {each.id for each in standing.decisions if each.action in ("refit", "retune")}
    kinds = {*ENDS, "started"} - {"outdated"}
    ordered = sorted(standing.outcomes, key=lambda each: each.moment)
    last = {
        each.decision_id: each for each in ordered if each.decision_id in ids and each.kind in kinds
    }
    return tuple(sorted(last.values(), key=lambda each: each.moment))


def failed_gates(standing: Standing) -> int:
    """Return how many attempts in a row to replace the champion the gate refused.

    They count within one spell of alarms: a promotion, a person's acknowledgement and a look
    without an alarm that asks to learn begin a new one. Follow-ups are not counted: that the
    champion is good enough is no failure. Nor is a gate that had too few rows to tell.
    """
    return sum(each.kind == "refused" and not each.undecided for each in asked_attempts(standing))


def asked_attempts(standing: Standing) -> tuple[Outcome, ...]:
    """Return the attempts of this spell of alarms to replace the champion, without follow-ups."""
    counted = {each.id for each in _about_champion(standing) if each.follow_up == 0}
    return tuple(each for each in _of_spell(standing) if each.decision_id in counted)


def refit_refused(standing: Standing) -> bool:
    """Return whether a refit was refused in this spell of alarms, by enough rows to tell."""
    refits = {each.id for each in _about_champion(standing) if each.action == "refit"}
    return any(
        each.kind == "refused" and not each.undecided and each.decision_id in refits
        for each in _of_spell(standing)
    )


def cooled_down_at(standing: Standing, policy: Policy) -> datetime | None:
    """Return when the next attempt may begin; every failed gate doubles the time.

    A refused check holds nothing up: no alarm had asked for it.
    """
    checks = {each.id for each in standing.decisions if each.follow_up == CHECK}
    ended = [
        each
        for each in attempts(standing)
        if each.kind != "refused" or each.decision_id not in checks
    ]
    if not ended:
        return None
    days = policy.cooldown_days * 2.0 ** failed_gates(standing)
    return ended[-1].moment + timedelta(days=min(days, policy.longest_cooldown_days))


def retunes_in_a_month(standing: Standing, now: datetime) -> int:
    """Return how many retunes ended in the last 30 days.

    One whose gate had too few rows to tell is not counted; the one that tries again is.
    """
    ids = {each.id for each in standing.decisions if each.action == "retune"}
    return sum(
        each.decision_id in ids and not each.undecided and now - each.moment < MONTH
        for each in attempts(standing)
    )


def origin_of_follow_ups(standing: Standing) -> tuple[Decision, Outcome] | None:
    """Return the last promoted attempt that alarms asked for, unless it was rolled back."""
    by_id = {each.id: each for each in standing.decisions}
    ends = [
        each
        for each in sorted(standing.outcomes, key=lambda each: each.moment)
        if each.kind == "rolled back"
        or (each.kind == "promoted" and _is_attempt(by_id.get(each.decision_id)))
    ]
    if not ends or ends[-1].kind == "rolled back":
        return None
    return by_id[ends[-1].decision_id], ends[-1]


def next_follow_up(standing: Standing, policy: Policy, *, now: datetime) -> int | None:
    """Return the number of the follow-up refit that is due, counted from 1; None where none is."""
    origin = origin_of_follow_ups(standing)
    if origin is None or origin[0].action != "retune":
        return None
    promoted = origin[1].moment
    made = [each.follow_up for each in standing.decisions if each.moment >= promoted]
    days = policy.follow_up_days
    due = [n for n in range(1, len(days) + 1) if now >= promoted + timedelta(days=days[n - 1])]
    return due[-1] if due and due[-1] > max(made, default=0) else None


def expected_gain(standing: Standing, policy: Policy) -> float | None:
    """Return what a cure of the loss would bring over the horizon, None where nothing says.

    It is the rise of the loss, times the rows of the horizon, times what a unit of loss costs.

    Examples
    --------
    >>> expected_gain(Standing("3", rows_a_day=100, loss_rise=0.05), Policy(gain_per_row=2.0))
    900.0
    """
    if policy.gain_per_row is None or standing.loss_rise is None:
        return None
    return standing.loss_rise * standing.rows_a_day * policy.horizon_days * policy.gain_per_row


def relation_held(alarms: Sequence[Alarm], standing: Standing) -> bool:
    """Return whether the evidence says that only the inputs changed, not what follows from them.

    So it is where the realised loss did not rise, or where the loss that is estimated from the
    inputs alone explains at least half of its rise; and where only drift or estimates alarm
    while no label says anything yet.

    Examples
    --------
    >>> relation_held([], Standing("3", loss_rise=0.06, explained_rise=0.05))
    True
    >>> relation_held([], Standing("3", loss_rise=0.06, explained_rise=0.01))
    False
    """
    if standing.loss_rise is None:
        layers = {layer_of(each.signal) for each in asking(alarms)}
        return bool(layers) and layers <= {"drift", "estimate"}
    if standing.loss_rise <= ALMOST_UNCHANGED:
        return True
    explained = standing.explained_rise
    return explained is not None and explained >= HELD_SHARE * standing.loss_rise


def _is_attempt(decision: Decision | None) -> bool:
    return decision is not None and decision.follow_up == 0


def _about_champion(standing: Standing) -> list[Decision]:
    return [each for each in standing.decisions if each.champion == standing.champion]


def _of_spell(standing: Standing) -> list[Outcome]:
    begin = _spell_begin(standing)
    return [each for each in attempts(standing) if begin is None or each.moment > begin]


def _spell_begin(standing: Standing) -> datetime | None:
    promoted = [
        each.moment for each in standing.outcomes if each.kind in ("promoted", "rolled back")
    ]
    acknowledged = [each.moment for each in standing.outcomes if each.kind == "acknowledged"]
    quiet = [
        each.moment
        for each in standing.decisions
        if each.action == "nothing" and not asking(each.alarms)
    ]
    return max([*promoted, *acknowledged, *quiet], default=None)
