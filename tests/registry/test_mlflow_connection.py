import json
import shutil
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE
from sqlalchemy import create_engine, text

from evertune.errors import BusyError, StageError, UnsafeError
from evertune.registry import mlflow_connection
from tests.support.registries import client_of, make_champion, open_state


@pytest.fixture
def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def test_a_file_and_a_database_that_takes_connections_answer():
    mlflow_connection.check_reachable("sqlite:////nowhere/mlflow.db")
    with socket.create_server(("127.0.0.1", 0)) as server:
        mlflow_connection.check_reachable(f"postgresql://127.0.0.1:{server.getsockname()[1]}/runs")


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_a_server_that_is_down_is_named_without_its_password(scheme, free_port):
    with pytest.raises(BusyError, match=rf"answer from {scheme}://127.0.0.1:{free_port}") as found:
        mlflow_connection.check_reachable(f"{scheme}://me:secret@127.0.0.1:{free_port}")
    assert "secret" not in str(found.value)


def test_a_server_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(mlflow_connection, "TIMEOUT_SECONDS", 0.2)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(BusyError, match="timed out"),
    ):
        mlflow_connection.check_reachable(f"http://127.0.0.1:{silent.getsockname()[1]}")


def test_a_server_that_wants_a_password_answers():
    class Closed(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(401)

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Closed) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        mlflow_connection.check_reachable(f"http://127.0.0.1:{server.server_port}")


def test_a_file_that_is_no_database_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow.db").write_text("garbage garbage garbage")
    with pytest.raises(UnsafeError, match="is not one; nothing was changed"):
        mlflow_connection.connect(tmp_path)


def test_the_ui_listens_on_this_machine_and_for_its_name_only(tmp_path):
    command = " ".join(mlflow_connection.mlflow_ui_command(tmp_path, 5001))
    assert "--host 127.0.0.1 --port 5001" in command
    assert "--allowed-hosts 127.0.0.1:5001,localhost:5001 " in command
    assert "--app-name" not in command


def test_the_ui_beyond_this_machine_asks_for_a_password_that_only_its_owner_can_read(tmp_path):
    command = mlflow_connection.mlflow_ui_command(tmp_path, 5001, "0.0.0.0")
    hosts = command[command.index("--allowed-hosts") + 1].split(",")
    assert {"127.0.0.1:5001", f"{socket.gethostname()}:5001"} <= set(hosts)
    assert not any("*" in host for host in hosts)
    assert command[-2:] == ["--app-name", "basic-auth"]
    login = mlflow_connection.mlflow_login(tmp_path)
    password = login["MLFLOW_AUTH_ADMIN_PASSWORD"]
    assert login == mlflow_connection.mlflow_login(tmp_path)
    assert len(password) > 40
    assert password not in " ".join(command)
    assert password not in Path(login["MLFLOW_AUTH_CONFIG_PATH"]).read_text()


@pytest.mark.slow
def test_failures_are_told_apart_by_their_codes(registry, state):
    client, address = registry._client, registry.address
    with pytest.raises(StageError, match=r"MLflow at sqlite:.* refuses: .*Run with id") as found:
        client.get_run("0" * 32)
    assert mlflow_connection.error_code(found.value) == "RESOURCE_DOES_NOT_EXIST"
    unavailable = MlflowException("asleep", TEMPORARILY_UNAVAILABLE)
    assert isinstance(mlflow_connection.convert_error(address, unavailable), BusyError)
    engine = create_engine(f"sqlite:///{state / 'mlflow.db'}")
    with engine.connect() as connection:
        connection.execute(text("BEGIN EXCLUSIVE"))
        busy = create_engine(f"sqlite:///{state / 'mlflow.db'}", connect_args={"timeout": 0})
        call = mlflow_connection.translating_errors(
            address, lambda: busy.connect().execute(text("SELECT * FROM runs"))
        )
        with pytest.raises(BusyError, match=r"does not answer: .*database is locked"):
            call()
    busy.dispose()
    engine.dispose()


@pytest.mark.slow
def test_a_server_that_goes_away_is_busy(free_port):
    client = mlflow_connection.TranslatingClient(f"http://127.0.0.1:{free_port}")
    with pytest.raises(BusyError, match="does not answer: API request to"):
        client.get_run("0" * 32)


# Moved projects


def stored_places(database: Path) -> set[str]:
    engine = create_engine(f"sqlite:///{database}")
    with engine.connect() as connection:
        found = [
            value
            for table, cell in mlflow_connection.ARTIFACT_COLUMNS
            for value in connection.scalars(text(f"SELECT {cell} FROM {table}"))
        ]
    engine.dispose()
    return {value for value in found if value and value.startswith("file:")}


@pytest.mark.slow
def test_a_moved_project_goes_on_where_it_lies_now(root, tmp_path):
    moved = tmp_path / "a place with blanks_and%signs"
    root.rename(moved)
    registry = open_state(moved / "state")
    assert all(
        place.startswith((moved / "state/artifacts").as_uri())
        for place in stored_places(moved / "state/mlflow.db")
    )
    assert registry.load_model(registry.version("champion")).row_keys == ("a", "b")
    run_id = registry.version("1").run_id
    registry.log_text(run_id, name="note.txt", text="moved")
    assert registry.download_artifact(run_id, name="note.txt", folder=tmp_path) is not None


@pytest.mark.slow
def test_a_copy_and_its_original_both_go_on(root, tmp_path):
    copy = shutil.copytree(root, tmp_path / "copy")
    for each in (copy, root):
        registry = open_state(each / "state")
        registry.load_model(registry.version("champion"))
        make_champion(registry, "3")
        assert (
            client_of(registry)
            .get_run(registry.version("1").run_id)
            .info.artifact_uri.startswith((each / "state/artifacts").as_uri())
        )


@pytest.mark.slow
def test_relocation_is_done_once_and_leaves_places_of_others_alone(root, tmp_path):
    elsewhere = "file:///srv/models/artifacts"
    registry = open_state(root / "state")
    client_of(registry).create_experiment("by hand", artifact_location=elsewhere)
    database = root / "state" / "mlflow.db"
    before = stored_places(database)
    mlflow_connection.relocate_artifacts(database, root / "state" / "artifacts")
    assert stored_places(database) == before
    (tmp_path / "link").symlink_to(root)
    mlflow_connection.relocate_artifacts(database, tmp_path / "link" / "state" / "artifacts")
    assert stored_places(database) == before
    assert elsewhere in before
    assert json.dumps(sorted(before)).count("/project/state/artifacts") == len(before) - 1
