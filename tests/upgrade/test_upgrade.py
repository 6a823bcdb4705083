"""A project as release 0.1 left it (tests/fixtures), brought to the form of this release."""

import os
import shutil
import signal
import subprocess
import sys

import pandas as pd
import pytest
from typer.testing import CliRunner

from evertune.cli.app import app
from evertune.config.loader import load_params
from evertune.errors import InputError
from evertune.files import template_folder
from evertune.registry.mlflow_registry import open_registry
from evertune.scaffold import init_project
from evertune.upgrade import SHIPPED_FILE, shipped_line, upgrade_project
from evertune.versioning import dvc
from tests.conftest import FIXTURES

STAGES = ("prepare", "split", "baseline", "search", "fit", "evaluate")
TEMPLATES = [
    *sorted((template_folder() / "flows").glob("*.py")),
    *sorted((template_folder() / "pipelines").glob("*.py")),
]


def upgraded(root):
    """Upgrade a project and return the lines that it says, by step."""
    lines = []
    upgrade_project(root, lambda step, text: lines.append((step, text)))
    return lines


def tree(root):
    """Return the content of every file that a project commits, and of MLflow's model files."""
    names = [name for folder in ("flows", "pipelines") for name in (root / folder).rglob("*")]
    versions = root.glob("state/artifacts/models/*/artifacts")
    models = [file for each in versions for file in (*each.glob("*"), *each.glob("code/**/*.py"))]
    files = [*names, *root.glob("*"), *models]
    return {str(file.relative_to(root)): file.read_bytes() for file in files if file.is_file()}


@pytest.fixture(scope="module")
def upgraded_project(golden_project_files, tmp_path_factory):
    """Return an upgraded project, which must not be changed, and what the upgrade said."""
    root = shutil.copytree(golden_project_files, tmp_path_factory.mktemp("upgraded") / "project")
    return root, upgraded(root)


@pytest.mark.slow
def test_the_code_params_and_stages_are_of_this_release(upgraded_project):
    root, _ = upgraded_project
    for file in TEMPLATES:
        assert (root / file.parent.name / file.name).read_bytes() == file.read_bytes()
    assert (root / "dvc.yaml").read_bytes() == (template_folder() / "dvc.yaml").read_bytes()
    assert "data/code/" in (root / ".gitignore").read_text()
    text = (root / "params.yaml").read_text()
    assert "  primary: auto " in text
    assert "  now: latest_event " in text
    assert "optimise:" not in text
    assert "hist_gradient_boosting: {max_iter: [20]" in text
    assert "hist_boosting" not in text
    assert load_params(root).monitoring.retune.holdout_fraction == 0.5


@pytest.mark.slow
def test_no_stage_has_to_run_again(upgraded_project):
    root, lines = upgraded_project
    assert ("dvc.lock", f"kept: {', '.join(STAGES)}") in lines
    assert [stage for stage in STAGES if not dvc.is_stage_current(root, stage)] == []
    assert "pipelines/core" not in (root / "dvc.lock").read_text()


@pytest.mark.slow
def test_upgrading_again_changes_nothing(upgraded_project):
    root, _ = upgraded_project
    before = tree(root)
    lines = upgraded(root)
    assert tree(root) == before
    assert [text for _, text in lines[:-1] if "up to date" not in text] == []


@pytest.mark.slow
def test_a_stage_whose_files_changed_runs_again_and_edited_code_is_kept(golden_project):
    (golden_project / "data" / "figures.json").write_text("{}")
    params = (golden_project / "params.yaml").read_text()
    (golden_project / "params.yaml").write_text(params.replace("n_folds: 3", "n_folds: 4"))
    edited = golden_project / "flows" / "train.py"
    removed = golden_project / "pipelines" / "core" / "bins.py"
    own = golden_project / "pipelines" / "core" / "mine.py"
    for path in (edited, removed, own):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("edited = True\n")
    lines = upgraded(golden_project)
    (told,) = [text for step, text in lines if step == "dvc.lock"]
    assert told == (
        "kept: prepare, baseline, search, fit; changed since they ran, so that `evertune train`"
        " runs them again: split, evaluate"
    )
    assert not dvc.is_stage_current(golden_project, "split")
    assert ("code", "flows/train.py was edited: kept as flows/train.py.old") in lines
    assert edited.with_name("train.py.old").read_text() == "edited = True\n"
    assert removed.with_name("bins.py.old").read_text() == "edited = True\n"
    assert not removed.exists()
    assert own.read_text() == "edited = True\n"
    assert edited.read_bytes() == (template_folder() / "flows" / "train.py").read_bytes()


@pytest.fixture
def new_project(tmp_path):
    """Return a project that this release has made, with the files of a later release."""
    init_project(tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def later_templates(tmp_path, monkeypatch):
    """Have the installed release be a later one, whose train flow and fit stage are others."""
    folder = tmp_path / "later"
    for name in ("flows", "pipelines"):
        shutil.copytree(template_folder() / name, folder / name)
    for name in ("params.yaml", "dvc.yaml", ".gitignore", ".dvcignore"):
        shutil.copy(template_folder() / name, folder / name)
    for name in ("flows/train.py", "pipelines/fit.py", "dvc.yaml"):
        with (folder / name).open("a") as file:
            file.write("# later\n")
    monkeypatch.setattr("evertune.upgrade.template_folder", lambda: folder)
    return folder


@pytest.mark.slow
def test_a_later_release_replaces_unedited_templates_and_leaves_edited_ones(
    new_project, later_templates
):
    edited = new_project / "flows" / "train.py"
    edited.write_text("edited = True\n")
    (new_project / "pipelines" / "params.py").write_text("own = True\n")
    told = ("code", "flows/train.py was edited and stays; compare it with flows/train.py.new")
    assert told in upgraded(new_project)
    assert edited.read_text() == "edited = True\n"
    for name in ("flows/train.py.new", "pipelines/fit.py", "dvc.yaml"):
        template = later_templates / name.removesuffix(".new")
        assert (new_project / name).read_bytes() == template.read_bytes()
    assert (new_project / "pipelines" / "params.py").read_text() == "own = True\n"
    assert not list(new_project.rglob("*.old"))


def test_a_later_release_will_know_every_template_of_this_one():
    known = SHIPPED_FILE.read_text().splitlines()
    lines = [
        shipped_line(file.read_bytes(), f"{file.parent.name}/{file.name}") for file in TEMPLATES
    ]
    lines.append(shipped_line((template_folder() / "dvc.yaml").read_bytes(), "dvc.yaml"))
    missing = sorted(set(lines) - set(known))
    assert missing == [], f"add these lines to {SHIPPED_FILE}"


def test_stages_of_the_users_own_are_refused_before_anything_changes(golden_project):
    with (golden_project / "dvc.yaml").open("a") as file:
        file.write("  publish:\n    cmd: make\n")
    before = tree(golden_project)
    with pytest.raises(InputError, match=r"it has stages of your own \(publish\)"):
        upgraded(golden_project)
    assert tree(golden_project) == before


@pytest.mark.slow
def test_an_upgrade_that_was_killed_twice_ends_the_same_when_run_again(
    golden_project, upgraded_project
):
    code = "import sys; from pathlib import Path; from evertune.upgrade import upgrade_project\n"
    code += "print('ready', flush=True)\n"
    code += "upgrade_project(Path(sys.argv[1]), lambda *_: None)"
    command = [sys.executable, "-c", code, golden_project]
    for seconds in (0.5, 2):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
    upgraded(golden_project)
    assert tree(golden_project) == tree(upgraded_project[0])


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # MLflow warns of its own type hints
def test_the_upgraded_champion_predicts_as_it_did(upgraded_project, monkeypatch):
    import mlflow

    root, _ = upgraded_project
    runner = CliRunner()
    monkeypatch.chdir(root)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    status = runner.invoke(app, ["status"])
    assert status.exit_code == 0, status.output
    assert "orders: version 1 is the champion" in status.output
    assert "every stage is up to date" in status.output
    for command, expected in (("models", "roc_auc 0.867158"), ("history", "version 1")):
        assert expected in runner.invoke(app, [command]).output
    decisions = runner.invoke(app, ["history", "--decisions"])
    assert "ee8d691582db81d5" in decisions.output
    mlflow.set_tracking_uri(f"sqlite:///{root}/state/mlflow.db")
    rows = pd.read_csv(FIXTURES / "champion_rows" / "rows50.csv", dtype=str, keep_default_na=False)
    for alias, version in (("champion", 1), ("challenger", 2)):
        predicted = mlflow.pyfunc.load_model(f"models:/orders@{alias}").predict(rows)
        expected = pd.read_csv(FIXTURES / "champion_rows" / f"predictions50_v{version}.csv")
        pd.testing.assert_frame_equal(predicted.reset_index(drop=True), expected, rtol=1e-6)


PREDICT = """
import sys
import mlflow
import pandas as pd
rows = pd.read_csv(sys.argv[2], dtype=str, keep_default_na=False)
mlflow.pyfunc.load_model(sys.argv[1]).predict(rows).to_csv(sys.argv[3], index=False)
import evertune
print(evertune.__file__)
"""


@pytest.mark.slow
def test_an_upgraded_version_loads_by_its_own_code_and_requirements(upgraded_project, tmp_path):
    root, _ = upgraded_project
    registry = open_registry(load_params(root))
    files = registry.download_version(registry.version("1"), folder=tmp_path / "version")
    rows, predicted = FIXTURES / "champion_rows" / "rows50.csv", tmp_path / "predicted.csv"
    command = [sys.executable, "-W", "ignore", "-c", PREDICT, files, rows, predicted]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == str(files / "code" / "evertune" / "__init__.py")
    expected = pd.read_csv(FIXTURES / "champion_rows" / "predictions50_v1.csv")
    pd.testing.assert_frame_equal(pd.read_csv(predicted), expected, rtol=1e-6)
    requirements = (files / "requirements.txt").read_text().split()
    before = {"mlflow", "catboost", "lightgbm", "xgboost-cpu", "pydantic"}
    assert before | {"filelock"} <= {line.partition("==")[0] for line in requirements}
    assert all(f"- {line}" in (files / "conda.yaml").read_text() for line in requirements)
