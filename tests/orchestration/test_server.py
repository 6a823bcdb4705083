import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from prefect.client.orchestration import SyncPrefectClient

from evertune.errors import BusyError
from evertune.orchestration import server
from evertune.orchestration.server import prefect_server, server_responds


class Fixed(BaseHTTPRequestHandler):
    """Answers every request with one code."""

    def __init__(self, code: int, *arguments: object) -> None:
        self.code = code
        super().__init__(*arguments)

    def do_GET(self) -> None:
        self.send_response(self.code)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def answering(code: int) -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), partial(Fixed, code)) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}/api"
        serving.shutdown()
        thread.join()


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the `state` of a project whose Prefect server is its own."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    return tmp_path


@pytest.mark.parametrize(("code", "answered"), [(200, True), (401, True), (404, False)])
def test_a_server_that_asks_who_we_are_answers_and_another_page_does_not(
    code: int, answered: bool
) -> None:
    with answering(code) as address:
        assert server_responds(address, seconds=5, alive=lambda: True) is answered


def test_a_standing_server_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with answering(200) as address:
        monkeypatch.setenv("PREFECT_API_URL", address)
        with prefect_server(tmp_path) as ready:
            assert ready() == address.removesuffix("/api")
    assert list(tmp_path.iterdir()) == []


def test_a_standing_server_that_does_not_answer_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/api"
    monkeypatch.setenv("PREFECT_API_URL", address)
    monkeypatch.setattr(server, "EXISTING_SERVER_TIMEOUT_SECONDS", 0.3)
    with (
        pytest.raises(BusyError, match=rf"PREFECT_API_URL is {address}, but no Prefect server"),
        prefect_server(tmp_path),
    ):
        pass


@pytest.mark.slow
def test_a_server_of_our_own_answers_and_ends_with_the_block(own: Path) -> None:
    with prefect_server(own) as ready:
        address = ready()
        assert urlopen(f"{address}/api/ready").status == 200
        assert os.environ["PREFECT_API_URL"] == f"{address}/api"
    assert "PREFECT_API_URL" not in os.environ
    assert not server_responds(f"{address}/api", seconds=0.2, alive=lambda: True)


@pytest.mark.slow
def test_a_server_of_our_own_that_cannot_start_is_told_with_its_log(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = f"sqlite+aiosqlite:///{own}/missing/prefect.db"
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", missing)
    with (
        pytest.raises(BusyError, match=r"did not come up .* \(exit code 3\).*server\.log"),
        prefect_server(own) as ready,
    ):
        ready()


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/api/health", "/"])
def test_a_foreign_name_that_points_to_this_machine_is_refused(
    client: SyncPrefectClient, path: str
) -> None:
    own = str(client.api_url).removesuffix("/api/").removesuffix("/api")
    request = Request(f"{own}{path}", headers={"Host": "10.evil.com"})
    with pytest.raises(HTTPError, match="400"):
        urlopen(request)


@pytest.mark.slow
def test_pages_of_other_origins_may_not_ask_the_server(client: SyncPrefectClient) -> None:
    origin = {"Origin": "http://evil.com"}
    with urlopen(Request(f"{str(client.api_url).rstrip('/')}/health", headers=origin)) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] is None
