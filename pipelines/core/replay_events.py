"""Decisions and what came of them as the events of a replay."""

import re
from collections.abc import Iterator

from pipelines.core.findings import Decision, Outcome
from pipelines.core.replaying import Event, EventKind

ATTEMPTS: dict[str, EventKind] = {"refit": "refitted", "retune": "retuned"}
NUMBER = re.compile(r"\d")
PAUSES: dict[str, EventKind] = {"wait": "waited", "block": "blocked"}
ENDS: dict[str, EventKind] = {
    "promoted": "promoted",
    "refused": "refused",
    "failed": "failed",
    "rolled back": "rolled back",
}


def decision_events(decision: Decision, before: Decision | None) -> Iterator[Event]:
    """Yield what is new in a decision: triggers that were not crossed before, and what is done.

    A spell of waiting or blocking for one reason is told once, where it begins.

    Parameters
    ----------
    decision : Decision
    before : Decision, optional
        That of the look before.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> day = datetime(2024, 5, 1, tzinfo=UTC)
    >>> wait = Decision("a", day, "churn", "3", "wait", ("waiting for labels",))
    >>> [(event.kind, event.detail) for event in decision_events(wait, None)]
    [('waited', 'waiting for labels')]
    >>> list(decision_events(wait, wait))
    []
    """
    moment, champion = decision.moment, decision.champion
    known = set() if before is None else {alarm.trigger for alarm in before.alarms}
    for alarm in decision.alarms:
        if alarm.trigger not in known:
            yield Event(moment, "alarmed", champion, f"{alarm.trigger}: {alarm.evidence}")
    said = decision.reasons[0] if decision.reasons else ""
    if decision.action in ATTEMPTS:
        yield Event(moment, ATTEMPTS[decision.action], champion, said)
    elif decision.action in PAUSES and _gist(decision) != _gist(before):
        yield Event(moment, PAUSES[decision.action], champion, said)
    elif decision.ask_a_person and not (before is not None and before.ask_a_person):
        yield Event(moment, "waited", champion, said)


def _gist(decision: Decision | None) -> tuple[str, str]:
    """Return what is done and why, without the numbers that differ from one look to the next."""
    if decision is None:
        return "", ""
    said = decision.reasons[0] if decision.reasons else ""
    return decision.action, NUMBER.split(said)[0]


def outcome_event(outcome: Outcome) -> Event | None:
    """Return how an attempt ended as an event; None where it only began.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> day = datetime(2024, 5, 1, tzinfo=UTC)
    >>> outcome_event(Outcome("a", day, "promoted", "4", "better by 0.1")).kind
    'promoted'
    """
    if outcome.kind not in ENDS:
        return None
    return Event(outcome.moment, ENDS[outcome.kind], outcome.version, outcome.detail)
