import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from evertune.errors import BusyError, UnsafeError
from evertune.messages import strip_credentials
from evertune.registry import mlflow_client


@pytest.fixture
def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("sqlite:////a/mlflow.db", "sqlite:////a/mlflow.db"),
        ("postgresql://me:secret@host:5432/runs", "postgresql://host:5432/runs"),
        ("https://me:secret@host/mlflow?token=secret", "https://host/mlflow"),
    ],
)
def test_an_address_is_shown_without_its_secrets(address, shown):
    assert strip_credentials(address) == shown


def test_a_file_always_answers():
    assert mlflow_client.check_reachable("sqlite:////nowhere/mlflow.db") is None


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_a_server_that_is_down_is_named_without_its_password(scheme, free_port):
    with pytest.raises(BusyError, match=rf"answer from {scheme}://127.0.0.1:{free_port}") as found:
        mlflow_client.check_reachable(f"{scheme}://me:secret@127.0.0.1:{free_port}")
    assert "secret" not in str(found.value)


def test_a_server_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(mlflow_client, "TIMEOUT_SECONDS", 0.2)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(BusyError, match="timed out"),
    ):
        mlflow_client.check_reachable(f"http://127.0.0.1:{silent.getsockname()[1]}")


def test_a_database_that_takes_connections_answers():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert mlflow_client.check_reachable(f"postgresql://127.0.0.1:{port}/runs") is None


def test_a_server_that_wants_a_password_answers():
    class Closed(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(401)

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Closed) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert mlflow_client.check_reachable(f"http://127.0.0.1:{server.server_port}") is None


def test_a_file_that_is_no_database_is_left_alone(tmp_path):
    (tmp_path / "mlflow.db").write_text("garbage garbage garbage")
    with pytest.raises(UnsafeError, match="is not a database; nothing was changed"):
        mlflow_client.check_mlflow_database(tmp_path)


def test_a_database_that_is_not_there_yet_is_fine(tmp_path):
    assert mlflow_client.check_mlflow_database(tmp_path) is None


def test_the_ui_listens_on_this_machine_and_for_its_name_only(tmp_path):
    command = " ".join(mlflow_client.mlflow_ui_command(tmp_path, 5001))
    assert "--host 127.0.0.1 --port 5001" in command
    assert "--allowed-hosts 127.0.0.1:5001,localhost:5001" in command
