"""Models on disk, written and read without pickle, and the door through which MLflow serves them.

A model's folder holds model.json (schema, configuration, versions of the libraries; of an ensemble
its members, their weights and iterations), the files of `pipelines.stores.fitted`, and
row_keys.parquet; how it came about, origin.json; where training windows were tried, windows.json.
Equal models give equal bytes:
the folder's hash is the identity of a version.
"""

import sys
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from pipelines.core.breaches import breach_text
from pipelines.core.conforming import conform
from pipelines.core.model import Ensemble, Fitted, Model, predict
from pipelines.core.origins import Origin
from pipelines.core.predictions import Predictions
from pipelines.core.schema import Schema
from pipelines.core.trials import Configuration
from pipelines.core.window_fits import WindowChoice
from pipelines.errors import TableError
from pipelines.stores.files import (
    read_record,
    read_table,
    replaced_folder,
    write_record,
    write_table,
)
from pipelines.stores.fitted import (
    KINDS,
    EnsembleCard,
    read_ensemble,
    read_predictor,
    write_ensemble,
    write_predictor,
)

WINDOWS = "windows.json"
ORIGIN = "origin.json"
OLDER_BOOSTER = "booster.txt"  # of folders that were written before predictors of all libraries
LIBRARIES = (
    "catboost", "lightgbm", "numpy", "pandas", "scikit-learn", "scipy", "skops", "xgboost-cpu"
)  # fmt: skip


@dataclass(frozen=True)
class Card:
    """What model.json says."""

    schema: Schema
    configuration: Configuration
    versions: dict[str, str]
    columns: tuple[int, ...] | None = None
    ensemble: EnsembleCard | None = None


def save_model(
    folder: Path,
    model: Model,
    choice: WindowChoice | None = None,
    origin: Origin | None = None,
) -> None:
    """Write a model; an older one in the folder is replaced when all is written.

    Parameters
    ----------
    folder : Path
    model : Model
    choice : WindowChoice, optional
        Of its training window, where several were tried.
    origin : Origin, optional
        How the model came about.
    """
    with replaced_folder(folder) as part:
        write_record(part / "model.json", _written(part, model))
        write_table(part / "row_keys.parquet", pd.DataFrame({"row_key": list(model.row_keys)}))
        if choice is not None:
            write_record(part / WINDOWS, choice)
        if origin is not None:
            write_record(part / ORIGIN, origin)


def window_choice(folder: Path) -> WindowChoice | None:
    """Return which training windows were tried for the model in a folder, None where none were."""
    path = folder / WINDOWS
    return read_record(path, WindowChoice) if path.exists() else None


def model_origin(folder: Path) -> Origin | None:
    """Return how the model in a folder came about, None where that was not written down."""
    path = folder / ORIGIN
    return read_record(path, Origin) if path.exists() else None


def load_model(folder: Path) -> Model:
    """Return the model that `save_model` wrote.

    Raises
    ------
    InputError
        If the folder holds no model, or one with code that is not on the list.
    """
    card = read_record(folder / "model.json", Card)
    keys = tuple(read_table(folder / "row_keys.parquet")["row_key"])
    return Model(card.schema, card.configuration, _fitted(folder, card), keys)


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


def _written(folder: Path, model: Model) -> Card:
    card = Card(model.schema, model.configuration, _versions())
    if isinstance(model.fitted, Ensemble):
        return replace(card, ensemble=write_ensemble(folder, model.fitted))
    write_predictor(folder, "encoder", model.fitted.encoder)
    write_predictor(folder, "predictor", model.fitted.predictor)
    return replace(card, columns=model.fitted.columns)


def _fitted(folder: Path, card: Card) -> Fitted | Ensemble:
    if card.ensemble is not None:
        return read_ensemble(folder, card.ensemble)
    places = [folder / f"predictor{ending}" for ending in KINDS]
    found = [path for path in (*places, folder / OLDER_BOOSTER) if path.exists()]
    predictor = read_predictor((found or places)[0])
    return Fitted(read_predictor(folder / "encoder.skops"), predictor, card.columns)
