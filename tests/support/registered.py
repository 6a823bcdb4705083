"""A small project as the stages leave it, with models and hold-outs of the test's own."""

from dataclasses import replace

import numpy as np
import pandas as pd

from evertune.config.loader import load_params
from evertune.data.schema import Column, TableSchema
from evertune.evaluation.evaluation_record import BaselineRow, Evaluation, MetricRow
from evertune.files import write_record, write_table
from evertune.models.families import fit_configuration
from evertune.models.fitted_model import Model
from evertune.models.persistence import save_model
from evertune.plan import Plan
from evertune.search.summary import SearchSummary
from evertune.search.trial_log import append_trial, open_trials
from evertune.trials import Configuration, FoldResult, SearchHeader, Trial
from evertune.versioning import dvc
from tests.support.registries import client_of, open_state

SCHEMA = TableSchema(
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
    for stage in dvc.list_stages(root):
        dvc.commit_stage(root, stage)


def project(tmp_path):
    """Return the folder of a project that has data and no model yet."""
    (tmp_path / "dvc.yaml").write_text(DVC)
    (tmp_path / "params.yaml").write_text(PARAMS)
    paths = load_params(tmp_path).paths
    for folder in (paths.plots, paths.report, paths.reference):
        folder.mkdir(parents=True)
        (folder / "report.md").write_text("# Report")
    write_record(paths.table_schema, SCHEMA)
    write_record(paths.plan, Plan())
    write_table(paths.source, table(100).drop(columns="row_key"))
    dvc.ensure_project(tmp_path)
    write_table(paths.production_labels, table(1).head(0))
    dvc.add_file(tmp_path, paths.source)
    dvc.add_file(tmp_path, paths.production_labels)
    return tmp_path


def store_of(root):
    return open_state(root / "state", "houses")


def runs(root):
    store = store_of(root)
    found = client_of(store).search_runs([store.experiment_id])
    return [run for run in found if "evertune.trial" not in run.data.tags]
