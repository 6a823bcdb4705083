from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evertune.config.loader import load_params
from evertune.data.folds import Fold, folds_to_table
from evertune.data.schema import Column, TableSchema, encode_target
from evertune.data.training_windows import TrainingWindow
from evertune.ensemble.oof import OOFPredictions, TrialArtifacts
from evertune.errors import StageError
from evertune.evaluation.baselines import BaselineResult
from evertune.files import read_record, read_table, write_record, write_table
from evertune.fitting.build import oof_scores_by_fold
from evertune.metrics.metrics import METRICS, metrics_for
from evertune.models.fitted_model import predict
from evertune.models.persistence import load_model, load_model_origin, load_window_choice
from evertune.plan import Plan
from evertune.search.objective import Objective, evaluate_fold
from evertune.search.trial_log import append_trial, open_trials, save_entry
from evertune.trials import Configuration, FoldResult, SearchHeader, Trial
from evertune.types import Predictions
from pipelines.fit import run

FOLDS = [Fold(np.arange(25), np.arange(25, 50)), Fold(np.arange(25, 50), np.arange(25))]
BOUND = {"guards": {"mae": 5.0}}
SHIPPED = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture
def params(tmp_path):
    (tmp_path / "params.yaml").write_text(SHIPPED.read_text())
    params = load_params(tmp_path)
    table = pd.DataFrame({"a": np.arange(50.0), "y": np.arange(50.0) ** 2})
    keys = [f"{row:016x}" for row in range(50)]
    write_table(params.paths.training, table.assign(row_key=keys))
    write_table(params.paths.selection, table.assign(row_key=keys).head(0))
    write_record(
        params.paths.table_schema, TableSchema((Column("a", "number"),), "y", "regression")
    )
    write_record(params.paths.plan, Plan())
    write_table(params.paths.folds, folds_to_table(FOLDS, 50))
    open_trials(params.paths.trials, SearchHeader("d", "rmse", False, 1, 60.0, None))
    return params


def add(params, number, family, score):
    fold = FoldResult(0, {"rmse": score, "mae": score}, 0.1, 0.1)
    trial = Trial(number, Configuration(family), "complete", (fold,), score, None, 1.0)
    append_trial(params.paths.trials, trial)


def fit(params, **metric):
    section = params.metric.model_copy(update=metric)
    run(paths=params.paths, metric=section, fit=params.fit)
    return load_model(params.paths.model)


def test_the_best_trial_is_fitted_on_all_rows(params, capsys):
    add(params, 0, "linear", 9.0)
    add(params, 1, "tree", 4.0)
    model = fit(params)
    assert model.configuration.family == "tree"
    assert model.row_keys == tuple(f"{row:016x}" for row in range(50))
    assert (
        "The model is a decision tree (trial 1): RMSE 4.000 in cross-validation."
        in capsys.readouterr().out
    )


@pytest.mark.parametrize(("metric", "value"), [("rmse", 808.5), ("mae", 600.5)])
def test_without_a_trial_the_model_is_the_zero_rule(params, capsys, metric, value):
    model = fit(params, primary=metric)
    predicted = predict(model.fitted, pd.DataFrame({"a": [1.0]}), model.schema).values
    assert predicted == pytest.approx([value])
    assert "The search ran out of time before any model was finished" in capsys.readouterr().out


def test_a_trial_that_breaks_a_guard_is_passed_over(params):
    add(params, 0, "linear", 9.0)
    add(params, 1, "tree", 4.0)
    assert fit(params, guards={"mae": 5.0}).configuration.family == "tree"
    assert fit(params, guards={"mae": 3.0}).configuration.family == "tree"


def pool(params, number, family, *, folds=2, phase="portfolio", **hyperparameters):
    """Write a trial with its fold models, as the search does."""
    table, schema = (
        read_table(params.paths.training),
        read_record(params.paths.table_schema, TableSchema),
    )
    objective = Objective(
        table, encode_target(table, schema), schema, tuple(FOLDS), metrics_for("regression"), 0
    )
    one = Configuration(family, hyperparameters)
    found = [evaluate_fold(objective, one, fold, encodings={}) for fold in range(folds)]
    models = tuple(each.model for each in found)
    save_entry(params.paths.pool, TrialArtifacts(number, one, models))
    results = tuple(each.result for each in found)
    score = float(np.mean([result.figures["rmse"] for result in results]))
    status = "complete" if folds == len(FOLDS) else "stopped"
    trial = Trial(number, one, status, results, score, None, 1.0, phase)
    append_trial(params.paths.trials, trial)


def made(params, **section):
    run(paths=params.paths, metric=params.metric, fit=params.fit.model_copy(update=section))
    return load_model(params.paths.model)


@pytest.fixture
def pooled(params):
    draws = np.random.default_rng(0)
    rows = pd.DataFrame(draws.normal(size=(50, 2)), columns=["a", "b"])
    rows["y"] = 2 * rows["a"] + 3 * (rows["b"].abs() < 0.7) + 0.2 * draws.normal(size=50)
    columns = (Column("a", "number"), Column("b", "number"))
    write_record(params.paths.table_schema, TableSchema(columns, "y", "regression"))
    write_table(params.paths.training, rows.assign(row_key=[f"{row:016x}" for row in range(50)]))
    for number, family in enumerate(("linear", "extra_trees", "lightgbm")):
        pool(params, number, family)
    return params


def test_the_fold_models_of_several_trials_make_the_model(pooled, capsys):
    model = made(pooled)
    assert {len(member.fitted) for member in model.fitted.members} == {2}
    assert sum(member.weight for member in model.fitted.members) == pytest.approx(1)
    assert model.configuration == model.fitted.members[0].configuration
    assert model.fitted.temperature == 1.0
    assert (
        "The model combines 2 models, a linear model (54 %) and extra trees (46 %): RMSE 1.515"
        in capsys.readouterr().out
    )


def test_models_of_one_kind_are_named_once(params, capsys):
    draws = np.random.default_rng(0)
    rows = pd.DataFrame(draws.normal(size=(50, 2)), columns=["a", "b"])
    rows["y"] = rows["a"] + rows["b"] + draws.normal(size=50)
    columns = (Column("a", "number"), Column("b", "number"))
    write_record(params.paths.table_schema, TableSchema(columns, "y", "regression"))
    write_table(params.paths.training, rows.assign(row_key=[f"{row:016x}" for row in range(50)]))
    for number in range(2):
        pool(params, number, "tree", max_depth=3 + 5 * number, min_samples_leaf=2)
    made(params)
    words = "The model combines 2 models of one kind, each a decision tree: RMSE"
    assert words in capsys.readouterr().out


def test_members_are_fitted_on_all_rows_where_that_is_asked_for(pooled):
    model = made(pooled, mode="refit")
    assert {len(member.fitted) for member in model.fitted.members} == {1}
    assert len(model.fitted.members) == len(made(pooled).fitted.members)


def test_the_best_trial_alone_is_fitted_on_all_rows_where_that_is_asked_for(pooled):
    (member,) = made(pooled, mode="single").fitted.members
    assert (member.weight, len(member.fitted)) == (1.0, 1)


def test_members_that_there_is_no_time_for_are_left_out(pooled, capsys):
    assert len(made(pooled, budget_seconds=1e-6).fitted.members) == 1
    told = capsys.readouterr().out
    assert "raise fit.budget_seconds" in told
    assert "The model is a linear model, all of an ensemble of 2 that there was time to fit" in told


def test_without_time_to_fit_again_the_models_of_the_folds_are_kept(pooled):
    (member,) = made(pooled, mode="refit", budget_seconds=1e-6).fitted.members
    assert len(member.fitted) == 2


def test_the_same_pool_gives_the_same_bytes(pooled):
    contents = []
    for _ in range(2):
        made(pooled)
        contents.append({file.name: file.read_bytes() for file in pooled.paths.model.iterdir()})
    assert contents[0] == contents[1]


def test_without_a_whole_trial_the_configuration_in_use_is_fitted(params, capsys):
    write_record(params.paths.plan, Plan("retune", warm_starts=(Configuration("tree"),)))
    pool(params, 0, "linear", folds=1)
    assert made(params).configuration.family == "tree"
    assert "the configuration in use before is fitted on the new rows" in capsys.readouterr().out


def test_without_a_whole_trial_the_best_part_of_one_is_fitted(params, capsys):
    pool(params, 0, "linear", folds=1)
    assert made(params).configuration.family == "linear"
    assert "No trial of the search finished all folds; " in capsys.readouterr().out


def test_without_time_the_models_of_a_part_are_kept(params):
    pool(params, 0, "linear", folds=1)
    (member,) = made(params, budget_seconds=1e-6).fitted.members
    assert len(member.fitted) == 1


WINDOWS = (
    TrainingWindow("all"),
    TrainingWindow("since_change", "2024-03-01T00:00:00+00:00"),
    TrainingWindow("latest", "2024-07-01T00:00:00+00:00"),
    TrainingWindow("decayed", half_life_days=20),
)


def drifting(params, windows=WINDOWS):
    """Write rows whose relation turns round on 2024-03-01, and what is to be done with them."""
    days = pd.date_range("2024-01-01", periods=200, unit="us")
    rows = pd.DataFrame({"a": np.arange(200.0) % 17, "moment": days})
    rows["y"] = np.where(days < "2024-03-01", 9 * rows["a"], -9 * rows["a"])
    rows["row_key"] = [f"{row:016x}" for row in range(200)]
    write_table(params.paths.training, rows.head(190))
    write_table(params.paths.selection, rows.tail(10))
    write_record(params.paths.plan, Plan("retune", windows=windows))
    add(params, 0, "linear", 9.0)


def test_the_window_that_does_best_on_rows_that_choose_becomes_the_model(params, capsys):
    drifting(params)
    model = fit(params)
    assert model.row_keys == tuple(f"{row:016x}" for row in range(60, 200))
    assert "fitted on the window `since_change`; rmse on rows" in capsys.readouterr().out


def test_all_windows_that_were_tried_are_kept_beside_the_model(params):
    drifting(params)
    fit(params)
    choice = load_window_choice(params.paths.model)
    assert [each.window for each in choice.fits] == list(WINDOWS)
    assert [each.n_rows for each in choice.fits] == [190, 130, 8, 190]
    assert (choice.fits[2].figure, choice.fits[2].reason) == (None, "fewer than 50 rows")
    assert choice.fits[3].figure < choice.fits[0].figure


def test_a_plan_without_a_window_to_learn_from_is_told(params):
    drifting(params, windows=(WINDOWS[2],))
    with pytest.raises(StageError, match=r"latest: fewer than 50 rows; add `all` to monitoring"):
        fit(params)


def test_all_members_are_fitted_on_the_window_that_does_best(params):
    drifting(params)
    write_table(params.paths.folds, folds_to_table(FOLDS, 190))
    open_trials(params.paths.trials, SearchHeader("e", "rmse", False, 2, 60.0, None))
    for number, family in enumerate(("linear", "extra_trees")):
        pool(params, number, family)
    model = fit(params)
    assert load_window_choice(params.paths.model).chosen.name == "since_change"
    assert {len(member.fitted) for member in model.fitted.members} == {1}
    assert model.row_keys == tuple(f"{row:016x}" for row in range(60, 200))


def test_where_every_trial_failed_the_zero_rule_is_saved_and_the_reasons_are_told(params):
    start = Configuration("tree")
    write_record(params.paths.plan, Plan("retune", warm_starts=(start,)))
    for number, reason in enumerate(["no memory", "no", "no memory"]):
        trial = Trial(number, start, "failed", (), None, reason, 1.0)
        append_trial(params.paths.trials, trial)
    with pytest.raises(StageError, match=r"All 3 trials of the search failed: 2 x no memory; 1 x"):
        made(params)
    assert load_model(params.paths.model).configuration.family == "zero_rule"
    assert load_model_origin(params.paths.model).made_of == "zero rule"


def test_how_an_ensemble_came_about_is_written_beside_it(pooled):
    model = made(pooled)
    origin = load_model_origin(pooled.paths.model)
    families = [member.configuration.family for member in model.fitted.members]
    assert (origin.made_of, origin.phase) == ("ensemble", "complex")
    assert [weight.family for weight in origin.weights] == families
    assert len(origin.scores) == len(origin.single_scores) == len(FOLDS)
    assert origin.values["optimised simple"] == 3


def baselines(params, score):
    """Write the figures of one simplest model, the same on every fold but for a little noise."""
    folds = [FoldResult(f, {"rmse": score + f / 1000, "mae": score}, 0.1, 0.1) for f in range(2)]
    means = {"rmse": score, "mae": 9.0}
    found = BaselineResult("ridge", "model", "", tuple(folds), means, 0.2, 0.2)
    write_record(params.paths.baselines / "baselines.json", (found,))


def test_the_simplest_model_that_is_not_worse_is_made_where_it_is_preferred(pooled, capsys):
    baselines(pooled, 0.1)
    model = made(pooled, prefer="simplest")
    origin = load_model_origin(pooled.paths.model)
    assert model.configuration.family == "linear"
    assert (origin.made_of, origin.phase) == ("simplest", "simplest")
    assert (
        "fit.prefer is simplest: ridge, with rmse 0.1005, is not worse" in capsys.readouterr().out
    )


def test_the_optimised_simple_model_is_fitted_alone_on_all_rows(params, capsys):
    pool(params, 0, "linear")
    pool(params, 1, "tree")
    baselines(params, 1e9)
    (member,) = made(params, prefer="simplest").fitted.members
    assert member.configuration.family in ("linear", "tree")
    assert len(member.fitted) == 1
    assert "fit.prefer is simplest: trial" in capsys.readouterr().out


def test_the_simplest_model_is_passed_over_where_it_breaks_a_guard(pooled):
    baselines(pooled, 0.1)
    pooled = pooled.model_copy(update={"metric": pooled.metric.model_copy(update=BOUND)})
    made(pooled, prefer="simplest")
    assert load_model_origin(pooled.paths.model).phase != "simplest"


def unseen(y_true, chance, folds):
    shares = np.column_stack([1 - np.array(chance), chance])
    predictions = Predictions(shares.argmax(axis=1).astype(float), shares)
    return OOFPredictions(
        np.arange(len(y_true)), np.array(folds), np.array(y_true, float), predictions
    )


def test_each_fold_is_scored_on_its_own_rows():
    found = unseen([0, 1, 0, 1], [0.2, 0.9, 0.8, 0.3], [0, 0, 1, 1])
    assert oof_scores_by_fold(found, METRICS["roc_auc"], n_folds=2) == (1.0, 0.0)


@pytest.mark.parametrize(("folds", "n_folds"), [([0, 0], 2), ([1, 1], 2)])
def test_a_fold_without_a_figure_has_none(folds, n_folds):
    found = unseen([1, 1], [0.2, 0.9], folds)
    assert oof_scores_by_fold(found, METRICS["roc_auc"], n_folds=n_folds) == (None, None)
