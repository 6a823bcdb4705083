import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipelines.core.evaluation import BaselineRow, Evaluation, MetricRow, SearchSummary
from pipelines.core.model import Model
from pipelines.core.plans import Plan
from pipelines.core.schema import Column, Schema
from pipelines.core.trials import Configuration, FoldResult, SearchHeader, Trial
from pipelines.errors import StageError
from pipelines.params import load_params
from pipelines.register import register
from pipelines.status import status
from pipelines.stores import registry, versions
from pipelines.stores.files import write_record, write_table
from pipelines.stores.models import save_model
from pipelines.stores.tracking import client, open_store
from pipelines.stores.trials import append_trial, open_trials
from pipelines.tuning.families import fit_configuration

pytestmark = pytest.mark.slow
SCHEMA = Schema(
    (Column("age", "number"), Column("plan", "category", ("a", "b"))), "price", "regression"
)
HEADER = SearchHeader("search-1", "mae", False, 1, None, 3)
DVC = """stages:
  fit:
    cmd: "true"
    deps: [data/source.parquet]
    outs: [data/training.parquet, data/holdout.parquet, data/trials.jsonl, data/model]
  evaluate:
    cmd: "true"
    deps: [data/model, data/baselines]
    metrics: [data/figures.json]
"""
PARAMS = """data: {source: houses.csv, target: price, task: regression}
metric: {optimise: mae}
evaluation: {bootstrap_draws: 100}
registry: {name: houses, nested_trials: 2}
paths: {source: data/source.parquet, absorbed: data/absorbed.parquet, plan: data/plan.json,
  clean: data/clean.parquet, schema: data/schema.json, training: data/training.parquet,
  holdout: data/holdout.parquet, choosing: data/choosing.parquet, folds: data/folds.parquet,
  baselines: data/baselines, trials: data/trials.jsonl, pool: data/pool, model: data/model,
  figures: data/figures.json, plots: data/plots, report: data/report,
  reference: data/reference, state: state}
"""


def table(n_rows, first=0):
    draw = np.random.default_rng(first)
    age = draw.uniform(0, 50, n_rows)
    plan = draw.choice(["a", "b"], n_rows)
    price = 2 * age + 30 * (plan == "b") + draw.normal(0, 1, n_rows)
    keys = [f"{first + row:016x}" for row in range(n_rows)]
    return pd.DataFrame(
        {"age": age, "plan": pd.Series(plan, dtype="str"), "price": price, "row_key": keys}
    )


def fitted(rows, family="linear"):
    learned = fit_configuration(
        Configuration(family), rows, rows["price"].to_numpy(), schema=SCHEMA, seed=0, n_jobs=1
    )
    return Model(SCHEMA, Configuration(family), learned, tuple(rows["row_key"]))


EVALUATION = Evaluation(
    target="price", task="regression", classes=(), metric="mae", greater_is_better=False,
    confidence=0.95, n_training=60, n_holdout=40, holdout={"mae": 1.0}, lift={"mae": 20.0},
    best_baseline="zero_rule", chosen="model", reasons=("it is better",), family="linear",
    settings=(),
    search=SearchSummary(3, 3, 0, 0, 1.0),
    metrics=(MetricRow("mae", False, 1.0),),
    baselines=(
        BaselineRow("zero_rule", "none", "", {"mae": 21.0}, {}, 20.0, 18.0, 22.0, True, 40),
        BaselineRow("ridge", "model", "", {"mae": 1.0}, {}, 0.0, -1.0, 1.0, True, 40),
    ),
)  # fmt: skip


def searched(paths, digest):
    open_trials(paths.trials, replace(HEADER, digest=digest))
    for number in range(3):
        folds = (FoldResult(0, {"mae": 1.0 + number}, 0.1, 0.1),)
        configuration = Configuration("linear", {"alpha": number})
        append_trial(
            paths.trials,
            Trial(number, configuration, "complete", folds, 1.0 + number, None, float(number)),
        )


def made(root, *, model, evaluation=EVALUATION, holdout=None, digest="search-1"):
    """Write what the stages would have written, and have DVC record it."""
    paths = load_params(root).paths
    rows = table(60)
    write_table(paths.training, rows)
    write_table(paths.holdout, table(40, first=1000) if holdout is None else holdout)
    searched(paths, digest)
    save_model(paths.model, model)
    save_model(paths.baselines / "models/ridge", fitted(rows))
    write_record(paths.figures, evaluation)
    for stage in versions.stages(root):
        versions.commit(root, stage)


@pytest.fixture
def root(tmp_path, state):
    (tmp_path / "dvc.yaml").write_text(DVC)
    (tmp_path / "params.yaml").write_text(PARAMS)
    paths = load_params(tmp_path).paths
    for folder in (paths.plots, paths.report, paths.reference):
        folder.mkdir(parents=True)
        (folder / "report.md").write_text("# Report")
    write_record(paths.table_schema, SCHEMA)
    write_record(paths.plan, Plan())
    write_table(paths.source, table(100).drop(columns="row_key"))
    versions.ensure_project(tmp_path)
    write_table(paths.absorbed, table(1).head(0))
    versions.add(tmp_path, paths.source)
    versions.add(tmp_path, paths.absorbed)
    assert state == paths.state
    return tmp_path


@pytest.fixture
def bad():
    return fitted(table(60).assign(price=0.0))


def store_of(root):
    return open_store(root / "state", "houses")


def runs(root):
    store = store_of(root)
    found = client(store.address).search_runs([store.experiment_id])
    return [run for run in found if "evertune.trial" not in run.data.tags]


def test_the_first_good_model_becomes_champion(root):
    made(root, model=fitted(table(60)))
    verdict = register(root)
    assert (verdict.decision, verdict.version, verdict.champion) == ("promote", "1", "1")
    assert registry.champion(store_of(root)).tags["dvc.source"] == versions.output_hash(
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
    known = client(store_of(root).address)
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
    assert registry.champion(store_of(root)) is None


def test_the_run_shows_the_leaderboard_and_the_best_trials(root):
    made(root, model=fitted(table(60)))
    register(root)
    (run,) = runs(root)
    store = store_of(root)
    nested = client(store.address).search_runs(
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
    found = status(root)
    assert (verdict.decision, found.champion.version, found.previous) == ("promote", "2", "1")


def test_a_worse_model_stays_challenger(root, bad):
    made(root, model=fitted(table(60)))
    register(root)
    made(root, model=bad)
    verdict = register(root)
    found = status(root)
    assert (verdict.decision, verdict.champion) == ("keep", "1")
    assert (found.champion.version, found.challenger) == ("1", "2")


def test_a_version_that_was_rolled_back_is_not_promoted_again(root, bad):
    made(root, model=bad)
    register(root)
    made(root, model=fitted(table(60)))
    register(root)
    registry.roll_back(store_of(root), "1", over="2")
    verdict = register(root)
    assert (verdict.decision, verdict.champion) == ("keep", "1")
    assert verdict.reasons == ("version 2 was champion and was rolled back to version 1",)


def test_the_same_question_gets_the_same_verdict(root, bad):
    made(root, model=fitted(table(60)))
    register(root)
    made(root, model=bad)
    assert register(root) == register(root)


def test_rows_that_the_champion_was_trained_on_do_not_judge(root):
    holdout = table(40, first=1000)
    made(root, model=fitted(holdout))
    register(root)
    made(root, model=fitted(table(60)), holdout=holdout)
    verdict = register(root)
    assert verdict.decision == "not enough evidence"
    assert "40 hold-out rows that one of the two was trained on" in verdict.reasons[0]


def test_a_champion_for_another_target_is_not_replaced(root):
    made(root, model=replace(fitted(table(60)), schema=replace(SCHEMA, target="rent")))
    register(root)
    made(root, model=fitted(table(60)))
    (reason,) = register(root).reasons
    assert "it predicts 'rent', not 'price'" in reason


def test_a_champion_that_cannot_read_the_rows_is_not_replaced(root):
    needy = replace(SCHEMA, features=(*SCHEMA.features, Column("rooms", "number")))
    rows = table(60).assign(rooms=1.0)
    learned = fit_configuration(
        Configuration("linear"), rows, rows["price"].to_numpy(), schema=needy, seed=0, n_jobs=1
    )
    made(root, model=Model(needy, Configuration("linear"), learned, ()))
    register(root)
    made(root, model=fitted(table(60)))
    (reason,) = register(root).reasons
    assert "it cannot read these rows" in reason


def test_the_simplest_model_is_registered_where_it_was_chosen(root, bad, tmp_path):
    made(root, model=bad, evaluation=replace(EVALUATION, chosen="simplest:ridge"))
    register(root)
    store = store_of(root)
    kept = registry.download_model(store, registry.champion(store), folder=tmp_path / "kept")
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
    known = client(store_of(root).address)
    known.delete_registered_model_alias("houses", "champion")
    known.delete_model_version_tag("houses", "1", "evertune.verdict")
    assert (register(root).version, registry.champion(store_of(root)).number) == ("1", "1")
