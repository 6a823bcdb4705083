import json
import os
import signal
import sqlite3
import time
from pathlib import Path
from subprocess import CompletedProcess, Popen

import psutil
import pytest
from filelock import FileLock

from evertune.config.yaml_file import edit_section
from tests.support.projects import run, start
from tests.support.trained import small_project

STEPS = ["snapshot", "prepare", "split", "baseline", "search", "fit", "evaluate", "register"]
NOISE = ["Traceback", "CancelledError", "Error logging", "WARNING", "INFO", "Warning"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def once_stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project in which run after run is stopped."""
    return small_project(tmp_path_factory.mktemp("stopped") / "project")


@pytest.fixture
def stopped(once_stopped: Path) -> Path:
    """Return it with a search that takes long."""
    root = once_stopped
    edit_section(root / "params.yaml", "search", {"budget_trials": 1000, "workers": 2})
    return root


def prefect_states(root: Path, table: str) -> list[str]:
    with sqlite3.connect(root / "state" / "prefect" / "prefect.db") as database:
        rows = database.execute(f"SELECT state_type FROM {table} ORDER BY created").fetchall()
    return [str(state) for (state,) in rows]


def artifacts(root: Path) -> dict[str, str]:
    with sqlite3.connect(root / "state" / "prefect" / "prefect.db") as database:
        found = database.execute("SELECT key, data FROM artifact WHERE key IS NOT NULL").fetchall()
    return {str(key): str(data) for key, data in found}


def in_search(process: Popen[str], root: Path) -> list[psutil.Process]:
    """Wait until a run has begun its search with Ray, and return all that it has started."""
    deadline = time.monotonic() + 240
    names: set[str] = set()
    while "raylet" not in names and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
        family = psutil.Process(process.pid).children(recursive=True)
        names = {each.name() for each in family}
    assert "raylet" in names, root
    return family


def test_every_step_is_shown_and_the_verdict_at_the_end(trained: Path) -> None:
    lines = (trained / "first.txt").read_text().splitlines()
    shown = [line.split()[0] for line in lines if line and line.split()[0] in STEPS]
    assert list(dict.fromkeys(shown)) == STEPS
    assert "is now the champion" in lines[-1]


def test_nothing_but_our_own_lines_reaches_the_terminal(trained: Path) -> None:
    said = (trained / "first.txt").read_text()
    assert [noise for noise in NOISE if noise in said] == []


def test_the_exit_code_says_whether_there_is_a_new_champion(trained: Path) -> None:
    code, *said = (trained / "first.txt").read_text().splitlines()
    assert (code == "0") == said[-1].startswith("register   Version")


def test_prefect_has_a_task_for_each_step(trained: Path) -> None:
    assert prefect_states(trained, "task_run")[: len(STEPS)] == ["COMPLETED"] * len(STEPS)


def test_prefect_shows_how_far_the_search_came_and_the_verdict(trained: Path) -> None:
    shown = artifacts(trained)
    assert json.loads(shown["search-progress"]) == 100
    assert "champion" in shown["verdict"]


def test_a_second_run_finds_every_step_up_to_date(again: CompletedProcess[str]) -> None:
    lines = [line.split(maxsplit=1) for line in again.stdout.splitlines()]
    assert [name for name, text in lines if text.startswith("up to date")] == STEPS[:-1]
    assert again.stderr == ""


def test_the_standing_names_the_last_run_and_says_what_is_up_to_date(
    standing: CompletedProcess[str],
) -> None:
    assert standing.returncode == 0
    assert "every stage is up to date" in standing.stdout
    assert "finished" in standing.stdout


def test_nothing_runs_on_when_a_run_has_ended(
    trained: Path, again: CompletedProcess[str], shared: Path
) -> None:
    assert again.returncode is not None
    with FileLock(shared / "trained.lock"):
        found = [each.info["cmdline"] for each in psutil.process_iter(["cmdline"])]
        commands = [" ".join(parts or []) for parts in found]
    left = [command for command in commands if str(trained) in command]
    assert left == []


def test_all_that_a_run_writes_lies_in_data_and_state(trained: Path) -> None:
    made = {path.name for path in trained.iterdir()} - {"first.txt", "__pycache__"}
    given = {"flows", "pipelines", "infra", "params.yaml", "dvc.yaml", ".gitignore", "table.csv"}
    assert made - given == {"data", "state", "dvc.lock", ".dvc", ".dvcignore"}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_leaves_nothing_behind_and_says_that_the_next_continues(
    stopped: Path, number: signal.Signals, code: int
) -> None:
    with start(stopped, "train") as process:
        family = in_search(process, stopped)
        os.kill(process.pid, number)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.count("continues from there")) == (code, 1)
    assert psutil.wait_procs(family, timeout=30)[1] == []


def test_a_killed_run_leaves_no_process_and_the_next_closes_its_record(
    stopped: Path,
) -> None:
    with start(stopped, "train") as process:
        family = in_search(process, stopped)
        process.kill()
    assert psutil.wait_procs(family, timeout=60)[1] == []
    edit_section(stopped / "params.yaml", "search", {"budget_trials": 2, "workers": 1})
    assert run(stopped, "train").returncode in (0, 3)
    assert prefect_states(stopped, "flow_run")[-2:] == ["CRASHED", "COMPLETED"]
