"""Run monitoring and carry out its decisions, step by step and without Prefect.

`run_monitoring` monitors and shows the result; `monitor_and_act` also does what was decided.
`follow_decision_locally` takes a decision from its claim to a new champion; the functions below
it are shared with the Prefect flow. A decision is claimed once, under the project's lock. A
killed run releases the lock, so whoever holds it and finds a claimed decision without an
outcome resumes it.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from evertune.config.loader import load_params
from evertune.database import ModelLog
from evertune.decisions import DecisionOutcome, MonitoringDecision, OutcomeKind
from evertune.errors import EvertuneError, InputError, ProjectBusyError
from evertune.files import project_lock
from evertune.monitoring.monitor import current_time, monitor, newest_event_time
from evertune.monitoring.prediction_log import apply_retention, open_prediction_log
from evertune.monitoring.records import MonitoringResult
from evertune.monitoring.report import publish_report
from evertune.monitoring.retraining import LabelSnapshot, snapshot_labels, write_plan
from evertune.monitoring.state import REQUEST_ACTIONS
from evertune.plan import Plan
from evertune.registry.decision_log import claim, read_decisions, read_outcomes, record_outcome
from evertune.registry.gates import Verdict
from evertune.registry.mlflow_client import open_tracking_store
from evertune.registry.promotion import roll_back_on_decision
from evertune.registry.register import register
from evertune.registry.versions import get_champion
from evertune.stages.runner import StageReporter, run_outdated_stages
from evertune.stages.snapshot import take_snapshot
from evertune.terminal import decision_line, snapshot_line, verdict_line

ACTIONS = ("refit", "retune", "rollback")
FINAL_OUTCOMES = ("promoted", "refused", "failed", "outdated", "rolled back")
LOCK_TIMEOUT_SECONDS = 600.0
LOCK_POLL_SECONDS = 2.0
RUN_BY_PREFIX = "run by "


def follow_decision_locally(
    root: Path, decision_id: str, *, now: datetime, say: StageReporter, resume: bool = False
) -> DecisionOutcome:
    """Do what a decision asks for, and return what came of it.

    Parameters
    ----------
    root : Path
        The project's folder; its lock is taken here.
    decision_id : str
        Of a recorded decision to refit, to retune or to roll back.
    now : datetime
        By the clock that the decision was made by.
    say : function
        Called with the name of a step and a line about it.
    resume : bool
        Whether to try again what has failed.

    Raises
    ------
    EvertuneError
        Whatever a step raises; the outcome `failed` is recorded before.
    """
    with decision_lock(root, decision_id) as mine:
        taken = take_up_decision(root, decision_id, now=now, resume=resume) if mine else None
        if isinstance(taken, MonitoringDecision):
            with recording_failures(root, taken, now=now):
                return _follow(root, taken, now=now, say=say)
    duplicate = taken or concurrent_run_outcome(decision_id, now)
    say("claim", duplicate_line(duplicate))
    return duplicate


@contextmanager
def decision_lock(
    root: Path, decision_id: str, *, patience: float = LOCK_TIMEOUT_SECONDS
) -> Iterator[bool]:
    """Hold the project for a decision; another run is waited for, for some minutes.

    Yields
    ------
    bool
        False where the other run follows this very decision: it is not waited for.

    Raises
    ------
    ProjectBusyError
        Another run holds the project for longer.
    """
    with ExitStack() as held:
        yield _acquire_lock(held, root, decision_id, deadline=time.monotonic() + patience)


def _acquire_lock(held: ExitStack, root: Path, decision_id: str, *, deadline: float) -> bool:
    state, purpose = load_params(root).paths.state, f"evertune retune {decision_id}"
    while True:
        try:
            held.enter_context(project_lock(state, purpose))
        except ProjectBusyError as error:
            if error.purpose == purpose:
                return False
            if time.monotonic() > deadline:
                raise
            time.sleep(LOCK_POLL_SECONDS)
        else:
            return True


def take_up_decision(
    root: Path, decision_id: str, *, now: datetime, resume: bool = False
) -> MonitoringDecision | DecisionOutcome:
    """Return the decision, once it is ours to follow, or what came of it where it is not.

    One about a version that is no longer champion ends as `outdated` before it begins.

    Parameters
    ----------
    root : Path
        The project's folder; the caller holds its lock, so that another run of this project that
        has claimed the decision and did not end is dead, and is gone on with.
    decision_id : str
    now : datetime
    resume : bool
        Whether to take up what has failed, or what another project's run began.

    Raises
    ------
    InputError
        There is no such decision, or it asks for nothing that can be run.
    """
    with open_prediction_log(load_params(root)) as log:
        decision = _find_decision(log, decision_id)
        past = [each for each in read_outcomes(log) if each.decision_id == decision_id]
        taken = _earlier_outcome(past, by=_runner_id(root), resume=resume)
        if taken is not None:
            return taken
        claim(log, decision_id, by=_runner_id(root), moment=now)
        outdated = None if past else _outdated_outcome(root, decision, now=now)
        if outdated is not None:
            record_outcome(log, outdated)
            return outdated
        if decision.action != "rollback" and not past:
            record_outcome(
                log, DecisionOutcome(decision_id, now, "started", detail=_runner_id(root))
            )
    return decision


def record_verdict(
    root: Path, decision: MonitoringDecision, verdict: Verdict, *, now: datetime
) -> DecisionOutcome:
    """Return what came of a refit or a retune, once it is recorded."""
    new = verdict.promoted and verdict.version != decision.champion
    kind: OutcomeKind = "promoted" if new else "refused"
    outcome = DecisionOutcome(
        decision.id,
        now,
        kind,
        verdict.version,
        verdict_line(verdict),
        verdict=verdict.decision,
        n_rows=verdict.n_rows,
        rows_needed=verdict.rows_needed,
    )
    with open_prediction_log(load_params(root)) as log:
        record_outcome(log, outcome)
    return outcome


@contextmanager
def recording_failures(
    root: Path, decision: MonitoringDecision, *, now: datetime
) -> Iterator[None]:
    """Record the outcome `failed` where the block ends with a failure of ours."""
    try:
        yield
    except EvertuneError as error:
        with open_prediction_log(load_params(root)) as log:
            record_outcome(log, DecisionOutcome(decision.id, now, "failed", detail=str(error)))
        raise


def concurrent_run_outcome(decision_id: str, now: datetime) -> DecisionOutcome:
    """Return the outcome so far of a decision that another run follows at this moment."""
    return DecisionOutcome(decision_id, now, "started", detail="another run follows it now")


def duplicate_line(outcome: DecisionOutcome) -> str:
    """Return why a decision is not followed, in one line."""
    if outcome.kind == "outdated":
        return f"outdated: decision {outcome.decision_id} is not followed: {outcome.detail}"
    return f"duplicate: decision {outcome.decision_id} was taken up before ({outcome.kind})"


def production_labels_line(absorbed: LabelSnapshot) -> str:
    """Return what was absorbed, in one line."""
    state = "new" if absorbed.changed else "up to date"
    return f"{state}, {absorbed.rows} labelled rows, version {absorbed.version[:8]}"


def plan_line(plan: Plan) -> str:
    """Return what a run is to do, in one line."""
    windows = ", ".join(window.name for window in plan.windows)
    return f"{plan.mode}, rows from {plan.judge_from} judge, windows {windows}"


def _follow(
    root: Path, decision: MonitoringDecision, *, now: datetime, say: StageReporter
) -> DecisionOutcome:
    if decision.action == "rollback":
        outcome = roll_back_on_decision(root, decision, now=now)
        say("rollback", outcome.detail)
        return outcome
    say("snapshot", snapshot_line(take_snapshot(root)))
    # labels as the decision knew them, so that a run that was killed finds the same rows
    say("absorb", production_labels_line(snapshot_labels(root, now=decision.moment)))
    say("plan", plan_line(write_plan(root, decision)))
    run_outdated_stages(root, say)
    verdict = register(root)
    say("register", verdict_line(verdict))
    return record_verdict(root, decision, verdict, now=now)


def _find_decision(log: ModelLog, decision_id: str) -> MonitoringDecision:
    found = next((each for each in read_decisions(log) if each.id == decision_id), None)
    if found is None:
        raise InputError(
            f"expected the id of a recorded decision, but got '{decision_id}'; `evertune monitor`"
            " makes decisions"
        )
    if found.action not in ACTIONS:
        raise InputError(
            f"expected a decision to {', '.join(ACTIONS)}, but {decision_id} is '{found.action}';"
            " nothing is to be done"
        )
    return found


def _outdated_outcome(
    root: Path, decision: MonitoringDecision, *, now: datetime
) -> DecisionOutcome | None:
    params = load_params(root)
    standing = get_champion(open_tracking_store(params.paths.state, params.registry.name))
    number = None if standing is None else standing.number
    if number == decision.champion:
        return None
    detail = (
        f"it was about version {decision.champion}, but {_version_text(number)} is champion now;"
        " the next look decides anew"
    )
    return DecisionOutcome(decision.id, now, "outdated", number, detail)


def _version_text(number: str | None) -> str:
    return "no version" if number is None else f"version {number}"


def _earlier_outcome(
    past: list[DecisionOutcome], *, by: str, resume: bool
) -> DecisionOutcome | None:
    ends = [each for each in past if each.kind in FINAL_OUTCOMES]
    if ends:
        return None if resume and ends[-1].kind == "failed" else ends[-1]
    others = [each for each in past if each.detail.startswith(RUN_BY_PREFIX) and each.detail != by]
    return others[-1] if others and not resume else None


def _runner_id(root: Path) -> str:
    state = load_params(root).paths.state.resolve()
    return f"{RUN_BY_PREFIX}{socket.gethostname()}:{state}"


NEWEST = "newest"


def run_monitoring(root: Path, *, now: datetime, say: StageReporter) -> MonitoringResult:
    """Return what was found and decided, once it is recorded and shown on the page."""
    found = monitor(root, now=now, at=datetime.now(UTC))
    say("monitor", decision_line(found))
    for note in found.notes:
        say("monitor", note)
    say("page", str(publish_report(root, found)))
    removed = apply_retention(root, now=now)
    if removed:
        say("log", f"{removed} predictions are older than scoring.retention_days and were removed")
    return found


def monitor_and_act(
    root: Path, *, now: datetime, say: StageReporter
) -> tuple[MonitoringResult, DecisionOutcome | None]:
    """Return what was decided and what came of it; None where nothing was to be done.

    Parameters
    ----------
    root : Path
        The project's folder; its lock is taken where something is done.
    now : datetime
    say : function
        Called with the name of a step and a line about it.

    Raises
    ------
    EvertuneError
        Whatever a step raises; the outcome `failed` is recorded before.
    """
    found = run_monitoring(root, now=now, say=say)
    if found.decision.action not in REQUEST_ACTIONS:
        return found, None
    return found, follow_decision_locally(root, found.decision.id, now=now, say=say)


def resolve_now(root: Path, now: str | None, *, real: datetime | None = None) -> datetime:
    """Return what counts as now.

    Parameters
    ----------
    root : Path
    now : str, optional
        An ISO moment, in UTC where it names no zone, or `newest` for the newest event in the log;
        None: what `monitoring.now` says.
    real : datetime, optional
        The time of day; None: the machine's.

    Raises
    ------
    InputError
        It is neither.
    """
    real = real or datetime.now(UTC)
    if now is None:
        return current_time(root, real=real)
    if now == NEWEST:
        return newest_event_time(root) or real
    try:
        moment = datetime.fromisoformat(now)
    except ValueError as error:
        raise InputError(
            f"expected an ISO moment such as 2024-11-01T06:00, or {NEWEST}, but got {now!r}"
        ) from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
