import json
from dataclasses import replace

import pytest

from evertune.config.loader import load_params
from evertune.errors import StageError
from evertune.files import write_record
from evertune.plan import Plan
from evertune.registry import versions as registry
from evertune.registry.mlflow_client import create_client
from evertune.registry.overview import read_status
from evertune.registry.register import register
from evertune.versioning import dvc
from tests.registered import EVALUATION, fitted, made, project, runs, store_of, table

pytestmark = pytest.mark.slow


@pytest.fixture
def root(tmp_path, state):
    assert state == tmp_path / "state"
    return project(tmp_path)


@pytest.fixture
def bad():
    return fitted(table(60).assign(price=0.0))


def test_the_first_good_model_becomes_champion(root):
    made(root, model=fitted(table(60)))
    verdict = register(root)
    assert (verdict.decision, verdict.version, verdict.champion) == ("promote", "1", "1")
    assert registry.get_champion(store_of(root)).tags["dvc.source"] == dvc.output_hash(
        root, root / "data/source.parquet"
    )


def test_registering_twice_makes_one_version_and_one_run(root):
    made(root, model=fitted(table(60)))
    register(root)
    again = register(root)
    assert again.reasons == ("version 1 is the champion already",)
    assert (again.version, len(runs(root))) == ("1", 1)


def test_the_run_shows_all_that_is_needed_to_make_the_model_again(root):
    made(root, model=fitted(table(60)))
    register(root)
    (run,) = runs(root)
    known = create_client(store_of(root).address)
    kept = {found.path for found in known.list_artifacts(run.info.run_id, "project")}
    assert kept == {
        "project/params.yaml", "project/dvc.yaml", "project/dvc.lock", "project/plan.json",
        "project/source.parquet.dvc", "project/absorbed.parquet.dvc",
    }  # fmt: skip
    assert {used.dataset.name for used in run.inputs.dataset_inputs} == {
        "source", "training", "holdout",
    }  # fmt: skip


def test_a_model_that_has_seen_rows_that_judge_a_retune_is_not_registered(root):
    write_record(load_params(root).paths.plan, Plan("retune", judge_from="2024-01-01T00:00+00:00"))
    holdout = table(40, first=1000)
    made(root, model=fitted(holdout.head(3)), holdout=holdout)
    with pytest.raises(StageError, match=r"but 3 of 40 rows were among .* nothing was registered"):
        register(root)
    assert registry.get_champion(store_of(root)) is None


def test_the_run_shows_the_leaderboard_and_the_best_trials(root):
    made(root, model=fitted(table(60)))
    register(root)
    (run,) = runs(root)
    store = store_of(root)
    nested = create_client(store.address).search_runs(
        [store.experiment_id], f"tags.`mlflow.parentRunId` = '{run.info.run_id}'"
    )
    board = root / f"state/artifacts/{run.info.run_id}/artifacts/leaderboard.json"
    assert sorted(each.data.params["alpha"] for each in nested) == ["0", "1"]
    assert len(json.loads(board.read_text())["data"]) == 3


def test_a_better_model_takes_the_place_of_the_champion(root, bad):
    made(root, model=bad)
    register(root)
    made(root, model=fitted(table(60)))
    verdict = register(root)
    found = read_status(root)
    assert (verdict.decision, found.champion.version, found.previous) == ("promote", "2", "1")


def test_a_worse_model_stays_challenger(root, bad):
    made(root, model=fitted(table(60)))
    register(root)
    made(root, model=bad)
    verdict = register(root)
    found = read_status(root)
    assert (verdict.decision, verdict.champion) == ("keep", "1")
    assert (found.champion.version, found.challenger) == ("1", "2")


def test_the_simplest_model_is_registered_where_it_was_chosen(root, bad, tmp_path):
    made(root, model=bad, evaluation=replace(EVALUATION, chosen="simplest:ridge"))
    register(root)
    store = store_of(root)
    kept = registry.download_model(store, registry.get_champion(store), folder=tmp_path / "kept")
    ridge = (root / "data/baselines/models/ridge/predictor.skops").read_bytes()
    assert (kept / "predictor.skops").read_bytes() == ridge


def test_a_new_evaluation_of_the_same_model_gets_a_run_of_its_own(root):
    made(root, model=fitted(table(60)))
    register(root)
    made(root, model=fitted(table(60)), evaluation=replace(EVALUATION, confidence=0.9))
    assert register(root).version == "1"
    assert len(runs(root)) == 2


def test_a_stage_that_is_not_up_to_date_is_not_registered(root):
    made(root, model=fitted(table(60)))
    (root / "data/figures.json").write_text("{}")
    with pytest.raises(StageError, match="stage to be up to date, but evaluate is not"):
        register(root)


def test_a_run_killed_before_the_alias_was_set_is_finished(root):
    made(root, model=fitted(table(60)))
    register(root)
    known = create_client(store_of(root).address)
    known.delete_registered_model_alias("houses", "champion")
    known.delete_model_version_tag("houses", "1", "evertune.verdict")
    assert (register(root).version, registry.get_champion(store_of(root)).number) == ("1", "1")
