"""Neural networks for tables: trained by a loop of our own and kept as scikit-learn's.

The loop adds what scikit-learn's has not: dropout, a schedule of the learning rate over all epochs,
decoupled weight decay, the best epoch by the metric itself, and a deadline.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from pipelines.core.metrics import METRICS
from pipelines.core.predictions import Floats, Predictions
from pipelines.tuning.descent import (
    Layers,
    Singles,
    Step,
    adam,
    first_layers,
    gradients,
    kept_by_dropout,
    momentum,
    said,
    scheduled,
)
from pipelines.tuning.growing import (
    LEAST_RANKED,
    Grown,
    Hyperparameters,
    Setting,
    Watch,
    number,
    rarest,
    whole_number,
)

UNWATCHED_EPOCHS = 40  # without rows on which to stop
LEAST_BATCHES = 20  # of an epoch, on a small table
JUDGES = {"binary": "log_loss", "multiclass": "log_loss", "regression": "rmse"}
WATCHED = ("roc_auc", "pr_auc", "log_loss", "brier", "rmse", "mae", "mape")


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows as a network takes them: X and targets of shape (n, outputs), and weights."""

    X: Singles
    targets: Singles
    weights: Singles


@dataclass(frozen=True)
class Scale:
    """How values of a regression are told to the network: less the centre, over the spread."""

    centre: float = 0.0
    spread: float = 1.0


def neural_network(X: Floats, y: Floats, chosen: Hyperparameters, setting: Setting) -> Grown:
    """Return a network of the best epoch."""
    with threadpool_limits(1):  # threads would add up in any order
        scale = _scale(y, setting)
        rows = _rows(X, y, setting=setting, scale=scale)
        widths = (X.shape[1], *_hidden(chosen), rows.targets.shape[1])
        layers, epochs, whole = _trained(
            first_layers(widths, seed=setting.seed), rows, chosen, setting=setting, scale=scale
        )
    return Grown(_put(layers, chosen, setting, scale), epochs, whole=whole)


def _hidden(chosen: Hyperparameters) -> tuple[int, ...]:
    return (whole_number(chosen, "width"),) * whole_number(chosen, "layers")


def _scale(y: Floats, setting: Setting) -> Scale:
    if setting.task != "regression":
        return Scale()
    return Scale(float(y.mean()), float(y.std()) or 1.0)


def _rows(X: Floats, y: Floats, *, setting: Setting, scale: Scale) -> Rows:
    if setting.task == "regression":
        targets = ((y - scale.centre) / scale.spread)[:, None]
    elif setting.task == "binary":
        targets = y[:, None]
    else:
        targets = np.eye(setting.n_classes)[y.astype(int)]
    weights = np.ones(len(y)) if setting.weights is None else setting.weights
    return Rows(*(part.astype(np.float32) for part in (X, targets, weights)))


def _put(layers: Layers, chosen: Hyperparameters, setting: Setting, scale: Scale) -> Any:
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


def _trained(
    layers: Layers, rows: Rows, chosen: Hyperparameters, *, setting: Setting, scale: Scale
) -> tuple[Layers, int, bool]:
    watch, best, epoch = Watch(setting.deadline), layers, 0
    judge = _judge(chosen, setting, scale)
    learn = _learner(layers, rows, chosen, setting)
    for epoch in range(1, _epochs(chosen, setting) + 1):
        learn(epoch)
        over = watch.is_over(epoch, judge(layers))
        if watch.best in (0, epoch):
            best = [(weights.copy(), biases.copy()) for weights, biases in layers]
        if over:
            break
    return best, watch.best or epoch, not watch.expired


def _epochs(chosen: Hyperparameters, setting: Setting) -> int:
    most = whole_number(chosen, "epochs")
    if setting.iterations is not None:
        return setting.iterations
    return most if setting.validation else min(most, UNWATCHED_EPOCHS)


def _learner(
    layers: Layers, rows: Rows, chosen: Hyperparameters, setting: Setting
) -> Callable[[int], None]:
    """Return what learns for one epoch, unless the deadline comes first."""
    step, draws = _step(layers, chosen), np.random.default_rng(setting.seed)
    peak, schedule = number(chosen, "learning_rate"), str(chosen["schedule"])
    total = _epochs(chosen, replace(setting, iterations=None))
    size = min(whole_number(chosen, "batch_size"), max(1, len(rows.X) // LEAST_BATCHES))
    dropout, activation = number(chosen, "dropout"), str(chosen["activation"])

    def learn(epoch: int) -> None:
        for done, batch in _batches(len(rows.X), size, draws=draws):
            if time.monotonic() >= setting.deadline:
                return
            found = gradients(
                layers,
                rows.X[batch],
                rows.targets[batch],
                weights=rows.weights[batch],
                activation=activation,
                task=setting.task,
                masks=kept_by_dropout(layers, len(batch), rate=dropout, draws=draws),
            )
            step(found, peak * scheduled(schedule, min(1.0, (epoch - 1 + done) / total)))

    return learn


def _batches(n_rows: int, size: int, *, draws: Any) -> Iterator[tuple[float, Any]]:
    """Yield the rows of each batch in random order, with the share of rows before it."""
    order = draws.permutation(n_rows)
    n_batches = max(1, round(n_rows / size))
    for place, batch in enumerate(np.array_split(order, n_batches)):
        yield place / n_batches, batch


def _step(layers: Layers, chosen: Hyperparameters) -> Step:
    decay = number(chosen, "alpha")
    if chosen["solver"] == "sgd":
        return momentum(layers, share=number(chosen, "momentum"), decay=decay)
    return adam(
        layers, beta_1=number(chosen, "beta_1"), beta_2=number(chosen, "beta_2"), decay=decay
    )


def _judge(
    chosen: Hyperparameters, setting: Setting, scale: Scale
) -> Callable[[Layers], float | None]:
    """Return what scores a network on the rows that stop it; lower is better."""
    if setting.iterations is not None or setting.validation is None:
        return lambda _: None
    X, truth = setting.validation[0].astype(np.float32), setting.validation[1]
    ranks = setting.metric in ("roc_auc", "pr_auc")
    known = setting.metric in WATCHED and not (ranks and rarest(truth) < LEAST_RANKED)
    metric = METRICS[setting.metric if known else JUDGES[setting.task]]

    def score(layers: Layers) -> float:
        raw = said(layers, X, activation=str(chosen["activation"]), task=setting.task)
        found = metric.figure(truth, _predictions(raw.astype(float), setting, scale))
        return -found if metric.greater_is_better else found

    return score


def _predictions(raw: Floats, setting: Setting, scale: Scale) -> Predictions:
    if setting.task == "regression":
        return Predictions(raw[:, 0] * scale.spread + scale.centre)
    chances = np.hstack([1 - raw, raw]) if setting.task == "binary" else raw
    return Predictions(chances.argmax(axis=1).astype(float), chances)
