"""Fitted models and their predictions: `FittedPipeline`, `Ensemble`, `Model` and `predict`.

A `FittedPipeline` is an encoder with a predictor. An `Ensemble` is a weighted mean of
`EnsembleMember`s with a temperature and a threshold from calibration. A `Model` adds the schema
and the keys of its training rows, which must never evaluate it. `predict_encoded` hides the
differences between scikit-learn, LightGBM, XGBoost and CatBoost.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from evertune.data.schema import TableSchema
from evertune.preprocessing.encoders import feature_frame
from evertune.trials import Configuration
from evertune.types import FloatArray, Predictions, Task, probabilities_or_values

UNKNOWN_CODE = -1
MIN_PROBABILITY = 1e-15


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
    """Several configurations with weights, calibrated on out-of-fold predictions.

    Attributes
    ----------
    members : tuple of EnsembleMember
        The heaviest first.
    temperature : float
        Divides the logarithms of probabilities; 1 leaves them.
    threshold : float, optional
        Of the positive class of two; None: the most probable class is predicted.
    """

    members: tuple[EnsembleMember, ...]
    temperature: float = 1.0
    threshold: float | None = None


@dataclass(frozen=True, eq=False)
class WeightedPredictor:
    """One fitted predictor of a model; a member's weight is shared evenly over its folds."""

    fitted: FittedPipeline
    weight: float


@dataclass(frozen=True, eq=False)
class Model:
    """A model with all that is needed to use it and to compare it honestly.

    Attributes
    ----------
    schema : TableSchema
        Of the tables that it predicts.
    configuration : Configuration
        Of an ensemble, its heaviest member's.
    row_keys : tuple of str
        Keys of the training rows, which must never evaluate the model.
    """

    schema: TableSchema
    configuration: Configuration
    fitted: FittedPipeline | Ensemble
    row_keys: tuple[str, ...]


def model_configurations(model: Model) -> tuple[Configuration, ...]:
    """Return the configurations in a model, the heaviest first."""
    if isinstance(model.fitted, Ensemble):
        return tuple(member.configuration for member in model.fitted.members)
    return (model.configuration,)


def normalized_ensemble(members: Sequence[EnsembleMember]) -> Ensemble:
    """Return an ensemble of members with weights scaled to sum to 1."""
    total = sum(member.weight for member in members)
    return Ensemble(tuple(replace(member, weight=member.weight / total) for member in members))


def predict(
    fitted: FittedPipeline | Ensemble, table: pd.DataFrame, schema: TableSchema
) -> Predictions:
    """Return the predictions of a fitted model for the n rows of a clean table.

    A class that the model never saw has probability 0.
    """
    cells = feature_frame(table, schema)
    total = np.zeros((len(table), len(schema.classes)) if schema.classes else len(table))
    for encoder, parts in group_by_encoder(fitted):
        X = np.asarray(encoder.transform(cells))
        for part in parts:
            columns = part.fitted.columns
            predictions = predict_encoded(
                part.fitted.predictor,
                X if columns is None else X[:, list(columns)],
                task=schema.task,
                n_classes=len(schema.classes),
            )
            total += part.weight * probabilities_or_values(predictions)
    return finalize_predictions(total, fitted)


def group_by_encoder(
    fitted: FittedPipeline | Ensemble,
) -> list[tuple[Any, list[WeightedPredictor]]]:
    """Return each encoder of a fitted model once, with the predictors that take its rows."""
    if isinstance(fitted, FittedPipeline):
        return [(fitted.encoder, [WeightedPredictor(fitted, 1.0)])]
    groups: dict[int, list[WeightedPredictor]] = {}
    for member in fitted.members:
        for pipeline in member.fitted:
            part = WeightedPredictor(pipeline, member.weight / len(member.fitted))
            groups.setdefault(id(pipeline.encoder), []).append(part)
    return [(parts[0].fitted.encoder, parts) for parts in groups.values()]


def finalize_predictions(mean: FloatArray, fitted: FittedPipeline | Ensemble) -> Predictions:
    """Return a model's predictions from the weighted mean over its predictors."""
    if mean.ndim == 1:
        return Predictions(mean)
    if isinstance(fitted, FittedPipeline):
        return Predictions(apply_threshold(mean, None), mean)
    proba = apply_temperature(mean, fitted.temperature)
    return Predictions(apply_threshold(proba, fitted.threshold), proba)


def apply_temperature(probabilities: FloatArray, temperature: float) -> FloatArray:
    """Return probabilities whose logarithms were divided by a temperature (Guo et al. 2017).

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
    threshold : float, optional
        Above it the positive class of two is predicted; by default the most probable class.

    Examples
    --------
    >>> apply_threshold(np.array([[0.7, 0.3], [0.9, 0.1]]), 0.2).tolist()
    [1.0, 0.0]
    """
    if threshold is None:
        return np.asarray(probabilities.argmax(axis=1), dtype=np.float64)
    return np.asarray(probabilities[:, 1] > threshold, dtype=np.float64)


def predict_encoded(predictor: Any, X: FloatArray, *, task: Task, n_classes: int) -> Predictions:
    """Return the predictions for n encoded rows.

    Parameters
    ----------
    n_classes : int
        Classes that the predictor never saw have probability 0.
    """
    library = type(predictor).__module__.partition(".")[0]
    if library == "lightgbm":
        output = predictor.predict(X)
    elif library == "xgboost":
        output = predictor.inplace_predict(X)
    elif library == "catboost":
        rows = to_catboost_rows(X, tuple(predictor.get_cat_feature_indices()))
        kind = "RawFormulaVal" if task == "regression" else "Probability"
        output = predictor.predict(rows, prediction_type=kind)
    else:
        output = predictor.predict(X) if task == "regression" else predictor.predict_proba(X)
    values = np.asarray(output, dtype=np.float64)
    if task == "regression":
        return Predictions(values)
    proba = expand_to_all_classes(values, getattr(predictor, "classes_", None), n_classes=n_classes)
    return Predictions(proba.argmax(axis=1).astype(np.float64), proba)


def expand_to_all_classes(values: FloatArray, known: Any, *, n_classes: int) -> FloatArray:
    """Return the probabilities of all classes, of shape (n, n_classes).

    Parameters
    ----------
    values : array of shape (n,) or (n, n_known)
        Of the positive class, or of the known classes.
    known : sequence of numbers, optional
        Codes of the classes that the columns stand for.

    Examples
    --------
    >>> expand_to_all_classes(np.array([[0.4, 0.6]]), [0, 2], n_classes=3).tolist()
    [[0.4, 0.0, 0.6]]
    """
    if values.ndim == 1:
        return np.column_stack([1 - values, values])
    if values.shape[1] == n_classes or known is None:
        return values
    proba = np.zeros((len(values), n_classes))
    proba[:, np.asarray(known, dtype=int)] = values
    return proba


def to_catboost_rows(X: FloatArray, codes: tuple[int, ...]) -> Any:
    """Return encoded rows for CatBoost: codes as integers, an unknown one as -1.

    Parameters
    ----------
    codes : tuple of int
        The columns that are codes; of a fitted model, `get_cat_feature_indices()`.
    """
    if not codes:
        return X
    integers = {
        column: np.where(np.isnan(X[:, column]), UNKNOWN_CODE, X[:, column]).astype(np.int64)
        for column in codes
    }
    return pd.DataFrame({n: integers.get(n, X[:, n]) for n in range(X.shape[1])})
