import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from evertune.cli.up import monitoring_interval_seconds
from evertune.config.yaml_file import edit_section
from evertune.files import project_lock
from tests.support.projects import free_port

Run = Callable[..., Result]
COMMANDS = ("serve", "score", "label", "log", "monitor", "retune", "replay", "up")


def test_help_names_the_commands_of_production(invoke: Run) -> None:
    said = invoke("--help").stdout
    assert [command for command in COMMANDS if f" {command} " not in said] == []


@pytest.fixture
def ports() -> list[str]:
    """Return options with free ports."""
    options = ("--prefect-port", "--mlflow-port", "--port")
    return [part for option in options for part in (option, str(free_port()))]


def test_up_without_a_commit_says_what_to_do(invoke: Run, ports: list[str]) -> None:
    done = invoke("up", *ports)
    assert done.exit_code == 78
    assert "git init && git add . && git commit" in done.stderr


def test_up_names_the_option_for_a_port_that_is_taken(invoke: Run, ports: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = invoke("up", *ports, "--prefect-port", port)
    assert done.exit_code == 75
    assert f"Port {port} of 127.0.0.1 cannot be used: Address already in use" in done.stderr
    assert "--prefect-port" in done.stderr


def test_up_runs_once_in_a_project(invoke: Run, project: Path, ports: list[str]) -> None:
    with project_lock(project / "state" / "up", "evertune up"):
        done = invoke("up", *ports)
    assert done.exit_code == 75
    assert "'evertune up' (process" in done.stderr


def test_simulated_customers_are_not_played_into_a_table_of_ones_own(
    invoke: Run, project: Path
) -> None:
    edit_section(project / "params.yaml", "data", {"source": "mine.csv"})
    done = invoke("up", "--simulate")
    assert done.exit_code == 2
    assert "'mine.csv'. Start without --simulate" in done.stderr


def test_labels_without_a_champion_are_refused(invoke: Run, project: Path) -> None:
    (project / "labels.csv").write_text("prediction_id,churned\na,yes\nb,no\n")
    done = invoke("label", "labels.csv")
    assert done.exit_code == 4
    assert "champion" in done.stderr


@pytest.mark.parametrize(("speed", "seconds"), [(1.0, 180.0), (6.0, 30.0), (60.0, 20.0)])
def test_production_is_looked_at_every_few_simulated_days(speed: float, seconds: float) -> None:
    assert monitoring_interval_seconds(speed) == seconds
