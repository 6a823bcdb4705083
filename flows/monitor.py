"""Monitor: look at production, decide, and emit the decision as an event.

The event starts the deployment of `flows/retune.py` and the notifications. `evertune monitor`
looks and decides without Prefect; the deployment runs at the times of monitoring.cron.
"""

from prefect import flow

from evertune.monitoring.results import MonitoringResult
from evertune.orchestration.tasks import emit_decision, look


@flow(name="monitor", persist_result=False)
def monitor(root: str, now: str | None = None) -> MonitoringResult:
    """Look at production and decide: nothing, wait, block, refit, retune or roll back."""
    found = look(root, now)
    emit_decision(root, found)
    return found
