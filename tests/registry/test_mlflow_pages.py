import json
import re
from dataclasses import replace

import pytest

from evertune.config.schema import Params
from evertune.data.schema import Column, TableSchema
from evertune.evaluation.evaluation_record import BaselineRow, Evaluation, MetricRow, SearchedModel
from evertune.registry.mlflow_pages import (
    evaluation_description,
    evaluation_metrics,
    evaluation_title,
    model_settings,
    output_types,
    parameter_values,
    score_curves,
    trial_page,
    version_tags,
)
from evertune.search.leaderboard import leaderboard, top_trials, trial_metrics
from evertune.search.summary import SearchSummary, Setting
from evertune.trials import Configuration, FoldResult, Trial

TREE = BaselineRow("small_tree", "model", "", {"mae": 3.0}, {})
EVALUATION = Evaluation(
    target="price",
    task="regression",
    classes=(),
    metric="mae",
    greater_is_better=False,
    confidence=0.95,
    n_training=80,
    n_holdout=20,
    holdout={"mae": 2.0, "r2": None},
    lift={"mae": 1.0},
    best_baseline="small_tree",
    chosen="model",
    reasons=("it is better",),
    family="lightgbm",
    settings=(Setting("depth", 3),),
    search=SearchSummary(3, 2, 1, 0, 4.5),
    metrics=(MetricRow("mae", False, 2.0, training=1.5, lift=1.0),),
    baselines=(TREE,),
)
SIMPLEST = replace(
    EVALUATION,
    chosen="simplest:small_tree",
    holdout={"mae": 3.0},
    metrics=(MetricRow("mae", False, 3.0, training=2.5, lift=0.5),),
    searched=(SearchedModel("lightgbm", 1, finished=True, holdout={"mae": 2.9}),),
)


def test_a_title_names_the_chosen_model_and_its_score():
    assert evaluation_title(EVALUATION) == "lightgbm mae 2"
    assert evaluation_title(SIMPLEST) == "small_tree mae 3"


def test_unknown_scores_are_not_shown():
    assert evaluation_metrics(EVALUATION) == {
        "holdout/mae": 2.0,
        "training/mae": 1.5,
        "lift/mae": 1.0,
        "baseline/small_tree/mae": 3.0,
        "search/trials": 3.0,
        "search/seconds": 4.5,
    }


def test_every_score_is_of_the_model_in_use_and_the_searched_ones_stand_under_their_own_name():
    found = evaluation_metrics(SIMPLEST)
    assert (found["holdout/mae"], found["training/mae"]) == (3.0, 2.5)
    assert found["searched/mae"] == 2.9


def described(evaluation, names=("age", "plan")):
    schema = TableSchema(tuple(Column(name, "number") for name in names), "price", "regression")
    return evaluation_description(evaluation, schema, data="0d95f8ba11", report="#/report")


def test_a_description_says_what_is_predicted_from_what_and_how_well():
    found = described(SIMPLEST)
    assert "Predicts the number `price`, from 2 columns: `age`, `plan`." in found
    assert "Model: **small_tree**. it is better" in found
    assert "| MAE | 3.000 |  | 2.500 |" in found
    assert "data version `0d95f8ba`; the hold-out has 20 rows" in found
    assert "(#/report)" in found
    binary = replace(EVALUATION, task="binary", classes=("no", "yes"), target="left")
    assert "Predicts `left`, `yes` (the positive class) or `no`, from" in described(binary)
    interval = replace(EVALUATION, metrics=(MetricRow("mae", False, 2.0, low=1.5, high=2.5),))
    assert "| MAE | 2.000 | 1.500 to 2.500 |" in described(interval)


def test_a_description_stays_short_and_whole_whatever_the_columns_are_called():
    hostile = ["a|b", "`c`", "two\nlines", *(f"column {number}" * 5 for number in range(4000))]
    found = described(EVALUATION, hostile)
    assert "from 4,003 columns: `a/b`, `'c'`, `two lines`, " in found
    assert re.search(r"and 39\d\d more\.\n", found)
    assert len(found) < 2500


def test_the_tags_of_a_version_are_few_and_short():
    interval = replace(EVALUATION, metrics=(MetricRow("mae", False, 2.0, low=1.5, high=2.5),))
    assert version_tags(interval, mode="tune", data="0d95f8ba11") == {
        "score": "2.000 mae (1.500 to 2.500)",
        "model": "lightgbm",
        "mode": "tune",
        "data": "0d95f8ba",
    }


def test_runs_of_searches_and_of_trials_name_settings_and_scores_alike():
    searched, tried = model_settings(EVALUATION), trial_page(trial(0, metrics={"mae": 2.5}))
    assert (searched["model.depth"], tried.parameters["model.depth"]) == ("3", "3")
    assert (searched["model.family"], tried.parameters["model.family"]) == ("lightgbm", "tree")
    folds = replace(EVALUATION, metrics=(MetricRow("mae", False, 2.0, folds=2.2),))
    assert evaluation_metrics(folds)["folds/mae"] == 2.2
    assert tried.metrics["folds/mae"] == 2.5


def test_a_regression_gives_one_number():
    schema = TableSchema((Column("a", "number"),), "price", "regression")
    assert output_types(schema) == {"prediction": "double"}


def trial(number, status="complete", score=0.5, metrics=None):
    folds = (FoldResult(0, metrics or {"f1": score}, 1.0, 0.5),)
    return Trial(number, Configuration("tree", {"depth": 3}), status, folds, score, "why", 2.0)


@pytest.mark.parametrize(("greater", "order"), [(True, [3, 1, 0]), (False, [1, 3, 0])])
def test_the_best_trials_come_first_and_a_complete_one_before_a_stopped_one(greater, order):
    trials = [trial(0, "stopped", 0.9), trial(1, score=0.2), trial(2, "failed", None), trial(3)]
    best = top_trials(trials, greater_is_better=greater, most=3)
    assert [each.number for each in best] == order


def test_scores_of_some_folds_have_names_of_their_own_and_undefined_ones_are_left_out():
    assert trial_metrics(trial(0, "stopped"))["partial/f1"] == 0.5
    assert "folds/f1" not in trial_metrics(trial(0, metrics={"f1": None}))


def test_a_failed_trial_shows_its_reason():
    page = trial_page(trial(0, "failed", None))
    assert (page.status, page.tags["reason"]) == ("FAILED", "why")


def test_the_curve_has_complete_trials_only():
    trials = [trial(0, score=0.4), trial(1, "stopped", 0.9), trial(2, score=0.3)]
    curve = score_curves(trials, greater_is_better=True, started_milliseconds=0)
    assert [p.value for p in curve if p.name == "search/best"] == [0.4, 0.4]


def test_the_leaderboard_has_every_setting_and_the_folds_of_a_metric_one_by_one():
    row = leaderboard([trial(0)], greater_is_better=True, metric="f1").iloc[0]
    assert (row["setting.depth"], row["folds/f1"], row["reason"]) == ("3", 0.5, "why")
    assert (row["fold_0"], row["phase"]) == (0.5, "search")
    assert leaderboard([], greater_is_better=True).empty


def test_a_parameter_is_named_by_keys_of_the_schema_and_never_by_the_users_own_names():
    hostile = "Distance (km), [m] %"
    params = Params.model_validate(
        {
            "data": {"source": "t.csv", "target": "y", "columns": {hostile: "number"}},
            "evaluation": {"costs": {"<=50K": {">50K": 5.0}}},
            "metric": {"guards": {"f1": 0.5}},
            "search": {"space": {"linear": {"C": (1.0, 2.0)}}},
        },
    )
    found = parameter_values(params)
    assert json.loads(found["data.columns"]) == {hostile: "number"}
    assert json.loads(found["evaluation.costs"]) == {"<=50K": {">50K": 5.0}}
    assert json.loads(found["metric.guards"]) == {"f1": 0.5}
    assert json.loads(found["search.space"]) == {"linear": {"C": [1.0, 2.0]}}
    assert found["search.seed"] == "0"
    assert all(re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", name) for name in found)
    assert not any(name.startswith("paths") for name in found)
