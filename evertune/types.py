"""The types that every package shares: predictions, tasks, column kinds and array aliases.

`Predictions` holds class codes or values, with probabilities where there are any;
`probabilities_or_values` returns the probabilities first. A class code is the index of the
class in the schema's `classes`; in a binary task code 1 is the positive class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Task = Literal["binary", "multiclass", "regression"]


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions for n rows.

    Attributes
    ----------
    values : array of shape (n,)
        Codes of the predicted classes (0 to n_classes - 1, as floats), or predicted values.
        In a binary task code 1 is the positive class.
    probabilities : array of shape (n, n_classes), optional
        One row sums to 1. None in regression and where only labels are known.
    """

    values: FloatArray
    probabilities: FloatArray | None = None


def probabilities_or_values(predictions: Predictions) -> FloatArray:
    """Return the probabilities, or the values where there are none.

    Examples
    --------
    >>> probabilities_or_values(Predictions(np.array([3.0]))).tolist()
    [3.0]
    """
    chances = predictions.probabilities
    return predictions.values if chances is None else chances


ColumnKind = Literal["number", "boolean", "category", "text", "date"]
Mask = NDArray[np.bool_]

RowSelection = NDArray[np.int64] | NDArray[np.bool_]


def encode_classes(labels: pd.Series, classes: Sequence[str]) -> FloatArray:
    """Return the code of every label: its place in `classes`, NaN for a label that is not there.

    Parameters
    ----------
    labels : Series of str, n rows
    classes : sequence of str
        The classes in the order of their codes.

    Examples
    --------
    >>> encode_classes(pd.Series(["yes", "no", "maybe"]), ["no", "yes"])
    array([ 1.,  0., nan])
    """
    places = {label: float(code) for code, label in enumerate(classes)}
    return np.asarray(labels.astype("str").map(places), dtype=np.float64)


def take_rows(predictions: Predictions, rows: RowSelection) -> Predictions:
    """Return the predictions of some rows.

    Parameters
    ----------
    predictions : Predictions
    rows : array
        Row numbers, or a mask of all rows.

    Examples
    --------
    >>> take_rows(Predictions(np.array([3.0, 4.0, 5.0])), np.array([0, 2])).values
    array([3., 5.])
    """
    probabilities = predictions.probabilities
    return Predictions(
        predictions.values[rows], None if probabilities is None else probabilities[rows]
    )
