"""Multilayer perceptrons for tables, trained with numpy.

`fit_neural_network` adds what scikit-learn's MLP lacks: dropout, a learning-rate schedule over
all epochs, decoupled weight decay, the best epoch by the metric itself, and a deadline. The
result is stored as a scikit-learn MLP. The batching, scaling and scoring helpers are shared with
`evertune.models.embedding_mlp`.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_limits

from evertune.metrics.metrics import METRICS
from evertune.models.training import (
    MIN_ROWS_FOR_RANKING,
    EarlyStopping,
    FitContext,
    FitResult,
    Hyperparameters,
    float_param,
    int_param,
    minority_count,
)
from evertune.types import FloatArray, Predictions, Task

Float32Array = NDArray[np.float32]
Layers = list[
    tuple[Float32Array, Float32Array]
]  # weights of shape (in, out) and biases of shape (out,)
OptimizerStep = Callable[[Layers, float], None]

WARM_UP_SHARE = 0.05  # share of all steps in which the learning rate rises
COSLOG_CYCLES = 4  # of the schedule coslog4
EPSILON = 1e-8

OUTPUT_ACTIVATIONS: dict[Task, Callable[[Float32Array], Float32Array]] = {
    "binary": expit,
    "multiclass": lambda raw: softmax(raw, axis=1),
    "regression": lambda raw: raw,
}
TRAINING_ACTIVATIONS: dict[str, Callable[[Float32Array], Float32Array]] = {
    "relu": lambda raw: np.maximum(raw, np.float32(0)),
    "tanh": np.tanh,
}


def initial_layers(widths: Sequence[int], *, seed: int) -> Layers:
    """Return random weights that keep the spread of what passes (He's), and no biases.

    Examples
    --------
    >>> [weights.shape for weights, _ in initial_layers([3, 8, 1], seed=0)]
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


def forward_pass(layers: Layers, X: Float32Array, *, activation: str, task: Task) -> Float32Array:
    """Return what a network says about rows: shape (n, outputs).

    Examples
    --------
    >>> layers = [(np.ones((2, 1), np.float32), np.zeros(1, np.float32))]
    >>> forward_pass(layers, np.array([[1, 2]], np.float32), activation="relu", task="regression").tolist()
    [[3.0]]
    """
    for weights, biases in layers[:-1]:
        X = TRAINING_ACTIVATIONS[activation](X @ weights + biases)
    weights, biases = layers[-1]
    return OUTPUT_ACTIVATIONS[task](X @ weights + biases)


def gradients(
    layers: Layers,
    X: Float32Array,
    targets: Float32Array,
    *,
    weights: Float32Array,
    activation: str,
    task: Task,
    masks: list[Float32Array],
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
        hidden = TRAINING_ACTIVATIONS[activation](inputs[-1] @ matrix + biases)
        inputs.append(hidden * masks[place] if masks else hidden)
    matrix, biases = layers[-1]
    error = OUTPUT_ACTIVATIONS[task](inputs[-1] @ matrix + biases) - targets
    error *= (weights / np.float32(len(X)))[:, None]
    found: Layers = []
    for place in reversed(range(len(layers))):
        found.append((inputs[place].T @ error, error.sum(axis=0)))
        if place:
            error = error @ layers[place][0].T
            error *= _hidden_derivative(
                inputs[place], activation, masks[place - 1] if masks else None
            )
    return found[::-1]


def _hidden_derivative(
    hidden: Float32Array, activation: str, mask: Float32Array | None
) -> Float32Array:
    """Return the derivative of a hidden layer by its raw values, dropout included."""
    if activation == "relu":
        slope = (hidden > 0).astype(np.float32)
        return slope if mask is None else slope * mask
    if mask is None:
        return 1 - hidden * hidden
    before = np.divide(hidden, mask, out=np.zeros_like(hidden), where=mask > 0)
    return (1 - before * before) * mask


def make_adam(layers: Layers, *, beta_1: float, beta_2: float, decay: float) -> OptimizerStep:
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
                values -= size * mean / (np.sqrt(square) + np.float32(EPSILON))
            layer[0][...] *= np.float32(1 - rate * decay)

    return step


def make_nesterov_momentum(layers: Layers, *, share: float, decay: float) -> OptimizerStep:
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


def learning_rate_factor(schedule: str, done: float) -> float:
    """Return the share of the learning rate after a share of all steps.

    Parameters
    ----------
    schedule : str
        `constant`, `cosine` (falls to 0), or `coslog4` (four falls, each longer than the last).
    done : float
        From 0 to 1.

    Examples
    --------
    >>> [round(learning_rate_factor("cosine", done), 2) for done in (0.05, 0.5, 1.0)]
    [0.99, 0.5, 0.0]
    """
    rise = min(1.0, (done + EPSILON) / WARM_UP_SHARE)
    if schedule == "constant":
        return rise
    if schedule == "cosine":
        return rise * 0.5 * (1 + math.cos(math.pi * done))
    return 0.5 * (1 - math.cos(2 * math.pi * math.log2(1 + (2**COSLOG_CYCLES - 1) * done)))


def dropout_masks(layers: Layers, n_rows: int, *, rate: float, draws: Any) -> list[Float32Array]:
    """Return random masks of the hidden layers, scaled up by what is dropped."""
    if rate == 0:
        return []
    return [
        (draws.random((n_rows, len(biases)), dtype=np.float32) >= rate) / np.float32(1 - rate)
        for _, biases in layers[:-1]
    ]


EPOCHS_WITHOUT_VALIDATION = 40  # without rows on which to stop
MIN_BATCHES = 20  # of an epoch, on a small table
DEFAULT_EVAL_METRICS = {"binary": "log_loss", "multiclass": "log_loss", "regression": "rmse"}
EVAL_METRICS = ("roc_auc", "pr_auc", "log_loss", "brier", "rmse", "mae", "mape")


@dataclass(frozen=True, eq=False)
class NetworkRows:
    """Rows as a network takes them: X and targets of shape (n, outputs), and weights."""

    X: Float32Array
    targets: Float32Array
    weights: Float32Array


@dataclass(frozen=True)
class TargetScale:
    """How values of a regression are told to the network: less the centre, over the spread."""

    centre: float = 0.0
    spread: float = 1.0


def fit_target_scale(y: FloatArray, setting: FitContext) -> TargetScale:
    """Return how the values of a regression are told; classes are told as they are."""
    if setting.task != "regression":
        return TargetScale()
    return TargetScale(float(y.mean()), float(y.std()) or 1.0)


def make_network_rows(
    X: FloatArray, y: FloatArray, *, setting: FitContext, scale: TargetScale
) -> NetworkRows:
    """Return n rows as a network takes them."""
    if setting.task == "regression":
        targets = ((y - scale.centre) / scale.spread)[:, None]
    elif setting.task == "binary":
        targets = y[:, None]
    else:
        targets = np.eye(setting.n_classes)[y.astype(int)]
    weights = np.ones(len(y)) if setting.weights is None else setting.weights
    return NetworkRows(*(part.astype(np.float32) for part in (X, targets, weights)))


def max_epochs(chosen: Hyperparameters, setting: FitContext) -> int:
    """Return how many epochs there are at most."""
    most = int_param(chosen, "epochs")
    if setting.iterations is not None:
        return setting.iterations
    return most if setting.validation else min(most, EPOCHS_WITHOUT_VALIDATION)


def effective_batch_size(chosen: Hyperparameters, n_rows: int) -> int:
    """Return how many rows a batch has: fewer than asked for where an epoch would have few steps.

    Examples
    --------
    >>> effective_batch_size({"batch_size": 256}, 100_000), effective_batch_size({"batch_size": 256}, 400)
    (256, 20)
    """
    return min(int_param(chosen, "batch_size"), max(1, n_rows // MIN_BATCHES))


def iter_batches(n_rows: int, size: int, *, draws: Any) -> Iterator[tuple[float, Any]]:
    """Yield the rows of each batch in random order, with the share of rows before it."""
    order = draws.permutation(n_rows)
    n_batches = max(1, round(n_rows / size))
    for place, batch in enumerate(np.array_split(order, n_batches)):
        yield place / n_batches, batch


def make_validation_scorer(
    setting: FitContext,
) -> Callable[[Callable[[FloatArray], Predictions]], float | None]:
    """Return what scores a network on the rows that stop it; lower is better, None is no score."""
    if setting.iterations is not None or setting.validation is None:
        return lambda _: None
    X, truth = setting.validation
    ranks = setting.metric in ("roc_auc", "pr_auc")
    known = setting.metric in EVAL_METRICS and not (
        ranks and minority_count(truth) < MIN_ROWS_FOR_RANKING
    )
    metric = METRICS[setting.metric if known else DEFAULT_EVAL_METRICS[setting.task]]

    def score(say: Callable[[FloatArray], Predictions]) -> float:
        found = metric.score(truth, say(X))
        return -found if metric.greater_is_better else found

    return score


def fit_neural_network(
    X: FloatArray, y: FloatArray, chosen: Hyperparameters, setting: FitContext
) -> FitResult:
    """Return a network of the best epoch."""
    with threadpool_limits(1):  # threads would add up in any order
        scale = fit_target_scale(y, setting)
        rows = make_network_rows(X, y, setting=setting, scale=scale)
        widths = (X.shape[1], *_hidden_widths(chosen), rows.targets.shape[1])
        layers, epochs, whole = _train(
            initial_layers(widths, seed=setting.seed), rows, chosen, setting=setting, scale=scale
        )
    return FitResult(_to_sklearn_mlp(layers, chosen, setting, scale), epochs, whole=whole)


def _hidden_widths(chosen: Hyperparameters) -> tuple[int, ...]:
    return (int_param(chosen, "width"),) * int_param(chosen, "layers")


def _to_sklearn_mlp(
    layers: Layers, chosen: Hyperparameters, setting: FitContext, scale: TargetScale
) -> Any:
    """Return scikit-learn's network with these layers; a fit on blanks gives it its shape."""
    hidden = tuple(len(biases) for _, biases in layers[:-1])
    values = {
        "activation": chosen["activation"],
        "solver": "lbfgs",
        "max_iter": 1,
        "random_state": setting.seed,
    }
    classes = np.arange(max(setting.n_classes, 1), dtype=float)
    blank = np.zeros((len(classes), len(layers[0][0])), dtype=np.float32)
    kind: Any = MLPRegressor if setting.task == "regression" else MLPClassifier
    model = kind(hidden_layer_sizes=hidden, **values).fit(blank, classes)
    weights, biases = layers[-1]
    last = (weights * scale.spread, biases * scale.spread + scale.centre)
    model.coefs_ = [part.astype(np.float32) for part, _ in (*layers[:-1], last)]
    model.intercepts_ = [part.astype(np.float32) for _, part in (*layers[:-1], last)]
    return model


def _train(
    layers: Layers,
    rows: NetworkRows,
    chosen: Hyperparameters,
    *,
    setting: FitContext,
    scale: TargetScale,
) -> tuple[Layers, int, bool]:
    watch, best, epoch = EarlyStopping(setting.deadline), layers, 0
    score = make_validation_scorer(setting)
    learn = _make_epoch_trainer(layers, rows, chosen, setting)
    for epoch in range(1, max_epochs(chosen, setting) + 1):
        if not learn(epoch) and epoch > 1:  # half an epoch could not be learned again
            return best, watch.best or epoch - 1, False
        say = _make_predict_function(layers, chosen, setting=setting, scale=scale)
        over = watch.is_over(epoch, score(say))
        if watch.best in (0, epoch):
            best = [(weights.copy(), biases.copy()) for weights, biases in layers]
        if over:
            break
    return best, watch.best or epoch, not watch.expired


def _make_epoch_trainer(
    layers: Layers, rows: NetworkRows, chosen: Hyperparameters, setting: FitContext
) -> Callable[[int], bool]:
    """Return what learns for one epoch, and says whether it did before the deadline came."""
    step, draws = _make_optimizer(layers, chosen), np.random.default_rng(setting.seed)
    peak, schedule = float_param(chosen, "learning_rate"), str(chosen["schedule"])
    total = max_epochs(chosen, replace(setting, iterations=None))
    size = effective_batch_size(chosen, len(rows.X))
    dropout, activation = float_param(chosen, "dropout"), str(chosen["activation"])

    def learn(epoch: int) -> bool:
        for done, batch in iter_batches(len(rows.X), size, draws=draws):
            if time.monotonic() >= setting.deadline:
                return False
            found = gradients(
                layers,
                rows.X[batch],
                rows.targets[batch],
                weights=rows.weights[batch],
                activation=activation,
                task=setting.task,
                masks=dropout_masks(layers, len(batch), rate=dropout, draws=draws),
            )
            step(found, peak * learning_rate_factor(schedule, min(1.0, (epoch - 1 + done) / total)))
        return True

    return learn


def _make_optimizer(layers: Layers, chosen: Hyperparameters) -> OptimizerStep:
    decay = float_param(chosen, "alpha")
    if chosen["solver"] == "sgd":
        return make_nesterov_momentum(layers, share=float_param(chosen, "momentum"), decay=decay)
    return make_adam(
        layers,
        beta_1=float_param(chosen, "beta_1"),
        beta_2=float_param(chosen, "beta_2"),
        decay=decay,
    )


def _make_predict_function(
    layers: Layers, chosen: Hyperparameters, *, setting: FitContext, scale: TargetScale
) -> Callable[[FloatArray], Predictions]:
    """Return what a network says of rows."""
    activation = str(chosen["activation"])

    def say(X: FloatArray) -> Predictions:
        raw = forward_pass(layers, X.astype(np.float32), activation=activation, task=setting.task)
        return _to_predictions(raw.astype(float), setting, scale)

    return say


def _to_predictions(raw: FloatArray, setting: FitContext, scale: TargetScale) -> Predictions:
    if setting.task == "regression":
        return Predictions(raw[:, 0] * scale.spread + scale.centre)
    chances = np.hstack([1 - raw, raw]) if setting.task == "binary" else raw
    return Predictions(chances.argmax(axis=1).astype(float), chances)
