"""What a fitted model is and what it says about rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from pipelines.core.booster_rows import catboost_rows
from pipelines.core.calibrated import Errors, decided, tempered
from pipelines.core.encoding import matrix
from pipelines.core.predictions import Floats, Predictions, Task, figures_of
from pipelines.core.schema import Schema
from pipelines.core.trials import Configuration


@dataclass(frozen=True, eq=False)
class Fitted:
    """An encoder and a predictor that were fitted on the same rows.

    Attributes
    ----------
    encoder : ColumnTransformer
        From `pipelines.core.encoding.encoder`.
    predictor : scikit-learn estimator, or booster of LightGBM, XGBoost or CatBoost
        Classes are codes.
    columns : tuple of int, optional
        The encoder's columns that the predictor takes; None: all.
    """

    encoder: Any
    predictor: Any
    columns: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False)
class Member:
    """One configuration of an ensemble.

    Attributes
    ----------
    weight : float
        Above 0; those of all members sum to 1.
    fitted : tuple of Fitted
        One for each fold, averaged; or one that was fitted on all rows.
    iterations : tuple of int or None
        Rounds, trees or epochs of each.
    """

    configuration: Configuration
    weight: float
    fitted: tuple[Fitted, ...]
    iterations: tuple[int | None, ...] = ()


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Several configurations, each with its weight, calibrated on rows that they never saw.

    Attributes
    ----------
    members : tuple of Member
        The heaviest first.
    temperature : float
        What logarithms of probabilities are divided by; 1 leaves them.
    threshold : float, optional
        The probability of the positive class from which a row is predicted to be of it; None: the
        class of the greatest probability is.
    errors : Errors, optional
        In regression, of what its members said of rows that they never saw.
    """

    members: tuple[Member, ...]
    temperature: float = 1.0
    threshold: float | None = None
    errors: Errors | None = None


@dataclass(frozen=True, eq=False)
class Part:
    """One fitted predictor of an ensemble.

    Attributes
    ----------
    weight : float
        Its member's, shared evenly with the member's other folds.
    fold : int, optional
        None where it was fitted on all rows.
    """

    fitted: Fitted
    weight: float
    fold: int | None


@dataclass(frozen=True, eq=False)
class Model:
    """A model with all that is needed to use it and to compare it honestly.

    Attributes
    ----------
    schema : Schema
        What a table must look like.
    configuration : Configuration
        Of an ensemble, its heaviest member's.
    fitted : Fitted or Ensemble
    row_keys : tuple of str
        Keys of the rows that it was trained on, which never judge it.
    """

    schema: Schema
    configuration: Configuration
    fitted: Fitted | Ensemble
    row_keys: tuple[str, ...]


def configurations(model: Model) -> tuple[Configuration, ...]:
    """Return the configurations that a model is made of, the heaviest first."""
    if isinstance(model.fitted, Ensemble):
        return tuple(member.configuration for member in model.fitted.members)
    return (model.configuration,)


def predict(fitted: Fitted | Ensemble, table: pd.DataFrame, schema: Schema) -> Predictions:
    """Return the predictions of a fitted model for the n rows of a clean table.

    A class that the model never saw has probability 0.
    """
    cells = matrix(table, schema)
    if isinstance(fitted, Fitted):
        return _said(fitted, _encoded(fitted.encoder, cells), schema)
    total = np.zeros((len(table), len(schema.classes)) if schema.classes else len(table))
    for encoder, parts in by_encoder(fitted):
        X = _encoded(encoder, cells)
        for part in parts:
            total += part.weight * figures_of(_said(part.fitted, X, schema))
    return concluded(total, fitted)


def predict_by_fold(ensemble: Ensemble, table: pd.DataFrame, schema: Schema) -> Floats:
    """Return what the models of each fold say together of n rows, in regression.

    Returns
    -------
    array of shape (n_folds, n)
        A member that was fitted on all rows says the same for every fold.
    """
    cells = matrix(table, schema)
    n_folds = max(len(member.fitted) for member in ensemble.members)
    total = np.zeros((n_folds, len(table)))
    for encoder, parts in by_encoder(ensemble):
        X = _encoded(encoder, cells)
        for part in parts:
            said = part.weight * _said(part.fitted, X, schema).values
            if part.fold is None:
                total += said
            else:
                total[part.fold] += said * n_folds
    return total


def with_whole_weight(members: Sequence[Member]) -> Ensemble:
    """Return an ensemble of members whose weights are made to sum to 1."""
    total = sum(member.weight for member in members)
    return Ensemble(tuple(replace(each, weight=each.weight / total) for each in members))


def by_encoder(ensemble: Ensemble) -> list[tuple[Any, list[Part]]]:
    """Return the encoders of an ensemble, each once, with what is asked about its rows."""
    parts: dict[int, list[Part]] = {}
    for member in ensemble.members:
        whole = len(member.fitted) == 1
        for fold, fitted in enumerate(member.fitted):
            weight = member.weight / len(member.fitted)
            part = Part(fitted, weight, None if whole else fold)
            parts.setdefault(id(fitted.encoder), []).append(part)
    return [(each[0].fitted.encoder, each) for each in parts.values()]


def concluded(mean: Floats, ensemble: Ensemble) -> Predictions:
    """Return what an ensemble says, by the weighted mean over its members.

    Parameters
    ----------
    mean : array of shape (n,) or (n, n_classes)
    ensemble : Ensemble
    """
    if mean.ndim == 1:
        return Predictions(mean)
    shares = tempered(mean, ensemble.temperature)
    return Predictions(decided(shares, ensemble.threshold), shares)


def said_by(predictor: Any, X: Floats, *, task: Task, n_classes: int) -> Predictions:
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
    answer = ANSWERS.get(library, _of_estimator)(predictor, X, task)
    said = np.asarray(answer, dtype=np.float64)
    if task == "regression":
        return Predictions(said)
    shares = all_classes(said, getattr(predictor, "classes_", None), n_classes=n_classes)
    return Predictions(shares.argmax(axis=1).astype(np.float64), shares)


def all_classes(said: Floats, known: Any, *, n_classes: int) -> Floats:
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
    >>> all_classes(np.array([[0.4, 0.6]]), [0, 2], n_classes=3).tolist()
    [[0.4, 0.0, 0.6]]
    """
    if said.ndim == 1:
        return np.column_stack([1 - said, said])
    if said.shape[1] == n_classes or known is None:
        return said
    shares = np.zeros((len(said), n_classes))
    shares[:, np.asarray(known, dtype=int)] = said
    return shares


def _encoded(encoder: Any, cells: pd.DataFrame) -> Floats:
    return np.asarray(encoder.transform(cells))


def _said(fitted: Fitted, encoded: Floats, schema: Schema) -> Predictions:
    X = encoded if fitted.columns is None else encoded[:, list(fitted.columns)]
    return said_by(fitted.predictor, X, task=schema.task, n_classes=len(schema.classes))


def _of_estimator(predictor: Any, X: Floats, task: Task) -> Any:
    return predictor.predict(X) if task == "regression" else predictor.predict_proba(X)


def _of_lightgbm(predictor: Any, X: Floats, _: Task) -> Any:
    return predictor.predict(X)


def _of_xgboost(predictor: Any, X: Floats, _: Task) -> Any:
    return predictor.inplace_predict(X)


def _of_catboost(predictor: Any, X: Floats, task: Task) -> Any:
    cells = catboost_rows(X, tuple(predictor.get_cat_feature_indices()))
    kind = "RawFormulaVal" if task == "regression" else "Probability"
    return predictor.predict(cells, prediction_type=kind)


ANSWERS: dict[str, Callable[[Any, Floats, Task], Any]] = {
    "lightgbm": _of_lightgbm,
    "xgboost": _of_xgboost,
    "catboost": _of_catboost,
}
