import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evertune.config.loader import load_params
from evertune.data.folds import Fold, folds_from_table, folds_to_table
from evertune.data.schema import Column, TableSchema
from evertune.ensemble.oof import TrialArtifacts
from evertune.files import read_record, read_table, write_record, write_table
from evertune.metrics.metrics import METRICS
from evertune.models.families import fit_configuration
from evertune.models.fitted_model import Ensemble, EnsembleMember, Model, normalized_ensemble
from evertune.models.persistence import load_model, save_model
from evertune.registry.reproduce import REBUILT_FILE, RECORDED_FILE, FoldRefit, RecordedModel
from evertune.search.objective import MIN_ITERATIONS, Objective, evaluate_fold
from evertune.search.trial_log import (
    append_trial,
    open_trials,
    read_entries,
    save_entry,
    stored_numbers,
)
from evertune.stages import rebuild
from evertune.stages.rebuild import drop_unrecorded_members, run
from evertune.trials import Configuration, SearchHeader, Trial
from evertune.types import probabilities_or_values

pytestmark = pytest.mark.slow  # seconds each, or processes of its own

SHIPPED = Path(__file__).parents[2] / "params.yaml"
SCHEMA = TableSchema(
    (Column("a", "number"), Column("b", "category", ("x", "y"))), "y", "regression"
)
FOLDS = [Fold(np.arange(150), np.arange(150, 300)), Fold(np.arange(150, 300), np.arange(150))]
CONFIGURATIONS = (
    Configuration("linear", {"penalty": "l1"}),
    Configuration("hist_gradient_boosting", {"max_iter": 60}),
    Configuration("lightgbm", {"n_estimators": 60}),
    Configuration("xgboost", {"n_estimators": 60}),
    Configuration("catboost", {"n_estimators": 60}),
    Configuration("extra_trees", {"n_estimators": 60}),
    Configuration("mlp", {"epochs": 12}),
)
BUDGET = SearchHeader("digest", "rmse", False, 2, 20.0, None)


def rows():
    draw = np.random.default_rng(0)
    a, b = draw.normal(size=300), draw.choice(["x", "y"], 300)
    y = np.sin(3 * a) + (b == "x") + draw.normal(0, 0.3, 300)
    keys = [f"{row:016x}" for row in range(300)]
    return pd.DataFrame({"a": a, "b": pd.Series(b, dtype="str"), "y": y, "row_key": keys})


@pytest.fixture
def params(tmp_path):
    (tmp_path / "params.yaml").write_text(SHIPPED.read_text())
    params = load_params(tmp_path)
    write_table(params.paths.training, rows())
    write_record(params.paths.table_schema, SCHEMA)
    write_table(params.paths.folds, folds_to_table(FOLDS, 300))
    write_record(tmp_path / RECORDED_FILE, RecordedModel("1"))
    open_trials(params.paths.trials, BUDGET)
    return params


def kept(work, configuration, fold, *, seconds):
    """Return a fold as a search keeps it: one that was cut too short is tried with more time."""
    end = time.monotonic() + seconds
    outcome = evaluate_fold(work, configuration, fold, encodings={}, deadline=end)
    if outcome.completed or (outcome.result.iterations or 0) >= MIN_ITERATIONS:
        return outcome
    return kept(work, configuration, fold, seconds=2 * seconds)


def search(params, configurations, *, seconds=60.0):
    """Fit the folds as a search does, and record them in the trials file and the pool."""
    table = read_table(params.paths.training)
    folds = folds_from_table(read_table(params.paths.folds))
    work = Objective(table, table["y"].to_numpy(), SCHEMA, folds, (METRICS["rmse"],), 0)
    for number, configuration in enumerate(configurations):
        yields = [kept(work, configuration, fold, seconds=seconds) for fold in range(len(folds))]
        results = tuple(each.result for each in yields)
        trial = Trial(number, configuration, "complete", results, 1.0, None, 1.0)
        append_trial(params.paths.trials, trial)
        models = tuple(each.model for each in yields)
        save_entry(
            params.paths.pool,
            TrialArtifacts(number, configuration, models),
        )


def predictions(params):
    return [
        probabilities_or_values(model.predictions)
        for entry in read_entries(params.paths.pool)
        for model in entry.folds
    ]


def remade(params):
    run(paths=params.paths, metric=params.metric, search=params.search)


def test_every_family_predicts_the_same_once_its_folds_are_fitted_again(params, monkeypatch):
    monkeypatch.setattr(rebuild, "SECONDS_WITHOUT_PROCESSES", 0.0)  # as for fits that take long
    search(params, CONFIGURATIONS)
    before = predictions(params)
    remade(params)
    for left, right in zip(before, predictions(params), strict=True):
        assert np.abs(left - right).max() < 1e-9


@pytest.mark.parametrize(
    ("family", "grows"),
    [
        ("hist_gradient_boosting", "max_iter"),
        ("lightgbm", "n_estimators"),
        ("xgboost", "n_estimators"),
        ("catboost", "n_estimators"),
        ("extra_trees", "n_estimators"),
        ("mlp", "epochs"),
    ],
)
def test_a_fit_that_its_deadline_cut_is_fitted_as_far_again(params, family, grows):
    search(params, [Configuration(family, {grows: 20_000})], seconds=0.2)
    before = predictions(params)
    remade(params)
    assert np.abs(np.array(before) - predictions(params)).max() < 1e-9


def test_the_metrics_of_each_fold_are_written_with_the_recorded_ones(params):
    search(params, CONFIGURATIONS[:1])
    remade(params)
    refits = read_record(params.paths.trials.parents[1] / REBUILT_FILE, tuple[FoldRefit, ...])
    assert [(each.number, each.fold, each.family) for each in refits] == [
        (0, 0, "linear"),
        (0, 1, "linear"),
    ]
    assert all(each.rebuilt["rmse"] == each.recorded["rmse"] for each in refits)


def test_only_what_the_pool_had_is_fitted_again(params):
    search(params, CONFIGURATIONS[:3])
    write_record(params.paths.trials.parents[1] / RECORDED_FILE, RecordedModel("1", pool=(1,)))
    remade(params)
    assert stored_numbers(params.paths.pool) == (1,)


def test_members_that_the_registered_model_lacks_are_left_out(params):
    table, linear, tree = rows(), Configuration("linear"), Configuration("tree")
    members = [
        EnsembleMember(
            each,
            0.5,
            (
                fit_configuration(
                    each, table, table["y"].to_numpy(), schema=SCHEMA, seed=0, n_jobs=1
                ),
            ),
            (None,),
        )
        for each in (linear, tree)
    ]
    save_model(params.paths.model, Model(SCHEMA, linear, normalized_ensemble(members), ("a",)))
    write_record(
        params.paths.trials.parents[1] / RECORDED_FILE, RecordedModel("1", members=(linear,))
    )
    drop_unrecorded_members(params.paths)
    fitted = load_model(params.paths.model).fitted
    assert isinstance(fitted, Ensemble)
    assert [(m.configuration.family, m.weight) for m in fitted.members] == [("linear", 1.0)]
