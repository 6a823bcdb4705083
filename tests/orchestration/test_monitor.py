import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from evertune.models.persistence import load_model
from evertune.orchestration.server import prefect_server
from evertune.orchestration.server_names import ProjectIdentity
from tests.support.production import labelled, project, rows, served
from tests.support.projects import CHECKOUT, add_prefect_database, run

pytestmark = pytest.mark.slow


@pytest.fixture
def root(champion_root: Path, learned: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project whose production has changed."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(champion_root / "state" / "prefect"))
    add_prefect_database(champion_root / "state")
    root = project(champion_root)
    table = rows(0, 4, a_day=120, flipped=True)
    labelled(root, table, served(root, load_model(learned / "model"), table))
    return root


def eventually(ask: Callable[[], dict]) -> dict:
    """Return the answer once it has an event: the server writes events down some seconds later."""
    deadline = time.monotonic() + 60
    while not (found := ask())["events"]:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    return found


def test_a_request_is_told_by_one_event_with_its_decision(root: Path) -> None:
    with prefect_server(root / "state") as ready:
        ready()
        address = os.environ["PREFECT_API_URL"]
        own = {"PREFECT_API_URL": address, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"}
        done = run(root, "monitor", "--now", "2024-01-07", **own)
        wanted = {"filter": {"event": {"name": ["evertune.decision"]}}}
        with temporary_settings({PREFECT_API_URL: address}), get_client(sync_client=True) as client:
            found = eventually(lambda: client.request("POST", "/events/filter", json=wanted).json())
    assert done.returncode == 0, done.stderr
    (event,) = found["events"]
    assert event["resource"]["prefect.resource.id"] == ProjectIdentity.of(root).resource
    assert event["payload"]["decision"] in done.stdout
