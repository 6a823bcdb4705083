"""What networks of any library share: rows and batches, epochs, and the score that stops them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.core.metrics import METRICS
from pipelines.core.predictions import Floats, Predictions
from pipelines.tuning.descent import Singles
from pipelines.tuning.growing import (
    LEAST_RANKED,
    Hyperparameters,
    Setting,
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


def scale_of(y: Floats, setting: Setting) -> Scale:
    """Return how the values of a regression are told; classes are told as they are."""
    if setting.task != "regression":
        return Scale()
    return Scale(float(y.mean()), float(y.std()) or 1.0)


def rows_of(X: Floats, y: Floats, *, setting: Setting, scale: Scale) -> Rows:
    """Return n rows as a network takes them."""
    if setting.task == "regression":
        targets = ((y - scale.centre) / scale.spread)[:, None]
    elif setting.task == "binary":
        targets = y[:, None]
    else:
        targets = np.eye(setting.n_classes)[y.astype(int)]
    weights = np.ones(len(y)) if setting.weights is None else setting.weights
    return Rows(*(part.astype(np.float32) for part in (X, targets, weights)))


def epochs_of(chosen: Hyperparameters, setting: Setting) -> int:
    """Return how many epochs there are at most."""
    most = whole_number(chosen, "epochs")
    if setting.iterations is not None:
        return setting.iterations
    return most if setting.validation else min(most, UNWATCHED_EPOCHS)


def batch_rows(chosen: Hyperparameters, n_rows: int) -> int:
    """Return how many rows a batch has: fewer than asked for where an epoch would have few steps.

    Examples
    --------
    >>> batch_rows({"batch_size": 256}, 100_000), batch_rows({"batch_size": 256}, 400)
    (256, 20)
    """
    return min(whole_number(chosen, "batch_size"), max(1, n_rows // LEAST_BATCHES))


def batches(n_rows: int, size: int, *, draws: Any) -> Iterator[tuple[float, Any]]:
    """Yield the rows of each batch in random order, with the share of rows before it."""
    order = draws.permutation(n_rows)
    n_batches = max(1, round(n_rows / size))
    for place, batch in enumerate(np.array_split(order, n_batches)):
        yield place / n_batches, batch


def judge(setting: Setting) -> Callable[[Callable[[Floats], Predictions]], float | None]:
    """Return what scores a network on the rows that stop it; lower is better, None is no score."""
    if setting.iterations is not None or setting.validation is None:
        return lambda _: None
    X, truth = setting.validation
    ranks = setting.metric in ("roc_auc", "pr_auc")
    known = setting.metric in WATCHED and not (ranks and rarest(truth) < LEAST_RANKED)
    metric = METRICS[setting.metric if known else JUDGES[setting.task]]

    def score(say: Callable[[Floats], Predictions]) -> float:
        found = metric.figure(truth, say(X))
        return -found if metric.greater_is_better else found

    return score
