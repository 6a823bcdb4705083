"""Fitted predictors as bytes, each in its library's own format, without pickle."""

import tempfile
from pathlib import Path
from typing import Any, Literal, get_args
from zipfile import ZIP_DEFLATED, BadZipFile

import skops.io
from skops.io.exceptions import UntrustedTypesFoundException

PredictorKind = Literal["skops", "lightgbm", "xgboost", "catboost"]
KINDS: tuple[PredictorKind, ...] = get_args(PredictorKind)
KINDS_BY_LIBRARY: dict[str, PredictorKind] = {kind: kind for kind in KINDS}
TRUSTED = (
    "numpy.dtype",
    "pipelines.core.box_cox.BoxCox",
    "pipelines.core.hashed_levels.HashedLevels",
    "pipelines.core.network.Network",
    "pipelines.core.pairs.Crosses",
    "pipelines.core.pairs.Products",
    "pipelines.core.text_columns.TextColumns",
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "scipy.interpolate._bsplines.BSpline",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.tree._tree.Tree",
)
STAMPS = {"model_guid", "train_finish_time"}


def kind_of(predictor: Any) -> PredictorKind:
    """Return the format in which a predictor is written.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> kind_of(Ridge())
    'skops'
    """
    library = type(predictor).__module__.partition(".")[0]
    return KINDS_BY_LIBRARY.get(library, "skops")


def dumped(predictor: Any) -> tuple[PredictorKind, bytes]:
    """Return the format of a fitted predictor and its bytes.

    Parameters
    ----------
    predictor : scikit-learn estimator, or booster of LightGBM, XGBoost or CatBoost
        Of XGBoost and CatBoost the booster alone is kept.

    Examples
    --------
    >>> from sklearn.dummy import DummyRegressor
    >>> kind, data = dumped(DummyRegressor().fit([[0.0]], [3.0]))
    >>> float(loaded(kind, data).predict([[1.0]])[0])
    3.0
    """
    kind = kind_of(predictor)
    if kind == "lightgbm":
        return kind, getattr(predictor, "booster_", predictor).model_to_string().encode()
    if kind == "xgboost":
        booster = predictor.get_booster() if hasattr(predictor, "get_booster") else predictor
        return kind, bytes(booster.save_raw("ubj"))
    if kind == "catboost":
        return kind, _catboost_bytes(predictor)
    return kind, skops.io.dumps(predictor, compression=ZIP_DEFLATED, compresslevel=1)


def loaded(kind: str, data: bytes) -> Any:
    """Return the predictor that `dumped` made bytes of.

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
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, but got {kind!r}.")
    return trusted(data)


def trusted(data: bytes) -> Any:
    """Return what a skops archive holds, if all of it is on the list.

    Raises
    ------
    ValueError
        If it is not, or if it is no such archive.
    """
    try:
        return skops.io.loads(data, trusted=list(TRUSTED))
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
    for name in STAMPS & set(noted.keys()):
        noted[name] = ""
    with tempfile.TemporaryDirectory() as folder:  # the library writes to files alone
        path = Path(folder) / "model.cbm"
        copy.save_model(str(path))
        return path.read_bytes()
