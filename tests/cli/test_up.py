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
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from evertune.access import basic_authorization, kept_secret, secret_path
from evertune.config.yaml_file import edit_section
from evertune.data.example import production_table
from evertune.orchestration.server_names import DECISION_EVENT, ProjectIdentity
from tests.support.projects import commit, copied_with_dvc, free_port, run, start

pytestmark = pytest.mark.slow
STARTED = "Press Ctrl-C to stop."
LOCAL, ANYWHERE = "127.0.0.1", "0.0.0.0"
HEALTH = {"prefect": "/api/health", "mlflow": "/health", "scoring": "/health"}
PAGES = {
    "prefect": ["/", "/ui-settings", "/api/ready", "/api/admin/version", "/docs", "/openapi.json"],
    "mlflow": [
        *("/", "/version", "/signup", "/api/2.0/mlflow/users/list"),
        *(
            "/api/2.0/mlflow/experiments/search?max_results=1",
            "/api/2.0/mlflow-artifacts/artifacts",
        ),
    ],
    "scoring": ["/ready", "/metrics", "/openapi.json", "/fraud/ready", "/fraud/metrics"],
}


@dataclass
class Up:
    """`evertune up`, what it printed so far, and where its parts are."""

    process: Popen[str]
    said: list[str]
    client: SyncPrefectClient
    addresses: dict[str, str]
    checkouts: list[Path]

    @property
    def scoring(self) -> str:
        return self.addresses["scoring"]

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@contextmanager
def running(*roots: Path, host: str = LOCAL) -> Iterator[Up]:
    ports = [free_port() for _ in range(3)]
    options = zip(("--prefect-port", "--mlflow-port", "--port"), map(str, ports), strict=True)
    folders = [str(root) for root in roots]
    given = [part for pair in options for part in pair]
    process = start(roots[0], "up", *folders, *given, *(("--host", host) if host != LOCAL else ()))
    said = []
    for line in process.stdout:
        said.append(line.rstrip())
        if said[-1] == STARTED:
            break
    assert said[-1:] == [STARTED], process.communicate()
    deployed = [path for root in roots for path in (root / "state" / "deployed").iterdir()]
    checkouts = [path for path in deployed if path.is_dir()]
    addresses = {name: f"http://127.0.0.1:{p}" for name, p in zip(HEALTH, ports, strict=True)}
    secret = kept_secret(roots[0] / "state", "prefect")
    settings = {PREFECT_API_URL: f"{addresses['prefect']}/api", PREFECT_API_AUTH_STRING: secret}
    with temporary_settings(settings), get_client(sync_client=True) as client:
        yield Up(process, said, client, addresses, checkouts)
    process.kill()
    process.communicate()


@pytest.fixture(scope="module")
def projects(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return two committed projects whose stages are up to date; only the second has a champion."""
    folder = tmp_path_factory.mktemp("up")
    roots = [copied_with_dvc(trained, folder / name) for name in ("fraud", "churn")]
    shutil.rmtree(roots[0] / "state")
    (roots[0] / "data" / "project.json").unlink()
    edit_section(roots[0] / "params.yaml", "registry", {"name": "fraud"})
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


@pytest.fixture(scope="module")
def outside(up: Up, projects: list[Path]) -> Iterator[Up]:
    """Return the first project started again, on every address of this machine."""
    up.process.terminate()
    up.process.wait(timeout=120)
    with running(projects[0], host=ANYWHERE) as everything:
        yield everything


def listening(everything: Up) -> set[tuple[str, int]]:
    return {
        (each.laddr.ip, each.laddr.port)
        for process in everything.family()
        for each in process.net_connections(kind="inet")
        if each.status == psutil.CONN_LISTEN
    }


def eventually(found: Callable[[], list[FlowRun]], seconds: float) -> FlowRun:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if runs := found():
            return runs[0]
        time.sleep(0.1)
    raise AssertionError(f"nothing within {seconds} s")


def decide(client: SyncPrefectClient, resource_id: str, decision: str) -> None:
    resource = {"prefect.resource.id": resource_id, "evertune.action": "retune"}
    payload = {"decision": decision, "action": "retune", "model": "fraud"}
    event = Event(event=DECISION_EVENT, resource=resource, payload=payload)
    client.request("POST", "/events", json=[event.model_dump(mode="json")])


def test_a_project_without_a_champion_is_trained_first(up: Up) -> None:
    told = [line for line in up.said if "so a model is trained first" in line]
    assert told == ["fraud has no champion yet, so a model is trained first."]
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
    assert {host for host, _ in listening(up)} == {LOCAL}


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


def test_sigterm_ends_it_all(up: Up) -> None:
    family = up.family()
    up.process.send_signal(signal.SIGTERM)
    assert up.process.wait(timeout=120) == 143
    assert psutil.wait_procs(family, timeout=60)[1] == []


def test_a_restart_doubles_nothing(outside: Up, projects: list[Path]) -> None:
    names = [each.name for each in outside.client.read_automations()]
    deployments = [ProjectIdentity.of(root).deployment for root in projects]
    assert sorted(names) == sorted(f"evertune {name}: retune" for name in deployments)


def test_beyond_this_machine_no_server_answers_without_its_secret(
    outside: Up, project: Path
) -> None:
    ports = {int(address.rpartition(":")[2]) for address in outside.addresses.values()}
    assert {port for host, port in listening(outside) if host != LOCAL} == ports
    for name, address in outside.addresses.items():
        file = secret_path(project / "state", name)
        assert any(line.endswith(f" in {file}.") for line in outside.said), outside.said
        assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        secret = file.read_text()
        bearer = {"Authorization": f"Bearer {secret}"}
        shown = bearer if name == "scoring" else {"Authorization": basic_authorization(secret)}
        with httpx.Client(base_url=address, timeout=60) as client:
            assert client.get(HEALTH[name]).status_code == 200
            for page in PAGES[name]:
                answer = client.get(page)
                assert (page, answer.status_code) == (page, 401)
                assert answer.headers["WWW-Authenticate"].startswith(("Basic", "Bearer"))
                assert client.post(page).status_code in (401, 405), page
                assert client.get(page, headers=shown).status_code == 200, page


def test_our_own_commands_show_the_secrets_by_themselves(outside: Up, project: Path) -> None:
    prefect, mlflow = outside.addresses["prefect"], outside.addresses["mlflow"]
    asked = run(project, "models", MLFLOW_TRACKING_URI=mlflow)
    assert "champion" in asked.stdout, asked.stderr
    done = run(project, "monitor", PREFECT_API_URL=f"{prefect}/api")
    assert done.returncode == 0, done.stderr


def test_the_secrets_lie_in_their_files_only(outside: Up, project: Path) -> None:
    state = project / "state"
    secrets = {path for path in (state / "secrets").iterdir() if not path.suffix}
    tokens = [path.read_text().rpartition(":")[2].encode() for path in secrets]
    assert len(tokens) == 4
    for path in project.rglob("*"):
        if path.is_file() and path not in secrets:
            assert not any(token in path.read_bytes() for token in tokens), path
    commands = [" ".join(each.cmdline()).encode() for each in psutil.process_iter()]
    assert not any(token in command for token in tokens for command in commands)
    assert not any(token.decode() in line for token in tokens for line in outside.said)


def test_a_kill_ends_it_all_too(outside: Up) -> None:
    family = outside.family()
    outside.process.kill()
    assert psutil.wait_procs(family, timeout=60)[1] == []
