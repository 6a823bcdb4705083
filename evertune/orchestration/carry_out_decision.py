"""Monitor production and carry out what was decided.

`run_monitoring` looks at production, records the decision and shows it; `monitor_and_act` also
does what was decided. `decision_steps` takes a decision from its claim to a new champion, step
by step: the Prefect flow performs the steps as tasks, `follow_decision_locally` performs them
here. A decision is claimed once, under the project's lock. A killed run releases the lock, so
whoever holds it and finds a claimed decision without an outcome goes on with it.
"""

import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from evertune.config.loader import load_params
from evertune.decisions import (
    FINAL_OUTCOMES,
    REQUEST_ACTIONS,
    DecisionOutcome,
    MonitoringDecision,
    OutcomeKind,
)
from evertune.errors import EvertuneError, InputError, ProjectBusyError
from evertune.failpoints import failpoint
from evertune.files import project_lock
from evertune.identity import RUN_BY_PREFIX, is_runner_of, runner_name
from evertune.monitoring.monitor import current_time, monitor, newest_event_time
from evertune.monitoring.prediction_log import apply_retention, open_prediction_log
from evertune.monitoring.report import publish_report
from evertune.monitoring.results import MonitoringResult
from evertune.monitoring.retraining import LabelSnapshot, snapshot_labels, write_plan
from evertune.orchestration.steps import (
    Reporter,
    Step,
    perform_here,
    register_step,
    run_steps,
    snapshot_step,
    stage_step,
)
from evertune.plan import Plan
from evertune.registry.decision_log import DecisionLog
from evertune.registry.mlflow_registry import open_registry
from evertune.registry.promotion import roll_back_on_decision
from evertune.registry.promotion_records import Verdict
from evertune.terminal import decision_line, verdict_line
from evertune.times import in_zone
from evertune.versioning import dvc

LOCK_TIMEOUT_SECONDS = 600.0
LOCK_POLL_SECONDS = 2.0
NEWEST = "newest"


def run_monitoring(root: Path, *, now: datetime, say: Reporter) -> MonitoringResult:
    """Look at production, record the decision, and show it on the page and in MLflow."""
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
    root: Path, *, now: datetime, say: Reporter
) -> tuple[MonitoringResult, DecisionOutcome | None]:
    """Look at production and carry the decision out; the outcome is None where none was needed.

    Raises
    ------
    EvertuneError
        Whatever a step raises; the outcome `failed` is recorded before.
    """
    found = run_monitoring(root, now=now, say=say)
    if found.decision.action not in REQUEST_ACTIONS:
        return found, None
    return found, follow_decision_locally(root, found.decision.id, now=now, say=say)


def follow_decision_locally(
    root: Path, decision_id: str, *, now: datetime, say: Reporter, resume: bool = False
) -> DecisionOutcome:
    """Carry out a decision in this process, without Prefect; see `decision_steps`."""
    steps = decision_steps(root, decision_id, now=now, resume=resume)
    return run_steps(steps, partial(perform_here, say=say))


def decision_steps(
    root: Path,
    decision_id: str,
    *,
    now: datetime,
    resume: bool = False,
    flow_run: str | None = None,
) -> Generator[Step[Any], Any, DecisionOutcome]:
    """Yield the steps of a decision, and return its outcome.

    The project's lock is held between the first step and the last. A decision that another run
    has taken up ends with that run's outcome so far.

    Parameters
    ----------
    root : Path
        The project's folder.
    decision_id : str
        Of a recorded decision to refit, to retune or to roll back.
    now : datetime
        By the clock that the decision was made by.
    resume : bool
        Whether to take up a decision whose run failed, or that another machine's run began.
    flow_run : str, optional
        Prefect's id of this run, for the record of the version.

    Raises
    ------
    EvertuneError
        Whatever a step raises; the outcome `failed` is recorded before.
    """
    with decision_lock(root, decision_id) as is_ours:
        taken: MonitoringDecision | DecisionOutcome
        if is_ours:
            take_up = partial(take_up_decision, root, decision_id, now=now, resume=resume)
            taken = yield Step("claim", take_up, _claim_line)
        else:
            detail = "another run is carrying it out"
            taken = DecisionOutcome(decision_id, now, "started", detail=detail)
            yield Step("claim", lambda: taken, _claim_line)
        if isinstance(taken, DecisionOutcome):
            return taken
        with recording_failures(root, taken, now=now):
            if taken.action == "rollback":
                roll_back = partial(roll_back_on_decision, root, taken, now=now)
                rolled_back: DecisionOutcome = yield Step(
                    "rollback", roll_back, lambda outcome: outcome.detail
                )
                return rolled_back
            yield snapshot_step(root)
            # Labels as the decision knew them, so that a run that was killed finds the same rows.
            labels = partial(snapshot_labels, root, now=taken.moment)
            yield Step("absorb", labels, _label_snapshot_line)
            yield Step("plan", partial(write_plan, root, taken), _plan_line)
            for name in dvc.list_stages(root):
                yield stage_step(root, name)
            verdict: Verdict = yield register_step(root, flow_run=flow_run)
            record = partial(record_verdict, root, taken, verdict, now=now)
            outcome: DecisionOutcome = yield Step(
                "outcome", record, lambda outcome: f"{outcome.kind}: version {outcome.version}"
            )
            return outcome


def resolve_now(root: Path, now: str | None, *, real: datetime | None = None) -> datetime:
    """Return what counts as now.

    Parameters
    ----------
    now : str, optional
        An ISO moment, in UTC where it names no offset, or `newest` for the newest event in the
        log; None: what `monitoring.now` says.
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
    zone = load_params(root).monitoring.timezone
    if now == NEWEST:
        return in_zone(newest_event_time(root) or real, zone)
    try:
        moment = datetime.fromisoformat(now)
    except ValueError as error:
        raise InputError(
            f"expected an ISO time such as 2024-11-01T06:00, or {NEWEST}, but got {now!r}"
        ) from error
    return in_zone(moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment, zone)


@contextmanager
def decision_lock(
    root: Path, decision_id: str, *, patience: float = LOCK_TIMEOUT_SECONDS
) -> Iterator[bool]:
    """Hold the project's lock; yield False if another run carries out the same decision."""
    state, purpose = load_params(root).paths.state, f"evertune retune {decision_id}"
    deadline = time.monotonic() + patience
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(project_lock(state, purpose))
            except ProjectBusyError as error:
                if error.purpose == purpose:
                    yield False
                    return
                if time.monotonic() > deadline:
                    raise
                time.sleep(LOCK_POLL_SECONDS)
            else:
                break
        yield True


def take_up_decision(
    root: Path, decision_id: str, *, now: datetime, resume: bool = False
) -> MonitoringDecision | DecisionOutcome:
    """Return the decision if this run has to carry it out, otherwise its outcome so far.

    A decision about a version that is no longer champion ends as `outdated` before it begins.
    """
    params = load_params(root)
    runner = runner_name(params.paths.state)
    with open_prediction_log(params) as log:
        decisions = DecisionLog(log)
        decision = decisions.find_executable(decision_id)
        past = list(decisions.outcomes(decision_id))
        earlier = _earlier_outcome(past, state=params.paths.state, resume=resume)
        if earlier is not None:
            return earlier
        decisions.claim(decision_id, by=runner, moment=now)
        if past:
            return decision
        holder = open_registry(params).champion()
        number = None if holder is None else holder.number
        if number != decision.champion:
            champion = "no version" if number is None else f"version {number}"
            detail = (
                f"it was about version {decision.champion}, but {champion} is champion now;"
                " the next monitoring run decides again"
            )
            outdated = DecisionOutcome(decision_id, now, "outdated", number, detail)
            decisions.record_outcome(outdated)
            return outdated
        if decision.action != "rollback":  # which records what it goes back to
            decisions.record_outcome(DecisionOutcome(decision_id, now, "started", detail=runner))
    failpoint("decision.claimed")
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
        DecisionLog(log).record_outcome(outcome)
    failpoint("decision.outcome_recorded")
    return outcome


@contextmanager
def recording_failures(
    root: Path, decision: MonitoringDecision, *, now: datetime
) -> Iterator[None]:
    """Record the outcome `failed` if the block raises an EvertuneError."""
    try:
        yield
    except EvertuneError as error:
        with open_prediction_log(load_params(root)) as log:
            failed = DecisionOutcome(decision.id, now, "failed", detail=str(error))
            DecisionLog(log).record_outcome(failed)
        raise


def _claim_line(taken: MonitoringDecision | DecisionOutcome) -> str:
    if isinstance(taken, MonitoringDecision):
        return f"decision {taken.id}: {taken.action}, {'; '.join(taken.reasons)}"
    if taken.kind == "outdated":
        return f"outdated: decision {taken.decision_id} is not carried out: {taken.detail}"
    return f"duplicate: decision {taken.decision_id} was already taken up ({taken.kind})"


def _label_snapshot_line(absorbed: LabelSnapshot) -> str:
    state = "new" if absorbed.changed else "up to date"
    return f"{state}, {absorbed.rows} labelled rows, version {absorbed.version[:8]}"


def _plan_line(plan: Plan) -> str:
    windows = ", ".join(window.name for window in plan.windows)
    return f"{plan.mode}, rows from {plan.judge_from} judge, windows {windows}"


def _earlier_outcome(
    past: list[DecisionOutcome], *, state: Path, resume: bool
) -> DecisionOutcome | None:
    """Return the outcome that keeps this run from carrying the decision out, None if it may."""
    ends = [each for each in past if each.kind in FINAL_OUTCOMES]
    if ends:
        return None if resume and ends[-1].kind == "failed" else ends[-1]
    runs = [each for each in past if each.detail.startswith(RUN_BY_PREFIX)]
    others = [each for each in runs if not is_runner_of(each.detail, state)]
    return others[-1] if others and not resume else None
