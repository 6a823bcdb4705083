"""The retune flow: take in production's labels, refit or retune, register, or roll back.

`follow_decision` runs it for a recorded decision. The steps are those of
`evertune.orchestration.follow`, here as Prefect tasks.
"""

import socket
from datetime import UTC, datetime
from pathlib import Path

from prefect import flow, tags
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker

from evertune.config.loader import load_params
from evertune.decisions import DecisionOutcome, MonitoringDecision
from evertune.monitoring.monitor import current_time
from evertune.monitoring.retraining import snapshot_labels, write_plan
from evertune.orchestration.follow import (
    concurrent_run_outcome,
    decision_lock,
    duplicate_line,
    plan_line,
    production_labels_line,
    record_verdict,
    recording_failures,
    take_up_decision,
)
from evertune.orchestration.progress import print_step, step_progress
from evertune.orchestration.tasks import network_task
from evertune.orchestration.train import DRAIN_TIMEOUT_SECONDS, registration, snapshot, stage
from evertune.registry.gates import Verdict
from evertune.registry.promotion import roll_back_on_decision
from evertune.versioning import dvc


def follow_decision(root: Path, decision_id: str, *, resume: bool = False) -> DecisionOutcome:
    """Run the flow for a decision; a Prefect server answers.

    Returns
    -------
    DecisionOutcome
        What came of it, also where another run has taken it up.

    Raises
    ------
    EvertuneError
        Whatever a step raises; the outcome `failed` is recorded before.
    """
    name = load_params(root).registry.name
    try:
        with tags(f"project:{socket.gethostname()}:{root}", f"model:{name}"):
            named = retune.with_options(flow_run_name=f"retune {name} {decision_id}")
            found: DecisionOutcome = named(str(root), decision_id, resume=resume)
            return found
    finally:
        APILogWorker.drain_all(timeout=DRAIN_TIMEOUT_SECONDS)
        EventsWorker.drain_all(timeout=DRAIN_TIMEOUT_SECONDS)


@flow(name="retune", persist_result=False)
def retune(root: str, decision_id: str, resume: bool = False) -> DecisionOutcome:
    """Follow a decision to refit, to retune or to roll back, unless it was taken up before."""
    place = Path(root)
    now = current_time(place, real=datetime.now(UTC))
    with decision_lock(place, decision_id) as mine:
        taken = claimed(root, decision_id, now=now, resume=resume) if mine else None
        if isinstance(taken, MonitoringDecision):
            with recording_failures(place, taken, now=now):
                return _follow_claimed(root, taken, now=now)
    duplicate = taken or concurrent_run_outcome(decision_id, now)
    print_step("claim", duplicate_line(duplicate))
    return duplicate


def _follow_claimed(root: str, decision: MonitoringDecision, *, now: datetime) -> DecisionOutcome:
    if decision.action == "rollback":
        return rolled_back(root, decision, now=now)
    snapshot(root)
    absorbed(root, now=decision.moment)
    planned(root, decision)
    for name in dvc.list_stages(Path(root)):
        stage.with_options(name=name)(root, name)
    return outcome(root, decision, registration(root), now=now)


@network_task("claim")
def claimed(
    root: str, decision_id: str, *, now: datetime, resume: bool
) -> MonitoringDecision | DecisionOutcome:
    """Take up the decision, or say what came of it."""
    taken = take_up_decision(Path(root), decision_id, now=now, resume=resume)
    if isinstance(taken, MonitoringDecision):
        print_step("claim", f"decision {taken.id}: {taken.action}, {'; '.join(taken.reasons)}")
    return taken


@network_task("absorb")
def absorbed(root: str, *, now: datetime) -> None:
    """Take a version of the labelled rows of production."""
    with step_progress("absorb"):
        found = snapshot_labels(Path(root), now=now)
    print_step("absorb", production_labels_line(found))


@network_task("plan")
def planned(root: str, decision: MonitoringDecision) -> None:
    """Write what the stages are to do."""
    print_step("plan", plan_line(write_plan(Path(root), decision)))


@network_task("outcome")
def outcome(
    root: str, decision: MonitoringDecision, verdict: Verdict, *, now: datetime
) -> DecisionOutcome:
    """Record what came of the decision."""
    found = record_verdict(Path(root), decision, verdict, now=now)
    print_step("outcome", f"{found.kind}: version {found.version}")
    return found


@network_task("rollback")
def rolled_back(root: str, decision: MonitoringDecision, *, now: datetime) -> DecisionOutcome:
    """Make the champion before the champion again."""
    found = roll_back_on_decision(Path(root), decision, now=now)
    print_step("rollback", found.detail)
    return found
