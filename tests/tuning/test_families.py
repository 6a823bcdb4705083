import numpy as np
import pytest

from evertune.data.schema import Column, TableSchema
from evertune.models.families import (
    FAMILIES,
    configuration_encoding,
    default_configuration,
    fit_configuration,
)
from evertune.models.model import predict
from evertune.preprocessing.encoders import feature_frame
from evertune.trials import Configuration
from tests.tuning.rows import skip_where_missing

COLUMNS = (Column("z", "number"), Column("plan", "category", ("a", "b", "c")))
LEARNING = sorted(set(FAMILIES) - {"zero_rule"})


def fitted(configuration, table, truth, schema, seed=0):
    skip_where_missing(configuration.family)
    return fit_configuration(configuration, table, truth, schema=schema, seed=seed, n_jobs=1)


@pytest.mark.parametrize("family", LEARNING)
def test_every_family_learns_in_every_task(table, truth, schema, family):
    model = fitted(default_configuration(family), table, truth, schema)
    errors = np.abs(predict(model, table, schema).values - truth)
    assert errors.mean() < 0.6 * np.abs(truth - np.median(truth)).mean()


@pytest.mark.parametrize("family", LEARNING)
def test_probabilities_are_of_all_classes_and_sum_to_1(table, truth, schema, family):
    probabilities = predict(
        fitted(default_configuration(family), table, truth, schema), table, schema
    ).probabilities
    if schema.classes:
        assert probabilities.shape == (300, len(schema.classes))
        assert probabilities.sum(axis=1) == pytest.approx(1)
    else:
        assert probabilities is None


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_same_seed_gives_the_same_predictions(table, truth, schema, family):
    skip_where_missing(family)
    first, second = (
        fit_configuration(
            default_configuration(family), table, truth, schema=schema, seed=3, n_jobs=jobs
        )
        for jobs in (1, -1)
    )
    assert (predict(first, table, schema).values == predict(second, table, schema).values).all()


@pytest.mark.parametrize("form", ["scaled", "power", "box_cox", "spline", "piecewise", "binned"])
def test_a_linear_model_takes_its_numbers_in_every_form(table, truth, schema, form):
    model = fitted(Configuration("linear", {"numbers": form}), table, truth, schema)
    assert np.isfinite(predict(model, table, schema).values).all()


@pytest.mark.parametrize("family", LEARNING)
def test_a_class_that_was_never_seen_has_probability_0(table, family):
    schema = TableSchema(COLUMNS, "y", "multiclass", ("p", "q", "r"))
    truth = np.where(table["z"] > 0, 2.0, 0.0)
    model = fitted(default_configuration(family), table, truth, schema)
    assert predict(model, table, schema).probabilities[:, 1].max() < 1e-3


def test_the_zero_rule_says_the_shares_of_the_classes(table):
    schema = TableSchema(COLUMNS, "y", "binary", ("no", "yes"))
    truth = (np.arange(300) < 30).astype(float)
    said = predict(fitted(Configuration("zero_rule"), table, truth, schema), table, schema)
    assert said.probabilities[0] == pytest.approx([0.9, 0.1])


def test_a_form_has_one_name():
    asked = Configuration("lightgbm", {"levels": "ordinal"})
    assert (
        configuration_encoding(asked)
        == configuration_encoding(default_configuration("lightgbm"))
        == "ordinal"
    )
    assert configuration_encoding(Configuration("xgboost", {"levels": "target"})) == "plain+target"


@pytest.mark.parametrize("family", ["linear", "lightgbm"])
def test_balanced_classes_have_the_rare_one_predicted_more_often(table, family):
    schema = TableSchema(COLUMNS, "y", "binary", ("no", "yes"))
    truth = (table["z"] + np.random.default_rng(1).normal(size=300) > 1.8).to_numpy(float)
    shares = [
        predict(
            fitted(Configuration(family, {"class_weight": weights}), table, truth, schema),
            table,
            schema,
        ).probabilities[:, 1].mean()
        for weights in ("none", "balanced")
    ]  # fmt: skip
    assert shares[1] > 2 * shares[0]


@pytest.mark.parametrize("family", LEARNING)
def test_columns_left_out_are_left_out_of_predictions_too(table, truth, schema, family):
    point = Configuration(family, {"select": "filter", "select_share": 0.6})
    model = fitted(point, table, truth, schema)
    assert len(model.columns) < model.encoder.transform(feature_frame(table, schema)).shape[1]
    assert np.isfinite(predict(model, table, schema).values).all()


@pytest.mark.parametrize("family", LEARNING)
def test_a_column_without_a_value_is_harmless(table, truth, schema, family):
    empty = table.assign(x=np.nan)
    model = fitted(default_configuration(family), empty, truth, schema)
    assert np.isfinite(predict(model, empty, schema).values).all()


def test_a_family_that_does_not_exist_is_refused(table):
    schema = TableSchema(COLUMNS, "y", "binary", ("no", "yes"))
    with pytest.raises(ValueError, match=r"family must be one of linear, .* but got 'oracle'"):
        fitted(Configuration("oracle"), table, np.zeros(300), schema)
