"""What probabilities and labels become once they are calibrated, and how errors are kept."""

from dataclasses import dataclass

import numpy as np

from pipelines.core.predictions import Floats

SMALLEST = 1e-15


@dataclass(frozen=True)
class Errors:
    """How far out-of-fold predictions were from the truth.

    Attributes
    ----------
    n_rows : tuple of int
        Rows of each fold.
    quantiles : tuple of tuples of float
        Of each fold, its absolute errors at evenly spaced shares from 0 to 1.
    """

    n_rows: tuple[int, ...]
    quantiles: tuple[tuple[float, ...], ...]


def tempered(probabilities: Floats, temperature: float) -> Floats:
    """Return probabilities whose logarithms were divided by a temperature.

    Examples
    --------
    >>> tempered(np.array([[0.2, 0.8]]), 0.5).round(3).tolist()
    [[0.059, 0.941]]
    """
    if temperature == 1:
        return probabilities
    logarithms = np.log(np.clip(probabilities, SMALLEST, 1.0)) / temperature
    powers = np.exp(logarithms - logarithms.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def decided(probabilities: Floats, threshold: float | None) -> Floats:
    """Return the codes of the predicted classes.

    Parameters
    ----------
    probabilities : array of shape (n, n_classes)
    threshold : float, optional
        Above which probability the positive class of two is said; by default the most probable
        class is.

    Examples
    --------
    >>> decided(np.array([[0.7, 0.3], [0.9, 0.1]]), 0.2).tolist()
    [1.0, 0.0]
    """
    if threshold is None:
        return np.asarray(probabilities.argmax(axis=1), dtype=np.float64)
    return np.asarray(probabilities[:, 1] > threshold, dtype=np.float64)
