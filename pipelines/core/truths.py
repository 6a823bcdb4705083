"""What really happened, and what people or another system said, as arrays."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.core.predictions import Floats, Predictions
from pipelines.core.schema import Schema

Rows = NDArray[np.int64] | NDArray[np.bool_]


def class_codes(labels: pd.Series, classes: Sequence[str]) -> Floats:
    """Return the code of every label: its place in `classes`, NaN for a label that is not there.

    Parameters
    ----------
    labels : Series of str, n rows
    classes : sequence of str
        The classes in the order of their codes.

    Examples
    --------
    >>> class_codes(pd.Series(["yes", "no", "maybe"]), ["no", "yes"])
    array([ 1.,  0., nan])
    """
    places = {label: float(code) for code, label in enumerate(classes)}
    return np.asarray(labels.astype("str").map(places), dtype=np.float64)


def truth_of(table: pd.DataFrame, schema: Schema) -> Floats:
    """Return the target of a clean table: class codes, or values in regression.

    Parameters
    ----------
    table : DataFrame, n rows
        Holds the column `schema.target`.
    schema : Schema

    Returns
    -------
    array of shape (n,)
        Codes 0 to n_classes - 1 in the order of `schema.classes`; values in regression.

    Raises
    ------
    ValueError
        If a row has no target or a class that the schema does not know.

    Examples
    --------
    >>> schema = Schema((), "churned", "binary", ("no", "yes"))
    >>> truth_of(pd.DataFrame({"churned": ["yes", "no"]}), schema)
    array([1., 0.])
    """
    truth = _numbers(table[schema.target], schema)
    unknown = np.flatnonzero(np.isnan(truth))
    if unknown.size:
        found = table[schema.target].iloc[unknown[0]]
        raise ValueError(
            f"Every row must have a known target in column {schema.target!r}. Got {found!r} in "
            f"row {unknown[0]} ({unknown.size} such rows) instead."
        )
    return truth


def given_predictions(column: pd.Series, schema: Schema) -> Predictions:
    """Return the predictions that a column holds, without probabilities.

    Parameters
    ----------
    column : Series, n rows
        Labels, or numbers in regression. Missing and unknown labels become NaN: no prediction.
    schema : Schema

    Examples
    --------
    >>> schema = Schema((), "churned", "binary", ("no", "yes"))
    >>> given_predictions(pd.Series(["yes", None]), schema).values
    array([ 1., nan])
    """
    return Predictions(_numbers(column, schema))


def taken(predictions: Predictions, rows: Rows) -> Predictions:
    """Return the predictions of some rows.

    Parameters
    ----------
    predictions : Predictions
    rows : array
        Row numbers, or a mask of all rows.

    Examples
    --------
    >>> taken(Predictions(np.array([3.0, 4.0, 5.0])), np.array([0, 2])).values
    array([3., 5.])
    """
    probabilities = predictions.probabilities
    return Predictions(
        predictions.values[rows], None if probabilities is None else probabilities[rows]
    )


def _numbers(column: pd.Series, schema: Schema) -> Floats:
    if schema.task == "regression":
        return np.asarray(column, dtype=np.float64)
    return class_codes(column, schema.classes)
