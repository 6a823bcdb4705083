"""Decisions of monitoring, who took them up, and what came of them."""

from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Select, Table, exists, select

from pipelines.core.findings import Decision, Outcome
from pipelines.stores.database import Log, insert_new, reading, writing
from pipelines.stores.log_records import record_of, record_text
from pipelines.stores.log_tables import CLAIMS, DECISIONS, OUTCOMES, microseconds

T = TypeVar("T")
TO_SERVE = ("refit", "retune", "rollback")


def record_decision(log: Log, decision: Decision) -> bool:
    """Return whether the decision is new; one whose id is there already is left as it is."""
    row = {
        "model": log.model,
        "id": decision.id,
        "moment": microseconds(decision.moment),
        "action": decision.action,
        "record": record_text(decision),
    }
    return _is_new(log, DECISIONS, row)


def decisions(log: Log, *, since: datetime | None = None) -> tuple[Decision, ...]:
    """Return the model's decisions, oldest first.

    Raises
    ------
    StageError
        Where a record cannot be read; it names the decision.
    """
    query = _oldest_first(log)
    if since is not None:
        query = query.where(DECISIONS.c.moment >= microseconds(since))
    return _read(log, query, Decision)


def claim(log: Log, decision_id: str, *, by: str, moment: datetime) -> bool:
    """Return whether the decision is now this claimer's to act on; False where it was taken."""
    row = {"model": log.model, "id": decision_id, "claimed_by": by, "moment": microseconds(moment)}
    return _is_new(log, CLAIMS, row)


def record_outcome(log: Log, outcome: Outcome) -> None:
    """Keep what came of a decision; the same outcome again changes nothing."""
    row = {
        "model": log.model,
        "id": outcome.decision_id,
        "moment": microseconds(outcome.moment),
        "kind": outcome.kind,
        "record": record_text(outcome),
    }
    _is_new(log, OUTCOMES, row)


def outcomes(log: Log) -> tuple[Outcome, ...]:
    """Return what came of the model's decisions, in the order in which it was recorded.

    Raises
    ------
    StageError
        Where a record cannot be read; it names the decision.
    """
    query = select(OUTCOMES.c.id, OUTCOMES.c.record).where(OUTCOMES.c.model == log.model)
    return _read(log, query.order_by(OUTCOMES.c.number), Outcome)


def unserved(log: Log) -> tuple[Decision, ...]:
    """Return the decisions to refit, retune or roll back that nobody has claimed, oldest first."""
    claimed = exists().where(CLAIMS.c.model == DECISIONS.c.model, CLAIMS.c.id == DECISIONS.c.id)
    query = _oldest_first(log).where(DECISIONS.c.action.in_(TO_SERVE), ~claimed)
    return _read(log, query, Decision)


def _is_new(log: Log, table: Table, row: dict[str, object]) -> bool:
    with writing(log) as connection:
        return connection.execute(insert_new(log, table), row).rowcount == 1


def _oldest_first(log: Log) -> Select[Any]:
    query = select(DECISIONS.c.id, DECISIONS.c.record).where(DECISIONS.c.model == log.model)
    return query.order_by(DECISIONS.c.moment, DECISIONS.c.id)


def _read(log: Log, query: Select[Any], kind: type[T]) -> tuple[T, ...]:
    with reading(log) as connection:
        rows = connection.execute(query).all()
    return tuple(
        record_of(row.record, kind, name=f"the decision {row.id!r} of {log.model}") for row in rows
    )
