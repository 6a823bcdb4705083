import socket
from pathlib import Path

import pytest

from evertune.cli.up import serve_mlflow_ui
from evertune.errors import BusyError, StageError


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_busy_port_is_one_clear_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(BusyError, match=rf"Port {port} .*in use.*--port {port + 1}"):
            serve_mlflow_ui(["true"], port, log=tmp_path / "log", say=print)


def test_a_ui_that_ends_by_itself_is_told_with_its_last_words(tmp_path: Path) -> None:
    command = ["sh", "-c", "echo no such database; exit 3"]
    with pytest.raises(StageError, match="ended with code 3: no such database"):
        serve_mlflow_ui(command, free_port(), log=tmp_path / "log", say=print)
