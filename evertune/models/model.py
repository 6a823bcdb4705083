"""Fitted models and their predictions: `FittedPipeline`, `Ensemble`, `Model` and `predict`.

A `FittedPipeline` is an encoder with a predictor. An `Ensemble` is a weighted mean of
`EnsembleMember`s with a temperature and a threshold from calibration. A
`Model` adds the schema and the keys of its training rows, which must never evaluate it.
`predict_encoded` hides the differences between scikit-learn, LightGBM, XGBoost and CatBoost.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from evertune.data.schema import TableSchema
from evertune.preprocessing.encoders import feature_frame
from evertune.trials import Configuration
from evertune.types import FloatArray, Predictions, Task, probabilities_or_values

UNSEEN_LEVEL_CODE = -1


def to_catboost_rows(X: FloatArray, places: tuple[int, ...]) -> Any:
    """Return encoded rows for CatBoost: codes whole, a level that was never seen -1.

    Parameters
    ----------
    X : array of shape (n, width)
    places : tuple of int
        Columns that are codes; of a fitted model, `get_cat_feature_indices()`.

    Examples
    --------
    >>> to_catboost_rows(np.array([[np.nan, 0.5], [2.0, 0.25]]), (0,)).to_numpy().tolist()
    [[-1.0, 0.5], [2.0, 0.25]]
    """
    if not places:
        return X
    codes = {
        place: np.where(np.isnan(X[:, place]), UNSEEN_LEVEL_CODE, X[:, place]).astype(np.int64)
        for place in places
    }
    return pd.DataFrame({place: codes.get(place, X[:, place]) for place in range(X.shape[1])})


MIN_PROBABILITY = 1e-15


def apply_temperature(probabilities: FloatArray, temperature: float) -> FloatArray:
    """Return probabilities whose logarithms were divided by a temperature.

    Examples
    --------
    >>> apply_temperature(np.array([[0.2, 0.8]]), 0.5).round(3).tolist()
    [[0.059, 0.941]]
    """
    if temperature == 1:
        return probabilities
    logarithms = np.log(np.clip(probabilities, MIN_PROBABILITY, 1.0)) / temperature
    powers = np.exp(logarithms - logarithms.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def apply_threshold(probabilities: FloatArray, threshold: float | None) -> FloatArray:
    """Return the codes of the predicted classes.

    Parameters
    ----------
    probabilities : array of shape (n, n_classes)
    threshold : float, optional
        Above which probability the positive class of two is said; by default the most probable
        class is.

    Examples
    --------
    >>> apply_threshold(np.array([[0.7, 0.3], [0.9, 0.1]]), 0.2).tolist()
    [1.0, 0.0]
    """
    if threshold is None:
        return np.asarray(probabilities.argmax(axis=1), dtype=np.float64)
    return np.asarray(probabilities[:, 1] > threshold, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class FittedPipeline:
    """An encoder and a predictor that were fitted on the same rows.

    Attributes
    ----------
    encoder : ColumnTransformer
        From `evertune.preprocessing.encoders.make_encoder`.
    predictor : scikit-learn estimator, or booster of LightGBM, XGBoost or CatBoost
        Classes are codes.
    columns : tuple of int, optional
        The encoder's columns that the predictor takes; None: all.
    """

    encoder: Any
    predictor: Any
    columns: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False)
class EnsembleMember:
    """One configuration of an ensemble.

    Attributes
    ----------
    weight : float
        Above 0; those of all members sum to 1.
    fitted : tuple of FittedPipeline
        One for each fold, averaged; or one that was fitted on all rows.
    iterations : tuple of int or None
        Rounds, trees or epochs of each.
    """

    configuration: Configuration
    weight: float
    fitted: tuple[FittedPipeline, ...]
    iterations: tuple[int | None, ...] = ()


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Several configurations, each with its weight, calibrated on rows that they never saw.

    Attributes
    ----------
    members : tuple of EnsembleMember
        The heaviest first.
    temperature : float
        What logarithms of probabilities are divided by; 1 leaves them.
    threshold : float, optional
        The probability of the positive class from which a row is predicted to be of it; None: the
        class of the greatest probability is.
    """

    members: tuple[EnsembleMember, ...]
    temperature: float = 1.0
    threshold: float | None = None


@dataclass(frozen=True, eq=False)
class WeightedPredictor:
    """One fitted predictor of an ensemble.

    Attributes
    ----------
    weight : float
        Its member's, shared evenly with the member's other folds.
    fold : int, optional
        None where it was fitted on all rows.
    """

    fitted: FittedPipeline
    weight: float
    fold: int | None


@dataclass(frozen=True, eq=False)
class Model:
    """A model with all that is needed to use it and to compare it honestly.

    Attributes
    ----------
    schema : TableSchema
        What a table must look like.
    configuration : Configuration
        Of an ensemble, its heaviest member's.
    fitted : FittedPipeline or Ensemble
    row_keys : tuple of str
        Keys of the rows that it was trained on, which never judge it.
    """

    schema: TableSchema
    configuration: Configuration
    fitted: FittedPipeline | Ensemble
    row_keys: tuple[str, ...]


def model_configurations(model: Model) -> tuple[Configuration, ...]:
    """Return the configurations that a model is made of, the heaviest first."""
    if isinstance(model.fitted, Ensemble):
        return tuple(member.configuration for member in model.fitted.members)
    return (model.configuration,)


def predict(
    fitted: FittedPipeline | Ensemble, table: pd.DataFrame, schema: TableSchema
) -> Predictions:
    """Return the predictions of a fitted model for the n rows of a clean table.

    A class that the model never saw has probability 0.
    """
    cells = feature_frame(table, schema)
    if isinstance(fitted, FittedPipeline):
        return _predict_pipeline(fitted, _encode(fitted.encoder, cells), schema)
    total = np.zeros((len(table), len(schema.classes)) if schema.classes else len(table))
    for encoder, parts in group_by_encoder(fitted):
        X = _encode(encoder, cells)
        for part in parts:
            total += part.weight * probabilities_or_values(
                _predict_pipeline(part.fitted, X, schema)
            )
    return finalize_predictions(total, fitted)


def normalized_ensemble(members: Sequence[EnsembleMember]) -> Ensemble:
    """Return an ensemble of members whose weights are made to sum to 1."""
    total = sum(member.weight for member in members)
    return Ensemble(tuple(replace(each, weight=each.weight / total) for each in members))


def group_by_encoder(ensemble: Ensemble) -> list[tuple[Any, list[WeightedPredictor]]]:
    """Return the encoders of an ensemble, each once, with what is asked about its rows."""
    parts: dict[int, list[WeightedPredictor]] = {}
    for member in ensemble.members:
        whole = len(member.fitted) == 1
        for fold, fitted in enumerate(member.fitted):
            weight = member.weight / len(member.fitted)
            part = WeightedPredictor(fitted, weight, None if whole else fold)
            parts.setdefault(id(fitted.encoder), []).append(part)
    return [(each[0].fitted.encoder, each) for each in parts.values()]


def finalize_predictions(mean: FloatArray, ensemble: Ensemble) -> Predictions:
    """Return what an ensemble says, by the weighted mean over its members.

    Parameters
    ----------
    mean : array of shape (n,) or (n, n_classes)
    ensemble : Ensemble
    """
    if mean.ndim == 1:
        return Predictions(mean)
    shares = apply_temperature(mean, ensemble.temperature)
    return Predictions(apply_threshold(shares, ensemble.threshold), shares)


def predict_encoded(predictor: Any, X: FloatArray, *, task: Task, n_classes: int) -> Predictions:
    """Return what a predictor says of n encoded rows.

    Parameters
    ----------
    predictor : scikit-learn estimator, or booster of LightGBM, XGBoost or CatBoost
    X : array of shape (n, width)
    task : str
    n_classes : int
        Classes that the predictor never saw have probability 0.
    """
    library = type(predictor).__module__.partition(".")[0]
    answer = PREDICT_BY_LIBRARY.get(library, _predict_estimator)(predictor, X, task)
    said = np.asarray(answer, dtype=np.float64)
    if task == "regression":
        return Predictions(said)
    shares = expand_to_all_classes(said, getattr(predictor, "classes_", None), n_classes=n_classes)
    return Predictions(shares.argmax(axis=1).astype(np.float64), shares)


def expand_to_all_classes(said: FloatArray, known: Any, *, n_classes: int) -> FloatArray:
    """Return probabilities of all classes.

    Parameters
    ----------
    said : array of shape (n,) or (n, n_known)
        Of the positive class, or of the classes that are known.
    known : sequence of numbers, optional
        Codes of the classes that the columns stand for.
    n_classes : int

    Examples
    --------
    >>> expand_to_all_classes(np.array([[0.4, 0.6]]), [0, 2], n_classes=3).tolist()
    [[0.4, 0.0, 0.6]]
    """
    if said.ndim == 1:
        return np.column_stack([1 - said, said])
    if said.shape[1] == n_classes or known is None:
        return said
    shares = np.zeros((len(said), n_classes))
    shares[:, np.asarray(known, dtype=int)] = said
    return shares


def _encode(encoder: Any, cells: pd.DataFrame) -> FloatArray:
    return np.asarray(encoder.transform(cells))


def _predict_pipeline(
    fitted: FittedPipeline, encoded: FloatArray, schema: TableSchema
) -> Predictions:
    X = encoded if fitted.columns is None else encoded[:, list(fitted.columns)]
    return predict_encoded(fitted.predictor, X, task=schema.task, n_classes=len(schema.classes))


def _predict_estimator(predictor: Any, X: FloatArray, task: Task) -> Any:
    return predictor.predict(X) if task == "regression" else predictor.predict_proba(X)


def _predict_lightgbm(predictor: Any, X: FloatArray, _: Task) -> Any:
    return predictor.predict(X)


def _predict_xgboost(predictor: Any, X: FloatArray, _: Task) -> Any:
    return predictor.inplace_predict(X)


def _predict_catboost(predictor: Any, X: FloatArray, task: Task) -> Any:
    cells = to_catboost_rows(X, tuple(predictor.get_cat_feature_indices()))
    kind = "RawFormulaVal" if task == "regression" else "Probability"
    return predictor.predict(cells, prediction_type=kind)


PREDICT_BY_LIBRARY: dict[str, Callable[[Any, FloatArray, Task], Any]] = {
    "lightgbm": _predict_lightgbm,
    "xgboost": _predict_xgboost,
    "catboost": _predict_catboost,
}
