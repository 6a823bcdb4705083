import os
from pathlib import Path

import httpx
import pytest
from threadpoolctl import threadpool_limits

from flows.server import prefect_server
from pipelines.stores.models import load_model
from tests.flows.conftest import CHECKOUT, run
from tests.production import champion, labelled, learned, project, rows, served

pytestmark = pytest.mark.slow


@pytest.fixture
def root(tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project whose production has changed."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(state / "prefect"))
    project(tmp_path)
    with threadpool_limits(1):
        made = learned(tmp_path / "learned")
    champion(tmp_path, made)
    table = rows(0, 4, a_day=120, flipped=True)
    labelled(tmp_path, table, served(tmp_path, load_model(made / "model"), table))
    return tmp_path


def test_a_request_is_told_by_one_event_with_its_decision(root: Path) -> None:
    with prefect_server(root / "state") as ready:
        ready()
        address = os.environ["PREFECT_API_URL"]
        own = {"PREFECT_API_URL": address, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"}
        done = run(root, "monitor", "--now", "2024-01-07", **own)
        wanted = {"filter": {"event": {"name": ["evertune.decision"]}}}
        found = httpx.post(f"{address}/events/filter", json=wanted, timeout=30).json()
    assert done.returncode == 0, done.stderr
    (event,) = found["events"]
    assert event["resource"]["prefect.resource.id"] == "evertune.model.churn"
    assert event["payload"]["decision"] in done.stdout
