"""What a fitted model is and what it says about rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipelines.core.encoding import matrix
from pipelines.core.predictions import Floats, Predictions
from pipelines.core.schema import Schema
from pipelines.core.trials import Configuration


@dataclass(frozen=True, eq=False)
class Fitted:
    """An encoder and a predictor that were fitted on the same rows.

    Attributes
    ----------
    encoder : ColumnTransformer
        From `pipelines.core.encoding.encoder`.
    predictor : scikit-learn estimator or LightGBM booster
        Classes are codes; a booster's predictions are probabilities.
    """

    encoder: Any
    predictor: Any


@dataclass(frozen=True, eq=False)
class Model:
    """A model with all that is needed to use it and to compare it honestly.

    Attributes
    ----------
    schema : Schema
        What a table must look like.
    configuration : Configuration
    fitted : Fitted
    row_keys : tuple of str
        Keys of the rows that it was trained on, which never judge it.
    """

    schema: Schema
    configuration: Configuration
    fitted: Fitted
    row_keys: tuple[str, ...]


def predict(fitted: Fitted, table: pd.DataFrame, schema: Schema) -> Predictions:
    """Return the predictions of a fitted model for the n rows of a clean table.

    A class that the model never saw has probability 0.
    """
    X = fitted.encoder.transform(matrix(table, schema))
    if schema.task == "regression":
        return Predictions(np.asarray(fitted.predictor.predict(X), dtype=float))
    probabilities = _probabilities(fitted.predictor, X, n_classes=len(schema.classes))
    return Predictions(probabilities.argmax(axis=1).astype(float), probabilities)


def _probabilities(predictor: Any, X: Floats, *, n_classes: int) -> Floats:
    if not hasattr(predictor, "predict_proba"):
        shares = np.asarray(predictor.predict(X), dtype=float)
        return np.column_stack([1 - shares, shares]) if shares.ndim == 1 else shares
    shares = np.zeros((len(X), n_classes))
    shares[:, np.asarray(predictor.classes_, dtype=int)] = predictor.predict_proba(X)
    return shares
