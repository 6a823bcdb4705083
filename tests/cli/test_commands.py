import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from urllib.request import urlopen

import psutil
import pytest
from typer.testing import Result

from evertune.config.yaml_file import edit_section
from evertune.files import project_lock

Invoke = Callable[..., Result]
Start = Callable[..., Popen[str]]
TABLE = "age,sex,bought\n" + "".join(f"{n % 7},{'mf'[n % 2]},{n % 3 == 0}\n" for n in range(60))


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_help_imports_none_of_the_heavy_libraries() -> None:
    heavy = {"numpy", "pandas", "sklearn", "mlflow", "prefect", "ray", "dvc", "sqlalchemy"}
    code = (
        "import sys, evertune.cli.app\nsys.argv = ['evertune', '--help']\n"
        "try:\n    evertune.cli.app.main()\nexcept SystemExit:\n    pass\n"
        f"print('heavy', sorted(set(sys.modules) & {heavy!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "snapshot" in done.stdout
    assert "heavy []" in done.stdout


def test_outside_a_project_there_is_one_error(invoke: Invoke, project: Path) -> None:
    (project / "params.yaml").unlink()
    done = invoke("train")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: No params.yaml in")


def test_a_fault_in_params_is_told_before_anything_starts(invoke: Invoke, project: Path) -> None:
    edit_section(project / "params.yaml", "search", {"workers": "many"})
    done = invoke("train")
    assert done.exit_code == 2
    assert "workers" in done.stderr
    assert not (project / "state").exists()


def test_a_space_that_cannot_be_searched_is_told_before_anything_starts(
    invoke: Invoke, project: Path
) -> None:
    edit_section(project / "params.yaml", "search", {"space": {"tree": {"max_depht": [2, 4]}}})
    done = invoke("train")
    assert done.exit_code == 2
    assert "Did you mean 'max_depth'?" in done.stderr
    assert not (project / "data").exists()
    assert "Prefect" not in done.stdout


@pytest.mark.parametrize("command", ["train", "snapshot"])
def test_a_second_run_says_who_holds_the_project(
    invoke: Invoke, project: Path, command: str
) -> None:
    with project_lock(project / "state", "a test"):
        done = invoke(command)
    assert done.exit_code == 75
    assert "a test" in done.stderr


@pytest.mark.slow
def test_a_prefect_server_that_does_not_answer_is_one_error(
    invoke: Invoke, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{port}/api")
    done = invoke("train")
    assert done.exit_code == 75
    assert done.stderr.count("\n") == 1


def test_servers_that_a_run_needs_later_are_asked_before_it_starts(
    invoke: Invoke, project: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{port}")
    done = invoke("train")
    assert done.exit_code == 75
    assert f"expected an answer from http://127.0.0.1:{port}" in done.stderr
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    edit_section(project / "params.yaml", "scoring", {"log_variable": "LOG_ADDRESS"})
    monkeypatch.setenv("LOG_ADDRESS", f"postgresql://me:secret@127.0.0.1:{port}/log")
    done = invoke("train")
    assert (done.exit_code, "secret" in done.output) == (75, False)
    assert "start that server or correct LOG_ADDRESS" in done.stderr
    assert not (project / "data").exists()


def test_a_table_that_is_used_is_described_and_written_to_params(
    invoke: Invoke, project: Path
) -> None:
    (project / "shop.csv").write_text(TABLE)
    done = invoke("use", "shop.csv", "--target", "bought")
    assert done.stdout.startswith("60 rows, target bought: binary")
    assert "source: shop.csv" in (project / "params.yaml").read_text()


@pytest.mark.slow
def test_a_snapshot_of_the_same_table_is_up_to_date(invoke: Invoke) -> None:
    assert invoke("snapshot").stdout.startswith("snapshot   new, ")
    assert invoke("snapshot").stdout.startswith("snapshot   up to date, ")


def test_the_ui_of_a_tracking_server_is_named_without_its_password(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@runs.example")
    said = invoke("ui").output
    assert "http://runs.example" in said
    assert "secret" not in said


@pytest.mark.slow
def test_the_ui_answers_once_its_address_is_said_and_ends_with_ctrl_c(
    started: Start, port: int
) -> None:
    with started("ui", "--port", str(port)) as process:
        assert process.stdout
        assert f"http://127.0.0.1:{port}/#/experiments/1/runs" in process.stdout.readline()
        assert urlopen(f"http://127.0.0.1:{port}").status == 200
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 0
    assert psutil.wait_procs(family, timeout=10)[1] == []
