import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pandas as pd
import pytest

from evertune.errors import StageError
from evertune.simulation.traffic import TrafficState, is_finished, send_until, start_traffic

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
    """Keeps what it is sent, and answers with the code that it was told."""

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
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield handler
        serving.shutdown()
        thread.join()


def play(address: str, newest: datetime | None = None) -> TrafficState:
    return start_traffic(TABLE, time="date", target="left", address=address, newest=newest)


def test_the_rows_of_a_day_are_sent_over_the_day_without_the_target(service) -> None:
    half = send_until(play(service.address), until=FIRST + DAY / 2)
    assert service.sent == [
        (
            "/predict",
            {"ids": ["20240901-0"], "rows": [{"date": "2024-09-01T00:00:00", "age": 31.0}]},
        )
    ]
    send_until(half, until=FIRST + DAY)
    assert service.sent[1][1]["rows"] == [{"date": "2024-09-01T00:00:00", "age": None}]


def test_a_token_is_shown_to_a_service_that_asks_for_one(service) -> None:
    send_until(replace(play(service.address), token="secret"), until=FIRST + DAY / 2)
    assert service.shown == ["Bearer secret"]


def test_a_label_is_told_a_week_later(service) -> None:
    week = replace(play(service.address), now=FIRST + 7 * DAY)
    send_until(week, until=FIRST + 7.5 * DAY)
    label = {"id": "20240901-0", "label": "yes", "moment": "2024-09-08T00:00:00Z"}
    assert service.sent == [("/label", {"labels": [label]})]


@pytest.mark.parametrize("code", [429, 503])
def test_a_service_that_is_busy_is_waited_for(service, code) -> None:
    service.code = code
    before = play(service.address)
    assert send_until(before, until=FIRST + DAY).now == before.now


def test_a_service_that_is_away_is_waited_for() -> None:
    before = play("http://127.0.0.1:9")
    assert send_until(before, until=FIRST + DAY).now == before.now


def test_a_refusal_is_told(service) -> None:
    service.code = 422
    with pytest.raises(
        StageError, match="take simulated rows at /predict, but it answers 422: why"
    ):
        send_until(play(service.address), until=FIRST + DAY)


def test_a_play_goes_on_behind_the_newest_event() -> None:
    assert play("", newest=FIRST + 9 * DAY).now == FIRST + 8 * DAY


def test_a_play_is_over_when_the_last_label_was_told() -> None:
    last = replace(play(""), now=FIRST + 8 * DAY)
    assert not is_finished(last)
    assert is_finished(replace(last, now=FIRST + 8.1 * DAY))
