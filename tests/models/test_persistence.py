import io
import json
import shutil
import zipfile

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.preprocessing import FunctionTransformer

from evertune.data.schema import Column, TableSchema
from evertune.errors import InputError, TableError
from evertune.models.families import fit_configuration
from evertune.models.fitted_model import Ensemble, EnsembleMember, Model, predict
from evertune.models.origin import ModelOrigin, TrialWeight
from evertune.models.persistence import (
    ModelVersionWarning,
    load_model,
    load_model_origin,
    load_predictor,
    predict_rows,
    prediction_table,
    save_model,
)
from evertune.registry.pyfunc import _load_pyfunc
from evertune.trials import Configuration
from tests.models.families import skip_if_missing

COLUMNS = (
    Column("age", "number"),
    Column("plan", "category", ("a", "b")),
    Column("shop", "category", tuple(f"l{number}" for number in range(40))),
)
CLASSES = {"binary": ("no", "yes"), "multiclass": ("p", "q", "r"), "regression": ()}
FORMS = [
    ("linear", {"numeric_transform": form}) for form in ("scaled", "power", "spline", "binned")
]
FORMS += [
    ("linear", {"numeric_transform": "box_cox", "text_encoding": way})
    for way in ("hashed", "words")
]
FORMS += [("lightgbm", {"categorical_encoding": "hashed", "interactions": "both"})]
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


def test_archives_are_compressed_and_hold_no_time_of_day(tmp_path, table):
    save_model(tmp_path, model(table))
    entries = zipfile.ZipFile(tmp_path / "encoder.skops").infolist()
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_DEFLATED}
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}


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


FAMILIES = ("lightgbm", "linear", "xgboost", "catboost")
ENSEMBLE_COLUMNS = (Column("age", "number"), Column("plan", "category", ("a", "b")))
DRAWS = np.random.default_rng(0)
TABLE = pd.DataFrame({"age": DRAWS.normal(size=120), "plan": DRAWS.choice(["a", "b"], 120)})
ENSEMBLE_CLASSES = {"binary": ("no", "yes"), "regression": ()}
ENDINGS = {"lightgbm": "txt", "linear": "skops", "xgboost": "ubj", "catboost": "cbm"}


def ensemble_model(task="binary"):
    schema = TableSchema(ENSEMBLE_COLUMNS, "left", task, ENSEMBLE_CLASSES[task])
    truth = np.arange(120.0) % (2 if schema.classes else 120)

    def fitted(family, fold):
        rows = np.arange(120) // 60 == fold
        one = Configuration(family)
        return fit_configuration(one, TABLE[rows], truth[rows], schema=schema, seed=0, n_jobs=1)

    members = tuple(
        EnsembleMember(
            Configuration(family), 0.25, (fitted(family, 0), fitted(family, 1)), (3, None)
        )
        for family in FAMILIES
    )
    ensemble = Ensemble(members, 1.3, 0.4 if schema.classes else None)
    return Model(schema, members[0].configuration, ensemble, ("0" * 16,))


@pytest.mark.parametrize("task", ENSEMBLE_CLASSES)
def test_an_ensemble_says_the_same_when_it_was_read_back(tmp_path, task):
    made = ensemble_model(task)
    save_model(tmp_path / "model", made)
    back = load_model(tmp_path / "model")
    said = [predict(each.fitted, TABLE, each.schema) for each in (made, back)]
    assert (said[0].values == said[1].values).all()
    assert np.array_equal(said[0].probabilities, said[1].probabilities)


def test_the_card_tells_members_weights_and_iterations(tmp_path):
    save_model(tmp_path / "model", ensemble_model())
    card = json.loads((tmp_path / "model" / "model.json").read_text())["ensemble"]
    assert [each["configuration"]["family"] for each in card["members"]] == list(FAMILIES)
    assert {each["weight"] for each in card["members"]} == {0.25}
    assert card["members"][0]["iterations"] == [3, None]
    assert (card["temperature"], card["threshold"]) == (1.3, 0.4)


def test_each_predictor_stands_in_its_librarys_format(tmp_path):
    save_model(tmp_path / "model", ensemble_model())
    for place, family in enumerate(FAMILIES):
        assert (tmp_path / "model" / f"predictor_{place}_1.{ENDINGS[family]}").exists()


def test_encoders_that_members_share_are_written_once(tmp_path):
    made = ensemble_model()
    first = made.fitted.members[0]
    twice = Ensemble((first, EnsembleMember(first.configuration, 1.0, first.fitted)))
    save_model(tmp_path / "model", Model(made.schema, made.configuration, twice, ()))
    assert len(list((tmp_path / "model").glob("encoder_*"))) == 2


def test_a_folder_that_lacks_a_predictor_is_refused(tmp_path):
    save_model(tmp_path / "model", ensemble_model())
    (tmp_path / "model" / "predictor_2_0.ubj").unlink()
    with pytest.raises(
        InputError, match=r"predictor_2_0.ubj does not exist, so the model's folder"
    ):
        load_model(tmp_path / "model")


@pytest.mark.filterwarnings("ignore::evertune.models.persistence.ModelVersionWarning")
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_models_of_release_0_1_predict_what_they_did(golden_models, task):
    expected = json.loads((golden_models / "expected.json").read_text())
    rows = pd.read_csv(golden_models / "rows.csv", dtype=str, keep_default_na=False)
    names = [name for name in expected if name.startswith(task)]
    assert len(names) > 10
    for name in names:
        model = load_model(golden_models / name)
        found = prediction_table(predict_rows(model, rows), model.schema)
        then = pd.DataFrame(expected[name]["predictions"])
        pd.testing.assert_frame_equal(found, then, rtol=1e-6, check_dtype=False, obj=name)


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
    ) as found:
        load_model(folder)
    assert len(found) == 1
    assert "numpy" not in str(found[0].message)


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
