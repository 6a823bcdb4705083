"""The decision: what is to be done about alarms; the rules stand in `pipelines.core.ladder`."""

import hashlib
from collections.abc import Sequence
from datetime import datetime

from pipelines.core.findings import Action, Alarm, Decision
from pipelines.core.ladder import LADDER, Case, Choice
from pipelines.core.standing import REQUESTS, Policy, Standing, expected_gain, unserved_request

ID_LENGTH = 16


def decide(
    alarms: Sequence[Alarm], standing: Standing, policy: Policy, *, model: str, now: datetime
) -> Decision:
    """Return what is to be done, by the first rule of the ladder that applies.

    Parameters
    ----------
    alarms : sequence of Alarm
        The triggers that are crossed.
    standing : Standing
    policy : Policy
    model : str
        `registry.name`.
    now : datetime

    Returns
    -------
    Decision
        The same evidence about the same champion has the same id; a request that nobody has
        served yet is returned as it was made.

    Examples
    --------
    >>> from datetime import UTC
    >>> day = datetime(2024, 5, 1, tzinfo=UTC)
    >>> made = decide([], Standing("3"), Policy(), model="churn", now=day)
    >>> made.action, made.reasons
    ('nothing', ('no trigger that asks for learning is crossed',))
    """
    case = Case(tuple(alarms), standing, policy, now)
    choice = next(found for rule in LADDER if (found := rule(case)) is not None)
    waiting = unserved_request(standing)
    if waiting is not None and _same_kind(waiting.action, choice.action):
        return waiting
    gain = expected_gain(standing, policy)
    return Decision(
        id=_id(model, standing.champion, choice),
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


def announced(decision: Decision, standing: Standing) -> str | None:
    """Return what has to be told of a decision, None where nothing is new.

    A request is told until it is served; broken data once a window; an alert when other triggers
    are crossed than at the decision before.

    Parameters
    ----------
    decision : Decision
    standing : Standing
        That it was made from.
    """
    if decision.action in REQUESTS:
        return decision.action
    if decision.action == "block":
        return None if decision.id in {each.id for each in standing.decisions} else "block"
    before = standing.decisions[-1] if standing.decisions else None
    told = set() if before is None else _crossed(before)
    asked = before is not None and before.ask_a_person
    is_new = bool(_crossed(decision) - told) or (decision.ask_a_person and not asked)
    return "alert" if is_new else None


def _same_kind(waiting: Action, action: Action) -> bool:
    return waiting == action or {waiting, action} == {"refit", "retune"}


def _crossed(decision: Decision) -> set[str]:
    return {each.trigger for each in decision.alarms}


def _id(model: str, champion: str | None, choice: Choice) -> str:
    text = "\n".join([model, str(champion), choice.action, choice.evidence])
    return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]
