"""Multilayer perceptrons for tables, trained with numpy.

`fit_neural_network` has what scikit-learn's MLP lacks: dropout, a learning-rate schedule over all
epochs, decoupled weight decay, the best epoch by the metric itself, and a deadline. The result is
stored as a scikit-learn MLP. Batches, schedule, early stopping (`train_epochs`) and target
scaling are shared with `evertune.models.embedding_network`.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_limits

from evertune.metrics.metrics import METRICS
from evertune.models.early_stopping import EarlyStopping, can_rank
from evertune.models.fit_context import (
    FitContext,
    FitResult,
    Hyperparameters,
    float_param,
    int_param,
)
from evertune.types import FloatArray, Predictions, Task

Float32Array = NDArray[np.float32]
Layers = list[tuple[Float32Array, Float32Array]]  # weights of shape (in, out), biases (out,)
State = TypeVar("State")

WARM_UP_SHARE = 0.05  # of all steps, in which the learning rate rises
COSLOG_CYCLES = 4  # of the schedule coslog4
EPSILON = 1e-8
EPOCHS_WITHOUT_VALIDATION = 40  # without rows for early stopping
MIN_BATCHES = 20  # of an epoch, on a small table
DEFAULT_EVAL_METRICS = {"binary": "log_loss", "multiclass": "log_loss", "regression": "rmse"}
EVAL_METRICS = ("roc_auc", "pr_auc", "log_loss", "brier", "rmse", "mae", "mape")
OUTPUT_ACTIVATIONS: dict[Task, Callable[[Float32Array], Float32Array]] = {
    "binary": expit,
    "multiclass": lambda raw: softmax(raw, axis=1),
    "regression": lambda raw: raw,
}
TRAINING_ACTIVATIONS: dict[str, Callable[[Float32Array], Float32Array]] = {
    "relu": lambda raw: np.maximum(raw, np.float32(0)),
    "tanh": np.tanh,
}


@dataclass(frozen=True, eq=False)
class NetworkRows:
    """Rows in float32: X, targets of shape (n, n_outputs), weights; a regression's target scale."""

    X: Float32Array
    targets: Float32Array
    weights: Float32Array
    centre: float = 0.0
    spread: float = 1.0


def fit_neural_network(
    X: FloatArray, y: FloatArray, params: Hyperparameters, context: FitContext
) -> FitResult:
    """Fit a network and return its best epoch."""
    network = Perceptron(make_network_rows(X, y, context), params, context)
    with threadpool_limits(1):  # threads would sum in any order
        layers, epochs, whole = train_epochs(
            network.train_epoch,
            network.copy_layers,
            network.predict,
            params=params,
            context=context,
        )
    return FitResult(network.to_sklearn(layers), epochs, whole=whole)


def make_network_rows(X: FloatArray, y: FloatArray, context: FitContext) -> NetworkRows:
    """Return n rows as a network takes them; targets of a regression are standardised."""
    centre, spread = 0.0, 1.0
    if context.task == "regression":
        centre, spread = float(y.mean()), float(y.std()) or 1.0
        targets = ((y - centre) / spread)[:, None]
    elif context.task == "binary":
        targets = y[:, None]
    else:
        targets = np.eye(context.n_classes)[y.astype(int)]
    weights = np.ones(len(y)) if context.weights is None else context.weights
    X32, targets32, weights32 = (part.astype(np.float32) for part in (X, targets, weights))
    return NetworkRows(X32, targets32, weights32, centre, spread)


def train_epochs(
    train_epoch: Callable[[int], bool],
    snapshot: Callable[[], State],
    predict: Callable[[State, FloatArray], Predictions],
    *,
    params: Hyperparameters,
    context: FitContext,
) -> tuple[State, int, bool]:
    """Train until early stopping or the deadline; return the best state, its epoch, and success.

    Parameters
    ----------
    train_epoch : callable
        Trains epoch 1, 2, ...; returns False if the deadline cut the epoch short.
    snapshot : callable
        Returns the present state of the network.
    predict : callable
        From a state and X to predictions, for the validation rows.

    Returns
    -------
    state, int, bool
        The last is False if the deadline ended the training.
    """
    stopping, loss = EarlyStopping(context.deadline), make_validation_loss(context)
    best, epoch = snapshot(), 0
    n_epochs = context.max_rounds(int_param(params, "epochs"), EPOCHS_WITHOUT_VALIDATION)
    for epoch in range(1, n_epochs + 1):
        if not train_epoch(epoch) and epoch > 1:  # half an epoch would not be reproducible
            return best, stopping.best or epoch - 1, False
        state = snapshot()
        over = stopping.is_over(epoch, loss(partial(predict, state)))
        if stopping.best in (0, epoch):
            best = state
        if over:
            break
    return best, stopping.best or epoch, not stopping.expired


def make_validation_loss(
    context: FitContext,
) -> Callable[[Callable[[FloatArray], Predictions]], float | None]:
    """Return the function from a network's predict function to its loss on the validation rows.

    It is the optimised metric where that can be followed epoch by epoch, turned so that lower is
    better; None without validation rows.
    """
    if context.stopping_rows is None:
        return lambda _: None
    X, y_true = context.stopping_rows
    name = context.metric
    if name not in EVAL_METRICS or (name in ("roc_auc", "pr_auc") and not can_rank(y_true)):
        name = DEFAULT_EVAL_METRICS[context.task]
    metric = METRICS[name]

    def loss(predict: Callable[[FloatArray], Predictions]) -> float:
        score = metric.score(y_true, predict(X))
        return -score if metric.greater_is_better else score

    return loss


def iter_batches(
    n_rows: int, params: Hyperparameters, *, rng: np.random.Generator
) -> Iterator[tuple[float, Any]]:
    """Yield the rows of each batch in random order, with the share of batches before it.

    A small table has smaller batches, so that an epoch has at least `MIN_BATCHES` steps.
    """
    size = min(int_param(params, "batch_size"), max(1, n_rows // MIN_BATCHES))
    n_batches = max(1, round(n_rows / size))
    for number, batch in enumerate(np.array_split(rng.permutation(n_rows), n_batches)):
        yield number / n_batches, batch


def learning_rate(params: Hyperparameters, context: FitContext, epochs_done: float) -> float:
    """Return the learning rate after a number of epochs; the schedule spans all of them."""
    free = replace(context, iterations=None)
    n_epochs = free.max_rounds(int_param(params, "epochs"), EPOCHS_WITHOUT_VALIDATION)
    factor = learning_rate_factor(
        str(params["learning_rate_schedule"]), min(1.0, epochs_done / n_epochs)
    )
    return float_param(params, "learning_rate") * factor


def learning_rate_factor(schedule: str, done: float) -> float:
    """Return the factor of the learning rate after a share of all steps, from 0 to 1."""
    rise = min(1.0, (done + EPSILON) / WARM_UP_SHARE)
    if schedule == "constant":
        return rise
    if schedule == "cosine":
        return rise * 0.5 * (1 + math.cos(math.pi * done))
    return 0.5 * (1 - math.cos(2 * math.pi * math.log2(1 + (2**COSLOG_CYCLES - 1) * done)))


class Perceptron:
    """A multilayer perceptron in float32 that is trained in place.

    Attributes
    ----------
    layers : list of (array of shape (in, out), array of shape (out,))
        Weights and biases; the first weights are random and keep the variance of what passes (He et
        al. 2015).
    """

    def __init__(self, rows: NetworkRows, params: Hyperparameters, context: FitContext) -> None:
        self.rows, self.params, self.context = rows, params, context
        self.activation = TRAINING_ACTIVATIONS[str(params["activation"])]
        self.output_activation = OUTPUT_ACTIVATIONS[context.task]
        self.rng = np.random.default_rng(context.seed)
        hidden = [int_param(params, "width")] * int_param(params, "layers")
        initial = np.random.default_rng(context.seed)
        self.layers = [
            (
                initial.normal(size=pair, scale=math.sqrt(2 / pair[0])).astype(np.float32),
                np.zeros(pair[1], dtype=np.float32),
            )
            for pair in pairwise([rows.X.shape[1], *hidden, rows.targets.shape[1]])
        ]
        self.n_steps = 0
        self.first_moments, self.second_moments = self._zeros(), self._zeros()

    def train_epoch(self, epoch: int) -> bool:
        """Train for one epoch; return False if the deadline cut it short."""
        rows, params = self.rows, self.params
        step = self._nesterov_step if params["solver"] == "sgd" else self._adam_step
        for done, batch in iter_batches(len(rows.X), params, rng=self.rng):
            if time.monotonic() >= self.context.deadline:
                return False
            masks = self.dropout_masks(len(batch), float_param(params, "dropout"))
            gradient = self.gradients(
                rows.X[batch], rows.targets[batch], rows.weights[batch], masks
            )
            rate = learning_rate(params, self.context, epoch - 1 + done)
            step(gradient, rate)
            for weights, _ in self.layers:  # decoupled weight decay
                weights[...] *= np.float32(1 - rate * float_param(params, "alpha"))
        return True

    def copy_layers(self) -> Layers:
        """Return a copy of the layers as they are now."""
        return [(weights.copy(), biases.copy()) for weights, biases in self.layers]

    def forward(self, layers: Layers, X: Float32Array) -> Float32Array:
        """Return the outputs for n rows, of shape (n, n_outputs)."""
        for weights, biases in layers[:-1]:
            X = self.activation(X @ weights + biases)
        weights, biases = layers[-1]
        return self.output_activation(X @ weights + biases)

    def predict(self, layers: Layers, X: FloatArray) -> Predictions:
        """Return the predictions for n rows."""
        values = self.forward(layers, X.astype(np.float32)).astype(float)
        if self.context.task == "regression":
            return Predictions(values[:, 0] * self.rows.spread + self.rows.centre)
        proba = np.hstack([1 - values, values]) if self.context.task == "binary" else values
        return Predictions(proba.argmax(axis=1).astype(float), proba)

    def gradients(
        self,
        X: Float32Array,
        targets: Float32Array,
        weights: Float32Array,
        masks: list[Float32Array],
    ) -> Layers:
        """Return the gradient of the mean loss for each layer, by backpropagation.

        The loss is the log loss, or half the squared error: for both, its gradient at the outputs
        is prediction minus target.
        """
        layers, inputs = self.layers, [X]
        for number, (matrix, biases) in enumerate(layers[:-1]):
            hidden = self.activation(inputs[-1] @ matrix + biases)
            inputs.append(hidden * masks[number] if masks else hidden)
        matrix, biases = layers[-1]
        error = self.output_activation(inputs[-1] @ matrix + biases) - targets
        error *= (weights / np.float32(len(X)))[:, None]
        gradient: Layers = []
        for number in reversed(range(len(layers))):
            gradient.append((inputs[number].T @ error, error.sum(axis=0)))
            if number:
                error = error @ layers[number][0].T
                mask = masks[number - 1] if masks else None
                error *= self._hidden_derivative(inputs[number], mask)
        return gradient[::-1]

    def dropout_masks(self, n_rows: int, rate: float) -> list[Float32Array]:
        """Return random masks of the hidden layers, scaled up by 1 / (1 - rate)."""
        if rate == 0:
            return []
        scale = np.float32(1 / (1 - rate))
        return [
            (self.rng.random((n_rows, len(biases)), dtype=np.float32) >= rate).astype(np.float32)
            * scale
            for _, biases in self.layers[:-1]
        ]

    def to_sklearn(self, layers: Layers) -> Any:
        """Return scikit-learn's network with these layers; a fit on zeros gives it its shape."""
        context, rows = self.context, self.rows
        classes = np.arange(max(context.n_classes, 1), dtype=float)
        zeros = np.zeros((len(classes), len(layers[0][0])), dtype=np.float32)
        kind: Any = MLPRegressor if context.task == "regression" else MLPClassifier
        model = kind(
            hidden_layer_sizes=tuple(len(biases) for _, biases in layers[:-1]),
            activation=self.params["activation"],
            solver="lbfgs",
            max_iter=1,
            random_state=context.seed,
        ).fit(zeros, classes)
        weights, biases = layers[-1]
        last = (weights * rows.spread, biases * rows.spread + rows.centre)
        model.coefs_ = [part.astype(np.float32) for part, _ in (*layers[:-1], last)]
        model.intercepts_ = [part.astype(np.float32) for _, part in (*layers[:-1], last)]
        return model

    def _adam_step(self, gradient: Layers, rate: float) -> None:
        beta_1, beta_2 = float_param(self.params, "beta_1"), float_param(self.params, "beta_2")
        self.n_steps += 1
        correction = math.sqrt(1 - beta_2**self.n_steps) / (1 - beta_1**self.n_steps)
        size = np.float32(rate * correction)
        for number, layer in enumerate(self.layers):
            for part in (0, 1):
                slope = gradient[number][part]
                mean, square = self.first_moments[number][part], self.second_moments[number][part]
                mean += np.float32(1 - beta_1) * (slope - mean)
                square += np.float32(1 - beta_2) * (slope * slope - square)
                layer[part][...] -= size * mean / (np.sqrt(square) + np.float32(EPSILON))

    def _nesterov_step(self, gradient: Layers, rate: float) -> None:
        momentum = np.float32(float_param(self.params, "momentum"))
        for number, layer in enumerate(self.layers):
            for part in (0, 1):
                velocity, slope = self.first_moments[number][part], gradient[number][part]
                velocity *= momentum
                velocity -= np.float32(rate) * slope
                layer[part][...] += momentum * velocity - np.float32(rate) * slope

    def _zeros(self) -> Layers:
        return [(np.zeros_like(weights), np.zeros_like(biases)) for weights, biases in self.layers]

    def _hidden_derivative(self, hidden: Float32Array, mask: Float32Array | None) -> Float32Array:
        """Return the derivative of a hidden layer's output by its input, dropout included."""
        if self.params["activation"] == "relu":
            slope = (hidden > 0).astype(np.float32)
            return slope if mask is None else slope * mask
        if mask is None:
            return 1 - hidden * hidden
        before = np.divide(hidden, mask, out=np.zeros_like(hidden), where=mask > 0)
        return (1 - before * before) * mask
