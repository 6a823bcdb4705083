"""The contract of every family, and what is special about some."""

import time

import numpy as np
import pandas as pd
import pytest

from evertune.data.schema import Column, TableSchema
from evertune.models.compiled import compile_model, predict_compiled
from evertune.models.embedding_network import is_installed
from evertune.models.families import (
    FAMILIES,
    configuration_encoding,
    default_configuration,
    fit_configuration,
    fit_encoded,
)
from evertune.models.fitted_model import predict, predict_encoded, to_catboost_rows
from evertune.models.persistence import load_model, save_model
from evertune.preprocessing.encoders import Encoding
from evertune.trials import Configuration
from evertune.types import probabilities_or_values
from tests.models.families import (
    CLASSES,
    LEARNING,
    TASKS,
    clean_rows,
    context,
    encoded_rows,
    fit,
    fitted_model,
    schema,
    skip_if_missing,
    target,
)

BOOSTERS = ("lightgbm", "xgboost", "catboost", "hist_gradient_boosting")
STOPPING = (*BOOSTERS, "mlp", "embedding_mlp")
COUNTED = (*STOPPING, "random_forest", "extra_trees")
CODED = ("lightgbm", "catboost", "embedding_mlp")


def fit_rows(family, task, X=None, y=None, params=None, **values):
    skip_if_missing(family)
    if X is None:
        X, y = encoded_rows(task)
    values = {"n_ordinal": 1 if family in CODED else 0} | values
    return fit_encoded(Configuration(family, params or {}), X, y, context(task, **values))


def predictions(result, X, task):
    X = X if result.columns is None else X[:, list(result.columns)]
    return predict_encoded(result.predictor, X, task=task, n_classes=len(CLASSES[task]))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("family", LEARNING)
def test_a_family_learns_and_its_predictions_have_shape_and_range(family, task):
    model, y = fitted_model(family, task), target(task)
    outcome = predict(model.fitted, clean_rows(), model.schema)
    assert outcome.values.shape == y.shape
    assert np.isfinite(outcome.values).all()
    assert np.abs(outcome.values - y).mean() < 0.6 * np.abs(y - np.median(y)).mean()
    if task == "regression":
        assert outcome.probabilities is None
    else:
        assert outcome.probabilities.shape == (len(y), len(CLASSES[task]))
        assert outcome.probabilities.sum(axis=1) == pytest.approx(1)
        assert outcome.probabilities.min() >= 0


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("family", LEARNING)
def test_missing_cells_unseen_levels_and_huge_numbers_are_predicted(family, task):
    model = fitted_model(family, task)
    strange = clean_rows().head(3).assign(z=[1e300, np.nan, -1e300], plan="new", city=None)
    outcome = predict(model.fitted, strange, model.schema)
    assert np.isfinite(probabilities_or_values(outcome)).all()


# Two classes are fitted and stored by the same estimators as three.
@pytest.mark.parametrize("task", ["multiclass", "regression"])
@pytest.mark.parametrize("family", LEARNING)
def test_the_same_seed_gives_the_same_bytes_and_a_read_model_predicts_the_same(
    family, task, tmp_path
):
    first, again = fitted_model(family, task), fit(family, task)
    save_model(tmp_path / "first", first)
    save_model(tmp_path / "again", again)
    bytes_of = [
        {file.name: file.read_bytes() for file in (tmp_path / name).iterdir()}
        for name in ("first", "again")
    ]
    assert bytes_of[0] == bytes_of[1]
    read = load_model(tmp_path / "first")
    expected, outcome, repeated = (
        probabilities_or_values(predict(m.fitted, clean_rows(), m.schema))
        for m in (first, read, again)
    )
    assert (outcome == expected).all()
    assert (repeated == expected).all()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("family", LEARNING)
def test_single_rows_are_predicted_as_a_frame_is(family, task):
    model = fitted_model(family, task)
    table = clean_rows().head(40)
    compiled = compile_model(model)
    cells = table.astype(object).where(table.notna(), None).to_dict("records")
    single = [probabilities_or_values(predict_compiled([row], compiled)) for row in cells]
    whole = probabilities_or_values(predict(model.fitted, table, model.schema))
    np.testing.assert_allclose(np.concatenate(single), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("family", LEARNING)
def test_a_class_without_rows_has_probability_0(family):
    skip_if_missing(family)
    columns = (Column("z", "number"), Column("plan", "category", ("a", "b", "c")))
    three = TableSchema(columns, "y", "multiclass", CLASSES["multiclass"])
    y = np.where(clean_rows()["z"] > 0, 2.0, 0.0)
    model = fit_configuration(
        default_configuration(family), clean_rows(), y, schema=three, seed=0, n_jobs=1
    )
    assert predict(model, clean_rows(), three).probabilities[:, 1].max() < 1e-3


@pytest.mark.parametrize("task", ["binary", "regression"])
@pytest.mark.parametrize("family", LEARNING)
def test_rows_of_no_weight_do_not_count(family, task):
    X, y = encoded_rows(task)
    light = np.arange(400) >= 300
    weights = np.where(light, 1e-12, 4 / 3)

    def gap(**values):
        first, second = (
            probabilities_or_values(
                predictions(fit_rows(family, task, X, other, **values), X, task)
            )
            for other in (y, np.where(light, y[::-1], y))
        )
        return np.abs(first - second).mean()

    assert gap(weights=weights) < 0.5 * gap()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("family", STOPPING)
def test_validation_rows_end_a_fit_at_its_best_round(family, task):
    result = fit_rows(family, task, validation=encoded_rows(task, seed=1))
    assert 0 < result.iterations < 1000
    assert result.whole


@pytest.mark.parametrize(
    ("family", "metric"),
    [
        (family, metric)
        for family in STOPPING
        for metric in ("roc_auc", "pr_auc", "log_loss", "accuracy", "of_the_user")
        if family in BOOSTERS or metric in ("roc_auc", "of_the_user")
    ],
)
def test_early_stopping_takes_any_metric(family, metric):
    X, y = encoded_rows("binary")
    result = fit_rows(family, "binary", validation=encoded_rows("binary", seed=1), metric=metric)
    assert (predictions(result, X, "binary").values == y).mean() > 0.85


@pytest.mark.parametrize("family", STOPPING)
def test_validation_rows_of_one_class_are_allowed(family):
    X, y = encoded_rows("binary")
    one = (X[y == 1], y[y == 1])
    assert fit_rows(family, "binary", validation=one, metric="roc_auc").iterations > 0


@pytest.mark.parametrize("family", COUNTED)
def test_a_given_number_of_rounds_is_fitted_and_a_far_deadline_changes_nothing(family):
    X, _ = encoded_rows("binary")
    rounds = {"iterations": 7, "validation": encoded_rows("binary", seed=1)}
    free = fit_rows(family, "binary", **rounds)
    timed = fit_rows(family, "binary", deadline=time.monotonic() + 1000, **rounds)
    assert free.iterations == timed.iterations == 7
    first, second = (predictions(result, X, "binary").probabilities for result in (free, timed))
    assert (first == second).all()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("family", COUNTED)
def test_a_fit_past_its_deadline_returns_what_it_has_and_says_so(family, task):
    X, _ = encoded_rows(task)
    result = fit_rows(family, task, deadline=time.monotonic())
    assert (result.iterations, result.whole) == (1, False)
    assert np.isfinite(predictions(result, X, task).values).all()


def test_the_linear_model_keeps_its_deadline_and_two_families_cannot():
    X, y = encoded_rows("binary")
    assert not fit_rows("linear", "binary", X * 1e3, y, deadline=0.0).whole
    assert {name for name, each in FAMILIES.items() if each.ignores_deadline} == {"knn", "svm"}


@pytest.mark.parametrize("family", ["linear", "tree", "hist_gradient_boosting", "catboost"])
def test_columns_that_were_not_selected_are_not_needed(family):
    params = {"feature_selection": "filter", "selected_fraction": 0.6}
    model = fit_configuration(
        Configuration(family, params),
        clean_rows(),
        target("binary"),
        schema=schema("binary"),
        seed=0,
        n_jobs=1,
    )
    assert len(model.columns) < len(clean_rows().columns) + 4
    assert np.isfinite(predict(model, clean_rows(), schema("binary")).values).all()


@pytest.mark.parametrize("family", ["linear", "lightgbm"])
def test_balanced_classes_raise_the_probability_of_the_rare_one(family):
    X, _ = encoded_rows("binary")
    y = (X[:, 1] + np.random.default_rng(1).normal(size=400) > 1.8).astype(float)
    plain, balanced = (
        predictions(fit_rows(family, "binary", X, y, {"class_weight": weight}), X, "binary")
        for weight in ("none", "balanced")
    )
    assert balanced.probabilities[:, 1].mean() > 1.5 * plain.probabilities[:, 1].mean()


def test_a_forest_does_not_depend_on_the_number_of_threads():
    X, _ = encoded_rows("binary")
    one, two = (fit_rows("extra_trees", "binary", n_jobs=jobs).predictor for jobs in (1, 2))
    assert (one.predict_proba(X) == two.predict_proba(X)).all()


def test_an_unknown_family_is_refused():
    X, y = encoded_rows("binary")
    with pytest.raises(ValueError, match=r"family must be one of linear, .* but got 'oracle'"):
        fit_encoded(Configuration("oracle"), X, y, context("binary"))


def test_a_configuration_leaves_its_encoding_to_the_defaults_of_its_family():
    explicit = Configuration("lightgbm", {"categorical_encoding": "ordinal"})
    default = configuration_encoding(default_configuration("lightgbm"))
    assert configuration_encoding(explicit) == default
    assert default == Encoding("plain", "ordinal", "auto", "none")


def test_the_zero_rule_predicts_the_shares_of_the_classes():
    X, _ = encoded_rows("binary")
    y = (np.arange(400) < 40).astype(float)
    outcome = predictions(fit_rows("zero_rule", "binary", X, y), X, "binary")
    assert outcome.probabilities[0] == pytest.approx([0.9, 0.1])


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_an_l1_penalty_drops_columns(task):
    X, y = encoded_rows(task)
    noise = np.random.default_rng(3).normal(size=(400, 20))
    params = {"penalty": "l1", "alpha": 30.0}
    coefficients = fit_rows("linear", task, np.hstack([X, noise]), y, params).predictor.coef_
    assert (coefficients.ravel()[3:] == 0).mean() > 0.5
    assert coefficients.ravel()[1] > 0


def test_neighbours_are_at_most_all_rows():
    X, y = encoded_rows("binary", n=10)
    assert fit_rows("knn", "binary", X, y).predictor.n_neighbors == 10


def test_the_svm_needs_two_rows_of_each_class():
    X, _ = encoded_rows("binary", n=10)
    with pytest.raises(ValueError, match=r"svm needs two rows of each class .* but got least=1"):
        fit_rows("svm", "binary", X, np.eye(10)[0])


def test_catboost_predicts_the_constant_if_nothing_varies():
    X, y = encoded_rows("regression")
    one_class = fit_rows("catboost", "binary", X, np.ones(400))
    assert (predictions(one_class, X, "binary").probabilities == [0, 1]).all()
    flat = fit_rows("catboost", "regression", np.ones((400, 3)), y, n_ordinal=3)
    assert flat.predictor.predict(np.ones((1, 3)))[0] == pytest.approx(y.mean())


@pytest.mark.parametrize("task", TASKS)
def test_catboost_learns_from_the_fewest_rows(task):
    X, y = np.arange(6.0).reshape(3, 2), np.arange(3.0) % (3 if task == "multiclass" else 2)
    assert fit_rows("catboost", task, X, y, n_ordinal=0, iterations=3).iterations == 3


def test_rows_for_catboost_have_integer_codes_and_keep_their_gaps():
    rows = to_catboost_rows(np.array([[2.0, np.nan], [np.nan, 0.5]]), (0,))
    assert rows[0].tolist() == [2, -1]
    assert rows[0].dtype == np.int64
    assert pd.isna(rows.loc[0, 1])


@pytest.mark.parametrize(
    "params",
    [
        {"solver": "sgd", "learning_rate": 0.03},
        {"activation": "tanh"},
        {"learning_rate_schedule": "coslog4"},
    ],
)
def test_a_network_learns_with_every_solver_activation_and_schedule(params):
    X, y = encoded_rows("regression")
    outcome = fit_rows("mlp", "regression", params=params).predictor.predict(X)
    assert np.corrcoef(outcome, y)[0, 1] > 0.85


def test_a_network_learns_targets_far_from_0():
    X, y = encoded_rows("regression")
    outcome = fit_rows("mlp", "regression", X, 1e6 + 1e3 * y).predictor.predict(X)
    assert outcome.mean() == pytest.approx(1e6 + 1e3 * y.mean(), abs=200)


def test_a_family_whose_library_is_missing_explains_how_to_install_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    X, y = encoded_rows("binary")
    assert not is_installed("torch")
    words = r"embedding_mlp needs torch.*`pip install evertune\[neural\]`, or leave"
    with pytest.raises(ValueError, match=words):
        fit_encoded(Configuration("embedding_mlp"), X, y, context("binary"))
