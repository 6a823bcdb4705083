"""Models that release 0.1 saved, before the package was called `evertune`, still load."""

import io
import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.preprocessing import FunctionTransformer

from evertune.errors import InputError
from evertune.models.persistence import (
    ModelVersionWarning,
    load_model,
    load_predictor,
    predict_rows,
    prediction_table,
)

ARCHIVE = Path(__file__).parents[1] / "fixtures" / "models-0.1.tar.xz"
NAMES = [
    "binary-ensemble-0",  # every format of a predictor
    "binary-linear-1",
    "binary-linear-2",
    "binary-embedding_network-0",
    "binary-hist_boosting-0",
    "multiclass-svm-0",
    "regression-ensemble-0",
]


@pytest.fixture(scope="session")
def old_models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models-0.1")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.mark.filterwarnings("ignore::evertune.models.persistence.ModelVersionWarning")
@pytest.mark.parametrize("name", NAMES)
def test_a_model_of_release_0_1_predicts_what_it_did(old_models, name):
    expected = json.loads((old_models / "expected.json").read_text())[name]["predictions"]
    rows = pd.read_csv(old_models / "rows.csv", dtype=str, keep_default_na=False)
    model = load_model(old_models / name)
    table = prediction_table(predict_rows(model, rows), model.schema)
    pd.testing.assert_frame_equal(table, pd.DataFrame(expected), rtol=1e-6, check_dtype=False)


def test_intervals_errors_in_an_old_card_are_ignored(old_models, tmp_path):
    folder = shutil.copytree(old_models / "regression-ensemble-0", tmp_path / "model")
    card = json.loads((folder / "model.json").read_text())
    card["ensemble"]["errors"] = {"n_rows": [2], "quantiles": [[0.5, 1.0]]}
    (folder / "model.json").write_text(json.dumps(card))
    assert len(load_model(folder).fitted.members) == 2


def test_a_model_of_a_newer_format_is_refused(old_models, tmp_path):
    folder = shutil.copytree(old_models / "binary-linear-1", tmp_path / "model")
    card = json.loads((folder / "model.json").read_text()) | {"schema_version": 99}
    (folder / "model.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match="found 99: a newer Evertune saved this model"):
        load_model(folder)


def test_a_model_of_other_library_versions_loads_with_one_warning(old_models, tmp_path):
    folder = shutil.copytree(old_models / "binary-ensemble-0", tmp_path / "model")
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
