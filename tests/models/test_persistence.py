import json
import zipfile

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.preprocessing import FunctionTransformer

from evertune.data.schema import Column, TableSchema
from evertune.errors import InputError, TableError
from evertune.models.families import fit_configuration
from evertune.models.model import Model, predict
from evertune.models.origin import ModelOrigin, TrialWeight
from evertune.models.persistence import (
    _load_pyfunc,
    load_model,
    load_model_origin,
    load_predictor,
    predict_rows,
    prediction_table,
    save_model,
)
from evertune.trials import Configuration
from tests.models.families import skip_if_missing

COLUMNS = (
    Column("age", "number"),
    Column("plan", "category", ("a", "b")),
    Column("shop", "category", tuple(f"l{number}" for number in range(40))),
)
CLASSES = {"binary": ("no", "yes"), "multiclass": ("p", "q", "r"), "regression": ()}
FORMS = [("linear", {"numbers": form}) for form in ("scaled", "power", "spline", "binned")]
FORMS += [("linear", {"numbers": "box_cox", "text": way}) for way in ("hashed", "words")]
FORMS += [("lightgbm", {"levels": "hashed", "pairs": "both"})]
CONFIGURATIONS = [Configuration(*parts) for parts in FORMS]


def names(configuration):
    return "-".join([configuration.family, *map(str, configuration.hyperparameters.values())])


@pytest.fixture
def table():
    draws = np.random.default_rng(0)
    columns = {
        "age": draws.normal(size=200),
        "plan": pd.Series(draws.choice(["a", "b"], 200), dtype="str"),
        "shop": pd.Series(draws.choice([f"l{number}" for number in range(40)], 200), dtype="str"),
    }
    return pd.DataFrame(columns)


def model(table, configuration=CONFIGURATIONS[0], task="binary"):
    schema = TableSchema(COLUMNS, "left", task, CLASSES[task])
    truth = np.arange(200.0) % (len(schema.classes) or 200)
    skip_if_missing(configuration.family)
    fitted = fit_configuration(configuration, table, truth, schema=schema, seed=0, n_jobs=-1)
    return Model(schema, configuration, fitted, ("0" * 16, "1" * 16))


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=names)
def test_each_encoding_is_read_back_and_saved_as_equal_bytes(tmp_path, table, configuration):
    made = model(table, configuration)
    for name in ("first", "again"):
        save_model(tmp_path / name, made if name == "first" else model(table, configuration))
    first, again = (
        {file.name: file.read_bytes() for file in (tmp_path / name).iterdir()}
        for name in ("first", "again")
    )
    assert first == again
    back = load_model(tmp_path / "first")
    expected, found = (predict(m.fitted, table, m.schema).probabilities for m in (made, back))
    assert np.array_equal(found, expected)


def test_a_model_remembers_its_schema_its_configuration_and_its_rows(tmp_path, table):
    made = model(table)
    save_model(tmp_path / "model", made)
    back = load_model(tmp_path / "model")
    assert (back.schema, back.configuration) == (made.schema, made.configuration)
    assert back.row_keys == made.row_keys


def test_a_model_says_with_which_libraries_it_was_made(tmp_path, table):
    save_model(tmp_path / "model", model(table))
    versions = json.loads((tmp_path / "model" / "model.json").read_text())["versions"]
    assert versions["skops"] == skops.__version__


def test_rows_are_taken_as_text_or_typed_in_any_order(table):
    made = model(table)
    text = table[["shop", "plan", "age"]].astype(str).assign(extra="?")
    expected = predict(made.fitted, table, made.schema).probabilities
    assert predict_rows(made, text).probabilities == pytest.approx(expected)


def test_every_fault_of_rows_is_listed(table):
    raw = table.drop(columns="plan").assign(age="old")
    with pytest.raises(TableError, match=r"(?s)plan.*age|age.*plan"):
        predict_rows(model(table), raw)


def test_predictions_are_served_as_classes_with_their_probabilities(tmp_path, table):
    save_model(tmp_path / "model", model(table))
    served = _load_pyfunc(str(tmp_path / "model")).predict(table.head(3))
    assert list(served) == ["prediction", "probability_no", "probability_yes"]
    assert set(served["prediction"]) <= {"no", "yes"}


def test_values_are_served_alone(table):
    made = model(table, task="regression")
    served = prediction_table(predict(made.fitted, table, made.schema), made.schema)
    assert list(served) == ["prediction"]


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"model.json does not exist"):
        load_model(tmp_path)


def test_a_folder_without_its_encoder_is_refused(tmp_path, table):
    save_model(tmp_path, model(table))
    (tmp_path / "encoder.skops").unlink()
    with pytest.raises(InputError, match=r"encoder.skops does not exist, so the model's folder"):
        load_model(tmp_path)


def test_code_that_is_not_on_the_list_is_never_run(tmp_path, table):
    save_model(tmp_path, model(table))
    skops.io.dump(FunctionTransformer(func=np.asarray), tmp_path / "encoder.skops")
    with pytest.raises(InputError, match=r"was not written by Evertune and is not loaded"):
        load_model(tmp_path)


def test_a_file_that_is_no_archive_is_refused(tmp_path, table):
    save_model(tmp_path, model(table))
    (tmp_path / "encoder.skops").write_text("torn")
    with pytest.raises(InputError, match=r"encoder.skops: the archive cannot be read"):
        load_model(tmp_path)


def test_archives_are_compressed(tmp_path, table):
    save_model(tmp_path, model(table))
    entries = zipfile.ZipFile(tmp_path / "encoder.skops").infolist()
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_DEFLATED}


def test_how_a_model_came_about_is_read_back(tmp_path, table):
    origin = ModelOrigin(
        "ensemble", "complex", ("note",), (TrialWeight(3, "tree", 1.0),), (0.5, None)
    )
    save_model(tmp_path / "model", model(table), origin=origin)
    assert load_model_origin(tmp_path / "model") == origin


def test_of_a_folder_that_was_written_before_nothing_is_said(tmp_path, table):
    save_model(tmp_path / "model", model(table))
    assert load_model_origin(tmp_path / "model") is None


def test_a_folder_that_was_written_before_ensembles_is_read(tmp_path, table):
    made = model(table, Configuration("lightgbm"))
    save_model(tmp_path, made)
    (tmp_path / "predictor.txt").rename(tmp_path / "booster.txt")
    card = json.loads((tmp_path / "model.json").read_text())
    older = {name: card[name] for name in ("schema", "configuration", "versions")}
    (tmp_path / "model.json").write_text(json.dumps(older))
    expected, found = (predict(m.fitted, table, m.schema) for m in (made, load_model(tmp_path)))
    assert (found.values == expected.values).all()


def test_a_kind_of_predictor_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match=r"kind must be one of .* but got 'pickle'"):
        load_predictor("pickle", b"")
