"""The approve flow: ask a person in Prefect's UI whether a version may become champion.

`ask_for_approval` starts it where it is deployed, once for each pair of version and champion.
While it waits, nothing runs and no lock is held: the flow run is suspended and starts again
with the answer. It then does what `evertune approve` does.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from pydantic import Field, StringConstraints

from evertune.config.loader import load_params
from evertune.files import project_lock
from evertune.orchestration.progress import print_step
from evertune.orchestration.tasks import is_busy
from evertune.registry.gates import Verdict
from evertune.registry.promotion import approve, reject
from evertune.terminal import decision_result_line

APPROVE_FLOW = "approve"


def ask_for_approval(root: Path, verdict: Verdict) -> bool:
    """Return whether Prefect asks a person now: not where nothing waits, or nothing is deployed.

    The same version against the same champion is asked for once.
    """
    name = load_params(root).registry.name
    deployment = f"{APPROVE_FLOW}/{name}"
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


MAX_RETRIES, RETRY_SECONDS = 60, 30.0
NonBlankText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Answer(RunInput):
    """What a person says of a version that waits for approval."""

    approve: bool = Field(False, description="Whether it is to be champion.")
    reason: NonBlankText = Field(description="Why, for those who read the record.")
    by: NonBlankText = Field(description="Who decides.")


@flow(name=APPROVE_FLOW, persist_result=True)
def approval(root: str, version: str) -> str:
    """Wait for a person's answer, then make the version champion or leave it challenger."""
    answer = suspend_flow_run(
        wait_for_input=Answer.with_initial_data(description=_approval_question(version))
    )
    return answered(root, version, approved=answer.approve, reason=answer.reason, by=answer.by)


@task(
    name="answer",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=MAX_RETRIES,  # another run may hold the project for as long as a search takes
    retry_delay_seconds=RETRY_SECONDS,
    retry_condition_fn=is_busy,
)
def answered(root: str, version: str, *, approved: bool, reason: str, by: str) -> str:
    """Do what was answered, and return what came of it in one line."""
    params, decide = load_params(Path(root)), approve if approved else reject
    with project_lock(params.paths.state, f"evertune approve {version}"):
        record = decide(Path(root), version, reason=reason, by=by, now=datetime.now(UTC))
    line = decision_result_line(record, params.registry.name)
    print_step(APPROVE_FLOW, line)
    return line


def _approval_question(version: str) -> str:
    return (
        f"Version {version} has passed every gate. Its report and the record of the decision are"
        " among the artifacts of its run in MLflow. Shall it be champion?"
    )
