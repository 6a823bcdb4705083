"""Save and load models without pickle, and serve them through MLflow.

A model's folder holds model.json (schema, configuration, library versions, ensemble members),
the encoders as skops archives, each predictor in its library's own format (.skops, .txt of
LightGBM, .ubj of XGBoost, .cbm of CatBoost), row_keys.parquet, origin.json, and windows.json
where training windows were tried. Equal models give equal bytes, because the folder's hash
identifies a version: `canonical_skops` removes memory addresses, times and padding. Only
`TRUSTED_TYPES` are loaded. MLflow calls `_load_pyfunc` by its name.
"""

import io
import json
import sys
import tempfile
import zipfile
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args
from zipfile import ZIP_DEFLATED, BadZipFile

import numpy as np
import pandas as pd
import skops.io
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
from evertune.models.model import (
    Ensemble,
    EnsembleMember,
    FittedPipeline,
    Model,
    OOFErrors,
    predict,
)
from evertune.models.origin import ModelOrigin, WindowChoice
from evertune.trials import Configuration
from evertune.types import Predictions

PredictorFormat = Literal["skops", "lightgbm", "xgboost", "catboost"]
PREDICTOR_FORMATS: tuple[PredictorFormat, ...] = get_args(PredictorFormat)
FORMAT_BY_LIBRARY: dict[str, PredictorFormat] = {kind: kind for kind in PREDICTOR_FORMATS}
TRUSTED_TYPES = (
    "numpy.dtype",
    "evertune.preprocessing.transformers.BoxCox",
    "evertune.preprocessing.transformers.HashedLevels",
    "evertune.models.mlp.Network",
    "evertune.preprocessing.transformers.Crosses",
    "evertune.preprocessing.transformers.Products",
    "evertune.preprocessing.text.TextColumns",
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "scipy.interpolate._bsplines.BSpline",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.tree._tree.Tree",
)
VOLATILE_METADATA = {"model_guid", "train_finish_time"}


def predictor_format(predictor: Any) -> PredictorFormat:
    """Return the format in which a predictor is written.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> predictor_format(Ridge())
    'skops'
    """
    library = type(predictor).__module__.partition(".")[0]
    return FORMAT_BY_LIBRARY.get(library, "skops")


def dump_predictor(predictor: Any) -> tuple[PredictorFormat, bytes]:
    """Return the format of a fitted predictor and its bytes.

    Parameters
    ----------
    predictor : scikit-learn estimator, or booster of LightGBM, XGBoost or CatBoost
        Of XGBoost and CatBoost the booster alone is kept.

    Examples
    --------
    >>> from sklearn.dummy import DummyRegressor
    >>> kind, data = dump_predictor(DummyRegressor().fit([[0.0]], [3.0]))
    >>> float(load_predictor(kind, data).predict([[1.0]])[0])
    3.0
    """
    kind = predictor_format(predictor)
    if kind == "lightgbm":
        return kind, getattr(predictor, "booster_", predictor).model_to_string().encode()
    if kind == "xgboost":
        booster = predictor.get_booster() if hasattr(predictor, "get_booster") else predictor
        return kind, bytes(booster.save_raw("ubj"))
    if kind == "catboost":
        return kind, _catboost_bytes(predictor)
    return kind, skops.io.dumps(predictor, compression=ZIP_DEFLATED, compresslevel=1)


def load_predictor(kind: str, data: bytes) -> Any:
    """Return the predictor that `dump_predictor` made bytes of.

    Raises
    ------
    ValueError
        If the bytes are not such a predictor, or hold code that is not on the list.
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
    return load_trusted_skops(data)


def load_trusted_skops(data: bytes) -> Any:
    """Return what a skops archive holds, if all of it is on the list.

    Raises
    ------
    ValueError
        If it is not, or if it is no such archive.
    """
    try:
        return skops.io.loads(data, trusted=list(TRUSTED_TYPES))
    except UntrustedTypesFoundException as error:
        raise ValueError(
            f"the archive was not written by Evertune and is not loaded: {error}"
        ) from error
    except (BadZipFile, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the archive cannot be read: {error}. Fit the model again.") from error


def _catboost_bytes(predictor: Any) -> bytes:
    """Return a model without the time and the random name that the library gives each fit."""
    copy = predictor.copy()
    noted = copy.get_metadata()
    for name in VOLATILE_METADATA & set(noted.keys()):
        noted[name] = ""
    with tempfile.TemporaryDirectory() as folder:  # the library writes to files alone
        path = Path(folder) / "model.cbm"
        copy.save_model(str(path))
        return path.read_bytes()


ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # a ZIP archive knows no earlier one
IdNumbers = dict[str, int]


def canonical_skops(archive: bytes) -> bytes:
    """Return the same archive, compressed, with names, times and gaps that its content decides.

    Parameters
    ----------
    archive : bytes
        What `skops.io.dumps` returned.
    """
    target, numbers, files = io.BytesIO(), IdNumbers(), dict[str, str]()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(target, "w") as new:
        schema = _renumber_ids(json.loads(old.read("schema.json")), numbers, files)
        for old_name, new_name in files.items():
            _add_zip_entry(new, new_name, _zero_padding(old_name, old.read(old_name)))
        _add_zip_entry(new, "schema.json", json.dumps(schema, separators=(",", ":")).encode())
    return target.getvalue()


def _renumber_ids(node: Any, numbers: IdNumbers, files: dict[str, str]) -> Any:
    if isinstance(node, list):
        return [_renumber_ids(part, numbers, files) for part in node]
    if not isinstance(node, dict):
        return node
    plain = node.get("__loader__") == "JsonNode"  # who shares a number or a text is chance
    parts = {key: part for key, part in node.items() if not (plain and key == "__id__")}
    if "__id__" in parts:
        parts["__id__"] = numbers.setdefault(str(parts["__id__"]), len(numbers) + 1)
    if "__loader__" in parts and "file" in parts:
        parts["file"] = files.setdefault(node["file"], _renumber_file(node["file"], numbers))
    return {key: _renumber_ids(part, numbers, files) for key, part in parts.items()}


def _renumber_file(name: str, numbers: IdNumbers) -> str:
    key, dot, ending = name.partition(".")
    return f"{numbers.setdefault(key, len(numbers) + 1)}{dot}{ending}"


def _zero_padding(name: str, content: bytes) -> bytes:
    array = np.load(io.BytesIO(content), allow_pickle=False) if name.endswith(".npy") else None
    if array is None or array.dtype.names is None:
        return content
    filled = np.zeros(array.shape, array.dtype)  # zeros_like would leave the gaps as they are
    for field in array.dtype.names:
        filled[field] = array[field]
    target = io.BytesIO()
    np.save(target, filled, allow_pickle=False)
    return target.getvalue()


def _add_zip_entry(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, date_time=ZIP_EPOCH)
    archive.writestr(entry, content, compress_type=zipfile.ZIP_DEFLATED, compresslevel=1)


SUFFIX_BY_FORMAT = {"skops": ".skops", "lightgbm": ".txt", "xgboost": ".ubj", "catboost": ".cbm"}
FORMAT_BY_SUFFIX = {ending: kind for kind, ending in SUFFIX_BY_FORMAT.items()}


@dataclass(frozen=True)
class FittedMetadata:
    """Where one fitted model of a member stands.

    Attributes
    ----------
    encoder, predictor : str
        Names of files.
    columns : tuple of int, optional
        Those that the predictor takes; None: all.
    """

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
    """What model.json says of an ensemble."""

    members: tuple[MemberMetadata, ...]
    temperature: float
    threshold: float | None
    errors: OOFErrors | None


def write_ensemble(folder: Path, ensemble: Ensemble) -> EnsembleMetadata:
    """Write the models of an ensemble and return its card."""
    encoders: dict[int, str] = {}
    for member in ensemble.members:
        for fitted in member.fitted:
            if id(fitted.encoder) not in encoders:
                name = f"encoder_{len(encoders)}"
                encoders[id(fitted.encoder)] = write_predictor(folder, name, fitted.encoder)
    members = tuple(
        _write_member(folder, member, number=number, encoders=encoders)
        for number, member in enumerate(ensemble.members)
    )
    return EnsembleMetadata(members, ensemble.temperature, ensemble.threshold, ensemble.errors)


def read_ensemble(folder: Path, card: EnsembleMetadata) -> Ensemble:
    """Return the ensemble of a card.

    Raises
    ------
    InputError
        If a file is missing, or holds code that is not on the list.
    """
    names = {fitted.encoder for member in card.members for fitted in member.fitted}
    encoders = {name: read_predictor(folder / name) for name in sorted(names)}
    members = tuple(_read_member(folder, member, encoders) for member in card.members)
    return Ensemble(members, card.temperature, card.threshold, card.errors)


def write_predictor(folder: Path, name: str, predictor: Any) -> str:
    """Write a predictor, or an encoder, and return the name of its file."""
    kind, data = dump_predictor(predictor)
    place = f"{name}{SUFFIX_BY_FORMAT[kind]}"
    with atomic_write(folder / place) as file:
        file.write(canonical_skops(data) if kind == "skops" else data)
    return place


def read_predictor(path: Path) -> Any:
    """Return the predictor of a file.

    Raises
    ------
    InputError
        If there is none, or it is not one, or holds code that is not on the list.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; a model's folder was written by `fit`.")
    try:
        return load_predictor(FORMAT_BY_SUFFIX[path.suffix], path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error


def _write_member(
    folder: Path, member: EnsembleMember, *, number: int, encoders: dict[int, str]
) -> MemberMetadata:
    cards = tuple(
        FittedMetadata(
            encoder=encoders[id(fitted.encoder)],
            predictor=write_predictor(folder, f"predictor_{number}_{fold}", fitted.predictor),
            columns=fitted.columns,
        )
        for fold, fitted in enumerate(member.fitted)
    )
    return MemberMetadata(member.configuration, member.weight, member.iterations, cards)


def _read_member(folder: Path, card: MemberMetadata, encoders: dict[str, Any]) -> EnsembleMember:
    fitted = tuple(
        FittedPipeline(
            encoders[each.encoder], read_predictor(folder / each.predictor), each.columns
        )
        for each in card.fitted
    )
    return EnsembleMember(card.configuration, card.weight, fitted, card.iterations)


WINDOWS_FILE = "windows.json"
ORIGIN_FILE = "origin.json"
LEGACY_BOOSTER_FILE = (
    "booster.txt"  # of folders that were written before predictors of all libraries
)
RECORDED_LIBRARIES = (
    "catboost", "lightgbm", "numpy", "pandas", "scikit-learn", "scipy", "skops", "xgboost-cpu"
)  # fmt: skip


@dataclass(frozen=True)
class ModelMetadata:
    """What model.json says."""

    schema: TableSchema
    configuration: Configuration
    versions: dict[str, str]
    columns: tuple[int, ...] | None = None
    ensemble: EnsembleMetadata | None = None


def save_model(
    folder: Path,
    model: Model,
    choice: WindowChoice | None = None,
    origin: ModelOrigin | None = None,
) -> None:
    """Write a model; an older one in the folder is replaced when all is written.

    Parameters
    ----------
    folder : Path
    model : Model
    choice : WindowChoice, optional
        Of its training window, where several were tried.
    origin : ModelOrigin, optional
        How the model came about.
    """
    with atomic_folder(folder) as part:
        write_record(part / "model.json", _write_fitted(part, model))
        write_table(part / "row_keys.parquet", pd.DataFrame({"row_key": list(model.row_keys)}))
        if choice is not None:
            write_record(part / WINDOWS_FILE, choice)
        if origin is not None:
            write_record(part / ORIGIN_FILE, origin)


def load_window_choice(folder: Path) -> WindowChoice | None:
    """Return which training windows were tried for the model in a folder, None where none were."""
    path = folder / WINDOWS_FILE
    return read_record(path, WindowChoice) if path.exists() else None


def load_model_origin(folder: Path) -> ModelOrigin | None:
    """Return how the model in a folder came about, None where that was not written down."""
    path = folder / ORIGIN_FILE
    return read_record(path, ModelOrigin) if path.exists() else None


def load_model(folder: Path) -> Model:
    """Return the model that `save_model` wrote.

    Raises
    ------
    InputError
        If the folder holds no model, or one with code that is not on the list.
    """
    card = read_record(folder / "model.json", ModelMetadata)
    keys = tuple(read_table(folder / "row_keys.parquet")["row_key"])
    return Model(card.schema, card.configuration, _read_fitted(folder, card), keys)


def predict_rows(model: Model, raw: pd.DataFrame) -> Predictions:
    """Return predictions for n rows as they come, text or typed, columns in any order.

    Raises
    ------
    TableError
        If a column is missing or cells cannot be read; every fault is listed.
    """
    clean, breaches = conform_to_schema(raw, model.schema)
    if breaches:
        raise TableError(format_issues(breaches))
    return predict(model.fitted, clean, model.schema)


class ServedModel:
    """A model as MLflow serves it: rows in, a table of predictions out."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def predict(self, model_input: pd.DataFrame, params: object = None) -> pd.DataFrame:  # noqa: ARG002
        """Return `prediction` and, of a classifier, `probability_<class>` for each row."""
        return prediction_table(predict_rows(self.model, model_input), self.model.schema)


def prediction_table(predictions: Predictions, schema: TableSchema) -> pd.DataFrame:
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


def _library_versions() -> dict[str, str]:
    python = ".".join(map(str, sys.version_info[:3]))
    return {"python": python} | {name: version(name) for name in RECORDED_LIBRARIES}


def _write_fitted(folder: Path, model: Model) -> ModelMetadata:
    card = ModelMetadata(model.schema, model.configuration, _library_versions())
    if isinstance(model.fitted, Ensemble):
        return replace(card, ensemble=write_ensemble(folder, model.fitted))
    write_predictor(folder, "encoder", model.fitted.encoder)
    write_predictor(folder, "predictor", model.fitted.predictor)
    return replace(card, columns=model.fitted.columns)


def _read_fitted(folder: Path, card: ModelMetadata) -> FittedPipeline | Ensemble:
    if card.ensemble is not None:
        return read_ensemble(folder, card.ensemble)
    places = [folder / f"predictor{ending}" for ending in FORMAT_BY_SUFFIX]
    found = [path for path in (*places, folder / LEGACY_BOOSTER_FILE) if path.exists()]
    predictor = read_predictor((found or places)[0])
    return FittedPipeline(read_predictor(folder / "encoder.skops"), predictor, card.columns)
