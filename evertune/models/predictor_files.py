"""Fitted predictors and encoders as bytes, each in its library's own format, without pickle.

LightGBM, XGBoost and CatBoost have formats of their own; everything else is a skops archive. Only
`TRUSTED_TYPES` are loaded; the list is closed. Equal predictors give equal bytes: the hash of a
model's folder identifies its version, so `canonical_skops` removes memory addresses, times and
padding.
"""

import io
import json
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment that a ZIP archive can name
# What an archive may hold when it is unpacked; models are some ten times as large then.
MAX_UNPACKED_BYTES, MAX_UNPACKED_RATIO = 100_000_000, 200
# What readers raise at archives that are not what `dump_predictor` made.
UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError, MemoryError, RuntimeError, LookupError),
    *(TypeError, ValueError, AttributeError, ImportError, ArithmeticError),
)

PredictorFormat = Literal["skops", "lightgbm", "xgboost", "catboost"]
PREDICTOR_FORMATS: tuple[PredictorFormat, ...] = get_args(PredictorFormat)

# These module paths are a stored format: a class that moves keeps its old path readable through
# `RENAMED_MODULES`, which has those of archives of version 1.
OWN_CLASSES = (
    "evertune.models.network.Network",
    "evertune.preprocessing.text.TextColumns",
    "evertune.preprocessing.transformers.Arithmetic",
    "evertune.preprocessing.transformers.BoxCox",
    "evertune.preprocessing.transformers.Crosses",
    "evertune.preprocessing.transformers.HashedLevels",
    "evertune.preprocessing.transformers.Products",
)
RENAMED_MODULES = {
    "pipelines.core.box_cox": "evertune.preprocessing.transformers",
    "pipelines.core.hashed_levels": "evertune.preprocessing.transformers",
    "pipelines.core.network": "evertune.models.network",
    "pipelines.core.pairs": "evertune.preprocessing.transformers",
    "pipelines.core.text_columns": "evertune.preprocessing.text",
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
    if library == "lightgbm":
        booster = getattr(predictor, "booster_", predictor)
        return "lightgbm", booster.model_to_string().encode()
    if library == "xgboost":
        booster = predictor.get_booster() if hasattr(predictor, "get_booster") else predictor
        return "xgboost", bytes(booster.save_raw("ubj"))
    if library == "catboost":
        return "catboost", _dump_catboost(predictor)
    import skops.io  # it imports all of scikit-learn

    data = skops.io.dumps(predictor, compression=zipfile.ZIP_DEFLATED, compresslevel=1)
    return "skops", data


def load_predictor(kind: str, data: bytes) -> Any:
    """Return the predictor that `dump_predictor` serialised.

    Raises
    ------
    ValueError
        If the bytes are no such predictor, or hold code that is not trusted.
    """
    if kind == "lightgbm":
        import lightgbm

        try:
            return lightgbm.Booster(model_str=data.decode())
        except lightgbm.basic.LightGBMError as error:
            raise ValueError(f"LightGBM cannot read it: {error}") from error
    if kind == "xgboost":
        import xgboost

        return xgboost.Booster(model_file=bytearray(data))  # its error is a ValueError
    if kind == "catboost":
        import catboost

        try:
            return catboost.CatBoost().load_model(blob=data)
        except catboost.CatBoostError as error:
            raise ValueError(f"CatBoost cannot read it: {error}") from error
    if kind != "skops":
        raise ValueError(f"kind must be one of {', '.join(PREDICTOR_FORMATS)}, but got {kind!r}.")
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        _check_unpacked_size(data)
        return skops.io.loads(_with_current_modules(data), trusted=list(TRUSTED_TYPES))
    except UntrustedTypesFoundException as error:
        raise ValueError(
            f"the archive was not written by Evertune and is not loaded: {error}"
        ) from error
    except UNREADABLE as error:
        raise ValueError(f"the archive cannot be read: {error}") from error


def canonical_skops(archive: bytes) -> bytes:
    """Return a skops archive with names, times and padding that only its content decides."""
    target, numbers, files = io.BytesIO(), dict[str, int](), dict[str, str]()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(target, "w") as new:
        schema = _renumber_ids(json.loads(old.read("schema.json")), numbers, files)
        for old_name, new_name in files.items():
            _add_zip_entry(new, new_name, _zero_padding(old_name, old.read(old_name)))
        _add_zip_entry(new, "schema.json", json.dumps(schema, separators=(",", ":")).encode())
    return target.getvalue()


def _check_unpacked_size(archive: bytes) -> None:
    """Check that an archive is no bomb; `zipfile` reads no more than an entry says it has."""
    with zipfile.ZipFile(io.BytesIO(archive)) as content:
        n_bytes = sum(entry.file_size for entry in content.infolist())
    if n_bytes > max(MAX_UNPACKED_BYTES, MAX_UNPACKED_RATIO * len(archive)):
        raise ValueError(
            f"it would unpack {len(archive):,} bytes to {n_bytes:,}, which no model does"
        )


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


def _with_current_modules(data: bytes) -> bytes:
    """Return a skops archive in which `RENAMED_MODULES` have their present names.

    Only the names in schema.json change, before skops reads it: no code of the archive runs.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as old:
        schema = old.read("schema.json")
        if b'"pipelines.core.' not in schema:
            return data

        def rename(node: dict[str, Any]) -> dict[str, Any]:
            if node.get("__module__") in RENAMED_MODULES:
                node["__module__"] = RENAMED_MODULES[node["__module__"]]
            return node

        target = io.BytesIO()
        with zipfile.ZipFile(target, "w") as new:
            for name in old.namelist():
                if name != "schema.json":
                    new.writestr(name, old.read(name))
            new.writestr("schema.json", json.dumps(json.loads(schema, object_hook=rename)))
    return target.getvalue()


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
