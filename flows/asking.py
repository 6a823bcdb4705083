"""Starts the flow that asks a person, where one is deployed."""

from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound

from pipelines.core.judging.verdicts import Verdict
from pipelines.params import load_params

FLOW = "approve"


def ask_for_approval(root: Path, verdict: Verdict) -> bool:
    """Return whether Prefect asks a person now: not where nothing waits, or nothing is deployed.

    The same version against the same champion is asked for once.
    """
    name = load_params(root).registry.name
    deployment = f"{FLOW}/{name}"
    if not verdict.waits_for_approval or not _is_deployed(deployment):
        return False
    run_deployment(
        deployment,
        parameters={"version": verdict.version},
        flow_run_name=f"approve {name} {verdict.version}",
        idempotency_key=f"{deployment} {verdict.version} {verdict.basis}",
        timeout=0,
        as_subflow=False,
    )
    return True


def _is_deployed(deployment: str) -> bool:
    with get_client(sync_client=True) as client:
        try:
            client.read_deployment_by_name(deployment)
        except ObjectNotFound:
            return False
    return True
