"""The ladder of rules that a decision is made by: the first one that applies decides."""

from dataclasses import dataclass
from datetime import datetime

from pipelines.core.doubts import awaited
from pipelines.core.findings import Action, Alarm
from pipelines.core.rechecks import check_due
from pipelines.core.standing import (
    CHECK,
    Policy,
    Standing,
    asking,
    attempts,
    change_of,
    cooled_down_at,
    expected_gain,
    failed_gates,
    next_follow_up,
    origin_of_follow_ups,
    refit_refused,
    relation_held,
    retunes_in_a_month,
    running,
)


@dataclass(frozen=True)
class Case:
    """All that a rule of the ladder looks at."""

    alarms: tuple[Alarm, ...]
    standing: Standing
    policy: Policy
    now: datetime


@dataclass(frozen=True)
class Choice:
    """What a rule decides, and why; `evidence` tells one choice of its kind from another."""

    action: Action
    reason: str
    evidence: str = ""
    follow_up: int = 0
    change_from: datetime | None = None
    ask_a_person: bool = False


def _unreadable_state(case: Case) -> Choice | None:
    """Learn nothing where the past cannot be read: it may say that we must not."""
    fault = case.standing.unreadable
    if fault is None:
        return None
    return Choice("block", f"the state cannot be read: {fault}", _day(case), ask_a_person=True)


def _no_champion(case: Case) -> Choice | None:
    """Do nothing without a champion: there is nothing to watch."""
    if case.standing.champion is not None:
        return None
    return Choice("nothing", "there is no champion yet; `evertune train` makes one", _day(case))


def _broken_data(case: Case) -> Choice | None:
    """Learn nothing from broken data, and tell somebody."""
    broken = [each for each in case.alarms if each.action == "block"]
    if not broken:
        return None
    windows = sorted({f"{f.window.start:%Y-%m-%dT%H:%M}" for each in broken for f in each.findings})
    evidence = " ".join([*sorted(each.trigger for each in broken), *windows[-1:]])
    return Choice("block", "the data is broken: nothing is learned from it", evidence)


def _worse_than_previous(case: Case) -> Choice | None:
    """Give the place back where the version before it is better."""
    evidence = case.standing.worse_than_previous
    if evidence is None:
        return None
    tried = sum(each.kind == "failed" for each in case.standing.outcomes)
    return Choice("rollback", evidence, str(tried))


def _attempt_running(case: Case) -> Choice | None:
    """Wait while an attempt runs."""
    begun = running(case.standing, case.now)
    if begun is None:
        return None
    return Choice("wait", f"the attempt of decision {begun.decision_id} runs", begun.decision_id)


def _follow_up_due(case: Case) -> Choice | None:
    """Refit some time after a promoted retune, on the rows that came in since."""
    number = next_follow_up(case.standing, case.policy, now=case.now)
    origin = origin_of_follow_ups(case.standing)
    enough = case.standing.rows_since_promotion >= case.policy.least_rows
    if number is None or origin is None or not enough:
        return None
    days = case.policy.follow_up_days[number - 1]
    reason = f"{days:g} days after the retune of decision {origin[0].id}, newer rows are learned"
    return Choice("refit", reason, f"{origin[0].id} {number}", number, origin[0].change_from)


def _check_due(case: Case) -> Choice | None:
    """Try newer rows now and then where no alarm asks, or where a person is asked already."""
    stuck = failed_gates(case.standing) >= case.policy.failed_gates
    enough = case.standing.rows_since_promotion >= case.policy.least_rows
    due = check_due(case.standing, case.policy, now=case.now)
    if not due or not enough or (asking(case.alarms) and not stuck):
        return None
    reason = f"{case.policy.check_days:g} days without a new model: newer rows are tried"
    return Choice("refit", reason, f"check {len(attempts(case.standing))}", CHECK)


def _no_alarm(case: Case) -> Choice | None:
    """Do nothing without a trigger that asks for learning."""
    if asking(case.alarms):
        return None
    return Choice("nothing", "no trigger that asks for learning is crossed", _seen(case))


def _not_learnable(case: Case) -> Choice | None:
    """Ask a person after so many refused attempts in a row."""
    failed = failed_gates(case.standing)
    if failed < case.policy.failed_gates:
        return None
    reason = (
        f"the gate refused {failed} attempts in a row: the change is not learnable from these"
        " rows; look at the causes, mend the data or the features, and acknowledge"
    )
    return Choice("nothing", reason, _seen(case), ask_a_person=True)


def _cooling_down(case: Case) -> Choice | None:
    """Wait for the cool-down after an attempt; the evidence is kept."""
    until = cooled_down_at(case.standing, case.policy)
    if until is None or case.now >= until:
        return None
    return Choice("wait", f"cooling down until {until:%Y-%m-%d %H:%M}", _seen(case))


def _budget_spent(case: Case) -> Choice | None:
    """Wait where the retunes of a month are spent."""
    made = retunes_in_a_month(case.standing, case.now)
    if made < case.policy.retunes_a_month:
        return None
    return Choice("wait", f"{made} retunes in the last 30 days are the budget", _seen(case))


def _gate_could_not_tell(case: Case) -> Choice | None:
    """Wait for the rows that the gate lacked to tell the last attempt from the champion."""
    wanted = awaited(case.standing, case.policy)
    known = case.standing.rows_since_change
    if wanted is None or known >= wanted.n_rows or case.now >= wanted.until:
        return None
    reason = (
        f"the gate could not tell version {wanted.version} from the champion: waiting for"
        f" {wanted.n_rows} labelled rows since the change, {known} are there, or until"
        f" {wanted.until:%Y-%m-%d %H:%M}"
    )
    return Choice("wait", reason, _seen(case))


def _too_few_rows(case: Case) -> Choice | None:
    """Wait for enough rows with labels since the change."""
    standing, least = case.standing, case.policy.least_rows
    if standing.rows_since_change >= least or not case.policy.labels_come:
        return None
    enough = standing.rows_since_change + standing.unlabelled_since_change >= least
    missing = "labels" if enough else "rows"
    reason = (
        f"waiting for {missing}: {standing.rows_since_change} labelled rows since the change,"
        f" {least} are needed"
    )
    return Choice("wait", reason, _seen(case))


def _not_worth_it(case: Case) -> Choice | None:
    """Leave alone what costs more to cure than the cure brings."""
    gain = expected_gain(case.standing, case.policy)
    if gain is None or gain > case.policy.cost:
        return None
    reason = f"expected gain {gain:.4g} is not above the cost, {case.policy.cost:.4g}"
    return Choice("nothing", reason, _seen(case))


def _only_a_refit(case: Case) -> Choice | None:
    """Try newer rows first where the relation held, or no trigger asks for more."""
    if refit_refused(case.standing):
        return None
    if all(each.action == "refit" for each in asking(case.alarms)):
        return _learn(case, "refit", "no trigger asks for more than a refit")
    held = case.policy.labels_come and relation_held(case.alarms, case.standing)
    return _learn(case, "refit", "the relation held, only the inputs changed") if held else None


def _retune(case: Case) -> Choice:
    """Search again: what is left is a change of the relation."""
    return _learn(case, "retune", "a change that newer rows alone do not explain")


def _learn(case: Case, action: Action, reason: str) -> Choice:
    names = sorted(each.trigger for each in asking(case.alarms))
    evidence = " ".join([*names, str(len(attempts(case.standing)))])
    return Choice(action, reason, evidence, change_from=change_of(case.alarms))


def _seen(case: Case) -> str:
    return " ".join([_day(case), *sorted(each.trigger for each in case.alarms)])


def _day(case: Case) -> str:
    return f"{case.now:%Y-%m-%d}"


LADDER = (
    _unreadable_state,
    _no_champion,
    _broken_data,
    _worse_than_previous,
    _attempt_running,
    _follow_up_due,
    _check_due,
    _no_alarm,
    _not_learnable,
    _cooling_down,
    _budget_spent,
    _gate_could_not_tell,
    _too_few_rows,
    _not_worth_it,
    _only_a_refit,
    _retune,
)
