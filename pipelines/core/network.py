"""A trained network of full layers and embeddings as plain arrays: it predicts with numpy alone.

Whatever library trained it, nothing of it is needed to predict, nor to read the network back.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, softmax

from pipelines.core.predictions import Floats, Task

ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {
    "relu": lambda raw: np.maximum(raw, 0.0),
    "tanh": np.tanh,
    "silu": lambda raw: raw * expit(raw),
}


@dataclass(frozen=True, eq=False)
class Network:
    """A network that predicts as scikit-learn's estimators do.

    Attributes
    ----------
    task : str
    tables : list of arrays of shape (n_codes + 1, size)
        The embedding of each code of the first columns; the last row is that of unknown ones.
    weights, biases : lists of arrays of shape (in, out) and (out,)
        Of each layer, in single precision; sums are in double.
    activation : str
        `relu`, `tanh`, or `silu`, which is x / (1 + exp(-x)).
    centre, spread : float
        What a regression's last layer is multiplied by, and what is added then.

    Examples
    --------
    >>> one = np.ones((2, 1), dtype=np.float32)
    >>> network = Network("regression", [], [one], [np.zeros(1, np.float32)], "relu", 5.0, 2.0)
    >>> network.predict(np.array([[1.0, 2.0]])).tolist()
    [11.0]
    """

    task: Task
    tables: list[Floats]
    weights: list[Floats]
    biases: list[Floats]
    activation: str
    centre: float = 0.0
    spread: float = 1.0

    def predict(self, X: Floats) -> Floats:
        """Return n values, or codes of the likeliest classes."""
        if self.task == "regression":
            values: Floats = self._raw(X)[:, 0] * self.spread + self.centre
            return values
        likeliest: Floats = self.predict_proba(X).argmax(axis=1).astype(np.float64)
        return likeliest

    def predict_proba(self, X: Floats) -> Floats:
        """Return the probabilities of n rows, of shape (n, n_classes)."""
        raw = self._raw(X)
        if self.task == "binary":
            positive: Floats = expit(raw)
            return np.hstack([1 - positive, positive])
        shares: Floats = softmax(raw, axis=1)
        return shares

    def _raw(self, X: Floats) -> Floats:
        passed = self._embedded(np.asarray(X, dtype=np.float64))
        for weights, biases in zip(self.weights[:-1], self.biases[:-1], strict=True):
            passed = ACTIVATIONS[self.activation](passed @ weights + biases)
        last: Floats = passed @ self.weights[-1] + self.biases[-1]
        return last

    def _embedded(self, X: Floats) -> Floats:
        n_codes = len(self.tables)
        known = [
            table[known_codes(X[:, place], len(table) - 1)]
            for place, table in enumerate(self.tables)
        ]
        return np.hstack([*known, X[:, n_codes:]])


def known_codes(codes: Floats, n_known: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Return codes as whole numbers; one that is missing or not known is the number of known ones.

    Examples
    --------
    >>> known_codes(np.array([0.0, np.nan, 7.0]), 3).tolist()
    [0, 3, 3]
    """
    with np.errstate(invalid="ignore"):
        known = (codes >= 0) & (codes < n_known)
    return np.where(known, codes, n_known).astype(np.int64)
