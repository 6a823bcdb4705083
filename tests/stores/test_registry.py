from importlib import import_module

import numpy as np
import pandas as pd
import pytest

from evertune.data.schema import Column, TableSchema
from evertune.errors import BusyError, StageError
from evertune.files import write_table
from evertune.models.families import fit_configuration
from evertune.models.model import Model
from evertune.models.persistence import load_model, save_model
from evertune.registry import versions
from evertune.registry.mlflow_client import (
    LoggedDataset,
    ModelDescription,
    RunPage,
    create_client,
    open_run,
    open_tracking_store,
)
from evertune.registry.runs import finish_run, last_run, log_run_page, log_text, shows_result
from evertune.registry.versions import ALIASES
from evertune.trials import Configuration

pytestmark = pytest.mark.slow
SCHEMA = TableSchema((Column("age", "number"),), "price", "regression")
ROWS = pd.DataFrame({"age": np.arange(20.0)})


@pytest.fixture
def store(state):
    return open_tracking_store(state, "houses")


@pytest.fixture
def model(tmp_path):
    fitted = fit_configuration(
        Configuration("linear"), ROWS, 2 * ROWS["age"].to_numpy(), schema=SCHEMA, seed=0, n_jobs=1
    )
    save_model(tmp_path / "made", Model(SCHEMA, Configuration("linear"), fitted, ("a", "b")))
    return tmp_path / "made"


def registered(store, model, identity="1"):
    page = ModelDescription(
        identity=identity,
        description="A line.",
        inputs={"age": "any"},
        outputs={"prediction": "double"},
        example=ROWS.head(2),
        requirements=("numpy",),
        metrics={"mae": 0.5},
        tags={"metric": "mae"},
    )
    run_id = open_run(store, "digest", title="search")
    return versions.register_version(store, run_id, model=model, page=page)


def holders(store):
    found = {alias: versions.get_version_by_alias(store, alias) for alias in ALIASES}
    return {alias: version.number for alias, version in found.items() if version is not None}


def test_the_champion_can_be_loaded(store, model):
    with pytest.raises(StageError, match="a champion of 'houses', but there is none; run `evert"):
        versions.load_champion_model(store)
    versions.promote_version(store, registered(store, model).number, over=None)
    assert versions.load_champion_model(store).row_keys == ("a", "b")


def test_a_version_keeps_rows_as_an_example(store, model):
    version = registered(store, model)
    assert versions.get_version(store, version.number) == version
    assert versions.example_rows(store, version).equals(ROWS.head(2))


def test_a_rollback_swaps_champion_and_previous_and_leaves_the_challenger(store, model):
    for number in ("1", "2", "3"):
        registered(store, model, identity=number)
    versions.promote_version(store, "1", over=None)
    versions.promote_version(store, "2", over="1")
    versions.make_challenger(store, "3")
    versions.roll_back_version(store, "1", over="2")
    assert holders(store) == {"champion": "1", "previous": "2", "challenger": "3"}


def test_a_model_is_registered_once(store, model):
    first, again = registered(store, model), registered(store, model)
    assert first == again
    assert registered(store, model, identity="2").number == "2"


@pytest.mark.parametrize("status", ["PENDING", "READY"])
def test_files_that_a_killed_run_left_are_taken_up(store, model, status):
    known, tags = create_client(store.address), {"evertune.model": "1"}
    left = known.create_logged_model(store.experiment_id, name="model", tags=tags)
    if status == "READY":
        known.finalize_logged_model(left.model_id, "READY")
    registered(store, model)
    (kept,) = known.search_logged_models([store.experiment_id])
    assert (kept.model_id, str(kept.status)) == (left.model_id, "READY")


def test_a_version_carries_its_tags_and_its_run(store, model):
    version = registered(store, model)
    assert version.tags == {"evertune.model": "1", "metric": "mae"}
    assert version.run_id == open_run(store, "digest", title="search")


def test_the_files_of_a_version_are_the_model(store, model, tmp_path):
    version = registered(store, model)
    found = load_model(versions.download_model(store, version, folder=tmp_path))
    assert found.row_keys == ("a", "b")


def test_a_version_whose_files_are_gone_is_named(store, model, state, tmp_path):
    version = registered(store, model)
    (state / "artifacts").rename(state / "away")
    with pytest.raises(StageError, match="No such artifact"):
        versions.download_model(store, version, folder=tmp_path)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_mlflow_serves_a_version_to_rows_as_they_come(store, model):
    served = import_module("mlflow.pyfunc").load_model(registered(store, model).source)
    given = pd.DataFrame({"age": [3, 4]})
    assert served.predict(given)["prediction"].tolist() == pytest.approx([6, 8], abs=1)


def test_a_new_version_is_challenger_until_it_is_promoted(store, model):
    version = registered(store, model)
    versions.make_challenger(store, version.number)
    before = holders(store)
    versions.promote_version(store, version.number, over=None)
    assert (before, holders(store)) == ({"challenger": "1"}, {"champion": "1"})


def test_the_champion_before_keeps_the_alias_previous(store, model):
    registered(store, model)
    versions.promote_version(store, "1", over=None)
    registered(store, model, identity="2")
    versions.promote_version(store, "2", over="1")
    assert holders(store) == {"champion": "2", "previous": "1"}


def test_a_promotion_killed_half_way_is_finished(store, model):
    registered(store, model)
    versions.promote_version(store, "1", over=None)
    registered(store, model, identity="2")
    create_client(store.address).set_registered_model_alias("houses", "previous", "1")
    versions.promote_version(store, "2", over="1")
    versions.promote_version(store, "2", over="2")
    assert holders(store) == {"champion": "2", "previous": "1"}


def test_a_champion_that_changed_in_the_meantime_is_not_replaced(store, model):
    for identity in ("1", "2", "3"):
        registered(store, model, identity)
    versions.promote_version(store, "2", over=None)
    with pytest.raises(BusyError, match="expected version 1 of houses to be champion, but it is"):
        versions.promote_version(store, "3", over="1")


def test_the_champion_is_never_its_own_challenger(store, model):
    registered(store, model)
    versions.promote_version(store, "1", over=None)
    versions.make_challenger(store, "1")
    assert holders(store) == {"champion": "1"}


def test_without_versions_there_is_no_champion(store):
    assert versions.get_champion(store) is None


def test_a_version_can_be_described_anew(store, model):
    registered(store, model)
    versions.describe_version(store, "1", tags={"verdict": "keep"}, description="Worse.")
    kept = create_client(store.address).get_model_version("houses", "1")
    assert (kept.tags["verdict"], kept.description) == ("keep", "Worse.")


def test_a_page_shows_figures_tables_and_files(store, tmp_path):
    write_table(tmp_path / "rows.parquet", ROWS)
    (tmp_path / "report").mkdir()
    (tmp_path / "report/report.md").write_text("# Report")
    page = RunPage(
        title="linear mae 0.5",
        note="A line.",
        parameters={"seed": "0"},
        metrics={"holdout/mae": 0.5},
        files=((tmp_path / "report", "report"),),
        leaderboard=pd.DataFrame({"trial": [0]}),
        tables=(LoggedDataset("rows", tmp_path / "rows.parquet", "0" * 32, "training"),),
    )
    run_id = open_run(store, "digest", title="search")
    for _ in range(2):
        log_run_page(store, run_id, page=page)
    run = create_client(store.address).get_run(run_id)
    (used,) = run.inputs.dataset_inputs
    assert (run.info.run_name, run.data.metrics, run.data.params) == (
        "linear mae 0.5", {"holdout/mae": 0.5}, {"seed": "0"},
    )  # fmt: skip
    assert used.dataset.digest == "0" * 32
    assert {tag.key: tag.value for tag in used.tags}["mlflow.data.context"] == "training"


def test_a_run_shows_a_result_once_it_is_finished(store):
    run_id = open_run(store, "digest", title="search", result="1")
    before = shows_result(store, run_id, result="1")
    log_text(store, run_id, name="verdict.json", text="{}")
    finish_run(store, run_id)
    assert (before, shows_result(store, run_id, result="1")) == (False, True)
    assert not shows_result(store, run_id, result="2")


def test_the_last_run_is_the_newest_search(store):
    assert last_run(store) is None
    open_run(store, "a", title="first")
    run_id = open_run(store, "b", title="second")
    assert (last_run(store).run_id, last_run(store).title) == (run_id, "second")
