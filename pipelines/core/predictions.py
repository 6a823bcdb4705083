"""What a model, a baseline or a person says about rows."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
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

    values: Floats
    probabilities: Floats | None = None


def figures_of(predictions: Predictions) -> Floats:
    """Return the probabilities, or the values where there are none.

    Examples
    --------
    >>> figures_of(Predictions(np.array([3.0]))).tolist()
    [3.0]
    """
    chances = predictions.probabilities
    return predictions.values if chances is None else chances
