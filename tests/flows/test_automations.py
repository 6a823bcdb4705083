import json
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from uuid import UUID

import pytest
from prefect import flow
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import SyncPrefectClient
from prefect.events import Event

from evertune.errors import ParamsError
from evertune.orchestration.automations import DECISION_EVENT, FAILED_ACTION_EVENT, sync_automations

pytestmark = pytest.mark.slow
MODEL = "automated"
TEAM = "custom-webhook/team"


@pytest.fixture(scope="module")
def deployment(client: SyncPrefectClient) -> UUID:
    """Return a deployment whose only parameter is the id of a decision."""

    @flow
    def follow(decision_id: str) -> None: ...

    flow_id = client.create_flow(follow)
    return client.create_deployment(flow_id, MODEL, entrypoint="nothing.follow")


@pytest.fixture(scope="module")
def told(client: SyncPrefectClient) -> Iterator["queue.Queue[str]"]:
    """Return what arrives at a webhook, which is kept as a Prefect block by the client's server."""
    heard: queue.Queue[str] = queue.Queue()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            heard.put(body["text"])
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
        yield heard
        serving.shutdown()
        thread.join()


def decide(client: SyncPrefectClient, decision: str, action: str) -> None:
    event = Event(
        event=DECISION_EVENT,
        resource={
            "prefect.resource.id": f"evertune.model.{MODEL}",
            "evertune.action": action,
        },
        payload={
            "decision": decision,
            "action": action,
            "model": MODEL,
            "champion": "3",
            "reasons": ["the loss rose", "since May"],
        },
    )
    response = client.request("POST", "/events", json=[event.model_dump(mode="json")])
    assert response.status_code == 204


def runs_of(client: SyncPrefectClient, decision: str) -> list:
    return [run for run in client.read_flow_runs() if run.parameters == {"decision_id": decision}]


def names(client: SyncPrefectClient) -> list[str]:
    return sorted(each.name for each in client.read_automations())


def eventually(found, seconds: float = 30.0):
    pause = threading.Event()
    for _ in range(int(seconds / 0.2)):
        if value := found():
            return value
        pause.wait(0.2)
    raise AssertionError(f"nothing within {seconds} s")


def test_deploying_again_doubles_nothing(client, deployment) -> None:
    kept = [sync_automations(client, MODEL, retune=deployment, notify=()) for _ in range(2)]
    assert names(client) == [f"evertune {MODEL}: retune"]
    assert kept[0][0].id == kept[1][0].id


def test_a_decision_starts_one_run_with_its_id_as_text(client, deployment) -> None:
    sync_automations(client, MODEL, retune=deployment, notify=())
    decide(client, "12e4", "retune")
    (run,) = eventually(lambda: runs_of(client, "12e4"))
    assert run.created_by.type == "AUTOMATION"


def test_a_block_is_told_of_a_decision_and_starts_nothing(client, deployment, told) -> None:
    sync_automations(client, MODEL, retune=deployment, notify=(TEAM,))
    decide(client, "d1", "block")
    said = told.get(timeout=120)
    assert said.startswith(f"{MODEL}: block | Decision d1 about version 3:\n- the loss rose\n")
    assert runs_of(client, "d1") == []


def test_a_decision_that_cannot_start_its_run_is_told(client, deployment, told) -> None:
    (automation, *_) = sync_automations(client, MODEL, retune=deployment, notify=(TEAM,))
    resource = {"prefect.resource.id": f"prefect.automation.{automation.id}"}
    failed = Event(event=FAILED_ACTION_EVENT, resource=resource, payload={"reason": "no such type"})
    client.request("POST", "/events", json=[failed.model_dump(mode="json")])
    assert told.get(timeout=120) == f"{MODEL}: a decision could not start its run | no such type"


@pytest.mark.usefixtures("told")
def test_what_is_told_nowhere_any_more_is_removed(client, deployment) -> None:
    sync_automations(client, MODEL, retune=deployment, notify=(TEAM,))
    assert len(names(client)) == 4
    sync_automations(client, MODEL, retune=deployment, notify=())
    assert names(client) == [f"evertune {MODEL}: retune"]


def test_a_block_that_is_not_there_is_told(client, deployment) -> None:
    with pytest.raises(ParamsError, match=r"a Prefect block 'slack-webhook/none'.*has none"):
        sync_automations(client, MODEL, retune=deployment, notify=("slack-webhook/none",))
