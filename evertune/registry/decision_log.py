"""Store and read promotion records, champions, hold-out uses and monitoring decisions.

They are kept with predictions and labels, so that a service and several machines share them.
Rows are only added, never changed or removed, and an insert that is repeated changes nothing.
`save_record`, `append_champion` and `save_holdout_use` belong to promotion; `record_decision`,
`claim` and `record_outcome` to monitoring. `claim` succeeds for one process only, so that no
decision is carried out twice.
"""

from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Select, Table, exists, select

from evertune.database import (
    CHAMPIONS,
    CLAIMS,
    DECISION_RECORDS,
    DECISIONS,
    HOLDOUT_USES,
    OUTCOMES,
    ModelLog,
    insert_if_absent,
    read_record,
    read_transaction,
    write_transaction,
)
from evertune.decisions import DecisionOutcome, MonitoringDecision
from evertune.registry.holdout_reuse import HoldoutUse
from evertune.registry.records import ChampionChange, DecisionRecord


def save_record(log: ModelLog, record: DecisionRecord) -> bool:
    """Return whether the record is new; one whose id is there already is left as it is."""
    row = {
        "model": log.model,
        "id": record.id,
        "moment": record.moment,
        "act": record.act,
        "version": record.version,
        "record": record,
    }
    return _insert_record(log, DECISION_RECORDS, row)


def read_decision_records(
    log: ModelLog, *, version: str | None = None
) -> tuple[DecisionRecord, ...]:
    """Return the model's records, or those about a version, in the order in which they were kept.

    Raises
    ------
    StageError
        Where a record cannot be read; it names the record.
    """
    query = (
        _select_records(log, DECISION_RECORDS)
        .add_columns(DECISION_RECORDS.c.id)
        .order_by(DECISION_RECORDS.c.number)
    )
    if version is not None:
        query = query.where(DECISION_RECORDS.c.version == version)
    return tuple(
        read_record(row.record, DecisionRecord, name=f"the decision {row.id!r} of {log.model}")
        for row in _fetch_rows(log, query)
    )


def append_champion(
    log: ModelLog, *, version: str, previous: str | None, record_id: str | None, moment: datetime
) -> bool:
    """Return whether the version is a new champion; it is not where the last one was the same."""
    with write_transaction(log) as connection:
        last = connection.execute(
            _select_champions(log).order_by(CHAMPIONS.c.number.desc())
        ).first()
        if last is not None and last.version == version:
            return False
        row = {
            "model": log.model,
            "number": 1 if last is None else last.number + 1,
            "version": version,
            "previous": previous,
            "moment": moment,
            "record_id": record_id,
        }
        return bool(connection.execute(insert_if_absent(log, CHAMPIONS), row).rowcount == 1)


def read_champion_changes(log: ModelLog) -> tuple[ChampionChange, ...]:
    """Return which versions became champion, oldest first."""
    return tuple(
        ChampionChange(row.number, row.version, row.previous, row.moment, row.record_id)
        for row in _fetch_rows(log, _select_champions(log).order_by(CHAMPIONS.c.number))
    )


def save_holdout_use(log: ModelLog, look: HoldoutUse) -> bool:
    """Return whether the look is new; a decision looks once, however often it is tried."""
    row = {
        "model": log.model,
        "record_id": look.record_id,
        "moment": look.moment,
        "record": look,
    }
    return _insert_record(log, HOLDOUT_USES, row)


def read_holdout_uses(log: ModelLog) -> tuple[HoldoutUse, ...]:
    """Return how often rows of a hold-out were used for a decision, oldest first.

    Raises
    ------
    StageError
        Where a look cannot be read; it names the decision.
    """
    query = (
        _select_records(log, HOLDOUT_USES)
        .add_columns(HOLDOUT_USES.c.record_id)
        .order_by(HOLDOUT_USES.c.number)
    )
    return tuple(
        read_record(row.record, HoldoutUse, name=f"the look of the decision {row.record_id!r}")
        for row in _fetch_rows(log, query)
    )


def _insert_record(log: ModelLog, table: Table, row: dict[str, object]) -> bool:
    with write_transaction(log) as connection:
        return bool(connection.execute(insert_if_absent(log, table), row).rowcount == 1)


def _select_records(log: ModelLog, table: Table) -> Select[Any]:
    return select(table.c.record).where(table.c.model == log.model)


def _select_champions(log: ModelLog) -> Select[Any]:
    return select(CHAMPIONS).where(CHAMPIONS.c.model == log.model)


def _fetch_rows(log: ModelLog, query: Select[Any]) -> list[Any]:
    with read_transaction(log) as connection:
        return list(connection.execute(query).all())


T = TypeVar("T")
EXECUTABLE_ACTIONS = ("refit", "retune", "rollback")


def record_decision(log: ModelLog, decision: MonitoringDecision) -> bool:
    """Return whether the decision is new; one whose id is there already is left as it is."""
    row = {
        "model": log.model,
        "id": decision.id,
        "moment": decision.moment,
        "action": decision.action,
        "record": decision,
    }
    return _insert_decision_row(log, DECISIONS, row)


def read_decisions(
    log: ModelLog, *, since: datetime | None = None
) -> tuple[MonitoringDecision, ...]:
    """Return the model's decisions, oldest first.

    Raises
    ------
    StageError
        Where a record cannot be read; it names the decision.
    """
    query = _select_decisions(log)
    if since is not None:
        query = query.where(DECISIONS.c.moment >= since)
    return _fetch_decision_rows(log, query, MonitoringDecision)


def claim(log: ModelLog, decision_id: str, *, by: str, moment: datetime) -> bool:
    """Return whether the decision is now this claimer's to act on; False where it was taken."""
    row = {
        "model": log.model,
        "id": decision_id,
        "claimed_by": by,
        "moment": moment,
    }
    return _insert_decision_row(log, CLAIMS, row)


def record_outcome(log: ModelLog, outcome: DecisionOutcome) -> None:
    """Keep what came of a decision; the same outcome again changes nothing."""
    row = {
        "model": log.model,
        "id": outcome.decision_id,
        "moment": outcome.moment,
        "kind": outcome.kind,
        "record": outcome,
    }
    _insert_decision_row(log, OUTCOMES, row)


def read_outcomes(log: ModelLog) -> tuple[DecisionOutcome, ...]:
    """Return what came of the model's decisions, in the order in which it was recorded.

    Raises
    ------
    StageError
        Where a record cannot be read; it names the decision.
    """
    query = select(OUTCOMES.c.id, OUTCOMES.c.record).where(OUTCOMES.c.model == log.model)
    return _fetch_decision_rows(log, query.order_by(OUTCOMES.c.number), DecisionOutcome)


def read_unclaimed_decisions(log: ModelLog) -> tuple[MonitoringDecision, ...]:
    """Return the decisions to refit, retune or roll back that nobody has claimed, oldest first."""
    claimed = exists().where(CLAIMS.c.model == DECISIONS.c.model, CLAIMS.c.id == DECISIONS.c.id)
    query = _select_decisions(log).where(DECISIONS.c.action.in_(EXECUTABLE_ACTIONS), ~claimed)
    return _fetch_decision_rows(log, query, MonitoringDecision)


def _insert_decision_row(log: ModelLog, table: Table, row: dict[str, object]) -> bool:
    with write_transaction(log) as connection:
        return connection.execute(insert_if_absent(log, table), row).rowcount == 1


def _select_decisions(log: ModelLog) -> Select[Any]:
    query = select(DECISIONS.c.id, DECISIONS.c.record).where(DECISIONS.c.model == log.model)
    return query.order_by(DECISIONS.c.moment, DECISIONS.c.id)


def _fetch_decision_rows(log: ModelLog, query: Select[Any], kind: type[T]) -> tuple[T, ...]:
    with read_transaction(log) as connection:
        rows = connection.execute(query).all()
    return tuple(
        read_record(row.record, kind, name=f"the decision {row.id!r} of {log.model}")
        for row in rows
    )
