import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pandas as pd
import pytest

from evertune.errors import StageError
from evertune.simulation.traffic import Traffic

DAY = timedelta(days=1)
FIRST = datetime(2024, 9, 1, tzinfo=UTC)
TABLE = pd.DataFrame(
    {
        "date": pd.to_datetime(["2024-09-01", "2024-09-01", "2024-09-02"]),
        "age": [31.0, None, 47.0],
        "left": ["yes", "no", "no"],
    }
)


class Service(BaseHTTPRequestHandler):
    """Collects what it is sent, and answers with one code."""

    code = 200
    sent: list[tuple[str, dict]]
    shown: list[str | None]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.sent.append((self.path, body))
        self.shown.append(self.headers["Authorization"])
        self.send_response(self.code)
        self.end_headers()
        self.wfile.write(b"why")

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def service() -> Iterator[type[Service]]:
    handler = type("Own", (Service,), {"sent": [], "shown": []})
    with HTTPServer(("127.0.0.1", 0), handler) as serving:
        handler.address = f"http://127.0.0.1:{serving.server_port}"
        thread = threading.Thread(target=serving.serve_forever, args=[0.01])
        thread.start()
        yield handler
        serving.shutdown()
        thread.join()


def traffic(address: str, **options) -> Traffic:
    return Traffic(TABLE, time="date", target="left", address=address, **options)


def test_the_rows_of_a_day_are_sent_over_the_day_without_the_target(service):
    sent = traffic(service.address)
    sent.send_until(FIRST + DAY / 2)
    morning = {"date": "2024-09-01T00:00:00", "age": 31.0}
    assert service.sent == [("/predict", {"ids": ["20240901-0"], "rows": [morning]})]
    sent.send_until(FIRST + DAY)
    assert service.sent[1][1]["rows"] == [{"date": "2024-09-01T00:00:00", "age": None}]


def test_a_token_is_shown_to_a_service_that_asks_for_one(service):
    traffic(service.address, token=b"secret").send_until(FIRST + DAY / 2)
    assert service.shown == ["Bearer secret"]


def test_a_label_follows_a_week_later(service):
    traffic(service.address, newest=FIRST + 8 * DAY).send_until(FIRST + 7.5 * DAY)
    label = {"id": "20240901-0", "label": "yes", "moment": "2024-09-08T00:00:00Z"}
    assert service.sent == [("/label", {"labels": [label]})]


@pytest.mark.parametrize("code", [429, 503])
def test_a_busy_service_is_waited_for(service, code):
    service.code = code
    sent = traffic(service.address)
    sent.send_until(FIRST + DAY)
    assert sent.now == FIRST


def test_a_service_that_does_not_run_is_waited_for():
    sent = traffic("http://127.0.0.1:9")
    sent.send_until(FIRST + DAY)
    assert sent.now == FIRST


def test_a_refusal_is_an_error(service):
    service.code = 422
    with pytest.raises(
        StageError, match="take simulated rows at /predict, but it answers 422: why"
    ):
        traffic(service.address).send_until(FIRST + DAY)


def test_traffic_goes_on_behind_the_newest_event():
    assert traffic("", newest=FIRST + 9 * DAY).now == FIRST + 8 * DAY


def test_traffic_is_over_when_the_last_label_was_sent(service):
    lines = []
    late = traffic(service.address, newest=FIRST + 8.9 * DAY)
    assert late.advance(1, 1, say=lines.append)
    assert not late.advance(1, 60, say=lines.append)
    assert lines == ["All simulated customers were played; production goes on without new ones."]
