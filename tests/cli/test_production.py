import socket
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from evertune.cli.up import monitoring_interval_seconds
from evertune.config.yaml_file import edit_section
from evertune.files import project_lock
from tests.projects import free_port

Run = Callable[..., CompletedProcess[str]]
COMMANDS = ("serve", "score", "label", "log", "monitor", "retune", "replay", "up")


def test_help_names_the_commands_of_production(evertune: Run) -> None:
    said = evertune("--help").stdout
    assert [command for command in COMMANDS if f" {command} " not in said] == []


@pytest.fixture
def ports() -> list[str]:
    """Return options with free ports."""
    options = ("--prefect-port", "--mlflow-port", "--port")
    return [part for option in options for part in (option, str(free_port()))]


def test_up_without_a_commit_says_what_to_do(evertune: Run, ports: list[str]) -> None:
    done = evertune("up", *ports)
    assert done.returncode == 78
    assert "git init && git add . && git commit" in done.stderr


def test_up_names_the_option_for_a_port_that_is_taken(evertune: Run, ports: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = evertune("up", *ports, "--prefect-port", port)
    assert done.returncode == 75
    assert f"Port {port} of this machine cannot be used" in done.stderr
    assert "--prefect-port" in done.stderr


def test_up_runs_once_in_a_project(evertune: Run, project: Path, ports: list[str]) -> None:
    with project_lock(project / "state" / "up", "evertune up"):
        done = evertune("up", *ports)
    assert done.returncode == 75
    assert "'evertune up' (process" in done.stderr


def test_simulated_customers_are_not_played_into_a_table_of_ones_own(
    evertune: Run, project: Path
) -> None:
    edit_section(project / "params.yaml", "data", {"source": "mine.csv"})
    done = evertune("up", "--simulate")
    assert done.returncode == 2
    assert "'mine.csv'; start without --simulate" in done.stderr


def test_a_moment_that_is_none_is_refused(evertune: Run) -> None:
    done = evertune("monitor", "--now", "soon")
    assert done.returncode == 2
    assert "expected an ISO moment" in done.stderr


def test_labels_without_a_champion_are_refused(evertune: Run, project: Path) -> None:
    (project / "labels.csv").write_text("prediction_id,churned\na,yes\nb,no\n")
    done = evertune("label", "labels.csv")
    assert done.returncode == 4
    assert "champion" in done.stderr


@pytest.mark.parametrize(("speed", "seconds"), [(1.0, 180.0), (6.0, 30.0), (60.0, 20.0)])
def test_production_is_looked_at_every_few_simulated_days(speed: float, seconds: float) -> None:
    assert monitoring_interval_seconds(speed) == seconds
