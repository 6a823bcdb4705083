"""Save and load models without pickle, and serve them through MLflow.

A model's folder holds model.json (schema, configuration, library versions, ensemble members),
the encoders as skops archives, each predictor in its library's own format (.skops, .txt of
LightGBM, .ubj of XGBoost, .cbm of CatBoost), row_keys.parquet, origin.json, and windows.json
where training windows were tried. Equal models give equal bytes, because the folder's hash
identifies a version: `canonical_skops` removes memory addresses, times and padding.

The format has a version, `schema_version` in model.json:

1. Cards without the field. Archives name our classes by the module paths of the package
   `pipelines` (`RENAMED_CLASSES`), an ensemble may hold `errors`, which are ignored, and the oldest
   folders have a LightGBM predictor as booster.txt.
2. Archives name our classes as in `OWN_CLASSES`. These module paths are a stored format: a class
   that moves keeps its old path readable through `RENAMED_CLASSES`.

Only `TRUSTED_TYPES` are loaded; the list is closed.
"""

import io
import json
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import skops.io
from sklearn.exceptions import InconsistentVersionWarning
from skops.io.exceptions import UntrustedTypesFoundException

from evertune.data.cleaning import conform_to_schema
from evertune.data.schema import TableSchema
from evertune.data.validation import format_issues
from evertune.errors import InputError, TableError
from evertune.files import (
    atomic_folder,
    atomic_write,
    read_record,
    read_table,
    write_record,
    write_table,
)
from evertune.models.fitted_model import Ensemble, EnsembleMember, FittedPipeline, Model, predict
from evertune.models.origin import ModelOrigin, WindowChoice
from evertune.trials import Configuration
from evertune.types import Predictions

SCHEMA_VERSION = 2
WINDOWS_FILE = "windows.json"
ORIGIN_FILE = "origin.json"
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment that a ZIP archive can name
LEGACY_BOOSTER_FILE = "booster.txt"  # the LightGBM predictor of the oldest folders

PredictorFormat = Literal["skops", "lightgbm", "xgboost", "catboost"]
PREDICTOR_FORMATS: tuple[PredictorFormat, ...] = get_args(PredictorFormat)
FORMAT_BY_LIBRARY: dict[str, PredictorFormat] = {kind: kind for kind in PREDICTOR_FORMATS}
SUFFIX_BY_FORMAT = {"skops": ".skops", "lightgbm": ".txt", "xgboost": ".ubj", "catboost": ".cbm"}
FORMAT_BY_SUFFIX = {suffix: kind for kind, suffix in SUFFIX_BY_FORMAT.items()}
READER_LIBRARY = {  # the library that reads a file, by its suffix
    ".skops": "scikit-learn",
    ".txt": "lightgbm",
    ".ubj": "xgboost-cpu",
    ".cbm": "catboost",
}
RECORDED_LIBRARIES = (*sorted({*READER_LIBRARY.values(), "numpy", "pandas", "scipy", "skops"}),)

OWN_CLASSES = (
    "evertune.models.network.Network",
    "evertune.preprocessing.text.TextColumns",
    "evertune.preprocessing.transformers.BoxCox",
    "evertune.preprocessing.transformers.Crosses",
    "evertune.preprocessing.transformers.HashedLevels",
    "evertune.preprocessing.transformers.Products",
)
RENAMED_CLASSES = {  # in archives of version 1
    "pipelines.core.box_cox.BoxCox": "evertune.preprocessing.transformers.BoxCox",
    "pipelines.core.hashed_levels.HashedLevels": (
        "evertune.preprocessing.transformers.HashedLevels"
    ),
    "pipelines.core.network.Network": "evertune.models.network.Network",
    "pipelines.core.pairs.Crosses": "evertune.preprocessing.transformers.Crosses",
    "pipelines.core.pairs.Products": "evertune.preprocessing.transformers.Products",
    "pipelines.core.text_columns.TextColumns": "evertune.preprocessing.text.TextColumns",
}
TRUSTED_TYPES = (
    *OWN_CLASSES,
    "numpy.dtype",
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "scipy.interpolate._bsplines.BSpline",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.tree._tree.Tree",
)


class ModelVersionWarning(UserWarning):
    """A model was saved by another release of a library that reads its files."""


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
    keys = tuple(read_table(folder / "row_keys.parquet")["row_key"])
    with _version_check(folder, card):
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


def dump_predictor(predictor: Any) -> tuple[PredictorFormat, bytes]:
    """Return the format and the bytes of a fitted predictor or encoder.

    Parameters
    ----------
    predictor : scikit-learn estimator, or booster of LightGBM, XGBoost or CatBoost
        Of XGBoost only the booster is saved.

    Examples
    --------
    >>> from sklearn.dummy import DummyRegressor
    >>> kind, data = dump_predictor(DummyRegressor().fit([[0.0]], [3.0]))
    >>> kind, float(load_predictor(kind, data).predict([[1.0]])[0])
    ('skops', 3.0)
    """
    library = type(predictor).__module__.partition(".")[0]
    kind = FORMAT_BY_LIBRARY.get(library, "skops")
    if kind == "lightgbm":
        return kind, getattr(predictor, "booster_", predictor).model_to_string().encode()
    if kind == "xgboost":
        booster = predictor.get_booster() if hasattr(predictor, "get_booster") else predictor
        return kind, bytes(booster.save_raw("ubj"))
    if kind == "catboost":
        return kind, _dump_catboost(predictor)
    return kind, skops.io.dumps(predictor, compression=zipfile.ZIP_DEFLATED, compresslevel=1)


def load_predictor(kind: str, data: bytes) -> Any:
    """Return the predictor that `dump_predictor` serialised.

    Raises
    ------
    ValueError
        If the bytes are no such predictor, or hold code that is not trusted.
    """
    if kind == "lightgbm":
        import lightgbm

        return lightgbm.Booster(model_str=data.decode())
    if kind == "xgboost":
        import xgboost

        return xgboost.Booster(model_file=bytearray(data))
    if kind == "catboost":
        import catboost

        return catboost.CatBoost().load_model(blob=data)
    if kind != "skops":
        raise ValueError(f"kind must be one of {', '.join(PREDICTOR_FORMATS)}, but got {kind!r}.")
    return _load_skops(data)


def canonical_skops(archive: bytes) -> bytes:
    """Return a skops archive with names, times and padding that only its content decides."""
    target, numbers, files = io.BytesIO(), dict[str, int](), dict[str, str]()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(target, "w") as new:
        schema = _renumber_ids(json.loads(old.read("schema.json")), numbers, files)
        for old_name, new_name in files.items():
            _add_zip_entry(new, new_name, _zero_padding(old_name, old.read(old_name)))
        _add_zip_entry(new, "schema.json", json.dumps(schema, separators=(",", ":")).encode())
    return target.getvalue()


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
    file_name = f"{name}{SUFFIX_BY_FORMAT[kind]}"
    with atomic_write(folder / file_name) as file:
        file.write(canonical_skops(data) if kind == "skops" else data)
    return file_name


def _read_fitted(folder: Path, card: ModelMetadata) -> FittedPipeline | Ensemble:
    if card.ensemble is None:
        candidates = [folder / f"predictor{suffix}" for suffix in FORMAT_BY_SUFFIX]
        candidates.append(folder / LEGACY_BOOSTER_FILE)
        existing = [path for path in candidates if path.exists()]
        predictor = _read_predictor((existing or candidates)[0])
        return FittedPipeline(_read_predictor(folder / "encoder.skops"), predictor, card.columns)
    names = {fitted.encoder for member in card.ensemble.members for fitted in member.fitted}
    encoders = {name: _read_predictor(folder / name) for name in sorted(names)}
    members = tuple(
        EnsembleMember(
            member.configuration,
            member.weight,
            tuple(
                FittedPipeline(
                    encoders[fitted.encoder],
                    _read_predictor(folder / fitted.predictor),
                    fitted.columns,
                )
                for fitted in member.fitted
            ),
            member.iterations,
        )
        for member in card.ensemble.members
    )
    return Ensemble(members, card.ensemble.temperature, card.ensemble.threshold)


def _read_predictor(path: Path) -> Any:
    if not path.exists():
        raise InputError(
            f"{path} does not exist, so the model's folder is incomplete. Run `fit` again, or "
            "download the version again."
        )
    try:
        return load_predictor(FORMAT_BY_SUFFIX[path.suffix], path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error


@contextmanager
def _version_check(folder: Path, card: ModelMetadata) -> Iterator[None]:
    """Warn once of libraries whose release differs, in place of scikit-learn's many warnings."""
    libraries = {READER_LIBRARY.get(path.suffix) for path in folder.iterdir()} - {None}
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
            stacklevel=4,
        )
    with warnings.catch_warnings():
        if differing:
            warnings.simplefilter("ignore", InconsistentVersionWarning)
        yield


def _dump_catboost(predictor: Any) -> bytes:
    """Return a CatBoost model without the time and the random name of each fit."""
    copy = predictor.copy()
    metadata = copy.get_metadata()
    for name in {"model_guid", "train_finish_time"} & set(metadata.keys()):
        metadata[name] = ""
    with tempfile.TemporaryDirectory() as folder:  # CatBoost saves to files only
        path = Path(folder) / "model.cbm"
        copy.save_model(str(path))
        return path.read_bytes()


def _load_skops(data: bytes) -> Any:
    try:
        return skops.io.loads(_with_current_names(data), trusted=list(TRUSTED_TYPES))
    except UntrustedTypesFoundException as error:
        raise ValueError(
            f"the archive was not written by Evertune and is not loaded: {error}"
        ) from error
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the archive cannot be read: {error}. Fit the model again.") from error


def _with_current_names(data: bytes) -> bytes:
    """Return a skops archive in which `RENAMED_CLASSES` have their present names.

    Only the names in schema.json change, before skops reads it: no code of the archive runs.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as old:
        schema = old.read("schema.json")
        if b'"pipelines.core.' not in schema:
            return data
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w") as new:
            for name in old.namelist():
                if name != "schema.json":
                    new.writestr(name, old.read(name))
            new.writestr("schema.json", json.dumps(_rename_classes(json.loads(schema))))
    return target.getvalue()


def _rename_classes(node: Any) -> Any:
    if isinstance(node, list):
        return [_rename_classes(part) for part in node]
    if not isinstance(node, dict):
        return node
    renamed = {key: _rename_classes(part) for key, part in node.items()}
    new_name = RENAMED_CLASSES.get(f"{node.get('__module__')}.{node.get('__class__')}")
    if new_name is not None:
        renamed["__module__"], _, renamed["__class__"] = new_name.rpartition(".")
    return renamed


def _renumber_ids(node: Any, numbers: dict[str, int], files: dict[str, str]) -> Any:
    """Return a node of schema.json with ids and file names numbered in order of appearance."""
    if isinstance(node, list):
        return [_renumber_ids(part, numbers, files) for part in node]
    if not isinstance(node, dict):
        return node
    plain = node.get("__loader__") == "JsonNode"  # numbers and texts share ids by chance
    parts = {key: part for key, part in node.items() if not (plain and key == "__id__")}
    if "__id__" in parts:
        parts["__id__"] = numbers.setdefault(str(parts["__id__"]), len(numbers) + 1)
    if "__loader__" in parts and "file" in parts:
        key, dot, suffix = node["file"].partition(".")
        number = numbers.setdefault(key, len(numbers) + 1)
        parts["file"] = files.setdefault(node["file"], f"{number}{dot}{suffix}")
    return {key: _renumber_ids(part, numbers, files) for key, part in parts.items()}


def _zero_padding(name: str, content: bytes) -> bytes:
    """Return a .npy file whose structured array has zeros between its fields."""
    array = np.load(io.BytesIO(content), allow_pickle=False) if name.endswith(".npy") else None
    if array is None or array.dtype.names is None:
        return content
    filled = np.zeros(array.shape, array.dtype)  # zeros_like would copy the padding
    for field in array.dtype.names:
        filled[field] = array[field]
    target = io.BytesIO()
    np.save(target, filled, allow_pickle=False)
    return target.getvalue()


def _add_zip_entry(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, date_time=ZIP_EPOCH)
    archive.writestr(entry, content, compress_type=zipfile.ZIP_DEFLATED, compresslevel=1)
