"""The flow that looks at production, and tells what was decided."""

import socket
from datetime import datetime
from pathlib import Path

from prefect import flow, tags
from prefect.artifacts import create_markdown_artifact
from prefect.events import emit_event
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker

from flows.acting import look, moment_of
from flows.monitor_lines import decision_page
from flows.progress import say, step_shown
from flows.train import SEND_SECONDS, networked
from pipelines.core.monitored import Monitored
from pipelines.params import load_params

EVENT = "evertune.decision"


def monitor_project(root: Path, *, now: datetime | None = None) -> Monitored:
    """Run the flow for a project; a Prefect server answers.

    Parameters
    ----------
    root : Path
    now : datetime, optional
        Else what `monitoring.clock` says.

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
        APILogWorker.drain_all(timeout=SEND_SECONDS)
        EventsWorker.drain_all(timeout=SEND_SECONDS)


@flow(name="monitor", persist_result=False)
def monitoring(root: str, now: str | None = None) -> Monitored:
    """Look at production, decide, and tell what has to be told."""
    found = looked(root, now)
    create_markdown_artifact(decision_page(found), key="decision")
    tell(found)
    return found


@networked("look")
def looked(root: str, now: str | None) -> Monitored:
    """Work out findings and the decision, record them, and show them on the page."""
    with step_shown("monitor"):
        return look(Path(root), now=moment_of(Path(root), now), say=say)


def tell(found: Monitored) -> None:
    """Emit the event of a decision that something has to be done about; at most one a look."""
    if found.announced is None:
        return
    emit_event(
        event=EVENT,
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
