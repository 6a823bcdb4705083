"""Multilayer perceptrons with embeddings of categories, trained by PyTorch.

PyTorch comes with the extra `neural` and is imported only during a fit; `check_installed`
explains how to install it. The result is an `evertune.models.network.Network`, which predicts
without PyTorch. Training is seeded and single-threaded, so that it is reproducible.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np

from evertune.models.fit_context import (
    FitContext,
    FitResult,
    Hyperparameters,
    float_param,
    int_param,
)
from evertune.models.network import Network, codes_with_unknown
from evertune.models.neural_network import (
    NetworkRows,
    iter_batches,
    learning_rate,
    make_network_rows,
    train_epochs,
)
from evertune.types import FloatArray, Predictions

OPTIONAL_LIBRARIES = {"embedding_mlp": ("torch", "neural")}  # the library, and its extra
EMBEDDING_INIT_STD = 0.1  # standard deviation of embeddings at the start


def check_installed(families: Iterable[str]) -> None:
    """Refuse families whose library is not installed.

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
    """Return whether a library is installed, without importing it."""
    return find_spec(library) is not None


def fit_embedding_network(
    X: FloatArray, y: FloatArray, params: Hyperparameters, context: FitContext
) -> FitResult:
    """Fit a network and keep its best epoch; the first columns of X are codes of categories.

    Raises
    ------
    ValueError
        If PyTorch is not installed.
    """
    check_installed(["embedding_mlp"])
    with _deterministic_torch(context.seed):
        rows = make_network_rows(X[:, context.n_ordinal :], y, context)
        sizes = [_n_codes(X[:, column]) for column in range(context.n_ordinal)]
        codes = [codes_with_unknown(X[:, column], size) for column, size in enumerate(sizes)]
        tables, layers = _initial_parameters(sizes, rows, params)

        def snapshot() -> Network:
            return Network(
                task=context.task,
                tables=[table.detach().numpy().copy() for table in tables],
                weights=[layer.weight.detach().numpy().T.copy() for layer in layers],
                biases=[layer.bias.detach().numpy().copy() for layer in layers],
                activation=str(params["activation"]),
                centre=rows.centre,
                spread=rows.spread,
            )

        network, epochs, whole = train_epochs(
            _make_epoch_trainer(tables, layers, rows, codes=codes, params=params, context=context),
            snapshot,
            _predict,
            params=params,
            context=context,
        )
    return FitResult(network, epochs, whole=whole)


@contextmanager
def _deterministic_torch(seed: int) -> Iterator[None]:
    """Seed PyTorch and use one thread, and restore both."""
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
    sizes: list[int], rows: NetworkRows, params: Hyperparameters
) -> tuple[list[Any], list[Any]]:
    """Return the embedding tables and the linear layers before the first step."""
    import torch

    widest = int_param(params, "embedding_dim")
    tables = [
        torch.nn.Parameter(
            EMBEDDING_INIT_STD * torch.randn(size + 1, min(widest, math.ceil(size / 2)))
        )
        for size in (max(each, 1) for each in sizes)
    ]
    for table in tables:  # the last row, of unknown categories, stays zero
        table.data[-1] = 0
    n_inputs = rows.X.shape[1] + sum(table.shape[1] for table in tables)
    hidden = [int_param(params, "width")] * int_param(params, "layers")
    widths = [n_inputs, *hidden, rows.targets.shape[1]]
    return tables, [torch.nn.Linear(*pair) for pair in pairwise(widths)]


def _make_epoch_trainer(
    tables: list[Any],
    layers: list[Any],
    rows: NetworkRows,
    *,
    codes: list[Any],
    params: Hyperparameters,
    context: FitContext,
) -> Callable[[int], bool]:
    """Return the function that trains tables and layers in place for one epoch."""
    import torch

    rng = np.random.default_rng(context.seed)
    X, targets, weights = (torch.from_numpy(part) for part in (rows.X, rows.targets, rows.weights))
    code_columns = [torch.from_numpy(column) for column in codes]
    optimizer = _make_optimizer(tables, layers, params)
    activation = getattr(torch.nn.functional, str(params["activation"]))
    dropout = float_param(params, "dropout")

    def forward(batch: Any) -> Any:
        embedded = [
            table[column[batch]] for table, column in zip(tables, code_columns, strict=True)
        ]
        hidden = torch.cat([*embedded, X[batch]], dim=1)
        for layer in layers[:-1]:
            hidden = torch.nn.functional.dropout(activation(layer(hidden)), dropout)
        return layers[-1](hidden)

    def train_epoch(epoch: int) -> bool:
        for done, batch in iter_batches(len(rows.X), params, rng=rng):
            if time.monotonic() >= context.deadline:
                return False
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(params, context, epoch - 1 + done)
            optimizer.zero_grad()
            losses = _losses(forward(batch), targets[batch], task=context.task)
            (losses * weights[batch]).mean().backward()
            optimizer.step()
        return True

    return train_epoch


def _make_optimizer(tables: list[Any], layers: list[Any], params: Hyperparameters) -> Any:
    """Return the optimizer; only the weights of layers decay, in proportion to the rate."""
    import torch

    decay = float_param(params, "alpha")
    groups = [
        {"params": [layer.weight for layer in layers], "weight_decay": decay},
        {"params": [*tables, *(layer.bias for layer in layers)], "weight_decay": 0.0},
    ]
    rate = float_param(params, "learning_rate")
    if params["solver"] == "sgd":
        momentum = float_param(params, "momentum")
        return torch.optim.SGD(groups, lr=rate, momentum=momentum, nesterov=True)
    betas = (float_param(params, "beta_1"), float_param(params, "beta_2"))
    if params["solver"] == "nadam":
        return torch.optim.NAdam(groups, lr=rate, betas=betas, decoupled_weight_decay=True)
    return torch.optim.AdamW(groups, lr=rate, betas=betas)


def _losses(output: Any, targets: Any, *, task: str) -> Any:
    """Return the log loss of each row, or half its squared error."""
    from torch.nn import functional

    if task == "regression":
        return 0.5 * (output - targets).square().sum(dim=1)
    if task == "binary":
        return functional.binary_cross_entropy_with_logits(output, targets, reduction="none")[:, 0]
    return functional.cross_entropy(output, targets, reduction="none")


def _predict(network: Network, X: FloatArray) -> Predictions:
    if network.task == "regression":
        return Predictions(network.predict(X))
    proba = network.predict_proba(X)
    return Predictions(proba.argmax(axis=1).astype(np.float64), proba)
