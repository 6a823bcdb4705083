"""The types that every package shares: predictions, tasks, column kinds and array aliases.

A class code is the index of the class in the schema's `classes`; in a binary task code 1 is the
positive class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]
Mask = NDArray[np.bool_]
RowSelection = NDArray[np.int64] | NDArray[np.bool_]  # row numbers, or a mask of all rows
Task = Literal["binary", "multiclass", "regression"]
ColumnKind = Literal["number", "boolean", "category", "text", "date"]


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions for n rows.

    Attributes
    ----------
    values : array of shape (n,)
        Codes of the predicted classes (0 to n_classes - 1, as floats), or predicted values.
    probabilities : array of shape (n, n_classes), optional
        Each row sums to 1. None in regression and if only labels are known.
    """

    values: FloatArray
    probabilities: FloatArray | None = None


def probabilities_or_values(predictions: Predictions) -> FloatArray:
    """Return the probabilities, or the values if there are none."""
    proba = predictions.probabilities
    return predictions.values if proba is None else proba


def take_rows(predictions: Predictions, rows: RowSelection) -> Predictions:
    """Return the predictions of some rows."""
    proba = predictions.probabilities
    return Predictions(predictions.values[rows], None if proba is None else proba[rows])


def encode_classes(labels: "pd.Series", classes: Sequence[str]) -> FloatArray:
    """Return the code of every label, shape (n,): its index in `classes`, NaN if it is not there.

    Examples
    --------
    >>> import pandas as pd
    >>> encode_classes(pd.Series(["yes", "no", "maybe"]), ["no", "yes"])
    array([ 1.,  0., nan])
    """
    codes = {label: float(code) for code, label in enumerate(classes)}
    return np.asarray(labels.astype("str").map(codes), dtype=np.float64)
