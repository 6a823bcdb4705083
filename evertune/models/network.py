"""A trained network that predicts with numpy alone: no training library is needed to serve it.

`evertune.models.embedding_network` trains one with PyTorch. The module path of `Network` is
stored in saved models (`evertune.models.predictor_files.OWN_CLASSES`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from evertune.types import FloatArray, Task

ACTIVATIONS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "relu": lambda raw: np.maximum(raw, 0.0),
    "tanh": np.tanh,
    "silu": lambda raw: raw * expit(raw),
}


@dataclass(frozen=True, eq=False)
class Network:
    """A multilayer perceptron with embeddings of categories; predicts like scikit-learn's.

    Attributes
    ----------
    tables : list of arrays of shape (n_codes + 1, size)
        The embedding of each code of the first columns of X; the last row is for unknown codes.
    weights, biases : lists of arrays of shape (in, out) and (out,)
        Of each layer, in float32; sums are in float64.
    activation : str
        `relu`, `tanh`, or `silu`, which is x / (1 + exp(-x)).
    centre, spread : float
        A regression's output is `output * spread + centre`.

    Examples
    --------
    >>> one = np.ones((2, 1), dtype=np.float32)
    >>> network = Network("regression", [], [one], [np.zeros(1, np.float32)], "relu", 5.0, 2.0)
    >>> network.predict(np.array([[1.0, 2.0]])).tolist()
    [11.0]
    """

    task: Task
    tables: list[FloatArray]
    weights: list[FloatArray]
    biases: list[FloatArray]
    activation: str
    centre: float = 0.0
    spread: float = 1.0

    def predict(self, X: FloatArray) -> FloatArray:
        """Return n values, or codes of the most probable classes."""
        if self.task == "regression":
            values: FloatArray = self._output(X)[:, 0] * self.spread + self.centre
            return values
        codes: FloatArray = self.predict_proba(X).argmax(axis=1).astype(np.float64)
        return codes

    def predict_proba(self, X: FloatArray) -> FloatArray:
        """Return the probabilities of n rows, of shape (n, n_classes)."""
        output = self._output(X)
        if self.task == "binary":
            positive: FloatArray = expit(output)
            return np.hstack([1 - positive, positive])
        proba: FloatArray = softmax(output, axis=1)
        return proba

    def _output(self, X: FloatArray) -> FloatArray:
        X = np.asarray(X, dtype=np.float64)
        embedded = [
            table[codes_with_unknown(X[:, column], len(table) - 1)]
            for column, table in enumerate(self.tables)
        ]
        hidden: FloatArray = np.hstack([*embedded, X[:, len(self.tables) :]])
        for weights, biases in zip(self.weights[:-1], self.biases[:-1], strict=True):
            hidden = ACTIVATIONS[self.activation](hidden @ weights + biases)
        output: FloatArray = hidden @ self.weights[-1] + self.biases[-1]
        return output


def codes_with_unknown(codes: FloatArray, n_known: int) -> NDArray[np.int64]:
    """Return codes as whole numbers; a missing or unknown code becomes `n_known`."""
    with np.errstate(invalid="ignore"):
        known = (codes >= 0) & (codes < n_known)
    return np.where(known, codes, n_known).astype(np.int64)
