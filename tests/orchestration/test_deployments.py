import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from prefect import flow
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.deployments import run_deployment
from prefect.deployments.runner import RunnerDeployment
from prefect.events import Event
from prefect.states import Running, Scheduled

from evertune.config.loader import load_params
from evertune.config.yaml_file import edit_section
from evertune.errors import InputError, ParamsError
from evertune.orchestration.deployments import (
    FAILED_ACTION_EVENT,
    _delete_missed_runs,
    deploy,
    project_deployments,
    retune_trigger,
)
from evertune.orchestration.server_names import (
    DECISION_EVENT,
    FLOW_NAMES,
    ProjectIdentity,
    process_tag,
)
from evertune.orchestration.tasks import close_abandoned_runs, load_flow
from tests.support.projects import copied_project

NOW, DAY = datetime(2026, 1, 10, tzinfo=UTC), timedelta(days=1)
TEAM = "custom-webhook/team"
OWN_FLOW = """
from prefect import flow


@flow(name="score", persist_result=False)
def score(root: str) -> str:
    from pathlib import Path

    (Path(root) / "scored.txt").write_text(str(Path.cwd()))
    return root
"""
slow = pytest.mark.slow


@flow
def look() -> None: ...


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied_project(tmp_path_factory.mktemp("deployed") / "project")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return another project whose model has the same name."""
    return copied_project(tmp_path_factory.mktemp("other") / "project")


def deployments(root: Path, *, every: timedelta | None = None) -> dict[str, RunnerDeployment]:
    made = project_deployments(root, load_params(root), ProjectIdentity.of(root), every=every)
    return {str(each.flow_name): each for each in made}


def test_every_flow_has_a_deployment_that_runs_alone_in_the_project(root: Path) -> None:
    made = deployments(root)
    assert tuple(made) == FLOW_NAMES
    for name, each in made.items():
        assert (each.name, each.entrypoint) == (
            ProjectIdentity.of(root).deployment,
            f"flows/{name}.py:{name}",
        )
        assert (each.parameters, each.concurrency_limit) == ({"root": str(root)}, 1)


def test_production_is_looked_at_by_the_cron_of_params_or_more_often(root: Path) -> None:
    (schedule,) = deployments(root)["monitor"].schedules
    assert schedule.schedule.cron == load_params(root).monitoring.cron
    assert schedule.schedule.timezone == "UTC"
    params = load_params(root)
    monitoring = params.monitoring.model_copy(update={"timezone": "Europe/Berlin"})
    scoring = params.scoring.model_copy(update={"cron": "0 5 * * *"})
    there = params.model_copy(update={"monitoring": monitoring, "scoring": scoring})
    made = project_deployments(root, there, ProjectIdentity.of(root))
    zones = [each.schedules[0].schedule.timezone for each in made if each.schedules]
    assert zones == ["Europe/Berlin"] * 2
    (schedule,) = deployments(root, every=timedelta(seconds=30))["monitor"].schedules
    assert schedule.schedule.interval == timedelta(seconds=30)
    assert deployments(root)["train"].schedules == []


def test_a_project_without_flows_of_its_own_has_the_packaged_ones(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").touch()
    assert load_flow(tmp_path, "train").name == "train"


def test_a_file_without_the_flow_is_named(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "train.py").write_text("train = 3\n")
    with pytest.raises(InputError, match=r"flows/train\.py: expected a Prefect flow named `train`"):
        load_flow(tmp_path, "train")


@pytest.fixture(scope="module")
def heard(client: SyncPrefectClient) -> Iterator["queue.Queue[str]"]:
    """Return what arrives at a webhook, which is a Prefect block of the client's server."""
    assert client.api_url
    messages: queue.Queue[str] = queue.Queue()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            messages.put(body["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Hook) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{serving.server_port}"
        text = {"text": "{{subject}} | {{body}}"}
        CustomWebhookNotificationBlock(name="team", url=url, json_data=text).save("team")
        yield messages
        serving.shutdown()
        thread.join()


def deployed(root: Path, *notify: str) -> ProjectIdentity:
    edit_section(root / "params.yaml", "monitoring", {"notify": list(notify)})
    deploy(root)
    return ProjectIdentity.of(root)


def decide(client: SyncPrefectClient, project: ProjectIdentity, decision: str, action: str) -> None:
    event = Event(
        event=DECISION_EVENT,
        resource={"prefect.resource.id": project.resource, "evertune.action": action},
        payload={
            "decision": decision,
            "action": action,
            "model": project.model,
            "champion": "3",
            "reasons": ["the loss rose", "since May"],
        },
    )
    response = client.request("POST", "/events", json=[event.model_dump(mode="json")])
    assert response.status_code == 204


def runs_of(client: SyncPrefectClient, decision: str) -> list[FlowRun]:
    return [run for run in client.read_flow_runs() if run.parameters.get("decision_id") == decision]


def automations(client: SyncPrefectClient, project: ProjectIdentity) -> list[str]:
    found = [each.name for each in client.read_automations()]
    return sorted(name for name in found if project.deployment in name)


def eventually(found: Callable[[], list[FlowRun]], seconds: float = 60.0) -> list[FlowRun]:
    pause = threading.Event()
    for _ in range(int(seconds / 0.2)):
        if value := found():
            return value
        pause.wait(0.2)
    raise AssertionError(f"nothing within {seconds} s")


@slow
def test_projects_of_one_models_name_share_a_server_and_take_nothing_over(
    client: SyncPrefectClient, root: Path, other: Path
) -> None:
    for _ in range(2):
        first, second = deployed(root), deployed(other)
    assert first.model == second.model
    assert automations(client, first) == [f"evertune {first.deployment}: retune"]
    assert automations(client, second) == [f"evertune {second.deployment}: retune"]
    for project, folder in ((first, root), (second, other)):
        found = client.read_deployment_by_name(f"retune/{project.deployment}")
        assert found.parameters == {"root": str(folder)}
    decide(client, first, "12e4", "retune")
    (run,) = eventually(lambda: runs_of(client, "12e4"))
    assert run.created_by.type == "AUTOMATION"
    assert run.parameters == {"root": str(root), "decision_id": "12e4"}


@slow
def test_a_block_hears_of_decisions_and_of_starts_that_failed(
    client: SyncPrefectClient, root: Path, heard: "queue.Queue[str]"
) -> None:
    project = deployed(root, TEAM)
    decide(client, project, "d1", "block")
    first_line = f"{project.model}: block | Decision d1 about version 3:\n- the loss rose\n"
    assert heard.get(timeout=120).startswith(first_line)
    assert runs_of(client, "d1") == []
    (automation,) = client.read_automations_by_name(str(retune_trigger(project).name))
    resource = {
        "prefect.resource.id": f"prefect.automation.{automation.id}",
        "prefect.resource.name": automation.name,
    }
    failed = Event(event=FAILED_ACTION_EVENT, resource=resource, payload={"reason": "no such type"})
    client.request("POST", "/events", json=[failed.model_dump(mode="json")])
    expected = f"{project.model}: a decision could not start its run | no such type"
    assert heard.get(timeout=120) == expected


@slow
@pytest.mark.usefixtures("heard")
def test_notifications_that_are_no_longer_wanted_are_removed(
    client: SyncPrefectClient, root: Path
) -> None:
    assert len(automations(client, deployed(root, TEAM))) == 4
    assert len(automations(client, deployed(root))) == 1


@slow
def test_a_block_that_is_not_there_is_named(client: SyncPrefectClient, other: Path) -> None:
    assert client.api_url
    with pytest.raises(ParamsError, match=r"a Prefect block 'slack-webhook/none'.*has none"):
        deployed(other, "slack-webhook/none")


@slow
def test_deployments_under_a_former_name_of_the_model_are_removed(
    client: SyncPrefectClient, tmp_path: Path
) -> None:
    root = copied_project(tmp_path / "project")
    before = deployed(root)
    edit_section(root / "params.yaml", "registry", {"name": "renamed"})
    after = deployed(root)
    found = {each.name for each in client.read_deployments()}
    assert after.deployment in found
    assert before.deployment not in found


@slow
def test_a_worker_of_a_pool_runs_the_projects_own_flow(
    client: SyncPrefectClient, tmp_path: Path
) -> None:
    root = copied_project(tmp_path / "project")
    (root / "flows" / "score.py").write_text(OWN_FLOW)
    client.create_work_pool(WorkPoolCreate(name="machines", type="process"))
    made = deploy(root, work_pool="machines")
    assert {each.work_pool_name for _, each in made} == {"machines"}
    run = run_deployment(f"score/{ProjectIdentity.of(root).deployment}", timeout=0)
    command = ["-m", "prefect", "worker", "start", "--pool", "machines", "--run-once"]
    settings = os.environ | {
        "PREFECT_API_URL": str(client.api_url),
        "PREFECT_HOME": str(tmp_path / "worker"),
        "PREFECT_WORKER_PREFETCH_SECONDS": "30",
    }
    worker = subprocess.Popen([sys.executable, *command], env=settings, cwd=tmp_path)
    try:
        ended = eventually(
            lambda: [each for each in [client.read_flow_run(run.id)] if each.end_time], 120
        )
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(timeout=60)
    assert ended[0].state_type == "COMPLETED", ended[0].state
    assert (root / "scored.txt").read_text() == str(root)


@slow
def test_a_work_pool_that_is_not_there_is_named(client: SyncPrefectClient, root: Path) -> None:
    assert client.api_url
    with pytest.raises(InputError, match=r"a work pool named 'none'.*prefect work-pool create"):
        deploy(root, work_pool="none")


@pytest.fixture
def deployment(client: SyncPrefectClient) -> UUID:
    daily = DeploymentScheduleCreate(schedule=IntervalSchedule(interval=DAY, anchor_date=NOW))
    return client.create_deployment(
        client.create_flow(look), str(uuid4()), entrypoint="nothing.look", schedules=[daily]
    )


def missed(client: SyncPrefectClient, deployment: UUID) -> list[datetime]:
    runs = [run for run in client.read_flow_runs() if run.deployment_id == deployment]
    times = [run.expected_start_time for run in runs]
    return sorted(time for time in times if time < NOW + DAY)  # the server plans further ahead


@slow
def test_of_runs_that_a_schedule_missed_the_last_is_made_up_for(
    client: SyncPrefectClient, deployment: UUID
) -> None:
    days = {"start_time": str(NOW - 3 * DAY), "end_time": str(NOW + DAY / 2), "min_runs": 4}
    client.request("POST", "/deployments/{id}/schedule", path_params={"id": deployment}, json=days)
    assert len(missed(client, deployment)) == 4
    _delete_missed_runs(client, [deployment], now=NOW + DAY / 2)
    assert missed(client, deployment) == [NOW]


@slow
def test_a_request_that_waited_is_kept(client: SyncPrefectClient, deployment: UUID) -> None:
    for _ in range(3):
        client.create_flow_run_from_deployment(
            deployment, state=Scheduled(scheduled_time=NOW - DAY)
        )
    _delete_missed_runs(client, [deployment], now=NOW)
    assert missed(client, deployment) == 3 * [NOW - DAY]


@slow
def test_runs_whose_process_was_killed_end_as_crashed(client: SyncPrefectClient) -> None:
    from evertune.orchestration.tasks import _process_has_ended

    tag = f"project:{uuid4()}"
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    here, _, _ = process_tag().rpartition(":")
    tags = {"dead": f"{here}:{gone.pid}", "alive": process_tag(), "elsewhere": "process:far:1"}
    runs = {
        name: client.create_flow_run(look, tags=[tag, own], state=Running()).id
        for name, own in tags.items()
    }
    close_abandoned_runs(client, [tag], is_dead=_process_has_ended)
    states = {name: client.read_flow_run(each).state_type for name, each in runs.items()}
    assert states == {"dead": "CRASHED", "alive": "RUNNING", "elsewhere": "RUNNING"}
