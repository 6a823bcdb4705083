import pandas as pd
import pytest

from evertune.config.yaml_file import edit_section
from evertune.registry import versions as registry
from evertune.registry.mlflow_client import ModelDescription, open_run, open_tracking_store
from evertune.registry.overview import read_status
from evertune.versioning import dvc

pytestmark = pytest.mark.slow
DVC = """stages:
  prepare:
    cmd: "true"
    deps: [data/raw/source.parquet]
"""
PATHS = [
    "source", "clean", "schema", "training", "holdout", "folds", "baselines", "trials", "model",
    "figures", "plots", "report", "reference", "absorbed", "choosing", "plan", "pool",
]  # fmt: skip


@pytest.fixture
def root(tmp_path, state):
    paths = {name: f"data/{name}" for name in PATHS} | {"state": state.name}
    (tmp_path / "params.yaml").write_text(
        "data: {source: houses.csv, target: price}\nregistry: {name: houses}\npaths: {}\n"
    )
    edit_section(tmp_path / "params.yaml", "paths", paths)
    (tmp_path / "dvc.yaml").write_text(DVC)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/source").write_text("rows")
    return tmp_path


def registered(root, identity):
    page = ModelDescription(
        identity=identity,
        description="",
        inputs={"age": "any"},
        outputs={"prediction": "double"},
        example=pd.DataFrame({"age": [1.0]}),
        requirements=("numpy",),
        tags={"metric": "mae", "figure.mae": "0.5", "dvc.source": "0" * 32},
    )
    (root / "data/model").mkdir(exist_ok=True)
    store = open_tracking_store(root / "state", "houses")
    run_id = open_run(store, "digest", title="linear mae 0.5")
    return store, registry.register_version(store, run_id, model=root / "data/model", page=page)


def test_a_new_project_has_no_champion_and_no_run(root):
    found = read_status(root)
    assert (found.champion, found.data, found.last_run) == (None, None, None)
    assert (found.has_remote, found.stale) == (False, ("prepare",))


def test_the_status_says_what_the_champion_does_and_what_it_was_trained_on(root):
    store, version = registered(root, "1")
    registry.promote_version(store, version.number, over=None)
    champion = read_status(root).champion
    assert (champion.version, champion.figures, champion.data) == ("1", {"mae": 0.5}, "0" * 32)
    assert 0 <= champion.age_seconds < 600


def test_the_status_names_the_challenger_and_the_last_run(root):
    store, _ = registered(root, "1")
    registry.make_challenger(store, "1")
    found = read_status(root)
    assert (found.challenger, found.last_run.title) == ("1", "linear mae 0.5")


def test_the_status_gives_the_version_of_the_last_snapshot(root):
    dvc.ensure_project(root)
    assert dvc.add_file(root, root / "data/source") == read_status(root).data
