"""Gradient descent on a network of full layers, in single precision: one step, one schedule."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from pipelines.core.predictions import Task

Singles = NDArray[np.float32]
Layers = list[tuple[Singles, Singles]]  # weights of shape (in, out) and biases of shape (out,)
Step = Callable[[Layers, float], None]

WARM_UP = 0.05  # share of all steps in which the learning rate rises
CYCLES = 4  # of the schedule coslog4
SMALL = 1e-8

OUTPUTS: dict[Task, Callable[[Singles], Singles]] = {
    "binary": expit,
    "multiclass": lambda raw: softmax(raw, axis=1),
    "regression": lambda raw: raw,
}
ACTIVATIONS: dict[str, Callable[[Singles], Singles]] = {
    "relu": lambda raw: np.maximum(raw, np.float32(0)),
    "tanh": np.tanh,
}


def first_layers(widths: Sequence[int], *, seed: int) -> Layers:
    """Return random weights that keep the spread of what passes (He's), and no biases.

    Examples
    --------
    >>> [weights.shape for weights, _ in first_layers([3, 8, 1], seed=0)]
    [(3, 8), (8, 1)]
    """
    draws = np.random.default_rng(seed)
    return [
        (
            draws.normal(size=pair, scale=math.sqrt(2 / pair[0])).astype(np.float32),
            np.zeros(pair[1], dtype=np.float32),
        )
        for pair in pairwise(widths)
    ]


def said(layers: Layers, X: Singles, *, activation: str, task: Task) -> Singles:
    """Return what a network says about rows: shape (n, outputs).

    Examples
    --------
    >>> layers = [(np.ones((2, 1), np.float32), np.zeros(1, np.float32))]
    >>> said(layers, np.array([[1, 2]], np.float32), activation="relu", task="regression").tolist()
    [[3.0]]
    """
    for weights, biases in layers[:-1]:
        X = ACTIVATIONS[activation](X @ weights + biases)
    weights, biases = layers[-1]
    return OUTPUTS[task](X @ weights + biases)


def gradients(  # noqa: PLR0913
    layers: Layers,
    X: Singles,
    targets: Singles,
    *,
    weights: Singles,
    activation: str,
    task: Task,
    masks: list[Singles],
) -> Layers:
    """Return the gradient of the mean loss for each layer.

    The loss is the log loss, or half the squared error: for both, its gradient at the outputs is
    what was said less what is true.

    Parameters
    ----------
    layers : list of pairs
    X : array of shape (n, width)
    targets : array of shape (n, outputs)
    weights : array of shape (n,)
    activation, task : str
    masks : list of arrays of shape (n, width of a hidden layer)
        What dropout leaves of each hidden layer, scaled up; empty without dropout.
    """
    inputs = [X]
    for place, (matrix, biases) in enumerate(layers[:-1]):
        hidden = ACTIVATIONS[activation](inputs[-1] @ matrix + biases)
        inputs.append(hidden * masks[place] if masks else hidden)
    matrix, biases = layers[-1]
    error = OUTPUTS[task](inputs[-1] @ matrix + biases) - targets
    error *= (weights / np.float32(len(X)))[:, None]
    found: Layers = []
    for place in reversed(range(len(layers))):
        found.append((inputs[place].T @ error, error.sum(axis=0)))
        if place:
            error = error @ layers[place][0].T
            error *= _slope(inputs[place], activation, masks[place - 1] if masks else None)
    return found[::-1]


def _slope(hidden: Singles, activation: str, mask: Singles | None) -> Singles:
    """Return the derivative of a hidden layer by its raw values, dropout included."""
    if activation == "relu":
        slope = (hidden > 0).astype(np.float32)
        return slope if mask is None else slope * mask
    if mask is None:
        return 1 - hidden * hidden
    before = np.divide(hidden, mask, out=np.zeros_like(hidden), where=mask > 0)
    return (1 - before * before) * mask


def adam(layers: Layers, *, beta_1: float, beta_2: float, decay: float) -> Step:
    """Return a step of Adam with decoupled weight decay; it changes the layers in place."""
    first = [(np.zeros_like(weights), np.zeros_like(biases)) for weights, biases in layers]
    second = [(np.zeros_like(weights), np.zeros_like(biases)) for weights, biases in layers]
    count = 0

    def step(found: Layers, rate: float) -> None:
        nonlocal count
        count += 1
        size = np.float32(rate * math.sqrt(1 - beta_2**count) / (1 - beta_1**count))
        for place, layer in enumerate(layers):
            for part in (0, 1):
                values, gradient = layer[part], found[place][part]
                mean, square = first[place][part], second[place][part]
                mean += np.float32(1 - beta_1) * (gradient - mean)
                square += np.float32(1 - beta_2) * (gradient * gradient - square)
                values -= size * mean / (np.sqrt(square) + np.float32(SMALL))
            layer[0][...] *= np.float32(1 - rate * decay)

    return step


def momentum(layers: Layers, *, share: float, decay: float) -> Step:
    """Return a step of descent with Nesterov's momentum; it changes the layers in place."""
    speeds = [(np.zeros_like(weights), np.zeros_like(biases)) for weights, biases in layers]

    def step(found: Layers, rate: float) -> None:
        for place, layer in enumerate(layers):
            for part in (0, 1):
                speed, gradient = speeds[place][part], found[place][part]
                speed *= np.float32(share)
                speed -= np.float32(rate) * gradient
                layer[part][...] += np.float32(share) * speed - np.float32(rate) * gradient
            layer[0][...] *= np.float32(1 - rate * decay)

    return step


def scheduled(schedule: str, done: float) -> float:
    """Return the share of the learning rate after a share of all steps.

    Parameters
    ----------
    schedule : str
        `constant`, `cosine` (falls to 0), or `coslog4` (four falls, each longer than the last).
    done : float
        From 0 to 1.

    Examples
    --------
    >>> [round(scheduled("cosine", done), 2) for done in (0.05, 0.5, 1.0)]
    [0.99, 0.5, 0.0]
    """
    rise = min(1.0, (done + SMALL) / WARM_UP)
    if schedule == "constant":
        return rise
    if schedule == "cosine":
        return rise * 0.5 * (1 + math.cos(math.pi * done))
    return 0.5 * (1 - math.cos(2 * math.pi * math.log2(1 + (2**CYCLES - 1) * done)))


def kept_by_dropout(layers: Layers, n_rows: int, *, rate: float, draws: Any) -> list[Singles]:
    """Return random masks of the hidden layers, scaled up by what is dropped."""
    if rate == 0:
        return []
    return [
        (draws.random((n_rows, len(biases)), dtype=np.float32) >= rate) / np.float32(1 - rate)
        for _, biases in layers[:-1]
    ]
