"""Models that release 0.1 saved, before the package was called `evertune`, still load."""

import io
import json
import shutil
import zipfile

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
