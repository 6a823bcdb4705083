"""Predictions that may only rise, or fall, with a column, of every family that can keep it so."""

import numpy as np
import pandas as pd
import pytest

from evertune import TunedRegressor
from evertune.data.cleaning import prepare_table
from evertune.data.schema import Column, TableSchema, TableSpec
from evertune.evaluation.monotone import check_monotone
from evertune.models.families import MONOTONE_FAMILIES, fit_configuration
from evertune.models.fitted_model import Model
from evertune.search.configurations import build_space, default_configurations
from evertune.search.objective import evaluate_fold
from evertune.search.samplers import make_sampler
from evertune.search.study import SearchConfig
from evertune.trials import Configuration
from tests.search.studies import make_study, small_objective


def made(task: str) -> tuple[pd.DataFrame, np.ndarray, TableSchema]:
    """Return rows whose target rises with `dose` on the whole, but not everywhere."""
    rng = np.random.default_rng(0)
    n = 400
    table = pd.DataFrame(
        {
            "dose": rng.uniform(-3, 3, n),
            "plan": rng.choice(["a", "b", "c"], n),
            "price": rng.normal(size=n),
        }
    )
    table.loc[::11, "dose"] = np.nan
    value = table["dose"].fillna(0) + 1.5 * np.sin(4 * table["dose"].fillna(0)) - table["price"]
    value += rng.normal(size=n)
    y = value.to_numpy() if task == "regression" else (value > 0).to_numpy(float)
    schema = TableSchema(
        (
            Column("dose", "number", minimum=-3.0, maximum=3.0, monotone="up"),
            Column("plan", "category", ("a", "b", "c")),
            Column("price", "number", monotone="down"),
        ),
        "y",
        task,
        () if task == "regression" else ("no", "yes"),
    )
    return table, y, schema


def fitted(family: str, task: str, schema: TableSchema, **values: object) -> Model:
    table, y, _ = made(task)
    configuration = Configuration(family, values)
    pipeline = fit_configuration(configuration, table, y, schema=schema, seed=0, n_jobs=1)
    return Model(schema, configuration, pipeline, ())


def values_of(family: str) -> dict[str, object]:
    name = {"hist_gradient_boosting": "max_iter", "tree": None}.get(family, "n_estimators")
    deep = {"max_depth": 8, "min_samples_leaf": 5} if family == "tree" else {}
    return deep if name is None else deep | {name: 30}


@pytest.mark.parametrize("task", ["binary", "regression"])
@pytest.mark.parametrize("family", MONOTONE_FAMILIES)
def test_no_prediction_moves_against_the_direction(family, task):
    table, _, schema = made(task)
    checks = check_monotone(fitted(family, task, schema, **values_of(family)), table)
    assert {(check.column, check.trend) for check in checks} == {("dose", "up"), ("price", "down")}
    assert [check.kept for check in checks] == [True, True]
    rises = np.ptp(checks[0].means)
    assert rises > 0.1


def test_the_check_finds_a_model_that_is_not_monotone():
    table, _, schema = made("regression")
    free = TableSchema(
        tuple(Column(c.name, c.kind, c.categories) for c in schema.features), "y", "regression"
    )
    model = fitted("lightgbm", "regression", free, n_estimators=30)
    checks = check_monotone(Model(schema, model.configuration, model.fitted, ()), table)
    assert not checks[0].kept
    assert checks[0].worst_step > 0.1


def test_catboost_grows_trees_that_can_be_monotone_whatever_is_asked():
    table, _, schema = made("regression")
    model = fitted("catboost", "regression", schema, n_estimators=20, grow_policy="Depthwise")
    assert all(check.kept for check in check_monotone(model, table))


@pytest.mark.parametrize("family", ["linear", "mlp", "knn"])
def test_a_family_that_cannot_keep_it_is_refused_with_those_that_can(family):
    _, _, schema = made("regression")
    with pytest.raises(ValueError, match=rf"one of tree, random_forest, .* but got '{family}'"):
        fitted(family, "regression", schema, numeric_transform="plain")


@pytest.mark.parametrize(
    "values", [{"numeric_transform": "scaled"}, {"interactions": "arithmetic"}]
)
def test_an_encoding_that_mixes_the_column_is_refused(values):
    _, _, schema = made("regression")
    with pytest.raises(ValueError, match="needs numeric_transform plain and interactions none"):
        fitted("tree", "regression", schema, **values)


def test_only_families_and_parameters_that_keep_it_are_searched():
    _, _, schema = made("regression")
    space = build_space(["linear", "lightgbm", "catboost"], columns=schema.features)
    assert list(space) == ["lightgbm", "catboost"]
    assert not {"interactions", "grow_policy"} & {*space["lightgbm"], *space["catboost"]}
    with pytest.raises(ValueError, match=r"must have one that can be monotone.*got \['linear'\]"):
        build_space(["linear"], columns=schema.features)


@pytest.mark.parametrize("searcher", ["portfolio", "tpe"])
def test_every_trial_of_a_search_can_be_fitted(searcher):
    table, y, schema = made("regression")
    objective = small_objective()
    rows = np.arange(len(table))
    folds = tuple(
        type(objective.folds[0])(rows[rows % 3 != part], rows[rows % 3 == part])
        for part in range(3)
    )
    objective = type(objective)(table, y, schema, folds, objective.metrics, 0)
    families = tuple(
        configuration.family
        for configuration in default_configurations(
            ["linear", "tree", "random_forest", "hist_gradient_boosting", "lightgbm", "catboost"]
        )
    )
    config = SearchConfig(families, searcher=searcher)
    study = make_study(
        families,
        objective=objective,
        trials=9,
        sampler=make_sampler(objective, config),
        searcher=searcher,
    )
    tried = [job.configuration for job in iter(study.ask, None)]
    assert tried
    assert "linear" not in {point.family for point in tried}
    for point in tried[:3]:
        quick = point.hyperparameters | values_of(point.family)
        outcome = evaluate_fold(objective, Configuration(point.family, quick), 0, encodings={})
        assert outcome.result.figures["rmse"] is not None


RAW = pd.DataFrame(
    {
        "dose": [float(n) for n in range(30)],
        "plan": ["a", "b", "c"] * 10,
        "left": ["no", "yes"] * 15,
    }
)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"monotone": {"plan": "up"}}, "is of kind category, but data.monotone needs"),
        ({"monotone": {"dosis": "up"}}, "is no feature, but data.monotone needs"),
        ({"monotone": {"dose": "up"}, "target": "plan"}, "has 3 classes, but data.monotone needs"),
    ],
)
def test_a_column_that_cannot_be_monotone_is_named(spec, words):
    prepared, issues = prepare_table(RAW, TableSpec(**({"target": "left"} | spec)))
    assert prepared is None
    assert words in issues[0].problem


def test_an_estimator_takes_directions_by_name():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.uniform(-2, 2, 200), "b": rng.normal(size=200)})
    y = X["a"] + np.sin(5 * X["a"]) + rng.normal(scale=0.3, size=200)
    model = TunedRegressor(
        families=["lightgbm", "linear"],
        budget_trials=2,
        budget_seconds=None,
        n_folds=3,
        monotone={"a": "up"},
        workers=1,
    ).fit(X, y)
    grid = pd.DataFrame({"a": np.linspace(-2, 2, 50), "b": 0.0})
    assert np.diff(model.predict(grid)).min() >= 0
    with pytest.raises(ValueError, match="c: is no feature, but data"):
        model.set_params(monotone={"c": "up"}).fit(X, y)
