"""What `plan_training` says is what a run then does."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc.repo import Repo

from evertune.config.yaml_file import edit_section
from evertune.errors import InputError, ParamsError, StageError, TableError
from evertune.files import project_lock
from evertune.orchestration.steps import (
    UP_TO_DATE,
)
from evertune.orchestration.train_plan import TrainPlan, plan_training
from tests.support.projects import invoke, run
from tests.support.trained import small_project, train

pytestmark = pytest.mark.slow
STAGES = ("prepare", "split", "baseline", "search", "fit", "evaluate")


@pytest.fixture
def project(trained_root: Path) -> Path:
    return trained_root


def tree_digest(root: Path) -> str:
    """Return a hash of every path below a folder, with mode, time of change and content."""
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        line = f"{path.relative_to(root)} {status.st_mode} {status.st_mtime_ns}"
        digest.update(line.encode() + hashlib.sha256(content).digest())
    return digest.hexdigest()


def n_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.is_file() else 0


def states(plan: TrainPlan) -> dict[str, str]:
    return {stage.name: stage.state for stage in plan.stages}


def reasons(plan: TrainPlan, stage: str) -> list[str]:
    found = next(each for each in plan.stages if each.name == stage)
    return [reason.text for reason in found.reasons if reason.kind != "upstream"]


def change_nothing(_: Path) -> None:
    pass


def change_search_seed(root: Path) -> None:
    edit_section(root / "params.yaml", "search", {"seed": 7})


def change_data(root: Path) -> None:
    with (root / "table.csv").open("a") as file:
        file.write((root / "table.csv").read_text().splitlines()[-1] + "\n")


def write_comment(root: Path) -> None:
    (root / "own.py").write_text("# by half\ndef half(x):\n    return x / 2\n")


def change_own_code(root: Path) -> None:
    (root / "own.py").write_text("def half(x):\n    return x * 0.5\n")


def change_stage_file(root: Path) -> None:
    with (root / "pipelines" / "fit.py").open("a") as file:
        file.write("\nUNUSED = 1\n")


def delete_training_rows(root: Path) -> None:
    (root / "data" / "training.parquet").unlink()


def delete_model(root: Path) -> None:
    shutil.rmtree(root / "data" / "model")


def overwrite_figures(root: Path) -> None:
    (root / "data" / "figures.json").write_text("{}")


def change_registry_only(root: Path) -> None:
    edit_section(root / "params.yaml", "registry", {"alpha": 0.01})


SITUATIONS: dict[Callable[[Path], None], tuple[set[str], set[str], str, str]] = {
    change_nothing: (set(), set(), "", "up to date"),
    change_search_seed: ({"search", "evaluate"}, {"fit"}, "search.seed: 0 -> 7", "run"),
    change_data: (
        {"prepare", "evaluate"},
        {"split", "baseline", "search", "fit"},
        "data/raw/source.parquet has changed",
        "run",
    ),
    write_comment: (set(), set(), "", "up to date"),
    change_own_code: (set(STAGES), set(), "code that it runs has changed: your own.py", "run"),
    change_stage_file: ({"fit"}, {"evaluate"}, "pipelines/fit.py has changed", "run"),
    delete_training_rows: (
        {"split"},
        {"baseline", "search", "fit", "evaluate"},
        "its output data/training.parquet is missing",
        "run",
    ),
    delete_model: ({"fit"}, {"evaluate"}, "its output data/model is missing", "run"),
    overwrite_figures: (
        {"evaluate"},
        set(),
        "its output data/figures.json was changed since",
        "run",
    ),
    change_registry_only: (set(), set(), "", "run"),
}


# what is changed together before a run: each situation is planned, and these are carried out
RUNS = (
    (change_nothing, write_comment, change_registry_only),
    (change_search_seed,),
    (change_data,),
    (change_own_code,),
    (change_stage_file, delete_training_rows, delete_model, overwrite_figures),
)


@pytest.mark.parametrize("change", SITUATIONS, ids=lambda change: change.__name__)
def test_the_plan_says_what_would_run_and_why_and_changes_nothing(project, change):
    certain, possible, reason, registers = SITUATIONS[change]
    change(project)
    before = tree_digest(project)
    plan = plan_training(project)
    assert tree_digest(project) == before
    expected = dict.fromkeys(STAGES, "up to date")
    expected |= dict.fromkeys(possible, "may run") | dict.fromkeys(certain, "run")
    assert states(plan) == expected
    assert reason in "\n".join(text for name in certain for text in reasons(plan, name))
    assert plan.register.state == registers


@pytest.mark.parametrize("changes", RUNS, ids=lambda changes: changes[-1].__name__)
def test_a_run_does_what_the_plan_says(project, changes):
    for change in changes:
        change(project)
    plan = plan_training(project)
    certain = {name for name, state in states(plan).items() if state == "run"}
    possible = {name for name, state in states(plan).items() if state == "may run"}
    assert certain == set.union(*(SITUATIONS[change][0] for change in changes))
    lines = train(project)
    ran = {name for name in STAGES if lines[name] != UP_TO_DATE}
    assert certain <= ran <= certain | possible
    assert plan.snapshot.state == ("changed" if lines["snapshot"].startswith("new") else UP_TO_DATE)
    assert set(states(plan_training(project)).values()) == {"up to date"}


def test_a_stage_that_ran_before_has_the_time_of_that_run(project):
    change_stage_file(project)
    fit = next(stage for stage in plan_training(project).stages if stage.name == "fit")
    assert fit.seconds_from == "the last run"
    assert fit.seconds is not None
    assert 0 < fit.seconds < 600


def test_a_search_in_seconds_takes_its_budget_and_what_nobody_measured_is_unknown(tmp_path):
    root = small_project(tmp_path / "project")
    edit_section(root / "params.yaml", "search", {"budget_trials": None, "budget_seconds": 90})
    before = tree_digest(root)
    plan = plan_training(root)
    assert tree_digest(root) == before
    assert set(states(plan).values()) == {"run"}
    assert reasons(plan, "fit") == ["it has not run in this project yet"]
    known = {stage.name: stage.seconds for stage in plan.stages if stage.seconds is not None}
    assert known == {"search": 90, "fit": 60}
    assert plan.unknown == ("prepare", "split", "baseline", "evaluate")
    assert plan.snapshot.state == "new"
    assert plan.register.state == "run"


def test_a_killed_search_goes_on_from_the_trials_that_the_plan_counts(project):
    edit_section(project / "params.yaml", "search", {"budget_trials": 40, "seed": 3})
    command = [sys.executable, "-m", "pipelines.search"]
    trials = project / "data" / "trials.jsonl"
    trials.unlink()
    with subprocess.Popen(command, cwd=project, stdout=subprocess.DEVNULL) as search:
        while search.poll() is None and n_lines(trials) < 3:
            time.sleep(0.02)
        search.send_signal(signal.SIGKILL)
    finished = n_lines(trials) - 1
    search = next(stage for stage in plan_training(project).stages if stage.name == "search")
    assert (search.state, search.kept_trials) == ("run", finished)
    edit_section(project / "params.yaml", "search", {"seed": 4})
    search = next(stage for stage in plan_training(project).stages if stage.name == "search")
    assert (search.state, search.kept_trials) == ("run", None)


def test_dvc_may_be_in_use_and_a_run_may_hold_the_project(project):
    change_search_seed(project)
    with Repo(str(project)) as repo, repo.lock:
        assert states(plan_training(project))["search"] == "run"
    (project / ".dvc" / "tmp" / "rwlock").write_text('{"write"')
    assert states(plan_training(project))["search"] == "run"
    assert (project / ".dvc" / "tmp" / "rwlock").read_text() == '{"write"'
    assert not plan_training(project).is_running
    with project_lock(project / "state", "evertune train"):
        assert plan_training(project).is_running


def break_params(root: Path) -> None:
    edit_section(root / "params.yaml", "search", {"budget_trials": -1})


def break_space(root: Path) -> None:
    edit_section(root / "params.yaml", "search", {"space": {"linear": {"no_such": [1, 2]}}})


def break_stages(root: Path) -> None:
    text = (root / "dvc.yaml").read_text()
    (root / "dvc.yaml").write_text(text.replace("    cmd: python -m pipelines.fit\n", ""))


def break_record(root: Path) -> None:
    (root / "dvc.lock").write_text("stages: [\n")


def break_own_code(root: Path) -> None:
    (root / "own.py").write_text("def half(:\n")


def break_table(root: Path) -> None:
    (root / "table.csv").unlink()


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (break_params, ParamsError, "budget_trials"),
        (break_space, ParamsError, "no_such"),
        (break_stages, StageError, "dvc.yaml, line"),
        (break_record, StageError, "dvc.lock, line 2"),
        (break_own_code, StageError, "own.py, line 1"),
        (break_table, TableError, "table.csv"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_faults_are_named_with_the_projects_own_paths(project, spoil, error, words):
    spoil(project)
    with pytest.raises(error) as raised:
        plan_training(project)
    assert words in str(raised.value)
    assert "evertune-plan-" not in str(raised.value)


def test_a_stage_without_a_file_and_too_many_workers_are_foreseen(project):
    (project / "pipelines" / "search.py").unlink()
    edit_section(project / "params.yaml", "search", {"workers": 1000})
    search = next(stage for stage in plan_training(project).stages if stage.name == "search")
    assert search.fault is not None
    assert "search.workers must not be more" in search.fault
    with pytest.raises((InputError, StageError)):
        train(project)


def test_the_command_shows_what_runs_with_its_reasons_and_the_time(project):
    assert invoke(project, "plan").output.endswith("No stage runs.\n")
    change_search_seed(project)
    lines = invoke(project, "plan").output.splitlines()
    search = next(number for number, line in enumerate(lines) if line.startswith("search"))
    assert lines[search].startswith("search     runs, about ")
    assert lines[search + 1] == "           - search.seed: 0 -> 7"
    assert "register   runs: a new result is registered and judged" in lines
    assert lines[-1].startswith("Time of the stages: about ")
    assert "more if all run that may" in lines[-1]


def test_the_command_names_a_library_whose_version_changed_and_gives_json(project, tmp_path):
    other = tmp_path / "site" / "lightgbm-99.0.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: lightgbm\nVersion: 99.0\n")
    path = os.pathsep.join([str(tmp_path / "site"), str(Path(__file__).parents[2])])
    before = tree_digest(project)
    done = run(project, "plan", "--json", PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    assert tree_digest(project) == before
    found = {stage["name"]: stage for stage in json.loads(done.stdout)["stages"]}
    reason = next(each for each in found["search"]["reasons"] if each["kind"] == "library")
    assert (reason["what"], reason["new"]) == ("lightgbm", "99.0")
    assert reason["old"].startswith("4.")
    assert found["prepare"]["state"] == "up to date"
