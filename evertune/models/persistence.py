"""Save and load models: a folder for each, written whole or not at all.

A model's folder holds model.json (schema, configuration, library versions, ensemble members),
the encoders as skops archives, each predictor in its library's own format (.skops, .txt of
LightGBM, .ubj of XGBoost, .cbm of CatBoost; see `evertune.models.predictor_files`),
row_keys.parquet, origin.json, and windows.json where training windows were tried. Equal models
give equal bytes, because the folder's hash identifies a version.

The format has a version, `schema_version` in model.json:

1. Cards without the field. Archives name our classes by the module paths of the package
   `pipelines`, an ensemble may hold `errors`, which are ignored, and the oldest folders have a
   LightGBM predictor as booster.txt.
2. Archives name our classes as in `predictor_files.OWN_CLASSES`.
"""

import sys
import warnings
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.exceptions import InconsistentVersionWarning

from evertune.data.cleaning import conform_to_schema
from evertune.data.schema import TableSchema
from evertune.data.validation import format_issues
from evertune.errors import EvertuneWarning, InputError, TableError
from evertune.files import (
    atomic_folder,
    atomic_write,
    read_record,
    read_table,
    write_record,
    write_table,
)
from evertune.models.fitted_model import Ensemble, EnsembleMember, FittedPipeline, Model, predict
from evertune.models.predictor_files import (
    PredictorFormat,
    canonical_skops,
    dump_predictor,
    load_predictor,
)
from evertune.models.provenance import ModelOrigin, WindowChoice
from evertune.trials import Configuration
from evertune.types import Predictions

SCHEMA_VERSION = 2
WINDOWS_FILE = "windows.json"
ORIGIN_FILE = "origin.json"
SUFFIXES: dict[PredictorFormat, str] = {
    "skops": ".skops",
    "lightgbm": ".txt",
    "xgboost": ".ubj",
    "catboost": ".cbm",
}
READER_LIBRARIES = {
    ".skops": "scikit-learn",
    ".txt": "lightgbm",
    ".ubj": "xgboost-cpu",
    ".cbm": "catboost",
}
RECORDED_LIBRARIES = sorted({*READER_LIBRARIES.values(), "numpy", "pandas", "scipy", "skops"})


class ModelVersionWarning(EvertuneWarning):
    """A model was saved by another release of a library that reads its files."""


def save_model(
    folder: Path,
    model: Model,
    choice: WindowChoice | None = None,
    origin: ModelOrigin | None = None,
) -> None:
    """Write a model; an older one in the folder is replaced when all is written.

    Parameters
    ----------
    choice : WindowChoice, optional
        The training windows that were tried, if several were.
    origin : ModelOrigin, optional
        How the model was built.
    """
    with atomic_folder(folder) as part:
        write_record(part / "model.json", _write_fitted(part, model))
        write_table(part / "row_keys.parquet", pd.DataFrame({"row_key": list(model.row_keys)}))
        if choice is not None:
            write_record(part / WINDOWS_FILE, choice)
        if origin is not None:
            write_record(part / ORIGIN_FILE, origin)


def load_model(folder: Path) -> Model:
    """Return the model that `save_model` wrote.

    Warns
    -----
    ModelVersionWarning
        If a library that reads the files has another major or minor version than the one that
        wrote them.

    Raises
    ------
    InputError
        If the folder holds no model, one of a newer format, or code that is not trusted.
    """
    card = read_record(folder / "model.json", ModelMetadata)
    if card.schema_version > SCHEMA_VERSION:
        raise InputError(
            f"{folder / 'model.json'}: expected schema_version 1 to {SCHEMA_VERSION}, but found "
            f"{card.schema_version}: a newer Evertune saved this model. Upgrade Evertune to load "
            "it."
        )
    keys = _read_row_keys(folder / "row_keys.parquet")
    libraries = {READER_LIBRARIES.get(path.suffix) for path in folder.iterdir()} - {None}
    differing = [
        f"{name} {card.versions[name]} (here {version(name)})"
        for name in sorted(map(str, libraries & set(card.versions)))
        if card.versions[name].split(".")[:2] != version(name).split(".")[:2]
    ]
    if differing:
        warnings.warn(
            f"{folder}: the model was saved with {', '.join(differing)}. It may not load, or may "
            "predict differently. Install the versions that saved it (`versions` in model.json), "
            "or train the model again.",
            ModelVersionWarning,
            stacklevel=2,
        )
    with warnings.catch_warnings():
        if differing:  # one warning in place of scikit-learn's many
            warnings.simplefilter("ignore", InconsistentVersionWarning)
        return Model(card.schema, card.configuration, _read_fitted(folder, card), keys)


def load_window_choice(folder: Path) -> WindowChoice | None:
    """Return the training windows tried for the model in a folder; None: there was no choice."""
    path = folder / WINDOWS_FILE
    return read_record(path, WindowChoice) if path.exists() else None


def load_model_origin(folder: Path) -> ModelOrigin | None:
    """Return how the model in a folder was built; None in folders of before 0.1."""
    path = folder / ORIGIN_FILE
    return read_record(path, ModelOrigin) if path.exists() else None


def predict_rows(model: Model, raw: pd.DataFrame) -> Predictions:
    """Return predictions for n raw rows: text or typed cells, columns in any order.

    Raises
    ------
    TableError
        If a column is missing or cells cannot be read; every fault is listed.
    """
    clean, issues = conform_to_schema(raw, model.schema)
    if issues:
        raise TableError(format_issues(issues))
    if clean.empty:
        n_classes = len(model.schema.classes)
        return Predictions(np.empty(0), np.empty((0, n_classes)) if n_classes else None)
    return predict(model.fitted, clean, model.schema)


def prediction_table(predictions: Predictions, schema: TableSchema) -> pd.DataFrame:
    """Return predictions as a table: `prediction` and `probability_<class>` for each class."""
    if predictions.probabilities is None:
        return pd.DataFrame({"prediction": predictions.values})
    columns = [f"probability_{name}" for name in schema.classes]
    table = pd.DataFrame(predictions.probabilities, columns=columns)
    labels = [schema.classes[int(code)] for code in predictions.values]
    table.insert(0, "prediction", pd.Series(labels, dtype=str))
    return table


class ServedModel:
    """A model as MLflow serves it: rows in, a table of predictions out."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def predict(self, model_input: pd.DataFrame, params: object = None) -> pd.DataFrame:  # noqa: ARG002
        """Return `prediction` and, of a classifier, `probability_<class>` for each row."""
        return prediction_table(predict_rows(self.model, model_input), self.model.schema)


@dataclass(frozen=True)
class FittedMetadata:
    """The files of one fitted model; `columns` are those the predictor takes, None: all."""

    encoder: str
    predictor: str
    columns: tuple[int, ...] | None = None


@dataclass(frozen=True)
class MemberMetadata:
    """One configuration of an ensemble, its weight, and its models."""

    configuration: Configuration
    weight: float
    iterations: tuple[int | None, ...]
    fitted: tuple[FittedMetadata, ...]


@dataclass(frozen=True)
class EnsembleMetadata:
    """The part of model.json about an ensemble."""

    members: tuple[MemberMetadata, ...]
    temperature: float
    threshold: float | None


@dataclass(frozen=True)
class ModelMetadata:
    """The content of model.json."""

    schema: TableSchema
    configuration: Configuration
    versions: dict[str, str]
    columns: tuple[int, ...] | None = None
    ensemble: EnsembleMetadata | None = None
    schema_version: int = 1


def _write_fitted(folder: Path, model: Model) -> ModelMetadata:
    python = ".".join(map(str, sys.version_info[:3]))
    versions = {"python": python} | {name: version(name) for name in RECORDED_LIBRARIES}
    card = ModelMetadata(model.schema, model.configuration, versions, schema_version=SCHEMA_VERSION)
    if isinstance(model.fitted, Ensemble):
        return replace(card, ensemble=_write_ensemble(folder, model.fitted))
    _write_predictor(folder, "encoder", model.fitted.encoder)
    _write_predictor(folder, "predictor", model.fitted.predictor)
    return replace(card, columns=model.fitted.columns)


def _write_ensemble(folder: Path, ensemble: Ensemble) -> EnsembleMetadata:
    """Write the models of an ensemble; an encoder that members share is written once."""
    encoders: dict[int, str] = {}
    for member in ensemble.members:
        for fitted in member.fitted:
            if id(fitted.encoder) not in encoders:
                name = f"encoder_{len(encoders)}"
                encoders[id(fitted.encoder)] = _write_predictor(folder, name, fitted.encoder)
    members = tuple(
        MemberMetadata(
            member.configuration,
            member.weight,
            member.iterations,
            tuple(
                FittedMetadata(
                    encoder=encoders[id(fitted.encoder)],
                    predictor=_write_predictor(
                        folder, f"predictor_{number}_{fold}", fitted.predictor
                    ),
                    columns=fitted.columns,
                )
                for fold, fitted in enumerate(member.fitted)
            ),
        )
        for number, member in enumerate(ensemble.members)
    )
    return EnsembleMetadata(members, ensemble.temperature, ensemble.threshold)


def _write_predictor(folder: Path, name: str, predictor: Any) -> str:
    kind, data = dump_predictor(predictor)
    file_name = f"{name}{SUFFIXES[kind]}"
    with atomic_write(folder / file_name) as file:
        file.write(canonical_skops(data) if kind == "skops" else data)
    return file_name


def _read_fitted(folder: Path, card: ModelMetadata) -> FittedPipeline | Ensemble:
    if card.ensemble is None:
        files = [f"predictor{suffix}" for suffix in SUFFIXES.values()]
        files.append("booster.txt")  # the LightGBM predictor of the oldest folders
        name = next((file for file in files if (folder / file).exists()), files[0])
        predictor = _read_predictor(folder, name)
        return FittedPipeline(_read_predictor(folder, "encoder.skops"), predictor, card.columns)
    names = {fitted.encoder for member in card.ensemble.members for fitted in member.fitted}
    encoders = {name: _read_predictor(folder, name) for name in sorted(names)}
    members = tuple(
        EnsembleMember(
            member.configuration,
            member.weight,
            tuple(
                FittedPipeline(
                    encoders[fitted.encoder],
                    _read_predictor(folder, fitted.predictor),
                    fitted.columns,
                )
                for fitted in member.fitted
            ),
            member.iterations,
        )
        for member in card.ensemble.members
    )
    return Ensemble(members, card.ensemble.temperature, card.ensemble.threshold)


def _read_row_keys(path: Path) -> tuple[str, ...]:
    table = read_table(path)
    if "row_key" not in table:
        raise InputError(
            f"{path}: expected a column row_key, but it has {', '.join(map(str, table))}."
        )
    return tuple(table["row_key"])


def _read_predictor(folder: Path, name: str) -> Any:
    path = folder / name
    kind = next((kind for kind, suffix in SUFFIXES.items() if suffix == path.suffix), None)
    if kind is None or path.name != name or path.is_symlink():
        raise InputError(
            f"{folder / 'model.json'} names {name!r}, but expected a file of its own folder with"
            f" one of the endings {', '.join(SUFFIXES.values())}; nothing of it was read."
        )
    if not path.exists():
        raise InputError(f"{path} does not exist, so the model's folder is incomplete.")
    try:
        return load_predictor(kind, path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
