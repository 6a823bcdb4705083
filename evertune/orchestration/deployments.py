"""Deploy a project's flows to Prefect: schedules, the retune's trigger, notifications.

`deploy` brings the deployments and automations of a project in line and can be repeated at any
time; with a work pool, a worker runs them. `serve_deployments` deploys several projects and
runs what is due in this process. The event of a decision starts the retune deployment: Prefect
makes that trigger anew with each deployment, never twice. Notifications are automations of our
own, found by their names. Started as a module with projects' folders (and `--every SECONDS`
between looks at production, instead of monitoring.cron), this file serves until it is ended.
"""

import argparse
import asyncio
import socket
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast
from uuid import UUID

from evertune.errors import EvertuneError, InputError, ParamsError
from evertune.messages import strip_credentials
from evertune.orchestration.environment import DEFAULTS, set_defaults
from evertune.orchestration.server_names import (
    DECISION_EVENT,
    FLOW_NAMES,
    ProjectIdentity,
    flow_file,
)

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.deployments.runner import RunnerDeployment
    from prefect.events import DeploymentEventTrigger
    from prefect.events.schemas.automations import AutomationCore

    from evertune.config.schema import Params

MAX_CONCURRENT_RUNS = 3
DEPLOYED_LINE = "deployed"
FAILED_ACTION_EVENT = "prefect.automation.action.failed"
FAILED_RUN_EVENTS = {"prefect.flow-run.Failed", "prefect.flow-run.Crashed"}
NOTIFICATION_SUBJECT = "{{ event.payload.model }}: {{ event.payload.action }}"
NOTIFICATION_BODY = (
    "Decision {{ event.payload.decision }} about version {{ event.payload.champion }}:\n"
    "{% for reason in event.payload.reasons %}- {{ reason }}\n{% endfor %}"
)
# A plain template arrives as text whatever it holds; an id such as 12e4 must stay text.
DECISION_ID_PARAMETER = {
    "__prefect_kind": "json",
    "value": {"__prefect_kind": "jinja", "template": "{{ event.payload.decision | tojson }}"},
}


def deploy(
    root: Path,
    *,
    every: timedelta | None = None,
    work_pool: str | None = None,
    folder: Path | None = None,
) -> "list[tuple[UUID, RunnerDeployment]]":
    """Bring a project's deployments, trigger and notifications in line.

    Parameters
    ----------
    root : Path
        The project's folder.
    every : timedelta, optional
        How often production is looked at; None: at the times of `monitoring.cron`.
    work_pool : str, optional
        The pool whose workers run what is due; None: `serve_deployments` does.
    folder : Path, optional
        With a work pool: the project's folder on the workers' machine, if it is another.

    Returns
    -------
    list of (UUID, RunnerDeployment)
        The deployment of each flow, with its id on the server.

    Raises
    ------
    ParamsError
        A block of `monitoring.notify` is not there.
    InputError
        There is no such work pool.
    """
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    from evertune.config.loader import load_params

    params, identity = load_params(root), ProjectIdentity.of(root)
    made = []
    with get_client(sync_client=True) as client:
        blocks = [_block_id(client, name) for name in params.monitoring.notify]
        if work_pool is not None:
            try:
                client.read_work_pool(work_pool)
            except ObjectNotFound as error:
                server = strip_credentials(str(client.api_url))
                raise InputError(
                    f"expected a work pool named {work_pool!r}, but the server at"
                    f" {server} has none. Make it with `prefect work-pool create"
                    f" {work_pool} --type process`."
                ) from error
        for each in project_deployments(
            root, params, identity, every=every, folder=folder if work_pool else None
        ):
            if work_pool is not None:
                each.work_pool_name = work_pool
                each.job_variables = _job_variables(folder or root, params)
            made.append((cast("UUID", each.apply()), each))
        ids = [each for each, _ in made]
        _delete_former_deployments(client, identity, keep=ids)
        _delete_missed_runs(client, ids, now=datetime.now(UTC))
        _sync_notifications(client, identity, blocks)
    return made


def project_deployments(
    root: Path,
    params: "Params",
    identity: ProjectIdentity,
    *,
    every: timedelta | None = None,
    folder: Path | None = None,
) -> "Iterator[RunnerDeployment]":
    """Yield the deployment of each flow; one run of each at a time.

    A decision that finds the retune at work is announced again by the next monitoring run.
    """
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.deployments.runner import RunnerDeployment
    from prefect.runner.storage import LocalStorage
    from prefect.schedules import Cron, Interval

    crons = {"score": params.scoring.cron, "monitor": params.monitoring.cron}
    zone = params.monitoring.timezone
    schedules = {name: Cron(cron, timezone=zone) for name, cron in crons.items() if cron}
    if every is not None:
        schedules["monitor"] = Interval(every)
    served = [] if folder else [identity.served_tag]
    for name in FLOW_NAMES:
        file = flow_file(root, name)
        place = file.relative_to(root) if file.is_relative_to(root) else file
        created = RunnerDeployment.from_storage(
            storage=LocalStorage(str(root)),
            entrypoint=f"{place}:{name}",
            name=identity.deployment,
            parameters={"root": str(folder or root)},
            schedules=[schedules[name]] if name in schedules else [],
            triggers=[retune_trigger(identity)] if name == "retune" else [],
            concurrency_limit=ConcurrencyLimitConfig(
                limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW
            ),
            tags=[*identity.tags, identity.deployed_tag, *served],
            paused=False,
        )
        made = cast("RunnerDeployment", created)  # a coroutine only where a loop runs
        if folder:
            made.storage = LocalStorage(str(folder))
        yield made


def retune_trigger(identity: ProjectIdentity) -> "DeploymentEventTrigger":
    """Return what starts the retune with the id of a decision that asks for it."""
    from prefect.events import DeploymentEventTrigger
    from prefect.events.schemas.events import ResourceSpecification

    from evertune.decisions import REQUEST_ACTIONS

    wanted: dict[str, str | list[str]] = {
        "prefect.resource.id": identity.resource,
        "evertune.action": sorted(REQUEST_ACTIONS),
    }
    return DeploymentEventTrigger(
        name=f"evertune {identity.deployment}: retune",
        expect={DECISION_EVENT},
        match=ResourceSpecification.model_validate(wanted),
        parameters={"decision_id": DECISION_ID_PARAMETER},
    )


def serve_deployments(roots: Sequence[Path], *, every: timedelta | None = None) -> None:
    """Deploy projects, and run what is due until this process is told to end."""
    from prefect.client.orchestration import get_client
    from prefect.runner import Runner

    from evertune.orchestration.tasks import close_abandoned_runs

    runner = Runner(
        name=f"evertune-{socket.gethostname()}", limit=MAX_CONCURRENT_RUNS, pause_on_shutdown=False
    )
    for root in roots:
        identity = ProjectIdentity.of(root)
        with get_client(sync_client=True) as client:
            close_abandoned_runs(client, [identity.deployed_tag, identity.served_tag])
        for _, each in deploy(root, every=every):
            runner.add_deployment(each)
    sys.stdout.write(f"{DEPLOYED_LINE}\n")
    sys.stdout.flush()
    asyncio.run(runner.start())


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the deployments of projects and return the exit code."""
    from evertune.config.loader import load_params

    parser = argparse.ArgumentParser()
    parser.add_argument("roots", nargs="+", type=Path)
    parser.add_argument("--every", type=float)
    given = parser.parse_args(arguments)
    try:
        set_defaults(load_params(given.roots[0]).paths.state)
        every = None if given.every is None else timedelta(seconds=given.every)
        serve_deployments(given.roots, every=every)
    except EvertuneError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def _job_variables(folder: Path, params: "Params") -> dict[str, object]:
    home = folder / params.paths.state.name / "prefect"
    return {"working_dir": str(folder), "env": DEFAULTS | {"PREFECT_HOME": str(home)}}


def _delete_former_deployments(
    client: "SyncPrefectClient", identity: ProjectIdentity, *, keep: Sequence[UUID]
) -> None:
    """Remove deployments of this project under other names, such as before a model's renaming."""
    from prefect.client.schemas.filters import DeploymentFilter

    # Releases up to 0.1 tagged deployments by machine and folder.
    old = f"project:{socket.gethostname()}:{identity.state}"
    for tag in (identity.deployed_tag, old):
        tagged = DeploymentFilter.model_validate({"tags": {"all_": [tag]}})
        for each in client.read_deployments(deployment_filter=tagged):
            if each.id not in keep:
                client.delete_deployment(each.id)


def _delete_missed_runs(
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


def _sync_notifications(
    client: "SyncPrefectClient", identity: ProjectIdentity, blocks: Sequence[UUID]
) -> None:
    """Have the server hold exactly the notifications of a project."""
    from prefect.events.schemas.automations import AutomationCore

    tag = f"evertune:{identity.id}"
    wanted = {each.name: each for each in _notifications(identity, blocks, tag)} if blocks else {}
    for known in client.read_automations():
        if tag not in known.tags:
            continue
        core = wanted.pop(known.name, None)
        if core is None:
            client.delete_automation(known.id)
            continue
        # The client leaves out what was never set, and with it the kinds of triggers and actions.
        whole = AutomationCore.model_validate(core.model_dump(exclude={"owner_resource"}))
        client.update_automation(known.id, whole)
    for each in wanted.values():
        client.create_automation(each)


def _notifications(
    identity: ProjectIdentity, blocks: Sequence[UUID], tag: str
) -> "Iterator[AutomationCore]":
    from prefect.events.actions import SendNotification
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
    from prefect.events.schemas.events import ResourceSpecification

    def notification(
        purpose: str,
        events: set[str],
        *,
        match: dict[str, str],
        related: dict[str, str] | None = None,
        subject: str,
        body: str,
    ) -> AutomationCore:
        return AutomationCore(
            name=f"evertune {identity.deployment}: {purpose}",
            tags=[tag],
            trigger=EventTrigger(
                expect=events,
                match=ResourceSpecification.model_validate(match),
                match_related=ResourceSpecification.model_validate(related or {}),
                posture=Posture.Reactive,
                threshold=1,
            ),
            actions=[
                SendNotification(block_document_id=block, subject=subject, body=body)
                for block in blocks
            ],
        )

    yield notification(
        "notify of decisions",
        {DECISION_EVENT},
        match={"prefect.resource.id": identity.resource},
        subject=NOTIFICATION_SUBJECT,
        body=NOTIFICATION_BODY,
    )
    # Failed notifications are left out: notifying of them would fail again, without an end.
    yield notification(
        "notify of failed starts",
        {FAILED_ACTION_EVENT},
        match={
            "prefect.resource.id": "prefect.automation.*",
            "prefect.resource.name": str(retune_trigger(identity).name),
        },
        subject=f"{identity.model}: a decision could not start its run",
        body="{{ event.payload.reason }}",
    )
    yield notification(
        "notify of failed runs",
        FAILED_RUN_EVENTS,
        match={"prefect.resource.id": "prefect.flow-run.*"},
        related={
            "prefect.resource.id": f"prefect.tag.{identity.deployed_tag}",
            "prefect.resource.role": "tag",
        },
        subject=f"{identity.model}: " + "{{ flow.name }} {{ event.payload.validated_state.name }}",
        body="{{ event.payload.validated_state.message }}",
    )


def _block_id(client: "SyncPrefectClient", name: str) -> UUID:
    from prefect.exceptions import ObjectNotFound

    slug, _, own = name.partition("/")
    try:
        return client.read_block_document_by_name(own, slug).id
    except ObjectNotFound as error:
        server = strip_credentials(str(client.api_url))
        raise ParamsError(
            f"monitoring.notify: expected a Prefect block '{name}', but the server at"
            f" {server} has none. Start `evertune up` without that line, create the block"
            " on Prefect's page 'Blocks', then start again."
        ) from error


if __name__ == "__main__":
    raise SystemExit(main())
