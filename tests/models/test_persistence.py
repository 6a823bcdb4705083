import io
import json
import shutil
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.preprocessing import FunctionTransformer

from evertune.data.schema import Column, TableSchema
from evertune.errors import InputError, TableError
from evertune.models.families import fit_configuration
from evertune.models.fitted_model import Ensemble, EnsembleMember, Model, predict
from evertune.models.persistence import (
    ModelVersionWarning,
    load_model,
    load_model_origin,
    predict_rows,
    prediction_table,
    save_model,
)
from evertune.models.predictor_files import load_predictor
from evertune.models.provenance import ModelOrigin, TrialWeight
from evertune.registry.pyfunc import _load_pyfunc
from evertune.trials import Configuration

SHOPS = tuple(f"l{number}" for number in range(40))
COLUMNS = (
    Column("age", "number"),
    Column("plan", "category", ("a", "b")),
    Column("shop", "category", SHOPS),
)
CLASSES = {"binary": ("no", "yes"), "regression": ()}
DRAWS = np.random.default_rng(0)
TABLE = pd.DataFrame(
    {
        "age": DRAWS.normal(size=200),
        "plan": pd.Series(DRAWS.choice(["a", "b"], 200), dtype="str"),
        "shop": pd.Series(DRAWS.choice(SHOPS, 200), dtype="str"),
    }
)
ENCODINGS = [
    ("linear", {"numeric_transform": name}) for name in ("scaled", "power", "spline", "binned")
]
ENCODINGS += [
    ("linear", {"numeric_transform": "box_cox", "text_encoding": name})
    for name in ("hashed", "words")
]
ENCODINGS += [("lightgbm", {"categorical_encoding": "hashed", "interactions": "both"})]
LINEAR = Configuration("linear")
SUFFIXES = {"lightgbm": "txt", "linear": "skops", "xgboost": "ubj", "catboost": "cbm"}


def fit(configuration, task="binary", rows=slice(None)):
    schema = TableSchema(COLUMNS, "left", task, CLASSES[task])
    y = np.arange(200.0) % (len(schema.classes) or 200)
    return fit_configuration(configuration, TABLE[rows], y[rows], schema=schema, seed=0, n_jobs=1)


def make_model(configuration=LINEAR, task="binary"):
    schema = TableSchema(COLUMNS, "left", task, CLASSES[task])
    return Model(schema, configuration, fit(configuration, task), ("0" * 16, "1" * 16))


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module", params=CLASSES)
def ensemble(request):
    """Return a model of four libraries with a fitted pipeline for each of two folds."""
    task = request.param
    members = tuple(
        EnsembleMember(
            Configuration(family),
            0.25,
            tuple(fit(Configuration(family), task, slice(100 * n, 100 * n + 100)) for n in (0, 1)),
            (3, None),
        )
        for family in SUFFIXES
    )
    schema = TableSchema(COLUMNS, "left", task, CLASSES[task])
    fitted = Ensemble(members, 1.3, 0.4 if schema.classes else None)
    return Model(schema, members[0].configuration, fitted, ("0" * 16,))


@pytest.mark.parametrize("configuration", [Configuration(*parts) for parts in ENCODINGS], ids=str)
def test_each_encoding_is_read_back_and_saved_as_equal_bytes(tmp_path, configuration):
    first, again = make_model(configuration), make_model(configuration)
    save_model(tmp_path / "first", first)
    save_model(tmp_path / "again", again)
    files = [
        {file.name: file.read_bytes() for file in (tmp_path / name).iterdir()}
        for name in ("first", "again")
    ]
    assert files[0] == files[1]
    loaded = load_model(tmp_path / "first")
    assert (loaded.schema, loaded.configuration) == (first.schema, configuration)
    assert loaded.row_keys == first.row_keys
    expected, result = (predict(m.fitted, TABLE, m.schema) for m in (first, loaded))
    assert np.array_equal(result.probabilities, expected.probabilities)


def test_an_ensemble_predicts_the_same_when_it_was_read_back(tmp_path, ensemble):
    save_model(tmp_path / "model", ensemble)
    loaded = load_model(tmp_path / "model")
    expected, result = (predict(m.fitted, TABLE, m.schema) for m in (ensemble, loaded))
    assert (result.values == expected.values).all()
    assert np.array_equal(result.probabilities, expected.probabilities)
    card = json.loads((tmp_path / "model" / "model.json").read_text())
    assert card["versions"]["skops"] == skops.__version__
    stored = card["ensemble"]
    assert [each["configuration"]["family"] for each in stored["members"]] == list(SUFFIXES)
    assert (stored["members"][0]["weight"], stored["members"][0]["iterations"]) == (0.25, [3, None])
    assert (stored["temperature"], stored["threshold"]) == (1.3, ensemble.fitted.threshold)
    for number, suffix in enumerate(SUFFIXES.values()):
        assert (tmp_path / "model" / f"predictor_{number}_1.{suffix}").exists()


def test_an_encoder_that_members_share_is_written_once(tmp_path, model):
    member = EnsembleMember(model.configuration, 0.5, (model.fitted,))
    save_model(tmp_path / "model", replace(model, fitted=Ensemble((member, member))))
    assert len(list((tmp_path / "model").glob("encoder_*"))) == 1


def test_rows_are_taken_as_text_or_typed_in_any_order(model):
    text = TABLE[["shop", "plan", "age"]].astype(str).assign(extra="?")
    expected = predict(model.fitted, TABLE, model.schema).probabilities
    assert predict_rows(model, text).probabilities == pytest.approx(expected)


def test_every_fault_of_rows_is_listed(model):
    with pytest.raises(TableError, match=r"(?s)plan.*age|age.*plan"):
        predict_rows(model, TABLE.drop(columns="plan").assign(age="old"))


def test_predictions_are_served_as_classes_with_their_probabilities(tmp_path, model):
    save_model(tmp_path / "model", model)
    served = _load_pyfunc(str(tmp_path / "model")).predict(TABLE.head(3))
    assert list(served) == ["prediction", "probability_no", "probability_yes"]
    assert set(served["prediction"]) <= {"no", "yes"}


def test_values_are_served_alone():
    model = make_model(task="regression")
    served = prediction_table(predict(model.fitted, TABLE, model.schema), model.schema)
    assert list(served) == ["prediction"]


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"model.json does not exist"):
        load_model(tmp_path)


def delete(path):
    path.unlink()


def tear(path):
    path.write_text("torn")


def replace_by_code(path):
    skops.io.dump(FunctionTransformer(func=np.asarray), path)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (delete, r"encoder.skops does not exist, so the model's folder is incomplete"),
        (tear, r"encoder.skops: the archive cannot be read"),
        (replace_by_code, r"was not written by Evertune and is not loaded"),
    ],
)
def test_a_spoiled_folder_is_refused_and_its_code_never_run(tmp_path, model, spoil, words):
    save_model(tmp_path, model)
    spoil(tmp_path / "encoder.skops")
    with pytest.raises(InputError, match=words):
        load_model(tmp_path)


def test_archives_are_compressed_and_hold_no_time_of_day(tmp_path, model):
    save_model(tmp_path, model)
    entries = zipfile.ZipFile(tmp_path / "encoder.skops").infolist()
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_DEFLATED}
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}


def test_the_origin_of_a_model_is_read_back_and_older_folders_have_none(tmp_path, model):
    weights = (TrialWeight(3, "tree", 1.0),)
    origin = ModelOrigin("ensemble", "complex", ("note",), weights, (0.5, None))
    save_model(tmp_path / "model", model, origin=origin)
    assert load_model_origin(tmp_path / "model") == origin
    save_model(tmp_path / "older", model)
    assert load_model_origin(tmp_path / "older") is None


def test_a_folder_that_was_written_before_ensembles_is_read(tmp_path):
    model = make_model(Configuration("lightgbm"))
    save_model(tmp_path, model)
    (tmp_path / "predictor.txt").rename(tmp_path / "booster.txt")
    card = json.loads((tmp_path / "model.json").read_text())
    older = {name: card[name] for name in ("schema", "configuration", "versions")}
    (tmp_path / "model.json").write_text(json.dumps(older))
    expected, result = (predict(m.fitted, TABLE, m.schema) for m in (model, load_model(tmp_path)))
    assert (result.values == expected.values).all()


def test_a_format_of_predictors_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match=r"kind must be one of .* but got 'pickle'"):
        load_predictor("pickle", b"")


@pytest.mark.filterwarnings("ignore::evertune.models.persistence.ModelVersionWarning")
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_models_of_release_0_1_predict_what_they_did(golden_models, task):
    expected = json.loads((golden_models / "expected.json").read_text())
    rows = pd.read_csv(golden_models / "rows.csv", dtype=str, keep_default_na=False)
    names = [name for name in expected if name.startswith(task)]
    assert len(names) > 10
    for name in names:
        model = load_model(golden_models / name)
        result = prediction_table(predict_rows(model, rows), model.schema)
        then = pd.DataFrame(expected[name]["predictions"])
        pd.testing.assert_frame_equal(result, then, rtol=1e-6, check_dtype=False, obj=name)


def test_interval_errors_in_an_old_card_are_ignored(golden_models, tmp_path):
    folder = shutil.copytree(golden_models / "regression-ensemble-0", tmp_path / "model")
    card = json.loads((folder / "model.json").read_text())
    card["ensemble"]["errors"] = {"n_rows": [2], "quantiles": [[0.5, 1.0]]}
    (folder / "model.json").write_text(json.dumps(card))
    assert len(load_model(folder).fitted.members) == 2


def test_a_model_of_a_newer_format_is_refused(golden_models, tmp_path):
    folder = shutil.copytree(golden_models / "binary-linear-1", tmp_path / "model")
    card = json.loads((folder / "model.json").read_text()) | {"schema_version": 99}
    (folder / "model.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match="found 99: a newer Evertune saved this model"):
        load_model(folder)


def test_a_model_of_other_library_versions_loads_with_one_warning(golden_models, tmp_path):
    folder = shutil.copytree(golden_models / "binary-ensemble-0", tmp_path / "model")
    card = json.loads((folder / "model.json").read_text())
    card["versions"] |= {"lightgbm": "3.3.5", "numpy": "1.0.0"}
    (folder / "model.json").write_text(json.dumps(card))
    with pytest.warns(
        ModelVersionWarning, match=r"saved with .*lightgbm 3\.3\.5 \(here 4"
    ) as result:
        load_model(folder)
    assert len(result) == 1
    assert "numpy" not in str(result[0].message)


def test_classes_beside_the_closed_list_are_not_loaded_under_an_old_name():
    archive = skops.io.dumps(FunctionTransformer(func=np.asarray))
    with zipfile.ZipFile(io.BytesIO(archive)) as content:
        schema = content.read("schema.json").decode()
    renamed = io.BytesIO()
    with zipfile.ZipFile(renamed, "w") as content:
        content.writestr(
            "schema.json",
            schema.replace('"__module__": "numpy"', '"__module__": "pipelines.core.x"'),
        )
    with pytest.raises(ValueError, match=r"not written by Evertune|cannot be read"):
        load_predictor("skops", renamed.getvalue())


def test_no_rows_have_no_predictions(model):
    result = prediction_table(predict_rows(model, TABLE.head(0)), model.schema)
    assert (len(result), next(iter(result))) == (0, "prediction")
