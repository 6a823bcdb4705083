"""Rows that count differently: the column of `data.weight`, from the table to each fit."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evertune import TunedClassifier, TunedRegressor
from evertune.data.cleaning import prepare_table
from evertune.data.feedback import merge_feedback
from evertune.data.folds import Fold
from evertune.data.schema import Column, TableSchema, TableSpec, fit_weights
from evertune.data.validation import format_issues
from evertune.fitting.refit import TrainingSet
from evertune.metrics.metrics import METRICS
from evertune.models.families import fit_configuration
from evertune.models.fitted_model import Model
from evertune.models.persistence import predict_rows
from evertune.search.objective import Objective, evaluate_fold
from evertune.search.space import DEFAULT_SPACES
from evertune.trials import Configuration

QUICK = {"budget_seconds": None, "budget_trials": 1, "workers": 1, "n_folds": 2}
HEAVY = 0.9  # share of all weight of the rows that say 1
N_ROWS = 600


def contradicting(task: str) -> tuple[pd.DataFrame, np.ndarray, TableSchema]:
    """Return rows of which each stands there twice, with 0 and 1 as targets; 1 weighs more."""
    rng = np.random.default_rng(0)
    half = pd.DataFrame({"size": rng.normal(size=N_ROWS // 2)})
    table = pd.concat([half, half], ignore_index=True)
    y = np.repeat([0.0, 1.0], N_ROWS // 2)
    table["share"] = np.where(y == 1, HEAVY, 1 - HEAVY)
    order = rng.permutation(N_ROWS)
    classes = () if task == "regression" else ("no", "yes")
    schema = TableSchema((Column("size", "number"),), "y", task, classes, weight="share")
    return table.iloc[order].reset_index(drop=True), y[order], schema


def mean_prediction(fitted: object, table: pd.DataFrame, schema: TableSchema) -> float:
    model = Model(schema, Configuration("linear"), fitted, ())
    predictions = predict_rows(model, table)
    if predictions.probabilities is not None:
        return float(predictions.probabilities[:, 1].mean())
    return float(predictions.values.mean())


@pytest.mark.parametrize("task", ["binary", "regression"])
@pytest.mark.parametrize("family", DEFAULT_SPACES)
def test_every_family_follows_the_rows_that_count_more(family, task):
    table, y, schema = contradicting(task)
    values = {"n_neighbors": 100} if family == "knn" else {}
    means = [
        mean_prediction(
            fit_configuration(
                Configuration(family, values),
                table,
                y,
                schema=schema,
                seed=0,
                n_jobs=1,
                weights=weights,
                iterations=30,
            ),
            table,
            schema,
        )
        for weights in (None, fit_weights(table, schema))
    ]
    assert means[0] == pytest.approx(0.5, abs=0.1)
    assert means[1] == pytest.approx(HEAVY, abs=0.1)


def test_the_fits_of_a_search_follow_them_and_scores_count_all_rows_alike():
    table, y, schema = contradicting("binary")
    training, validation = np.split(np.arange(N_ROWS), 2)
    folds = (Fold(training, validation),)
    objective = Objective(table, y, schema, folds, (METRICS["log_loss"],), 0)
    outcome = evaluate_fold(objective, Configuration("linear"), 0, encodings={})
    predicted = outcome.model.predictions.probabilities[:, 1]
    assert predicted.mean() == pytest.approx(HEAVY, abs=0.05)
    losses = -np.log(np.where(y[validation] == 1, predicted, 1 - predicted))
    assert outcome.result.figures["log_loss"] == pytest.approx(losses.mean())


def test_rows_of_which_none_counts_are_refused():
    table, y, schema = contradicting("binary")
    zeros = np.zeros(N_ROWS)
    with pytest.raises(ValueError, match=rf"above 0, but all {N_ROWS} have 0"):
        fit_configuration(
            Configuration("linear"), table, y, schema=schema, seed=0, n_jobs=1, weights=zeros
        )


def test_the_age_of_rows_counts_besides():
    table, y, schema = contradicting("binary")
    ages = np.linspace(0.5, 1.0, N_ROWS)
    training = TrainingSet(table, y, schema, 0, ages)
    assert np.allclose(training.fit_weights, ages * table["share"])
    assert TrainingSet(table, y, replace(schema, weight=None), 0).fit_weights is None


RAW = pd.DataFrame(
    {
        "age": [str(20 + 3 * n) for n in range(20)],
        "share": ["1.5", "2.5"] * 10,
        "left": ["yes", "no", "no", "no"] * 5,
    }
)


def prepared(raw: pd.DataFrame) -> tuple[object, str]:
    table, issues = prepare_table(raw, TableSpec("left", weight="share"))
    return table, format_issues(issues, with_options=True)


def test_the_column_is_read_as_numbers_and_is_no_feature():
    table, said = prepared(RAW)
    assert said == ""
    assert [column.name for column in table.schema.features] == ["age"]
    assert table.schema.weight == "share"
    assert table.clean["share"].tolist() == [1.5, 2.5] * 10


def test_a_row_without_a_weight_counts_as_the_others_do_on_average():
    table, said = prepared(RAW.assign(share=["", *RAW["share"][1:]]))
    assert said == ""
    weights = fit_weights(table.clean, table.schema)
    assert weights[0] == pytest.approx(np.mean(weights[1:]))


def test_rows_of_production_count_as_the_others_do_on_average():
    table, _ = prepared(RAW)
    labelled = pd.DataFrame(
        {
            "age": [45.0],
            "left": ["yes"],
            "moment": pd.date_range("2024-01-01", periods=1, unit="us"),
        }
    )
    merged = merge_feedback(table, labelled, TableSpec("left", weight="share"))
    weights = fit_weights(merged.clean, merged.schema)
    assert len(weights) == len(RAW) + merged.n_absorbed
    assert weights.mean() == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["-1", "2"] * 10, "10 of 20 cells are negative or infinite, .* the first in row 1: '-1'"),
        (["much", "2"] * 10, "10 of 20 cells are not numbers"),
        (["0"] * 20, "no row has a weight above 0"),
        ([""] * 20, "no row has a weight above 0"),
    ],
)
def test_what_cannot_be_a_weight_is_named(cells, words):
    table, said = prepared(RAW.assign(share=cells))
    assert table is None
    assert re.search(words, said), said


@pytest.mark.parametrize("kind", [TunedClassifier, TunedRegressor])
def test_an_estimator_takes_sample_weight(kind):
    task = "binary" if kind is TunedClassifier else "regression"
    table, y, _ = contradicting(task)
    X = table[["size"]]
    model = kind(families=["linear"], **QUICK).fit(X, y.astype(int), sample_weight=table["share"])
    predicted = model.predict_proba(X)[:, 1] if task == "binary" else model.predict(X)
    assert predicted.mean() == pytest.approx(HEAVY, abs=0.05)
    assert list(model.feature_names_in_) == ["size"]
    assert model.schema_.weight is None


@pytest.mark.parametrize("weights", [[1.0], np.full(N_ROWS, -1.0), np.zeros(N_ROWS)])
def test_an_estimator_says_what_sample_weight_must_be(weights):
    table, y, _ = contradicting("binary")
    with pytest.raises(ValueError, match=rf"Expected sample_weight to be {N_ROWS} numbers from 0"):
        TunedClassifier(families=["linear"], **QUICK).fit(
            table[["size"]], y.astype(int), sample_weight=weights
        )
