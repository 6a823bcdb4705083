"""Deploy a project's flows to Prefect: schedules, automations and the runner.

`deploy` brings deployments and automations in line and can be repeated at any time.
`serve_deployments` also runs what is due. `sync_automations` finds automations by name: one
starts the retune flow on a decision event, others notify people; those no longer wanted are
deleted. Started as a module with a project's folder (and the seconds between monitoring runs,
instead of monitoring.cron), this file serves until it is ended.
"""

import asyncio
import socket
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast
from uuid import UUID

from evertune.errors import EvertuneError
from evertune.orchestration.environment import set_defaults

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.deployments.runner import RunnerDeployment
    from prefect.runner import Runner
    from prefect.schedules import Schedule

    from evertune.config.schema import Params


MAX_CONCURRENT_RUNS = 3
FLOWS = {
    "train": "evertune.orchestration.train.train_alone",
    "score": "evertune.orchestration.score.score",
    "monitor": "evertune.orchestration.monitor.monitoring",
    "retune": "evertune.orchestration.retune.retune",
    "approve": "evertune.orchestration.approve.approval",
}


def deploy(root: Path, *, every: timedelta | None = None) -> "Runner":
    """Bring deployments and automations in line, and return what runs them once it is started.

    Parameters
    ----------
    root : Path
        The checkout that runs work in.
    every : timedelta, optional
        How often production is watched; None: by `monitoring.cron`.

    Raises
    ------
    ParamsError
        A block of `monitoring.notify` is not there.
    """
    from prefect.client.orchestration import get_client
    from prefect.runner import Runner

    from evertune.config.loader import load_params
    from evertune.orchestration.automations import sync_automations

    params = load_params(root)
    runner = Runner(
        name=f"evertune-{socket.gethostname()}", limit=MAX_CONCURRENT_RUNS, pause_on_shutdown=False
    )
    with get_client(sync_client=True) as client:
        ids = {}
        for each in project_deployments(root, params, every=every):
            ids[str(each.flow_name)] = cast(UUID, runner.add_deployment(each))
        delete_missed_runs(client, list(ids.values()), now=datetime.now(UTC))
        sync_automations(
            client, params.registry.name, retune=ids["retune"], notify=params.monitoring.notify
        )
    return runner


def project_deployments(
    root: Path, params: "Params", *, every: timedelta | None
) -> "Iterator[RunnerDeployment]":
    """Yield the deployment of each flow, named as the model; one run of each at a time."""
    from prefect.schedules import Cron, Interval

    crons = {"score": params.scoring.cron, "monitor": params.monitoring.cron}
    schedules = {name: Cron(cron, timezone="UTC") for name, cron in crons.items() if cron}
    if every is not None:
        schedules["monitor"] = Interval(every)
    for name in FLOWS:
        yield _flow_deployment(name, root, params, schedule=schedules.get(name))


def delete_missed_runs(
    client: "SyncPrefectClient", deployment_ids: Sequence[UUID], *, now: datetime
) -> None:
    """Remove the runs that a schedule had planned while nothing ran, but for the last of each."""
    from prefect.client.schemas.filters import DeploymentFilter, FlowRunFilter
    from prefect.client.schemas.sorting import FlowRunSort

    missed = {
        "state": {"type": {"any_": ["SCHEDULED"]}},
        "expected_start_time": {"before_": now.isoformat()},
    }
    for each in deployment_ids:
        runs = client.read_flow_runs(
            deployment_filter=DeploymentFilter.model_validate({"id": {"any_": [each]}}),
            flow_run_filter=FlowRunFilter.model_validate(missed),
            sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        )
        for run in [run for run in runs if run.auto_scheduled][1:]:
            client.delete_flow_run(run.id)


def mark_abandoned_runs_crashed(client: "SyncPrefectClient", tags: Sequence[str]) -> None:
    """Mark the runs as crashed whose runner was killed; it is not running now."""
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.client.schemas.objects import State
    from prefect.states import Crashed

    unfinished = {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING"]}}
    found = FlowRunFilter.model_validate({"tags": {"all_": list(tags)}, "state": unfinished})
    for run in client.read_flow_runs(flow_run_filter=found):
        state: State = Crashed(message="The process that ran it was killed.")
        client.set_flow_run_state(run.id, state, force=True)


def deployment_tags(params: "Params") -> list[str]:
    """Return the tags of every deployed run of a project on this machine."""
    from evertune.orchestration.automations import run_tag

    return [run_tag(params.registry.name), f"project:{socket.gethostname()}:{params.paths.state}"]


def serve_deployments(root: Path, *, every: timedelta | None = None) -> None:
    """Deploy, and run what is due until this process is told to end."""
    from prefect.client.orchestration import get_client

    from evertune.config.loader import load_params

    with get_client(sync_client=True) as client:
        mark_abandoned_runs_crashed(client, deployment_tags(load_params(root)))
    runner = deploy(root, every=every)
    sys.stdout.write("deployed\n")
    sys.stdout.flush()
    asyncio.run(runner.start())


def _flow_deployment(
    name: str, root: Path, params: "Params", *, schedule: "Schedule | None"
) -> "RunnerDeployment":
    from prefect import Flow
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.deployments.runner import RunnerDeployment
    from prefect.types.entrypoint import EntrypointType

    module, _, function = FLOWS[name].rpartition(".")
    found: Flow[..., object] = getattr(import_module(module), function)
    # A decision that finds the retune at work is told again by the next look at production.
    alone = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
    made = found.to_deployment(
        params.registry.name,
        parameters={"root": str(root)},
        schedules=[schedule] if schedule else [],
        concurrency_limit=alone,
        tags=deployment_tags(params),
        entrypoint_type=EntrypointType.MODULE_PATH,
        paused=False,
    )
    return cast(RunnerDeployment, made)


def main(root: Path, seconds: float | None = None) -> int:
    """Serve a checkout's deployments and return the exit code."""
    from evertune.config.loader import load_params

    try:
        set_defaults(load_params(root).paths.state)
        serve_deployments(root, every=None if seconds is None else timedelta(seconds=seconds))
    except EvertuneError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), *map(float, sys.argv[2:])))
