import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from urllib.error import HTTPError
from urllib.request import urlopen

import httpx
import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.events import Event
from prefect.settings import PREFECT_API_URL, temporary_settings

from evertune.config.yaml_file import edit_section
from evertune.data.example import production_table
from evertune.orchestration.server_names import DECISION_EVENT, ProjectIdentity
from tests.support.projects import commit, copied_with_dvc, free_port, start

pytestmark = pytest.mark.slow
STARTED = "Press Ctrl-C to stop."


@dataclass
class Up:
    """`evertune up`, what it printed so far, and where its parts are."""

    process: Popen[str]
    said: list[str]
    client: SyncPrefectClient
    scoring: str
    checkouts: list[Path]

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@contextmanager
def running(*roots: Path) -> Iterator[Up]:
    ports = [free_port() for _ in range(3)]
    options = zip(("--prefect-port", "--mlflow-port", "--port"), map(str, ports), strict=True)
    folders = [str(root) for root in roots]
    process = start(roots[0], "up", *folders, *(part for pair in options for part in pair))
    said = []
    for line in process.stdout:
        said.append(line.rstrip())
        if said[-1] == STARTED:
            break
    assert said[-1:] == [STARTED], process.communicate()
    deployed = [path for root in roots for path in (root / "state" / "deployed").iterdir()]
    checkouts = [path for path in deployed if path.is_dir()]
    address = f"http://127.0.0.1:{ports[0]}/api"
    with temporary_settings({PREFECT_API_URL: address}), get_client(sync_client=True) as client:
        yield Up(process, said, client, f"http://127.0.0.1:{ports[2]}", checkouts)
    process.kill()
    process.communicate()


@pytest.fixture(scope="module")
def projects(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return two committed projects whose stages are up to date, without a champion."""
    folder = tmp_path_factory.mktemp("up")
    roots = [copied_with_dvc(trained, folder / name) for name in ("churn", "fraud")]
    for root in roots:
        shutil.rmtree(root / "state")
        (root / "data" / "project.json").unlink()
        edit_section(root / "params.yaml", "registry", {"name": root.name})
    # The first is monitored every minute.
    edit_section(roots[0] / "params.yaml", "monitoring", {"cron": "* * * * *"})
    for root in roots:
        commit(root, without=("data",))
    return roots


@pytest.fixture(scope="module")
def project(projects: list[Path]) -> Path:
    return projects[0]


@pytest.fixture(scope="module")
def up(projects: list[Path]) -> Iterator[Up]:
    with running(*projects) as everything:
        yield everything


def eventually(found: Callable[[], list[FlowRun]], seconds: float) -> FlowRun:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if runs := found():
            return runs[0]
        time.sleep(0.1)
    raise AssertionError(f"nothing within {seconds} s")


def decide(client: SyncPrefectClient, resource_id: str, decision: str) -> None:
    resource = {"prefect.resource.id": resource_id, "evertune.action": "retune"}
    payload = {"decision": decision, "action": "retune", "model": "churn"}
    event = Event(event=DECISION_EVENT, resource=resource, payload=payload)
    client.request("POST", "/events", json=[event.model_dump(mode="json")])


@pytest.mark.parametrize("name", ["churn", "fraud"])
def test_a_project_without_a_champion_is_trained_first(up: Up, name: str) -> None:
    assert f"{name} has no champion yet, so a model is trained first." in up.said
    assert any("Version 1 is now the champion" in line for line in up.said)


def test_the_scoring_service_has_the_champion_and_shows_no_documentation(up: Up) -> None:
    assert urlopen(f"{up.scoring}/ready").status == 200
    with pytest.raises(HTTPError, match="404"):
        urlopen(f"{up.scoring}/docs")


@pytest.mark.parametrize("name", ["churn", "fraud"])
def test_one_service_answers_for_each_project_under_its_name(up: Up, name: str) -> None:
    inputs = production_table().head(1).drop(columns="churned")
    (row,) = json.loads(inputs.to_json(orient="records", date_format="iso"))
    answer = httpx.post(f"{up.scoring}/{name}/predict", json={"row": row}, timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.json()["version"] == "1"


def test_two_copies_of_a_project_are_deployed_under_their_own_ids(
    up: Up, projects: list[Path]
) -> None:
    identities = [ProjectIdentity.of(root) for root in projects]
    assert len({identity.id for identity in identities}) == 2
    for identity, checkout in zip(identities, up.checkouts, strict=True):
        deployment = up.client.read_deployment_by_name(f"train/{identity.deployment}")
        assert deployment.parameters == {"root": str(checkout)}


def test_the_scoring_service_predicts_with_one_thread(up: Up) -> None:
    (set_to,) = {
        (p.environ()["OMP_NUM_THREADS"], p.environ()["OMP_WAIT_POLICY"])
        for p in up.family()
        if "serve" in p.cmdline()
    }
    assert set_to == (os.environ.get("OMP_NUM_THREADS", "1"), "PASSIVE")


def test_everything_listens_on_this_machine_only(up: Up) -> None:
    listening = [
        each.laddr.ip
        for process in up.family()
        for each in process.net_connections(kind="inet")
        if each.status == psutil.CONN_LISTEN
    ]
    assert set(listening) == {"127.0.0.1"}


def test_runs_work_in_the_checkout_under_the_projects_id(up: Up, project: Path) -> None:
    name = ProjectIdentity.of(project).deployment
    deployment = up.client.read_deployment_by_name(f"monitor/{name}")
    assert deployment.parameters == {"root": str(up.checkouts[0])}
    assert ProjectIdentity.of(up.checkouts[0]).id == ProjectIdentity.of(project).id


def test_an_event_of_a_decision_starts_the_retune_with_its_id(up: Up, project: Path) -> None:
    decide(up.client, ProjectIdentity.of(project).resource, "12e4")
    wanted = {"decision_id": "12e4"}
    run = eventually(
        lambda: [r for r in up.client.read_flow_runs() if wanted.items() <= r.parameters.items()],
        120,
    )
    body = eventually(lambda: [r for r in [up.client.read_flow_run(run.id)] if r.start_time], 120)
    assert body.created_by.type == "AUTOMATION"


def test_production_was_looked_at_by_the_cron(up: Up) -> None:
    def done() -> list[FlowRun]:
        runs = up.client.read_flow_runs()
        return [r for r in runs if r.created_by and r.created_by.type == "SCHEDULE" and r.end_time]

    run = eventually(done, 300)
    assert (run.state_type, run.created_by.display_value) == ("COMPLETED", "CronSchedule")


def test_a_program_that_is_killed_is_started_again(up: Up) -> None:
    runner = next(
        p for p in up.family() if "evertune.orchestration.deployments" in p.cmdline()[1:3]
    )
    psutil.Process(runner.pid).kill()
    lines = iter(up.process.stdout.readline, "")
    assert any("runner of deployments ended" in line for line in lines)


def test_sigterm_ends_it_all_and_a_restart_doubles_nothing(up: Up, projects: list[Path]) -> None:
    family = up.family()
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(timeout=120) == 143
    assert psutil.wait_procs(family, timeout=60)[1] == []
    with running(projects[0]) as again:
        names = [each.name for each in again.client.read_automations()]
        family = again.family()
        again.process.kill()
        assert psutil.wait_procs(family, timeout=60)[1] == []
    deployments = [ProjectIdentity.of(root).deployment for root in projects]
    assert sorted(names) == sorted(f"evertune {name}: retune" for name in deployments)
