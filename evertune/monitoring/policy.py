"""The retraining policy: what to do about alarms, and when to wait instead.

`decide` applies `POLICY_RULES` in order; the first rule that applies makes the decision. It is
a pure function of the alarms, the `MonitoringState` (past decisions, outcomes, labelled rows),
the `Policy` from params.yaml and the time. The same evidence about the same champion gives the
same decision id, and a request that nobody has begun to serve is returned as it was made.

Each refused gate doubles the cool-down; after `max_failed_gates` refusals in a row a person is
asked. After an inconclusive gate, `retry_condition` says how many rows the next attempt waits
for. Without an alarm, newer rows are tried every `refit_interval_days` (`is_periodic_refit_due`): this
finds changes that are too slow for any test. `notification_kind` says whether a decision is
news.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from evertune.decisions import Action, Alarm, DecisionOutcome, MonitoringDecision
from evertune.monitoring.triggers import signal_layer

FINAL_OUTCOMES = {"promoted", "refused", "failed", "outdated", "rolled back"}
REQUEST_ACTIONS = {"refit", "retune", "rollback"}
PERIODIC_REFIT = -1  # in place of a follow-up's number: newer rows are tried without a change
NEGLIGIBLE_LOSS_RISE = 0.005
MIN_EXPLAINED_SHARE = 0.5
MAX_RUN_TIME = timedelta(days=1)
MONTH = timedelta(days=30)


@dataclass(frozen=True)
class MonitoringState:
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
        Labelled rows since the change that `change_point` names; since the promotion, without one.
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


def count_failed_gates(standing: MonitoringState) -> int:
    """Return how many attempts in a row to replace the champion the gate refused.

    They count within one spell of alarms: a promotion, a person's acknowledgement and a look
    without an alarm that asks to learn begin a new one. Follow-ups are not counted: that the
    champion is good enough is no failure. Nor is a gate that had too few rows to tell.
    """
    return sum(each.kind == "refused" and not each.undecided for each in alarm_attempts(standing))


@dataclass(frozen=True)
class Policy:
    """When an alarm leads to a retune, and when it does not; see `monitoring.policy`."""

    cooldown_days: float = 7
    longest_cooldown_days: float = 56
    longest_wait_days: float = 28
    retunes_a_month: int = 4
    max_failed_gates: int = 2
    follow_up_days: tuple[float, ...] = (7, 21, 45)
    refit_interval_days: float | None = None
    least_rows: int = 200
    shadow_days: float = 14
    horizon_days: float = 90
    gain_per_row: float | None = None
    cost: float = 0
    labels_available: bool = True


def retraining_alarms(alarms: Sequence[Alarm]) -> tuple[Alarm, ...]:
    """Return the alarms that ask for a refit or a retune."""
    return tuple(alarm for alarm in alarms if alarm.action in ("refit", "retune"))


def change_point(alarms: Sequence[Alarm]) -> datetime | None:
    """Return since when something is estimated to have changed, by the alarms that ask to learn.

    The latest of them: rows of before would teach the old relation.
    """
    moments = [alarm.since for alarm in retraining_alarms(alarms) if alarm.since is not None]
    return max(moments, default=None)


def with_claimed_requests(
    decisions: Sequence[MonitoringDecision],
    outcomes: Sequence[DecisionOutcome],
    unserved: Sequence[MonitoringDecision],
) -> tuple[DecisionOutcome, ...]:
    """Return what came of decisions, a request that was claimed and never begun as begun.

    Parameters
    ----------
    decisions, outcomes : sequence
        All there are, oldest first.
    unserved : sequence of MonitoringDecision
        The requests that nobody has claimed.
    """
    known = {each.id for each in unserved} | {each.decision_id for each in outcomes}
    silent = [each for each in decisions if each.action in REQUEST_ACTIONS and each.id not in known]
    begun = [DecisionOutcome(each.id, each.moment, "started") for each in silent]
    return tuple(sorted([*begun, *outcomes], key=lambda each: each.moment))


def pending_request(standing: MonitoringState) -> MonitoringDecision | None:
    """Return the newest request about the champion that nobody has begun to serve."""
    begun = {outcome.decision_id for outcome in standing.outcomes}
    waiting = [
        each
        for each in _decisions_about_champion(standing)
        if each.action in REQUEST_ACTIONS and each.id not in begun
    ]
    return waiting[-1] if waiting else None


def running_attempt(standing: MonitoringState, now: datetime) -> DecisionOutcome | None:
    """Return the begin of an attempt that has not ended; after a day it counts as dead."""
    ended = {each.decision_id for each in standing.outcomes if each.kind in FINAL_OUTCOMES}
    begun = [
        each
        for each in standing.outcomes
        if each.kind == "started"
        and each.decision_id not in ended
        and now - each.moment < MAX_RUN_TIME
    ]
    return begun[-1] if begun else None


def attempt_outcomes(standing: MonitoringState) -> tuple[DecisionOutcome, ...]:
    """Return what came last of every attempt to learn, oldest first; a rollback is none.

    An attempt that began and never ended has failed, unless it is `running_attempt`; what was
    outdated
    before it began is none.
    """
    ids = {each.id for each in standing.decisions if each.action in ("refit", "retune")}
    kinds = {*FINAL_OUTCOMES, "started"} - {"outdated"}
    ordered = sorted(standing.outcomes, key=lambda each: each.moment)
    last = {
        each.decision_id: each for each in ordered if each.decision_id in ids and each.kind in kinds
    }
    return tuple(sorted(last.values(), key=lambda each: each.moment))


def alarm_attempts(standing: MonitoringState) -> tuple[DecisionOutcome, ...]:
    """Return the attempts of this spell of alarms to replace the champion, without follow-ups."""
    counted = {each.id for each in _decisions_about_champion(standing) if each.follow_up == 0}
    return tuple(each for each in _attempts_in_episode(standing) if each.decision_id in counted)


def was_refit_refused(standing: MonitoringState) -> bool:
    """Return whether a refit was refused in this spell of alarms, by enough rows to tell."""
    refits = {each.id for each in _decisions_about_champion(standing) if each.action == "refit"}
    return any(
        each.kind == "refused" and not each.undecided and each.decision_id in refits
        for each in _attempts_in_episode(standing)
    )


def cooldown_end(standing: MonitoringState, policy: Policy) -> datetime | None:
    """Return when the next attempt may begin; every failed gate doubles the time.

    A refused check holds nothing up: no alarm had asked for it.
    """
    checks = {each.id for each in standing.decisions if each.follow_up == PERIODIC_REFIT}
    ended = [
        each
        for each in attempt_outcomes(standing)
        if each.kind != "refused" or each.decision_id not in checks
    ]
    if not ended:
        return None
    days = policy.cooldown_days * 2.0 ** count_failed_gates(standing)
    return ended[-1].moment + timedelta(days=min(days, policy.longest_cooldown_days))


def count_recent_retunes(standing: MonitoringState, now: datetime) -> int:
    """Return how many retunes ended in the last 30 days.

    One whose gate had too few rows to tell is not counted; the one that tries again is.
    """
    ids = {each.id for each in standing.decisions if each.action == "retune"}
    return sum(
        each.decision_id in ids and not each.undecided and now - each.moment < MONTH
        for each in attempt_outcomes(standing)
    )


def follow_up_origin(
    standing: MonitoringState,
) -> tuple[MonitoringDecision, DecisionOutcome] | None:
    """Return the last promoted attempt that alarms asked for, unless it was rolled back."""
    by_id = {each.id: each for each in standing.decisions}
    ends = [
        each
        for each in sorted(standing.outcomes, key=lambda each: each.moment)
        if each.kind == "rolled back"
        or (each.kind == "promoted" and _is_not_follow_up(by_id.get(each.decision_id)))
    ]
    if not ends or ends[-1].kind == "rolled back":
        return None
    return by_id[ends[-1].decision_id], ends[-1]


def next_follow_up_number(
    standing: MonitoringState, policy: Policy, *, now: datetime
) -> int | None:
    """Return the number of the follow-up refit that is due, counted from 1; None where none is."""
    origin = follow_up_origin(standing)
    if origin is None or origin[0].action != "retune":
        return None
    promoted = origin[1].moment
    made = [each.follow_up for each in standing.decisions if each.moment >= promoted]
    days = policy.follow_up_days
    due = [n for n in range(1, len(days) + 1) if now >= promoted + timedelta(days=days[n - 1])]
    return due[-1] if due and due[-1] > max(made, default=0) else None


def estimate_gain(standing: MonitoringState, policy: Policy) -> float | None:
    """Return what a cure of the loss would bring over the horizon, None where nothing says.

    It is the rise of the loss, times the rows of the horizon, times what a unit of loss costs.

    Examples
    --------
    >>> estimate_gain(MonitoringState("3", rows_a_day=100, loss_rise=0.05), Policy(gain_per_row=2.0))
    900.0
    """
    if policy.gain_per_row is None or standing.loss_rise is None:
        return None
    return standing.loss_rise * standing.rows_a_day * policy.horizon_days * policy.gain_per_row


def is_covariate_shift(alarms: Sequence[Alarm], standing: MonitoringState) -> bool:
    """Return whether the evidence says that only the inputs changed, not what follows from them.

    So it is where the realised loss did not rise, or where the loss that is estimated from the
    inputs alone explains at least half of its rise; and where only drift or estimates alarm
    while no label says anything yet.

    Examples
    --------
    >>> is_covariate_shift([], MonitoringState("3", loss_rise=0.06, explained_rise=0.05))
    True
    >>> is_covariate_shift([], MonitoringState("3", loss_rise=0.06, explained_rise=0.01))
    False
    """
    if standing.loss_rise is None:
        layers = {signal_layer(each.signal) for each in retraining_alarms(alarms)}
        return bool(layers) and layers <= {"drift", "estimate"}
    if standing.loss_rise <= NEGLIGIBLE_LOSS_RISE:
        return True
    explained = standing.explained_rise
    return explained is not None and explained >= MIN_EXPLAINED_SHARE * standing.loss_rise


def _is_not_follow_up(decision: MonitoringDecision | None) -> bool:
    return decision is not None and decision.follow_up == 0


def _decisions_about_champion(standing: MonitoringState) -> list[MonitoringDecision]:
    return [each for each in standing.decisions if each.champion == standing.champion]


def _attempts_in_episode(standing: MonitoringState) -> list[DecisionOutcome]:
    begin = _episode_start(standing)
    return [each for each in attempt_outcomes(standing) if begin is None or each.moment > begin]


def _episode_start(standing: MonitoringState) -> datetime | None:
    promoted = [
        each.moment for each in standing.outcomes if each.kind in ("promoted", "rolled back")
    ]
    acknowledged = [each.moment for each in standing.outcomes if each.kind == "acknowledged"]
    quiet = [
        each.moment
        for each in standing.decisions
        if each.action == "nothing" and not retraining_alarms(each.alarms)
    ]
    return max([*promoted, *acknowledged, *quiet], default=None)


MAX_ROW_FACTOR = 2.0  # as many rows as there were: of more rows more is learned, too


@dataclass(frozen=True)
class RetryCondition:
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


def retry_condition(standing: MonitoringState, policy: Policy) -> RetryCondition | None:
    """Return what the next attempt waits for, None where the last one lacked no rows.

    The same share of the rows since a change judges at every attempt, so that as many times the
    rows are waited for as would have told the last one; at most twice, and not for ever.

    Examples
    --------
    >>> from datetime import UTC
    >>> from evertune.decisions import MonitoringDecision
    >>> day = datetime(2024, 5, 1, tzinfo=UTC)
    >>> asked = MonitoringDecision("d", day, "churn", "3", "retune", ("loss rose",), n_rows=800)
    >>> doubt = DecisionOutcome("d", day, "refused", "4", "", "not enough evidence", 200, 300)
    >>> retry_condition(MonitoringState("3", decisions=(asked,), outcomes=(doubt,)), Policy()).n_rows
    1200
    """
    tried = alarm_attempts(standing)
    if not tried or not tried[-1].undecided:
        return None
    last = tried[-1]
    known = {each.id: each.n_rows for each in standing.decisions}[last.decision_id] or 0
    until = last.moment + timedelta(days=policy.longest_wait_days)
    return RetryCondition(last.version, math.ceil(_row_factor(last) * known), until)


def _row_factor(doubt: DecisionOutcome) -> float:
    if not doubt.n_rows or doubt.rows_needed is None:
        return MAX_ROW_FACTOR
    return min(doubt.rows_needed / doubt.n_rows, MAX_ROW_FACTOR)


def is_periodic_refit_due(standing: MonitoringState, policy: Policy, *, now: datetime) -> bool:
    """Return whether newer rows are to be tried without an alarm.

    So it is `refit_interval_days` after the last promotion and the last attempt. A change so slow, or a
    reference so rough, that no test tells it apart is found in this way only.

    Examples
    --------
    >>> from datetime import UTC
    >>> day = datetime(2024, 5, 1, tzinfo=UTC)
    >>> standing = MonitoringState("3", promoted_at=day)
    >>> is_periodic_refit_due(standing, Policy(refit_interval_days=14), now=day + timedelta(days=14))
    True
    """
    if policy.refit_interval_days is None or standing.promoted_at is None:
        return False
    latest = max([standing.promoted_at, *(each.moment for each in attempt_outcomes(standing))])
    return now >= latest + timedelta(days=policy.refit_interval_days)


@dataclass(frozen=True)
class RuleInput:
    """All that a rule of the ladder looks at."""

    alarms: tuple[Alarm, ...]
    standing: MonitoringState
    policy: Policy
    now: datetime


@dataclass(frozen=True)
class RuleDecision:
    """What a rule decides, and why; `evidence` tells one choice of its kind from another."""

    action: Action
    reason: str
    evidence: str = ""
    follow_up: int = 0
    change_from: datetime | None = None
    ask_a_person: bool = False


def _unreadable_state(case: RuleInput) -> RuleDecision | None:
    """Learn nothing where the past cannot be read: it may say that we must not."""
    fault = case.standing.unreadable
    if fault is None:
        return None
    return RuleDecision(
        "block", f"the state cannot be read: {fault}", _format_day(case), ask_a_person=True
    )


def _no_champion(case: RuleInput) -> RuleDecision | None:
    """Do nothing without a champion: there is nothing to watch."""
    if case.standing.champion is not None:
        return None
    return RuleDecision(
        "nothing", "there is no champion yet; `evertune train` makes one", _format_day(case)
    )


def _broken_data(case: RuleInput) -> RuleDecision | None:
    """Learn nothing from broken data, and tell somebody."""
    broken = [each for each in case.alarms if each.action == "block"]
    if not broken:
        return None
    windows = sorted({f"{f.window.start:%Y-%m-%dT%H:%M}" for each in broken for f in each.findings})
    evidence = " ".join([*sorted(each.trigger for each in broken), *windows[-1:]])
    return RuleDecision("block", "the data is broken: nothing is learned from it", evidence)


def _worse_than_previous(case: RuleInput) -> RuleDecision | None:
    """Give the place back where the version before it is better."""
    evidence = case.standing.worse_than_previous
    if evidence is None:
        return None
    tried = sum(each.kind == "failed" for each in case.standing.outcomes)
    return RuleDecision("rollback", evidence, str(tried))


def _attempt_running(case: RuleInput) -> RuleDecision | None:
    """Wait while an attempt runs."""
    begun = running_attempt(case.standing, case.now)
    if begun is None:
        return None
    return RuleDecision(
        "wait", f"the attempt of decision {begun.decision_id} runs", begun.decision_id
    )


def _follow_up_due(case: RuleInput) -> RuleDecision | None:
    """Refit some time after a promoted retune, on the rows that came in since."""
    number = next_follow_up_number(case.standing, case.policy, now=case.now)
    origin = follow_up_origin(case.standing)
    enough = case.standing.rows_since_promotion >= case.policy.least_rows
    if number is None or origin is None or not enough:
        return None
    days = case.policy.follow_up_days[number - 1]
    reason = f"{days:g} days after the retune of decision {origin[0].id}, newer rows are learned"
    return RuleDecision("refit", reason, f"{origin[0].id} {number}", number, origin[0].change_from)


def _periodic_refit_due(case: RuleInput) -> RuleDecision | None:
    """Try newer rows now and then where no alarm asks, or where a person is asked already."""
    stuck = count_failed_gates(case.standing) >= case.policy.max_failed_gates
    enough = case.standing.rows_since_promotion >= case.policy.least_rows
    due = is_periodic_refit_due(case.standing, case.policy, now=case.now)
    if not due or not enough or (retraining_alarms(case.alarms) and not stuck):
        return None
    reason = f"{case.policy.refit_interval_days:g} days without a new model: newer rows are tried"
    return RuleDecision(
        "refit", reason, f"check {len(attempt_outcomes(case.standing))}", PERIODIC_REFIT
    )


def _no_alarm(case: RuleInput) -> RuleDecision | None:
    """Do nothing without a trigger that asks for learning."""
    if retraining_alarms(case.alarms):
        return None
    return RuleDecision(
        "nothing", "no trigger that asks for learning is crossed", _evidence_of_day(case)
    )


def _not_learnable(case: RuleInput) -> RuleDecision | None:
    """Ask a person after so many refused attempts in a row."""
    failed = count_failed_gates(case.standing)
    if failed < case.policy.max_failed_gates:
        return None
    reason = (
        f"the gate refused {failed} attempts in a row: the change is not learnable from these"
        " rows; look at the causes, mend the data or the features, and acknowledge"
    )
    return RuleDecision("nothing", reason, _evidence_of_day(case), ask_a_person=True)


def _cooling_down(case: RuleInput) -> RuleDecision | None:
    """Wait for the cool-down after an attempt; the evidence is kept."""
    until = cooldown_end(case.standing, case.policy)
    if until is None or case.now >= until:
        return None
    return RuleDecision(
        "wait", f"cooling down until {until:%Y-%m-%d %H:%M}", _evidence_of_day(case)
    )


def _budget_spent(case: RuleInput) -> RuleDecision | None:
    """Wait where the retunes of a month are spent."""
    made = count_recent_retunes(case.standing, case.now)
    if made < case.policy.retunes_a_month:
        return None
    return RuleDecision(
        "wait", f"{made} retunes in the last 30 days are the budget", _evidence_of_day(case)
    )


def _gate_inconclusive(case: RuleInput) -> RuleDecision | None:
    """Wait for the rows that the gate lacked to tell the last attempt from the champion."""
    wanted = retry_condition(case.standing, case.policy)
    known = case.standing.rows_since_change
    if wanted is None or known >= wanted.n_rows or case.now >= wanted.until:
        return None
    reason = (
        f"the gate could not tell version {wanted.version} from the champion: waiting for"
        f" {wanted.n_rows} labelled rows since the change, {known} are there, or until"
        f" {wanted.until:%Y-%m-%d %H:%M}"
    )
    return RuleDecision("wait", reason, _evidence_of_day(case))


def _too_few_rows(case: RuleInput) -> RuleDecision | None:
    """Wait for enough rows with labels since the change."""
    standing, least = case.standing, case.policy.least_rows
    if standing.rows_since_change >= least or not case.policy.labels_available:
        return None
    enough = standing.rows_since_change + standing.unlabelled_since_change >= least
    missing = "labels" if enough else "rows"
    reason = (
        f"waiting for {missing}: {standing.rows_since_change} labelled rows since the change,"
        f" {least} are needed"
    )
    return RuleDecision("wait", reason, _evidence_of_day(case))


def _not_worth_it(case: RuleInput) -> RuleDecision | None:
    """Leave alone what costs more to cure than the cure brings."""
    gain = estimate_gain(case.standing, case.policy)
    if gain is None or gain > case.policy.cost:
        return None
    reason = f"expected gain {gain:.4g} is not above the cost, {case.policy.cost:.4g}"
    return RuleDecision("nothing", reason, _evidence_of_day(case))


def _refit_first(case: RuleInput) -> RuleDecision | None:
    """Try newer rows first where the relation held, or no trigger asks for more."""
    if was_refit_refused(case.standing):
        return None
    if all(each.action == "refit" for each in retraining_alarms(case.alarms)):
        return _request_training(case, "refit", "no trigger asks for more than a refit")
    held = case.policy.labels_available and is_covariate_shift(case.alarms, case.standing)
    return (
        _request_training(case, "refit", "the relation held, only the inputs changed")
        if held
        else None
    )


def _retune(case: RuleInput) -> RuleDecision:
    """Search again: what is left is a change of the relation."""
    return _request_training(case, "retune", "a change that newer rows alone do not explain")


def _request_training(case: RuleInput, action: Action, reason: str) -> RuleDecision:
    names = sorted(each.trigger for each in retraining_alarms(case.alarms))
    evidence = " ".join([*names, str(len(attempt_outcomes(case.standing)))])
    return RuleDecision(action, reason, evidence, change_from=change_point(case.alarms))


def _evidence_of_day(case: RuleInput) -> str:
    return " ".join([_format_day(case), *sorted(each.trigger for each in case.alarms)])


def _format_day(case: RuleInput) -> str:
    return f"{case.now:%Y-%m-%d}"


POLICY_RULES = (
    _unreadable_state,
    _no_champion,
    _broken_data,
    _worse_than_previous,
    _attempt_running,
    _follow_up_due,
    _periodic_refit_due,
    _no_alarm,
    _not_learnable,
    _cooling_down,
    _budget_spent,
    _gate_inconclusive,
    _too_few_rows,
    _not_worth_it,
    _refit_first,
    _retune,
)

DECISION_ID_LENGTH = 16


def decide(
    alarms: Sequence[Alarm], standing: MonitoringState, policy: Policy, *, model: str, now: datetime
) -> MonitoringDecision:
    """Return what is to be done, by the first rule of the ladder that applies.

    Parameters
    ----------
    alarms : sequence of Alarm
        The triggers that are crossed.
    standing : MonitoringState
    policy : Policy
    model : str
        `registry.name`.
    now : datetime

    Returns
    -------
    MonitoringDecision
        The same evidence about the same champion has the same id; a request that nobody has
        served yet is returned as it was made.

    Examples
    --------
    >>> from datetime import UTC
    >>> day = datetime(2024, 5, 1, tzinfo=UTC)
    >>> made = decide([], MonitoringState("3"), Policy(), model="churn", now=day)
    >>> made.action, made.reasons
    ('nothing', ('no trigger that asks for learning is crossed',))
    """
    case = RuleInput(tuple(alarms), standing, policy, now)
    choice = next(found for rule in POLICY_RULES if (found := rule(case)) is not None)
    waiting = pending_request(standing)
    if waiting is not None and _is_same_kind(waiting.action, choice.action):
        return waiting
    gain = estimate_gain(standing, policy)
    return MonitoringDecision(
        id=_decision_id(model, standing.champion, choice),
        moment=now,
        model=model,
        champion=standing.champion,
        action=choice.action,
        reasons=(choice.reason, *(f"{each.trigger}: {each.evidence}" for each in alarms)),
        alarms=case.alarms,
        change_from=choice.change_from,
        follow_up=choice.follow_up,
        expected_gain=gain,
        cost=None if gain is None else policy.cost,
        ask_a_person=choice.ask_a_person,
        n_rows=standing.rows_since_change,
    )


def notification_kind(decision: MonitoringDecision, standing: MonitoringState) -> str | None:
    """Return what has to be told of a decision, None where nothing is new.

    A request is told until it is served; broken data once a window; an alert when other triggers
    are crossed than at the decision before.

    Parameters
    ----------
    decision : MonitoringDecision
    standing : MonitoringState
        That it was made from.
    """
    if decision.action in REQUEST_ACTIONS:
        return decision.action
    if decision.action == "block":
        return None if decision.id in {each.id for each in standing.decisions} else "block"
    before = standing.decisions[-1] if standing.decisions else None
    told = set() if before is None else _crossed_triggers(before)
    asked = before is not None and before.ask_a_person
    is_new = bool(_crossed_triggers(decision) - told) or (decision.ask_a_person and not asked)
    return "alert" if is_new else None


def _is_same_kind(waiting: Action, action: Action) -> bool:
    return waiting == action or {waiting, action} == {"refit", "retune"}


def _crossed_triggers(decision: MonitoringDecision) -> set[str]:
    return {each.trigger for each in decision.alarms}


def _decision_id(model: str, champion: str | None, choice: RuleDecision) -> str:
    text = "\n".join([model, str(champion), choice.action, choice.evidence])
    return hashlib.sha256(text.encode()).hexdigest()[:DECISION_ID_LENGTH]
