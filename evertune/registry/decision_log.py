"""All decisions of a model: about versions, by monitoring, and what came of them.

They are kept with predictions and labels, so that a service and several machines share them.
Rows are only added, never changed or removed, and an insert that is repeated changes nothing.
`DecisionLog.find` knows every id, whichever table it is in.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from operator import itemgetter
from pathlib import Path
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
    read_record,
)
from evertune.decisions import (
    FINAL_OUTCOMES,
    REQUEST_ACTIONS,
    DecisionOutcome,
    MonitoringDecision,
)
from evertune.errors import InputError
from evertune.files import is_project_locked
from evertune.identity import is_runner_of
from evertune.messages import did_you_mean
from evertune.registry.holdout_reuse import HoldoutUse
from evertune.registry.promotion_records import ChampionChange, DecisionRecord

T = TypeVar("T")


@dataclass(frozen=True)
class DecisionEntry:
    """A decision of either kind, as a list shows it.

    Attributes
    ----------
    kind : str
        `gate`, `approval`, `promotion`, `rollback`, or `monitoring`.
    version : str, optional
        The version that it is about.
    decision : str
        The verdict about a version, or the action that monitoring asks for.
    reason : str
        The first one.
    outcome : str
        What came of a decision of monitoring, or that a version waits for approval; else empty.
    is_simulated : bool
        Whether `moment` is by the clock of a simulation.
    """

    id: str
    moment: datetime
    kind: str
    version: str | None
    decision: str
    by: str
    reason: str
    outcome: str = ""
    is_simulated: bool = False


class DecisionLog:
    """The decisions of one model.

    Parameters
    ----------
    log : ModelLog
        The part of the database that belongs to the model.
    """

    def __init__(self, log: ModelLog) -> None:
        self.log = log

    @property
    def model(self) -> str:
        """`registry.name`."""
        return self.log.model

    # Both kinds

    def find(self, decision_id: str) -> DecisionRecord | MonitoringDecision:
        """Return a decision by its id.

        Raises
        ------
        InputError
            There is none; the message suggests one.
        """
        every: dict[str, DecisionRecord | MonitoringDecision] = {}
        every |= {each.id: each for each in self.records()}
        every |= {each.id: each for each in self.decisions()}
        if decision_id not in every:
            hint = did_you_mean(decision_id, every) or " `evertune history --decisions` lists them."
            raise InputError(
                f"expected the id of a decision about {self.model}, but got {decision_id!r}.{hint}"
            )
        return every[decision_id]

    def find_executable(self, decision_id: str) -> MonitoringDecision:
        """Return a decision of monitoring to refit, retune or roll back.

        Raises
        ------
        InputError
            There is no decision with this id, or it asks for nothing that can be run.
        """
        found = self.find(decision_id)
        if isinstance(found, DecisionRecord):
            raise InputError(
                f"expected a decision of monitoring to {', '.join(REQUEST_ACTIONS)}, but"
                f" {decision_id} is about version {found.version} ({found.act}: {found.verdict});"
                " nothing is to be done"
            )
        if found.action not in REQUEST_ACTIONS:
            raise InputError(
                f"expected a decision to {', '.join(REQUEST_ACTIONS)}, but {decision_id} is"
                f" {found.action!r}; nothing is to be done"
            )
        return found

    def entries(self, state: Path | None = None) -> tuple[DecisionEntry, ...]:
        """Return every decision of either kind, oldest first by the time of day.

        Parameters
        ----------
        state : Path, optional
            The project's `state` folder, to tell what was interrupted from what is running.
        """
        found = self.outcomes() if state is None else self.current_outcomes(state)
        outcomes: dict[str, str] = {each.decision_id: each.kind for each in found}
        by_monitoring = [
            (
                each.recorded_at or each.moment,
                DecisionEntry(
                    id=each.id,
                    moment=each.moment,
                    kind="monitoring",
                    version=each.champion,
                    decision=each.action,
                    by="evertune monitor",
                    reason=each.reasons[0] if each.reasons else "",
                    outcome=outcomes.get(each.id, ""),
                    is_simulated=each.is_simulated,
                ),
            )
            for each in self.decisions()
        ]
        about_versions = [
            (
                each.moment,
                DecisionEntry(
                    id=each.id,
                    moment=each.moment,
                    kind=each.act,
                    version=each.version,
                    decision=each.verdict,
                    by=each.by,
                    reason=each.reasons[0] if each.reasons else "",
                    outcome="waits for approval" if each.waits_for_approval else "",
                ),
            )
            for each in self.records()
        ]
        ordered = sorted([*about_versions, *by_monitoring], key=itemgetter(0))
        return tuple(entry for _, entry in ordered)

    # About versions

    def save_record(self, record: DecisionRecord) -> bool:
        """Return whether the record is new; one whose id is there already is left as it is."""
        return self._insert(
            DECISION_RECORDS,
            id=record.id,
            moment=record.moment,
            act=record.act,
            version=record.version,
            record=record,
        )

    def records(self, *, version: str | None = None) -> tuple[DecisionRecord, ...]:
        """Return the records about all versions or about one, in the order of being saved."""
        query = self._select(DECISION_RECORDS, "id").order_by(DECISION_RECORDS.c.number)
        if version is not None:
            query = query.where(DECISION_RECORDS.c.version == version)
        return self._read(query, DecisionRecord)

    def last_gate_record(self, version: str) -> DecisionRecord | None:
        """Return the gate's last record about a version, None if there is none."""
        found = [each for each in self.records(version=version) if each.act == "gate"]
        return found[-1] if found else None

    def append_champion(
        self, *, version: str, previous: str | None, record_id: str | None, moment: datetime
    ) -> bool:
        """Return whether the version is a new champion; it is not if the last one is the same."""
        last_first = self._champions().order_by(CHAMPIONS.c.number.desc())
        with self.log.write_transaction() as connection:
            last = connection.execute(last_first).first()
            if last is not None and last.version == version:
                return False
            row = {
                "model": self.model,
                "number": 1 if last is None else last.number + 1,
                "version": version,
                "previous": previous,
                "moment": moment,
                "record_id": record_id,
            }
            added = connection.execute(self.log.insert_if_absent(CHAMPIONS), row)
            return bool(added.rowcount == 1)

    def champion_changes(self) -> tuple[ChampionChange, ...]:
        """Return the versions that became champion, oldest first."""
        with self.log.read_transaction() as connection:
            rows = connection.execute(self._champions().order_by(CHAMPIONS.c.number)).all()
        return tuple(
            ChampionChange(row.number, row.version, row.previous, row.moment, row.record_id)
            for row in rows
        )

    def save_holdout_use(self, use: HoldoutUse) -> bool:
        """Return whether the use is new; the same comparison tried again is one use."""
        return self._insert(
            HOLDOUT_USES,
            record_id=use.record_id,
            moment=use.moment,
            record=use,
        )

    def holdout_uses(self) -> tuple[HoldoutUse, ...]:
        """Return the uses of hold-out rows for decisions, oldest first."""
        query = self._select(HOLDOUT_USES, "record_id").order_by(HOLDOUT_USES.c.number)
        return self._read(query, HoldoutUse)

    # By monitoring

    def record_decision(self, decision: MonitoringDecision) -> bool:
        """Return whether the decision is new; one whose id is there already is left as it is."""
        return self._insert(
            DECISIONS,
            id=decision.id,
            moment=decision.moment,
            action=decision.action,
            record=decision,
        )

    def decisions(self, *, since: datetime | None = None) -> tuple[MonitoringDecision, ...]:
        """Return the decisions of monitoring, oldest first."""
        query = self._select(DECISIONS, "id").order_by(DECISIONS.c.moment, DECISIONS.c.id)
        if since is not None:
            query = query.where(DECISIONS.c.moment >= since)
        return self._read(query, MonitoringDecision)

    def unclaimed_decisions(self) -> tuple[MonitoringDecision, ...]:
        """Return the decisions to refit, retune or roll back that nobody claimed, oldest first."""
        claimed = exists().where(CLAIMS.c.model == DECISIONS.c.model, CLAIMS.c.id == DECISIONS.c.id)
        query = self._select(DECISIONS, "id").order_by(DECISIONS.c.moment, DECISIONS.c.id)
        query = query.where(DECISIONS.c.action.in_(REQUEST_ACTIONS), ~claimed)
        return self._read(query, MonitoringDecision)

    def claim(self, decision_id: str, *, by: str, moment: datetime) -> bool:
        """Return whether the decision is now this claimer's to act on; one claimer only gets it."""
        return self._insert(CLAIMS, id=decision_id, claimed_by=by, moment=moment)

    def record_outcome(self, outcome: DecisionOutcome) -> None:
        """Keep what came of a decision; the same outcome again changes nothing."""
        self._insert(
            OUTCOMES,
            id=outcome.decision_id,
            moment=outcome.moment,
            kind=outcome.kind,
            record=outcome,
        )

    def outcomes(self, decision_id: str | None = None) -> tuple[DecisionOutcome, ...]:
        """Return the outcomes of all decisions or of one, in the order of being recorded."""
        query = self._select(OUTCOMES, "id").order_by(OUTCOMES.c.number)
        if decision_id is not None:
            query = query.where(OUTCOMES.c.id == decision_id)
        return self._read(query, DecisionOutcome)

    def current_outcomes(self, state: Path) -> tuple[DecisionOutcome, ...]:
        """Return all outcomes; where a run of this folder was killed, `interrupted` for `started`.

        A run holds the project's lock until its outcome is recorded. What another machine began
        stays `started`. A decision that was claimed has begun, also where its run was killed
        before it recorded that.
        """
        begun = {each.decision_id for each in self._begun() if each.kind == "started"}
        if is_project_locked(state):
            return self._begun()
        found = self._begun()  # it may have ended since they were read
        ended = {each.decision_id for each in found if each.kind in FINAL_OUTCOMES}
        return tuple(
            replace(each, kind="interrupted")
            if each.kind == "started"
            and each.decision_id in begun - ended
            and is_runner_of(each.detail, state)
            else each
            for each in found
        )

    # Inside

    def _begun(self) -> tuple[DecisionOutcome, ...]:
        """Return all outcomes, and `started` for what was claimed and has none."""
        of_it = OUTCOMES.c.model == CLAIMS.c.model, OUTCOMES.c.id == CLAIMS.c.id
        query = select(CLAIMS.c.id, CLAIMS.c.moment, CLAIMS.c.claimed_by)
        query = query.where(CLAIMS.c.model == self.model, ~exists().where(*of_it))
        with self.log.read_transaction() as connection:
            rows = connection.execute(query.order_by(CLAIMS.c.moment)).all()
        claimed = [
            DecisionOutcome(row.id, row.moment, "started", detail=row.claimed_by) for row in rows
        ]
        return (*self.outcomes(), *claimed)

    def _insert(self, table: Table, **row: object) -> bool:
        with self.log.write_transaction() as connection:
            added = connection.execute(
                self.log.insert_if_absent(table), {"model": self.model, **row}
            )
            return bool(added.rowcount == 1)

    def _select(self, table: Table, key: str) -> Select[Any]:
        columns = (table.c[key].label("key"), table.c.record)
        return select(*columns).where(table.c.model == self.model)

    def _champions(self) -> Select[Any]:
        return select(CHAMPIONS).where(CHAMPIONS.c.model == self.model)

    def _read(self, query: Select[Any], kind: type[T]) -> tuple[T, ...]:
        """Return records; StageError names the one that cannot be read."""
        with self.log.read_transaction() as connection:
            rows = connection.execute(query).all()
        return tuple(
            read_record(row.record, kind, name=f"the decision {row.key!r} of {self.model}")
            for row in rows
        )
