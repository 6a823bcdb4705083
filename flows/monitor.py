"""Monitor: measure production, decide, and emit the decision as an event.

The event starts the deployment of `flows/retune.py` and the notifications. `evertune monitor`
measures and decides without Prefect; the deployment runs at the times of monitoring.cron.
"""

from prefect import flow

from evertune.monitoring.results import MonitoringResult
from evertune.orchestration.tasks import check_production, emit_decision


@flow(name="monitor", persist_result=False)
def monitor(root: str, now: str | None = None) -> MonitoringResult:
    """Measure production and decide: nothing, wait, block, refit, retune or roll back."""
    found = check_production(root, now)
    emit_decision(root, found)
    return found
