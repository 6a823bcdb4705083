"""Several services of one project that share a log in PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest

from evertune.database import open_log
from evertune.monitoring.prediction_log import PredictionLog
from tests.serving.conftest import churn_app
from tests.support.production import day, project
from tests.support.services import served

pytestmark = pytest.mark.slow  # starts PostgreSQL

ROW = {"age": 31, "plan": "a", "day": "2024-01-02"}
BEHIND, NOW = day(30) - timedelta(minutes=4), day(30)
N_REQUESTS = 40


@pytest.fixture
def clients(root, postgresql, monkeypatch):
    """Return clients of two services whose clocks differ by minutes."""
    monkeypatch.setenv("SHARED_LOG", postgresql)
    project(root, log_variable="SHARED_LOG")
    with served(churn_app(root, NOW)) as ahead, served(churn_app(root, BEHIND)) as behind:
        yield ahead, behind


def test_services_that_share_a_log_answer_as_one(clients, postgresql, tmp_path):
    def ask(number):
        body = {"rows": [ROW | {"age": 20 + number % 7}] * 3}
        if number % 4 == 0:  # one request that both were asked, such as by a retry
            body["request_id"] = f"again-{number // 8}"
            body["rows"] = [ROW] * 3
        return clients[number % 8 // 4].post("/predict", json=body).json()

    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(ask, range(N_REQUESTS)))
    ids = {each for answer in answers for each in answer["ids"]}
    n_repeated = N_REQUESTS // 4 // 2
    assert len(ids) == 3 * (N_REQUESTS - n_repeated)
    with open_log(tmp_path, model="churn", address=postgresql) as log:
        frame = PredictionLog(log.engine, log.model).read(classes=("no", "yes"))
    assert set(frame["id"]) >= ids
    by_request = {}
    for answer in answers:
        by_request.setdefault(answer["request_id"], []).append(answer["predictions"])
    assert all(each == same[0] for same in by_request.values() for each in same)


def test_a_correction_counts_also_by_a_clock_that_is_minutes_behind(clients, postgresql, tmp_path):
    ahead, behind = clients
    ahead.post("/predict", json={"row": ROW, "request_id": "clocks"})

    def label(client, value, **moment):
        labels = [{"id": "clocks", "label": value} | moment]
        return client.post("/label", json={"labels": labels}).json()

    assert label(ahead, "no")["new"] == 1
    assert label(behind, "yes")["corrected"] == 1
    with open_log(tmp_path, model="churn", address=postgresql) as log:
        assert PredictionLog(log.engine, log.model).effective_labels(["clocks"]) == {
            "clocks": "yes"
        }
    assert label(behind, "yes", moment=NOW.isoformat())["repeated"] == 1
    late = (NOW + timedelta(minutes=2)).isoformat()
    assert "detail" in label(behind, "no", moment=late)


def test_while_the_log_is_away_nothing_is_answered_and_nothing_answered_is_lost(
    root, postgresql, monkeypatch, tmp_path
):
    address = postgresql.rpartition("/")[0] + "/outage"
    monkeypatch.setenv("SHARED_LOG", address)
    project(root, log_variable="SHARED_LOG")
    with psycopg.connect(postgresql, autocommit=True) as server:
        server.execute("CREATE DATABASE outage")

        def let_in(allowed):
            server.execute(f"ALTER DATABASE outage ALLOW_CONNECTIONS {allowed}")
            if not allowed:
                server.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = 'outage'"
                )

        with served(churn_app(root, NOW)) as client:

            def ask(name):
                return client.post("/predict", json={"row": ROW, "request_id": name})

            def label(name):
                return client.post("/label", json={"labels": [{"id": name, "label": "no"}]})

            before = ask("before")
            let_in(False)
            away = [ask("away"), ask("away"), label("before")]
            let_in(True)
            after = [ask("away"), ask("before"), label("before")]
    assert [each.status_code for each in (before, *away, *after)] == [200, *[503] * 3, *[200] * 3]
    assert all("the prediction log does not answer" in each.text for each in away)
    assert after[1].json() == before.json()
    with open_log(tmp_path, model="churn", address=address) as log:
        kept = PredictionLog(log.engine, log.model)
        assert list(kept.read(classes=("no", "yes"))["id"]) == ["away", "before"]
        assert kept.effective_labels(["before"]) == {"before": "no"}
