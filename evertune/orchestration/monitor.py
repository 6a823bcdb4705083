"""The monitor flow: monitor production, decide, and emit the decision as a Prefect event.

The event starts the retune deployment and the notifications (see the deployments' automations).
"""

import socket
from datetime import datetime
from pathlib import Path

from prefect import flow, tags
from prefect.artifacts import create_markdown_artifact
from prefect.events import emit_event
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker

from evertune.config.loader import load_params
from evertune.monitoring.records import MonitoringResult
from evertune.orchestration.follow import resolve_now, run_monitoring
from evertune.orchestration.progress import print_step, step_progress
from evertune.orchestration.tasks import network_task
from evertune.orchestration.train import DRAIN_TIMEOUT_SECONDS
from evertune.terminal import decision_page

DECISION_EVENT = "evertune.decision"


def monitor_project(root: Path, *, now: datetime | None = None) -> MonitoringResult:
    """Run the flow for a project; a Prefect server answers.

    Parameters
    ----------
    root : Path
    now : datetime, optional
        Else what `monitoring.now` says.

    Raises
    ------
    EvertuneError
        Whatever a step raises.
    """
    name = load_params(root).registry.name
    project = f"project:{socket.gethostname()}:{root}"
    moment = None if now is None else now.isoformat()
    try:
        with tags(project, f"model:{name}"):
            named = monitoring.with_options(flow_run_name=f"monitor {name}")
            return named(str(root), moment)
    finally:
        APILogWorker.drain_all(timeout=DRAIN_TIMEOUT_SECONDS)
        EventsWorker.drain_all(timeout=DRAIN_TIMEOUT_SECONDS)


@flow(name="monitor", persist_result=False)
def monitoring(root: str, now: str | None = None) -> MonitoringResult:
    """Look at production, decide, and tell what has to be told."""
    found = looked(root, now)
    create_markdown_artifact(decision_page(found), key="decision")
    emit_decision_event(found)
    return found


@network_task("look")
def looked(root: str, now: str | None) -> MonitoringResult:
    """Work out findings and the decision, record them, and show them on the page."""
    with step_progress("monitor"):
        return run_monitoring(Path(root), now=resolve_now(Path(root), now), say=print_step)


def emit_decision_event(found: MonitoringResult) -> None:
    """Emit the event of a decision that something has to be done about; at most one a look."""
    if found.announced is None:
        return
    emit_event(
        event=DECISION_EVENT,
        resource={
            "prefect.resource.id": f"evertune.model.{found.model}",
            "prefect.resource.name": found.model,
            "evertune.action": found.announced,
        },
        payload={
            "decision": found.decision.id,
            "action": found.announced,
            "model": found.model,
            "champion": found.champion,
            "reasons": list(found.decision.reasons),
        },
    )
