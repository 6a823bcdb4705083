"""A new search begins with what earlier runs in MLflow found, and goes on without them."""

import shutil

import pytest

from evertune.config.loader import load_params
from evertune.config.yaml_file import edit_section
from evertune.files import read_record, write_record
from evertune.orchestration.transfer import transfer_warm_starts
from evertune.plan import Plan
from evertune.registry.register import register
from evertune.trials import Configuration
from tests.support.registered import fitted, made, project, table

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def registered_project(tmp_path_factory, new_database):
    """Return a project with one run in MLflow, whose best trial has an alpha of 0."""
    root = tmp_path_factory.mktemp("first")
    (root / "state").mkdir()
    shutil.copy(new_database, root / "state" / "mlflow.db")
    project(root)
    made(root, model=fitted(table(60)))
    register(root)
    return root


def plan_of(root):
    return read_record(load_params(root).paths.plan, Plan)


def test_a_new_search_begins_with_the_best_of_the_project(registered_project):
    write_record(load_params(registered_project).paths.plan, Plan())
    text = transfer_warm_starts(registered_project)
    starts = plan_of(registered_project).warm_starts
    assert starts[0].family == "linear"
    assert starts[0].hyperparameters["alpha"] == 0.001  # the nearest in the space
    assert text.startswith("1 first configuration (linear) from houses ")
    assert "distance 0." in text


def test_a_project_learns_from_another_on_the_same_store(registered_project, tmp_path, monkeypatch):
    store = registered_project / "state" / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}")
    project(tmp_path)
    edit_section(tmp_path / "params.yaml", "registry", {"name": "flats"})
    assert "from houses " in transfer_warm_starts(tmp_path)
    assert plan_of(tmp_path).warm_starts[0].family == "linear"


def test_without_an_earlier_run_the_plan_stays(tmp_path):
    project(tmp_path)
    assert transfer_warm_starts(tmp_path) == "no earlier run"
    assert plan_of(tmp_path) == Plan()


def test_a_store_that_is_away_holds_up_no_run(tmp_path, monkeypatch):
    project(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert transfer_warm_starts(tmp_path).startswith("without earlier runs: expected an answer")
    assert plan_of(tmp_path) == Plan()


def test_a_store_that_is_slow_holds_up_no_run(registered_project):
    plan = load_params(registered_project).paths.plan
    write_record(plan, Plan())
    text = transfer_warm_starts(registered_project, max_seconds=0.0)
    assert text == "without earlier runs: MLflow took longer than 0 s"
    assert plan_of(registered_project) == Plan()


def test_a_plan_with_first_configurations_stays(tmp_path):
    project(tmp_path)
    given = Plan(warm_starts=(Configuration("tree"),))
    write_record(load_params(tmp_path).paths.plan, given)
    assert "its own first configurations" in transfer_warm_starts(tmp_path)
    assert plan_of(tmp_path) == given
