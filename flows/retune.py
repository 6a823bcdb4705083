"""The flow that follows a decision: absorb what production taught, refit or retune, register."""

import socket
from datetime import UTC, datetime
from pathlib import Path

from prefect import flow, tags
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker

from flows.progress import say, step_shown
from flows.retuning import (
    absorbed_line,
    decision_lock,
    duplicate_line,
    ended,
    failure_recorded,
    followed_elsewhere,
    plan_line,
    taken_up,
)
from flows.train import SEND_SECONDS, networked, registration, snapshot, stage
from pipelines.absorb import absorb
from pipelines.core.findings import Decision, Outcome
from pipelines.core.judging.verdicts import Verdict
from pipelines.monitor import clock_of
from pipelines.params import load_params
from pipelines.plan import write_plan
from pipelines.rollback import rollback
from pipelines.stores import versions


def follow_decision(root: Path, decision_id: str, *, resume: bool = False) -> Outcome:
    """Run the flow for a decision; a Prefect server answers.

    Returns
    -------
    Outcome
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
            found: Outcome = named(str(root), decision_id, resume=resume)
            return found
    finally:
        APILogWorker.drain_all(timeout=SEND_SECONDS)
        EventsWorker.drain_all(timeout=SEND_SECONDS)


@flow(name="retune", persist_result=False)
def retune(root: str, decision_id: str, resume: bool = False) -> Outcome:
    """Follow a decision to refit, to retune or to roll back, unless it was taken up before."""
    place = Path(root)
    now = clock_of(place, real=datetime.now(UTC))
    with decision_lock(place, decision_id) as mine:
        taken = claimed(root, decision_id, now=now, resume=resume) if mine else None
        if isinstance(taken, Decision):
            with failure_recorded(place, taken, now=now):
                return _followed(root, taken, now=now)
    duplicate = taken or followed_elsewhere(decision_id, now)
    say("claim", duplicate_line(duplicate))
    return duplicate


def _followed(root: str, decision: Decision, *, now: datetime) -> Outcome:
    if decision.action == "rollback":
        return rolled_back(root, decision, now=now)
    snapshot(root)
    absorbed(root, now=decision.moment)
    planned(root, decision)
    for name in versions.stages(Path(root)):
        stage.with_options(name=name)(root, name)
    return outcome(root, decision, registration(root), now=now)


@networked("claim")
def claimed(root: str, decision_id: str, *, now: datetime, resume: bool) -> Decision | Outcome:
    """Take up the decision, or say what came of it."""
    taken = taken_up(Path(root), decision_id, now=now, resume=resume)
    if isinstance(taken, Decision):
        say("claim", f"decision {taken.id}: {taken.action}, {'; '.join(taken.reasons)}")
    return taken


@networked("absorb")
def absorbed(root: str, *, now: datetime) -> None:
    """Take a version of the labelled rows of production."""
    with step_shown("absorb"):
        found = absorb(Path(root), now=now)
    say("absorb", absorbed_line(found))


@networked("plan")
def planned(root: str, decision: Decision) -> None:
    """Write what the stages are to do."""
    say("plan", plan_line(write_plan(Path(root), decision)))


@networked("outcome")
def outcome(root: str, decision: Decision, verdict: Verdict, *, now: datetime) -> Outcome:
    """Record what came of the decision."""
    found = ended(Path(root), decision, verdict, now=now)
    say("outcome", f"{found.kind}: version {found.version}")
    return found


@networked("rollback")
def rolled_back(root: str, decision: Decision, *, now: datetime) -> Outcome:
    """Make the champion before the champion again."""
    found = rollback(Path(root), decision, now=now)
    say("rollback", found.detail)
    return found
