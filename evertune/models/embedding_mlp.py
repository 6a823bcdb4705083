"""Multilayer perceptrons with embeddings of categories, trained by PyTorch.

PyTorch comes with the extra `neural` and is imported only during a fit; `check_installed`
explains how to install it. The result is an `evertune.models.network.Network`, which predicts
without PyTorch. Training is seeded and single-threaded, so that it is reproducible.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np

from evertune.models.mlp import (
    NetworkRows,
    TargetScale,
    effective_batch_size,
    fit_target_scale,
    iter_batches,
    learning_rate_factor,
    make_network_rows,
    make_validation_scorer,
    max_epochs,
)
from evertune.models.network import Network, codes_with_unknown
from evertune.models.training import (
    EarlyStopping,
    FitContext,
    FitResult,
    Hyperparameters,
    float_param,
    int_param,
)
from evertune.types import FloatArray, Predictions

OPTIONAL_LIBRARIES = {
    "embedding_network": ("torch", "neural")
}  # the library, and the extra that brings it


def check_installed(families: Iterable[str]) -> None:
    """Refuse families whose library is not there.

    Raises
    ------
    ValueError
        If there are any; the message says how to install what they need.

    Examples
    --------
    >>> check_installed(["linear", "lightgbm"])
    """
    for family in sorted(set(families) & set(OPTIONAL_LIBRARIES)):
        library, extra = OPTIONAL_LIBRARIES[family]
        if not is_installed(library):
            raise ValueError(
                f"{family} needs {library}, which is not installed. Install it by "
                f"`pip install evertune[{extra}]`, or leave {family} out of search.families."
            )


def is_installed(library: str) -> bool:
    """Return whether a library is there, without importing it.

    Examples
    --------
    >>> is_installed("numpy"), is_installed("no_such_library")
    (True, False)
    """
    return find_spec(library) is not None


EmbeddingTables = list[Any]  # of tensors: the embedding of each column of codes
LinearLayers = list[Any]  # of torch.nn.Linear
EMBEDDING_INIT_STD = 0.1  # standard deviation of embeddings at the start


def fit_embedding_network(
    X: FloatArray, y: FloatArray, chosen: Hyperparameters, setting: FitContext
) -> FitResult:
    """Return a network of the best epoch; the first columns of X are codes of levels.

    Raises
    ------
    ValueError
        If PyTorch is not installed.
    """
    check_installed(["embedding_network"])
    with _deterministic_torch(setting.seed):
        scale = fit_target_scale(y, setting)
        rows = make_network_rows(X[:, setting.n_levels :], y, setting=setting, scale=scale)
        sizes = [_n_codes(X[:, place]) for place in range(setting.n_levels)]
        codes = [codes_with_unknown(X[:, place], size) for place, size in enumerate(sizes)]
        tables, layers = _initial_parameters(sizes, rows, chosen)
        freeze = partial(_to_network, tables, layers, chosen=chosen, setting=setting, scale=scale)
        learn = _make_epoch_trainer(
            tables, layers, rows, codes=codes, chosen=chosen, setting=setting
        )
        return _train(learn, freeze, chosen=chosen, setting=setting)


@contextmanager
def _deterministic_torch(seed: int) -> Iterator[None]:
    """Have PyTorch draw from the seed and add up in one order, and leave it as it was."""
    import torch

    n_threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(n_threads)


def _n_codes(codes: FloatArray) -> int:
    known = codes[~np.isnan(codes)]
    return int(known.max()) + 1 if len(known) else 0


def _initial_parameters(
    sizes: list[int], rows: NetworkRows, chosen: Hyperparameters
) -> tuple[EmbeddingTables, LinearLayers]:
    """Return embeddings and layers as they are before the first step."""
    import torch

    widest = int_param(chosen, "embedding_width")
    tables = [
        torch.nn.Parameter(
            EMBEDDING_INIT_STD * torch.randn(size + 1, min(widest, math.ceil(size / 2)))
        )
        for size in (max(each, 1) for each in sizes)
    ]
    for table in tables:  # the last row is that of levels never seen: nothing
        table.data[-1] = 0
    inputs = rows.X.shape[1] + sum(table.shape[1] for table in tables)
    hidden = [int_param(chosen, "width")] * int_param(chosen, "layers")
    widths = [inputs, *hidden, rows.targets.shape[1]]
    return tables, [torch.nn.Linear(*pair) for pair in pairwise(widths)]


def _train(
    learn: Callable[[int], bool],
    freeze: Callable[[], Network],
    *,
    chosen: Hyperparameters,
    setting: FitContext,
) -> FitResult:
    watch, score, best, epoch = (
        EarlyStopping(setting.deadline),
        make_validation_scorer(setting),
        freeze(),
        0,
    )
    for epoch in range(1, max_epochs(chosen, setting) + 1):
        if not learn(epoch) and epoch > 1:  # half an epoch could not be learned again
            return FitResult(best, watch.best or epoch - 1, whole=False)
        network = freeze()
        over = watch.is_over(epoch, score(partial(_to_predictions, network)))
        if watch.best in (0, epoch):
            best = network
        if over:
            break
    return FitResult(best, watch.best or epoch, whole=not watch.expired)


def _make_epoch_trainer(
    tables: EmbeddingTables,
    layers: LinearLayers,
    rows: NetworkRows,
    *,
    codes: list[Any],
    chosen: Hyperparameters,
    setting: FitContext,
) -> Callable[[int], bool]:
    """Return what learns for one epoch, and says whether it did before the deadline came."""
    import torch

    draws, size = np.random.default_rng(setting.seed), effective_batch_size(chosen, len(rows.X))
    peak, schedule = float_param(chosen, "learning_rate"), str(chosen["schedule"])
    total = max_epochs(chosen, replace(setting, iterations=None))
    X, targets, weights = (torch.from_numpy(part) for part in (rows.X, rows.targets, rows.weights))
    places = [torch.from_numpy(each) for each in codes]
    optimiser = _make_optimizer(tables, layers, chosen)
    passed = _make_forward(tables, layers, chosen)

    def learn(epoch: int) -> bool:
        for done, batch in iter_batches(len(rows.X), size, draws=draws):
            if time.monotonic() >= setting.deadline:
                return False
            rate = peak * learning_rate_factor(schedule, min(1.0, (epoch - 1 + done) / total))
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.zero_grad()
            raw = passed(X[batch], [each[batch] for each in places])
            _weighted_loss(raw, targets[batch], weights[batch], task=setting.task).backward()
            optimiser.step()
        return True

    return learn


def _make_optimizer(tables: EmbeddingTables, layers: LinearLayers, chosen: Hyperparameters) -> Any:
    """Return what takes steps; weights alone decay, as far as the learning rate goes."""
    import torch

    groups = [
        {
            "params": [layer.weight for layer in layers],
            "weight_decay": float_param(chosen, "alpha"),
        },
        {"params": [*tables, *(layer.bias for layer in layers)], "weight_decay": 0.0},
    ]
    rate = float_param(chosen, "learning_rate")
    if chosen["solver"] == "sgd":
        return torch.optim.SGD(
            groups, lr=rate, momentum=float_param(chosen, "momentum"), nesterov=True
        )
    betas = (float_param(chosen, "beta_1"), float_param(chosen, "beta_2"))
    kind = torch.optim.NAdam if chosen["solver"] == "nadam" else torch.optim.AdamW
    decoupled = {"decoupled_weight_decay": True} if chosen["solver"] == "nadam" else {}
    return kind(groups, lr=rate, betas=betas, **decoupled)


def _make_forward(
    tables: EmbeddingTables, layers: LinearLayers, chosen: Hyperparameters
) -> Callable[[Any, list[Any]], Any]:
    """Return the pass of a batch through a network that learns, dropout included."""
    import torch

    activation = getattr(torch.nn.functional, str(chosen["activation"]))
    rate = float_param(chosen, "dropout")

    def passed(X: Any, codes: list[Any]) -> Any:
        known = [table[places] for table, places in zip(tables, codes, strict=True)]
        hidden = torch.cat([*known, X], dim=1)
        for layer in layers[:-1]:
            hidden = torch.nn.functional.dropout(activation(layer(hidden)), rate)
        return layers[-1](hidden)

    return passed


def _weighted_loss(raw: Any, targets: Any, weights: Any, *, task: str) -> Any:
    """Return the weighted mean of the log loss, or of half the squared error."""
    from torch.nn import functional

    if task == "regression":
        losses = 0.5 * (raw - targets).square().sum(dim=1)
    elif task == "binary":
        losses = functional.binary_cross_entropy_with_logits(raw, targets, reduction="none")[:, 0]
    else:
        losses = functional.cross_entropy(raw, targets, reduction="none")
    return (losses * weights).mean()


def _to_network(
    tables: EmbeddingTables,
    layers: LinearLayers,
    *,
    chosen: Hyperparameters,
    setting: FitContext,
    scale: TargetScale,
) -> Network:
    """Return the network as it is now, as arrays."""
    return Network(
        task=setting.task,
        tables=[table.detach().numpy().copy() for table in tables],
        weights=[layer.weight.detach().numpy().T.copy() for layer in layers],
        biases=[layer.bias.detach().numpy().copy() for layer in layers],
        activation=str(chosen["activation"]),
        centre=scale.centre,
        spread=scale.spread,
    )


def _to_predictions(network: Network, X: FloatArray) -> Predictions:
    if network.task == "regression":
        return Predictions(network.predict(X))
    chances = network.predict_proba(X)
    return Predictions(chances.argmax(axis=1).astype(np.float64), chances)
