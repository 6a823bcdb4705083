"""Neural networks for tables: trained by a loop of our own and kept as scikit-learn's.

The loop adds what scikit-learn's has not: dropout, a schedule of the learning rate over all epochs,
decoupled weight decay, the best epoch by the metric itself, and a deadline.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from pipelines.core.predictions import Floats, Predictions
from pipelines.tuning.descent import (
    Layers,
    Step,
    adam,
    first_layers,
    gradients,
    kept_by_dropout,
    momentum,
    said,
    scheduled,
)
from pipelines.tuning.epochs import (
    Rows,
    Scale,
    batch_rows,
    batches,
    epochs_of,
    judge,
    rows_of,
    scale_of,
)
from pipelines.tuning.growing import Grown, Hyperparameters, Setting, Watch, number, whole_number


def neural_network(X: Floats, y: Floats, chosen: Hyperparameters, setting: Setting) -> Grown:
    """Return a network of the best epoch."""
    with threadpool_limits(1):  # threads would add up in any order
        scale = scale_of(y, setting)
        rows = rows_of(X, y, setting=setting, scale=scale)
        widths = (X.shape[1], *_hidden(chosen), rows.targets.shape[1])
        layers, epochs, whole = _trained(
            first_layers(widths, seed=setting.seed), rows, chosen, setting=setting, scale=scale
        )
    return Grown(_put(layers, chosen, setting, scale), epochs, whole=whole)


def _hidden(chosen: Hyperparameters) -> tuple[int, ...]:
    return (whole_number(chosen, "width"),) * whole_number(chosen, "layers")


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
    score = judge(setting)
    learn = _learner(layers, rows, chosen, setting)
    for epoch in range(1, epochs_of(chosen, setting) + 1):
        if not learn(epoch) and epoch > 1:  # half an epoch could not be learned again
            return best, watch.best or epoch - 1, False
        say = _say(layers, chosen, setting=setting, scale=scale)
        over = watch.is_over(epoch, score(say))
        if watch.best in (0, epoch):
            best = [(weights.copy(), biases.copy()) for weights, biases in layers]
        if over:
            break
    return best, watch.best or epoch, not watch.expired


def _learner(
    layers: Layers, rows: Rows, chosen: Hyperparameters, setting: Setting
) -> Callable[[int], bool]:
    """Return what learns for one epoch, and says whether it did before the deadline came."""
    step, draws = _step(layers, chosen), np.random.default_rng(setting.seed)
    peak, schedule = number(chosen, "learning_rate"), str(chosen["schedule"])
    total = epochs_of(chosen, replace(setting, iterations=None))
    size = batch_rows(chosen, len(rows.X))
    dropout, activation = number(chosen, "dropout"), str(chosen["activation"])

    def learn(epoch: int) -> bool:
        for done, batch in batches(len(rows.X), size, draws=draws):
            if time.monotonic() >= setting.deadline:
                return False
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
        return True

    return learn


def _step(layers: Layers, chosen: Hyperparameters) -> Step:
    decay = number(chosen, "alpha")
    if chosen["solver"] == "sgd":
        return momentum(layers, share=number(chosen, "momentum"), decay=decay)
    return adam(
        layers, beta_1=number(chosen, "beta_1"), beta_2=number(chosen, "beta_2"), decay=decay
    )


def _say(
    layers: Layers, chosen: Hyperparameters, *, setting: Setting, scale: Scale
) -> Callable[[Floats], Predictions]:
    """Return what a network says of rows."""
    activation = str(chosen["activation"])

    def say(X: Floats) -> Predictions:
        raw = said(layers, X.astype(np.float32), activation=activation, task=setting.task)
        return _predictions(raw.astype(float), setting, scale)

    return say


def _predictions(raw: Floats, setting: Setting, scale: Scale) -> Predictions:
    if setting.task == "regression":
        return Predictions(raw[:, 0] * scale.spread + scale.centre)
    chances = np.hstack([1 - raw, raw]) if setting.task == "binary" else raw
    return Predictions(chances.argmax(axis=1).astype(float), chances)
