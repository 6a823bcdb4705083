"""The decision to retune, refit, roll back, wait or do nothing: the retraining policy.

`decide` tries the rules of `POLICY_RULES` from first to last; the first that applies makes the
decision. It is a pure function of the alarms, the `MonitoringState`, `monitoring.policy` of
params.yaml and the time. The same evidence about the same champion gives the same decision id,
and a request that nobody has begun to carry out is returned as it was made.

The rules, in order:

1. the past cannot be read       block, ask a person
2. no champion                   nothing
3. broken data                   block
4. worse than the version before roll back
5. an attempt runs               wait
6. an attempt was interrupted    the same request again, which goes on where it was killed
7. a follow-up is due            refit on the rows since a promoted retune
8. a periodic refit is due       refit, also without an alarm: finds changes too slow for any test
9. no retraining alarm           nothing
10. too many refused attempts    nothing, ask a person
11. cool-down                    wait; every refused gate doubles it
12. monthly budget spent         wait
13. last gate inconclusive       wait for the rows that it lacked
14. too few labelled rows        wait
15. gain below cost              nothing
16. only the inputs changed      refit
17. otherwise                    retune
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from evertune.config.schema import PolicySection
from evertune.decisions import (
    ON_ALARM,
    PERIODIC,
    REQUEST_ACTIONS,
    Action,
    Alarm,
    MonitoringDecision,
)
from evertune.messages import ways_to_a_champion
from evertune.monitoring.state import MonitoringState, change_point, retraining_alarms
from evertune.monitoring.triggers import signal_layer

NEGLIGIBLE_LOSS_RISE = 0.005
MIN_EXPLAINED_SHARE = 0.5
DECISION_ID_LENGTH = 16


def decide(
    alarms: Sequence[Alarm],
    state: MonitoringState,
    policy: PolicySection,
    *,
    labels_available: bool = True,
    model: str,
    now: datetime,
) -> MonitoringDecision:
    """Return the decision of the first rule that applies.

    Parameters
    ----------
    alarms : sequence of Alarm
        The triggers that have fired.
    policy : PolicySection
        `monitoring.policy` of params.yaml.
    labels_available : bool
        `monitoring.labels_available`: whether true values arrive at all.
    model : str
        `registry.name`.

    Examples
    --------
    >>> from datetime import UTC
    >>> day = datetime(2024, 5, 1, tzinfo=UTC)
    >>> decision = decide([], MonitoringState("3"), PolicySection(), model="churn", now=day)
    >>> decision.action, decision.reasons
    ('nothing', ('no retraining trigger has fired',))
    """
    case = Situation(tuple(alarms), state, policy, labels_available, now)
    choice = next(made for rule in POLICY_RULES if (made := rule(case)) is not None)
    if choice.request is not None:
        return choice.request
    pending = state.pending_request()
    if pending is not None and (
        pending.action == choice.action or {pending.action, choice.action} == {"refit", "retune"}
    ):
        return pending
    evidence = choice.evidence
    if evidence is None:
        evidence = " ".join([f"{now:%Y-%m-%d}", *sorted(alarm.trigger for alarm in alarms)])
    text = "\n".join([model, str(state.champion), choice.action, evidence])
    gain = state.expected_gain(policy)
    return MonitoringDecision(
        id=hashlib.sha256(text.encode()).hexdigest()[:DECISION_ID_LENGTH],
        moment=now,
        model=model,
        champion=state.champion,
        action=choice.action,
        reasons=(choice.reason, *(f"{each.trigger}: {each.evidence}" for each in alarms)),
        alarms=case.alarms,
        change_from=choice.change_from,
        follow_up=choice.follow_up,
        expected_gain=gain,
        cost=None if gain is None else policy.cost,
        ask_a_person=choice.ask_a_person,
        n_rows=state.rows_since_change,
    )


def notification_kind(decision: MonitoringDecision, state: MonitoringState) -> str | None:
    """Return what to notify people of, None if nothing is new.

    A request is repeated until it is carried out, broken data is announced once for each window,
    and an alert if other triggers have fired than at the decision before.

    Parameters
    ----------
    state : MonitoringState
        That the decision was made from.
    """
    if decision.action in REQUEST_ACTIONS:
        return decision.action
    if decision.action == "block":
        return None if decision.id in {each.id for each in state.decisions} else "block"
    previous = state.decisions[-1:]
    known = {alarm.trigger for each in previous for alarm in each.alarms}
    has_new_alarms = any(alarm.trigger not in known for alarm in decision.alarms)
    asks_now = decision.ask_a_person and not any(each.ask_a_person for each in previous)
    return "alert" if has_new_alarms or asks_now else None


def is_covariate_shift(alarms: Sequence[Alarm], state: MonitoringState) -> bool:
    """Return whether only the inputs changed, and not the relation between inputs and target.

    True if the realised loss did not rise, or if the loss that is estimated from the inputs alone
    explains at least half of its rise; without labels, if only drift or estimates alarm.
    """
    if state.loss_rise is None:
        layers = {signal_layer(alarm.signal) for alarm in retraining_alarms(alarms)}
        return bool(layers) and layers <= {"drift", "estimate"}
    if state.loss_rise <= NEGLIGIBLE_LOSS_RISE:
        return True
    explained = state.explained_rise
    return explained is not None and explained >= MIN_EXPLAINED_SHARE * state.loss_rise


@dataclass(frozen=True)
class Situation:
    """Everything that a rule depends on."""

    alarms: tuple[Alarm, ...]
    state: MonitoringState
    policy: PolicySection
    labels_available: bool
    now: datetime


@dataclass(frozen=True)
class Choice:
    """What a rule decides and why.

    Equal `evidence` means the same decision; None stands for the day and the alarms. A `request`
    that was made before is returned as it is.
    """

    action: Action
    reason: str
    evidence: str | None = None
    follow_up: int = ON_ALARM
    change_from: datetime | None = None
    ask_a_person: bool = False
    request: MonitoringDecision | None = None


Rule = Callable[[Situation], Choice | None]


def past_unreadable(case: Situation) -> Choice | None:
    """Block, and ask a person, if the past cannot be read: it may forbid any action."""
    fault = case.state.unreadable
    if fault is None:
        return None
    reason = f"the stored decisions cannot be read: {fault}"
    return Choice("block", reason, f"{case.now:%Y-%m-%d}", ask_a_person=True)


def no_champion(case: Situation) -> Choice | None:
    """Do nothing without a champion: there is nothing to monitor."""
    if case.state.champion is not None:
        return None
    reason = f"there is no champion: {ways_to_a_champion(case.state.challenger)}"
    return Choice("nothing", reason, f"{case.now:%Y-%m-%d}")


def broken_data(case: Situation) -> Choice | None:
    """Block if the data is broken: nothing is learned from it, and people are notified."""
    broken = [alarm for alarm in case.alarms if alarm.action == "block"]
    if not broken:
        return None
    windows = sorted({f"{f.window.start:%Y-%m-%dT%H:%M}" for each in broken for f in each.findings})
    evidence = " ".join([*sorted(alarm.trigger for alarm in broken), *windows[-1:]])
    return Choice("block", "the data is broken, so nothing is learned from it", evidence)


def worse_than_previous(case: Situation) -> Choice | None:
    """Roll back if the version before the champion is better."""
    evidence = case.state.worse_than_previous
    if evidence is None:
        return None
    n_failed = sum(outcome.kind == "failed" for outcome in case.state.outcomes)
    return Choice("rollback", evidence, str(n_failed))


def attempt_running(case: Situation) -> Choice | None:
    """Wait while an attempt runs."""
    begun = case.state.running_attempt(case.now)
    if begun is None:
        return None
    reason = f"decision {begun.decision_id} is being carried out"
    return Choice("wait", reason, begun.decision_id)


def attempt_interrupted(case: Situation) -> Choice | None:
    """Have a request carried out whose run was killed; it goes on where it was."""
    request = case.state.interrupted_request(case.now)
    return None if request is None else Choice(request.action, "", request=request)


def follow_up_due(case: Situation) -> Choice | None:
    """Refit some time after a promoted retune, on the rows that came in since."""
    state, policy = case.state, case.policy
    due = state.due_follow_up(policy, case.now)
    if due is None or state.rows_since_promotion < policy.least_rows:
        return None
    retune, number = due
    days = policy.follow_up_days[number - 1]
    reason = f"follow-up {days:g} days after the retune of decision {retune.id}: learn newer rows"
    return Choice("refit", reason, f"{retune.id} {number}", number, retune.change_from)


def periodic_refit_due(case: Situation) -> Choice | None:
    """Try newer rows at intervals, unless an alarm asks for more."""
    state, policy = case.state, case.policy
    stuck = state.n_failed_gates() >= policy.max_failed_gates
    enough = state.rows_since_promotion >= policy.least_rows
    alarmed = retraining_alarms(case.alarms) and not stuck
    if not state.is_periodic_refit_due(policy, case.now) or not enough or alarmed:
        return None
    reason = f"{policy.refit_interval_days:g} days without a new model: try newer rows"
    return Choice("refit", reason, f"check {len(state.attempts())}", PERIODIC)


def no_alarm(case: Situation) -> Choice | None:
    """Do nothing without a retraining alarm."""
    if retraining_alarms(case.alarms):
        return None
    return Choice("nothing", "no retraining trigger has fired")


def not_learnable(case: Situation) -> Choice | None:
    """Ask a person after several refused attempts in a row."""
    n_failed = case.state.n_failed_gates()
    if n_failed < case.policy.max_failed_gates:
        return None
    reason = (
        f"the gate refused {n_failed} attempts in a row: the change is not learnable from these"
        " rows. Look at the causes, fix the data or the features, and acknowledge"
    )
    return Choice("nothing", reason, ask_a_person=True)


def cooling_down(case: Situation) -> Choice | None:
    """Wait for the cool-down after an attempt."""
    until = case.state.cooldown_end(case.policy)
    if until is None or case.now >= until:
        return None
    return Choice("wait", f"cooling down until {until:%Y-%m-%d %H:%M %Z}")


def budget_spent(case: Situation) -> Choice | None:
    """Wait if the retunes of a month are used up."""
    n_retunes, most = case.state.n_retunes_in_month(case.now), case.policy.retunes_a_month
    if n_retunes < most:
        return None
    reason = f"{n_retunes} retunes in the last 30 days, and policy.retunes_a_month is {most}"
    return Choice("wait", reason)


def gate_inconclusive(case: Situation) -> Choice | None:
    """Wait for the rows that the last gate lacked."""
    needed, n_rows = case.state.retry_condition(case.policy), case.state.rows_since_change
    if needed is None or n_rows >= needed.n_rows or case.now >= needed.until:
        return None
    reason = (
        f"the gate could not tell version {needed.version} from the champion: waiting for"
        f" {needed.n_rows} labelled rows since the change ({n_rows} so far), or until"
        f" {needed.until:%Y-%m-%d %H:%M %Z}"
    )
    return Choice("wait", reason)


def too_few_rows(case: Situation) -> Choice | None:
    """Wait for enough labelled rows since the change, if labels come at all."""
    state, least = case.state, case.policy.least_rows
    if state.rows_since_change >= least or not case.labels_available:
        return None
    enough = state.rows_since_change + state.unlabelled_since_change >= least
    reason = (
        f"waiting for {'labels' if enough else 'rows'}: {state.rows_since_change} labelled rows"
        f" since the change, {least} are needed"
    )
    return Choice("wait", reason)


def not_worth_it(case: Situation) -> Choice | None:
    """Do nothing if the expected gain does not exceed the cost."""
    gain = case.state.expected_gain(case.policy)
    if gain is None or gain > case.policy.cost:
        return None
    reason = f"the expected gain, {gain:.4g}, does not exceed the cost, {case.policy.cost:.4g}"
    return Choice("nothing", reason)


def refit_first(case: Situation) -> Choice | None:
    """Refit on newer rows if only the inputs changed, or no trigger asks for more."""
    if case.state.was_refit_refused():
        return None
    if all(alarm.action == "refit" for alarm in retraining_alarms(case.alarms)):
        return _training_request(case, "refit", "no trigger asks for more than a refit")
    if case.labels_available and is_covariate_shift(case.alarms, case.state):
        reason = "only the inputs changed, not their relation to the target"
        return _training_request(case, "refit", reason)
    return None


def retune(case: Situation) -> Choice:
    """Search again: the relation between inputs and target changed."""
    reason = "the relation to the target changed: newer rows alone do not explain it"
    return _training_request(case, "retune", reason)


def _training_request(case: Situation, action: Action, reason: str) -> Choice:
    names = sorted(alarm.trigger for alarm in retraining_alarms(case.alarms))
    evidence = " ".join([*names, str(len(case.state.attempts()))])
    return Choice(action, reason, evidence, change_from=change_point(case.alarms))


POLICY_RULES: tuple[Rule, ...] = (
    past_unreadable,
    no_champion,
    broken_data,
    worse_than_previous,
    attempt_running,
    attempt_interrupted,
    follow_up_due,
    periodic_refit_due,
    no_alarm,
    not_learnable,
    cooling_down,
    budget_spent,
    gate_inconclusive,
    too_few_rows,
    not_worth_it,
    refit_first,
    retune,
)
