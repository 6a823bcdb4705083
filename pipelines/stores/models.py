"""Models on disk, written and read without pickle, and the door through which MLflow serves them.

A model's folder holds model.json (schema, configuration, versions of the libraries), encoder.skops,
predictor.skops or, of LightGBM, booster.txt, and row_keys.parquet; where training windows were
tried, windows.json. Equal models give equal bytes:
the folder's hash is the identity of a version.
"""

import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import pandas as pd
import skops.io
from skops.io.exceptions import UntrustedTypesFoundException

from pipelines.core.breaches import breach_text
from pipelines.core.conforming import conform
from pipelines.core.model import Fitted, Model, predict
from pipelines.core.predictions import Predictions
from pipelines.core.schema import Schema
from pipelines.core.trials import Configuration
from pipelines.core.window_fits import WindowChoice
from pipelines.errors import InputError, TableError
from pipelines.stores.archives import canonical
from pipelines.stores.files import (
    read_record,
    read_table,
    replaced_folder,
    write_record,
    write_table,
    write_text,
)

TRUSTED = (
    "numpy.dtype",
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "scipy.interpolate._bsplines.BSpline",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.model_selection._split.KFold",
    "sklearn.tree._tree.Tree",
)
WINDOWS = "windows.json"
LIBRARIES = ("lightgbm", "numpy", "pandas", "scikit-learn", "scipy", "skops")


@dataclass(frozen=True)
class Card:
    """What model.json says."""

    schema: Schema
    configuration: Configuration
    versions: dict[str, str]


def save_model(folder: Path, model: Model, choice: WindowChoice | None = None) -> None:
    """Write a model; an older one in the folder is replaced when all is written.

    Parameters
    ----------
    folder : Path
    model : Model
    choice : WindowChoice, optional
        Of its training window, where several were tried.
    """
    with replaced_folder(folder) as part:
        write_record(part / "model.json", Card(model.schema, model.configuration, _versions()))
        write_table(part / "row_keys.parquet", pd.DataFrame({"row_key": list(model.row_keys)}))
        _write_archive(part / "encoder.skops", model.fitted.encoder)
        _write_predictor(part, model.fitted.predictor)
        if choice is not None:
            write_record(part / WINDOWS, choice)


def window_choice(folder: Path) -> WindowChoice | None:
    """Return which training windows were tried for the model in a folder, None where none were."""
    path = folder / WINDOWS
    return read_record(path, WindowChoice) if path.exists() else None


def load_model(folder: Path) -> Model:
    """Return the model that `save_model` wrote.

    Raises
    ------
    InputError
        If the folder holds no model, or one with code that is not on the list.
    """
    card = read_record(folder / "model.json", Card)
    fitted = Fitted(_read_archive(folder / "encoder.skops"), _read_predictor(folder))
    keys = tuple(read_table(folder / "row_keys.parquet")["row_key"])
    return Model(card.schema, card.configuration, fitted, keys)


def predict_rows(model: Model, raw: pd.DataFrame) -> Predictions:
    """Return predictions for n rows as they come, text or typed, columns in any order.

    Raises
    ------
    TableError
        If a column is missing or cells cannot be read; every fault is listed.
    """
    clean, breaches = conform(raw, model.schema)
    if breaches:
        raise TableError(breach_text(breaches))
    return predict(model.fitted, clean, model.schema)


class ServedModel:
    """A model as MLflow serves it: rows in, a table of predictions out."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def predict(self, model_input: pd.DataFrame, params: object = None) -> pd.DataFrame:  # noqa: ARG002
        """Return `prediction` and, of a classifier, `probability_<class>` for each row."""
        return prediction_table(predict_rows(self.model, model_input), self.model.schema)


def prediction_table(predictions: Predictions, schema: Schema) -> pd.DataFrame:
    """Return predictions as a table: `prediction` and `probability_<class>` for each class."""
    if predictions.probabilities is None:
        return pd.DataFrame({"prediction": predictions.values})
    columns = [f"probability_{name}" for name in schema.classes]
    table = pd.DataFrame(predictions.probabilities, columns=columns)
    names = [schema.classes[int(code)] for code in predictions.values]
    table.insert(0, "prediction", pd.Series(names, dtype=str))
    return table


def _load_pyfunc(path: str) -> ServedModel:
    return ServedModel(load_model(Path(path)))


def _versions() -> dict[str, str]:
    python = ".".join(map(str, sys.version_info[:3]))
    return {"python": python} | {name: version(name) for name in LIBRARIES}


def _write_predictor(folder: Path, predictor: Any) -> None:
    if hasattr(predictor, "model_to_string"):
        write_text(folder / "booster.txt", predictor.model_to_string())
    else:
        _write_archive(folder / "predictor.skops", predictor)


def _read_predictor(folder: Path) -> Any:
    if not (folder / "booster.txt").exists():
        return _read_archive(folder / "predictor.skops")
    import lightgbm

    return lightgbm.Booster(model_str=(folder / "booster.txt").read_text())


def _write_archive(path: Path, thing: Any) -> None:
    path.write_bytes(canonical(skops.io.dumps(thing)))


def _read_archive(path: Path) -> Any:
    if not path.exists():
        raise InputError(f"{path} does not exist; a model's folder was written by `fit`.")
    try:
        return skops.io.load(path, trusted=list(TRUSTED))
    except UntrustedTypesFoundException as error:
        raise InputError(
            f"{path} was not written by Evertune and is not loaded: {error}"
        ) from error
    except (BadZipFile, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}. Fit the model again.") from error
