import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from evertune.data.cleaning import conform_to_schema
from evertune.data.schema import Column, TableSchema
from evertune.models.compiled import compile_model, predict_compiled
from evertune.models.families import fit_configuration
from evertune.models.fitted_model import Ensemble, EnsembleMember, Model, predict
from evertune.preprocessing.encoders import NUMERIC_TRANSFORMERS
from evertune.preprocessing.text import TEXT_ENCODINGS
from evertune.trials import Configuration
from tests.models.families import skip_if_missing

N_ROWS = 300
CITIES = tuple(f"city {n}" for n in range(40))
COLUMNS = (
    Column("age", "number"),
    Column("empty", "number"),
    Column("fee", "number"),
    Column("active", "boolean"),
    Column("plan", "category", ("a", "b", "c")),
    Column("city", "category", CITIES),
    Column("note", "text"),
    Column("since", "date"),
)
CLASSES = {"binary": ("no", "yes"), "multiclass": ("x", "y", "z"), "regression": ()}


@pytest.fixture(scope="module")
def raw():
    """Return rows with gaps, and among the last ones levels that the first ones lack."""
    draws = np.random.default_rng(0)
    since = pd.Series(pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(N_ROWS), "h"))
    table = pd.DataFrame(
        {
            "age": draws.normal(40, 10, N_ROWS),
            "empty": np.full(N_ROWS, np.nan),
            "fee": draws.integers(0, 5, N_ROWS),
            "active": draws.choice(["true", "no"], N_ROWS),
            "plan": draws.choice(["a", "b", "c"], N_ROWS, p=[0.6, 0.39, 0.01]),
            "city": draws.choice(CITIES[:30], N_ROWS),
            "note": draws.choice(["one two", "three", " "], N_ROWS),
            "since": since.dt.strftime("%Y-%m-%dT%H:%M:%S"),
            "at": since.dt.strftime("%Y-%m-%d"),
        }
    )
    table.loc[::7, ["age", "plan"]] = None
    table.loc[N_ROWS - 3 :, ["plan", "city"]] = ["d", "elsewhere"]
    return table


def model_of(raw, configuration, task):
    skip_if_missing(configuration.family)
    schema = TableSchema(COLUMNS, "y", task, CLASSES[task], time="at")
    clean, _ = conform_to_schema(raw, schema)
    y = np.random.default_rng(1).integers(0, len(schema.classes) or 9, N_ROWS).astype(float)
    training = clean.iloc[: N_ROWS - 5]
    if configuration.family == "hist_gradient_boosting":  # it cannot learn from an empty column
        training = training.fillna({"empty": 0.0})
    fitted = fit_configuration(
        configuration, training, y[: N_ROWS - 5], schema=schema, seed=0, n_jobs=1
    )
    return Model(schema, configuration, fitted, ()), clean


CASES = [
    (Configuration("linear", {"numeric_transform": form}), "binary")
    for form in NUMERIC_TRANSFORMERS
]
CASES += [
    (Configuration("linear", {"categorical_encoding": way}), "multiclass")
    for way in ("target", "hashed")
]
CASES += [(Configuration("linear", {"text_encoding": way}), "multiclass") for way in TEXT_ENCODINGS]
CASES += [
    (Configuration(name, {"interactions": "both"}), task)
    for name in ("linear", "catboost")
    for task in CLASSES
]
CASES += [
    (Configuration(name, {"interactions": "arithmetic"}), "regression")
    for name in ("linear", "lightgbm")
]
CASES += [
    (
        Configuration("lightgbm", {"categorical_encoding": "hashed", "text_encoding": "words"}),
        "regression",
    )
]


@pytest.mark.parametrize(("configuration", "task"), CASES, ids=str)
def test_a_few_rows_are_predicted_as_a_table_is(raw, configuration, task):
    model, clean = model_of(raw, configuration, task)
    check_alike(model, raw, clean)


@pytest.mark.parametrize("task", CLASSES)
def test_an_ensemble_predicts_a_few_rows_as_it_does_a_table(raw, task):
    families = ("lightgbm", "catboost", "extra_trees", "linear")
    models = [model_of(raw, Configuration(name), task)[0] for name in families]
    members = tuple(EnsembleMember(m.configuration, 0.25, (m.fitted, m.fitted)) for m in models)
    ensemble = Ensemble(members, 1.2, 0.4 if task == "binary" else None)
    model, clean = model_of(raw, Configuration("linear"), task)
    check_alike(replace(model, fitted=ensemble), raw, clean)


def check_alike(model, raw, clean):
    rows = json.loads(raw.to_json(orient="records", double_precision=15))
    fast, whole = compile_model(model), predict(model.fitted, clean, model.schema)
    parts = [predict_compiled(rows[n : n + 7], fast) for n in range(0, N_ROWS, 7)]
    values = np.concatenate([part.values for part in parts])
    np.testing.assert_allclose(values, whole.values, rtol=1e-12, atol=1e-12)
    if whole.probabilities is not None:
        proba = np.concatenate([part.probabilities for part in parts])
        np.testing.assert_allclose(proba, whole.probabilities, rtol=0, atol=1e-12)


def test_a_row_that_cannot_be_read_is_refused(raw):
    model, _ = model_of(raw, Configuration("linear"), "binary")
    with pytest.raises(ValueError, match="Expected rows that can be read"):
        predict_compiled([{"age": "old"}], compile_model(model))


CELLS = {
    "age": st.none() | st.floats(-1e6, 1e6) | st.sampled_from(["", " 41.5 ", "NA"]),
    "empty": st.none() | st.integers(-5, 5),
    "fee": st.none() | st.integers(-5, 500),
    "active": st.sampled_from([None, "true", "no", True, False, 0, 1]),
    "plan": st.sampled_from([None, "a", " b", "c", "unseen", "", 3]),
    "city": st.sampled_from([*CITIES[:4], "elsewhere", None]),
    "note": st.none() | st.text(max_size=12),
    "since": st.sampled_from([None, "2024-01-05", "2024-01-05T07:30:00", "31.12.2023"]),
    "at": st.sampled_from([None, "2024-01-05"]),
}


@pytest.fixture(scope="module")
def ensemble_model(raw):
    configurations = [
        Configuration(
            "linear",
            {"numeric_transform": "spline", "interactions": "both", "text_encoding": "characters"},
        ),
        Configuration("lightgbm", {"categorical_encoding": "hashed", "n_estimators": 20}),
        Configuration("extra_trees", {"categorical_encoding": "target", "n_estimators": 10}),
    ]
    models = [model_of(raw, each, "multiclass")[0] for each in configurations]
    members = tuple(EnsembleMember(m.configuration, 1 / 3, (m.fitted,)) for m in models)
    model = replace(models[0], fitted=Ensemble(members, 1.2))
    return model, compile_model(model)


@pytest.mark.slow
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(row=st.fixed_dictionaries(CELLS))
@example(row=dict.fromkeys(CELLS) | {"city": "city 0", "note": "a\x1fb c\xa0d"})
def test_any_single_row_is_predicted_as_a_frame_of_it_is(ensemble_model, row):
    model, compiled = ensemble_model
    clean, issues = conform_to_schema(pd.DataFrame([row], dtype=object), model.schema)
    if issues:
        return
    whole, single = predict(model.fitted, clean, model.schema), predict_compiled([row], compiled)
    np.testing.assert_allclose(single.probabilities, whole.probabilities, rtol=0, atol=1e-12)
