"""The flow that asks a person in Prefect's UI whether a version that waits may be champion.

While it waits nothing runs and nothing is held: the run is suspended, and is started again with
the answer. It then does what `evertune approve` does.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from pydantic import Field, StringConstraints

from flows.asking import FLOW
from flows.progress import say
from flows.train import is_busy
from flows.version_lines import done_line
from pipelines.approve import approve, reject
from pipelines.params import load_params
from pipelines.stores.files import project_lock

PATIENCE, RETRY_SECONDS = 60, 30.0
Said = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Answer(RunInput):
    """What a person says of a version that waits for approval."""

    approve: bool = Field(False, description="Whether it is to be champion.")
    reason: Said = Field(description="Why, for those who read the record.")
    by: Said = Field(description="Who decides.")


@flow(name=FLOW, persist_result=True)
def approval(root: str, version: str) -> str:
    """Wait for a person's answer, then make the version champion or leave it challenger."""
    answer = suspend_flow_run(wait_for_input=Answer.with_initial_data(description=_asked(version)))
    return answered(root, version, approved=answer.approve, reason=answer.reason, by=answer.by)


@task(
    name="answer",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=PATIENCE,  # another run may hold the project for as long as a search takes
    retry_delay_seconds=RETRY_SECONDS,
    retry_condition_fn=is_busy,
)
def answered(root: str, version: str, *, approved: bool, reason: str, by: str) -> str:
    """Do what was answered, and return what came of it in one line."""
    params, decide = load_params(Path(root)), approve if approved else reject
    with project_lock(params.paths.state, f"evertune approve {version}"):
        record = decide(Path(root), version, reason=reason, by=by, now=datetime.now(UTC))
    line = done_line(record, params.registry.name)
    say(FLOW, line)
    return line


def _asked(version: str) -> str:
    return (
        f"Version {version} has passed every gate. Its report and the record of the decision are"
        " among the artifacts of its run in MLflow. Shall it be champion?"
    )
