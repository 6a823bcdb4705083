from dataclasses import replace

from evertune.data.schema import Column, TableSchema
from evertune.evaluation.records import BaselineRow, Evaluation, MetricRow
from evertune.registry.runs import (
    evaluation_description,
    evaluation_metrics,
    evaluation_title,
    model_settings,
    output_types,
)
from evertune.search.summary import SearchSummary, Setting

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
SIMPLEST = replace(EVALUATION, chosen="simplest:small_tree")


def test_a_title_names_the_model_and_its_figure():
    assert evaluation_title(EVALUATION) == "lightgbm mae 2"


def test_the_simplest_model_is_titled_by_its_own_name_and_figure():
    assert evaluation_title(SIMPLEST) == "small_tree mae 3"


def test_unknown_figures_are_not_shown():
    assert evaluation_metrics(EVALUATION) == {
        "holdout/mae": 2.0,
        "training/mae": 1.5,
        "lift/mae": 1.0,
        "baseline/small_tree/mae": 3.0,
        "chosen/mae": 2.0,
        "search/trials": 3.0,
        "search/seconds": 4.5,
    }


def test_a_description_says_what_was_chosen_and_why():
    assert "Chosen: **simplest:small_tree**. it is better" in evaluation_description(SIMPLEST)


def test_settings_are_named_as_parameters_of_the_model():
    assert model_settings(EVALUATION)["model.depth"] == "3"


def test_a_regression_gives_one_number():
    assert output_types(TableSchema((Column("a", "number"),), "price", "regression")) == {
        "prediction": "double"
    }
