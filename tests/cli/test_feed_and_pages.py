import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evertune.cli.up import DecisionFeed, serve_mlflow_ui
from evertune.database import open_log
from evertune.decisions import DecisionOutcome, MonitoringDecision
from evertune.errors import BusyError, StageError
from evertune.registry.decision_log import DecisionLog
from tests.support.projects import copied_project, free_port

DAY = datetime(2024, 11, 20, tzinfo=UTC)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return copied_project(tmp_path / "project")


def decided(root: Path, number: int, action: str) -> None:
    decision = MonitoringDecision(
        f"d{number}", DAY, "churn", "1", action, ("the loss rose", "since May")
    )
    with open_log(root / "state", model="churn") as log:
        DecisionLog(log).record_decision(decision)


def test_a_decision_is_told_once_with_its_first_reason(root: Path) -> None:
    decided(root, 1, "retune")
    feed = DecisionFeed(root)
    assert feed.new_lines() == ["2024-11-20 retune: the loss rose"]
    assert feed.new_lines() == []


def test_what_came_of_a_decision_is_told(root: Path) -> None:
    decided(root, 1, "retune")
    feed = DecisionFeed(root, prefix="churn: ")
    feed.new_lines()
    with open_log(root / "state", model="churn") as log:
        DecisionLog(log).record_outcome(DecisionOutcome("d1", DAY, "promoted", "2", "it is better"))
    assert feed.new_lines() == ["churn: 2024-11-20 promoted version 2: it is better"]


def test_a_busy_port_is_one_clear_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(BusyError, match=rf"Port {port} .*in use.*--port {port + 1}"):
            serve_mlflow_ui(["true"], port, page="", log=tmp_path / "log", say=print)


def test_a_ui_that_ends_by_itself_is_told_with_its_last_words(tmp_path: Path) -> None:
    command = ["sh", "-c", "echo no such database; exit 3"]
    with pytest.raises(StageError, match="ended with code 3: no such database"):
        serve_mlflow_ui(command, free_port(), page="", log=tmp_path / "log", say=print)
