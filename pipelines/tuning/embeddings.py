"""Networks with embeddings of categories, trained by PyTorch and kept as plain arrays.

The extra `neural` brings PyTorch. What it trains predicts without it (`pipelines.core.network`).
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from pipelines.core.network import Network, known_codes
from pipelines.core.predictions import Floats, Predictions
from pipelines.tuning.descent import scheduled
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
from pipelines.tuning.installed import check_installed

Tables = list[Any]  # of tensors: the embedding of each column of codes
Layers = list[Any]  # of torch.nn.Linear
SMALL_START = 0.1  # standard deviation of embeddings at the start


def embedding_network(X: Floats, y: Floats, chosen: Hyperparameters, setting: Setting) -> Grown:
    """Return a network of the best epoch; the first columns of X are codes of levels.

    Raises
    ------
    ValueError
        If PyTorch is not installed.
    """
    check_installed(["embedding_network"])
    with _alone(setting.seed):
        scale = scale_of(y, setting)
        rows = rows_of(X[:, setting.n_levels :], y, setting=setting, scale=scale)
        sizes = [_n_codes(X[:, place]) for place in range(setting.n_levels)]
        codes = [known_codes(X[:, place], size) for place, size in enumerate(sizes)]
        tables, layers = _first(sizes, rows, chosen)
        freeze = partial(_frozen, tables, layers, chosen=chosen, setting=setting, scale=scale)
        learn = _learner(tables, layers, rows, codes=codes, chosen=chosen, setting=setting)
        return _trained(learn, freeze, chosen=chosen, setting=setting)


@contextmanager
def _alone(seed: int) -> Iterator[None]:
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


def _n_codes(codes: Floats) -> int:
    known = codes[~np.isnan(codes)]
    return int(known.max()) + 1 if len(known) else 0


def _first(sizes: list[int], rows: Rows, chosen: Hyperparameters) -> tuple[Tables, Layers]:
    """Return embeddings and layers as they are before the first step."""
    import torch

    widest = whole_number(chosen, "embedding_width")
    tables = [
        torch.nn.Parameter(SMALL_START * torch.randn(size + 1, min(widest, math.ceil(size / 2))))
        for size in (max(each, 1) for each in sizes)
    ]
    for table in tables:  # the last row is that of levels never seen: nothing
        table.data[-1] = 0
    inputs = rows.X.shape[1] + sum(table.shape[1] for table in tables)
    hidden = [whole_number(chosen, "width")] * whole_number(chosen, "layers")
    widths = [inputs, *hidden, rows.targets.shape[1]]
    return tables, [torch.nn.Linear(*pair) for pair in pairwise(widths)]


def _trained(
    learn: Callable[[int], bool],
    freeze: Callable[[], Network],
    *,
    chosen: Hyperparameters,
    setting: Setting,
) -> Grown:
    watch, score, best, epoch = Watch(setting.deadline), judge(setting), freeze(), 0
    for epoch in range(1, epochs_of(chosen, setting) + 1):
        if not learn(epoch) and epoch > 1:  # half an epoch could not be learned again
            return Grown(best, watch.best or epoch - 1, whole=False)
        network = freeze()
        over = watch.is_over(epoch, score(partial(_predictions, network)))
        if watch.best in (0, epoch):
            best = network
        if over:
            break
    return Grown(best, watch.best or epoch, whole=not watch.expired)


def _learner(  # noqa: PLR0913
    tables: Tables,
    layers: Layers,
    rows: Rows,
    *,
    codes: list[Any],
    chosen: Hyperparameters,
    setting: Setting,
) -> Callable[[int], bool]:
    """Return what learns for one epoch, and says whether it did before the deadline came."""
    import torch

    draws, size = np.random.default_rng(setting.seed), batch_rows(chosen, len(rows.X))
    peak, schedule = number(chosen, "learning_rate"), str(chosen["schedule"])
    total = epochs_of(chosen, replace(setting, iterations=None))
    X, targets, weights = (torch.from_numpy(part) for part in (rows.X, rows.targets, rows.weights))
    places = [torch.from_numpy(each) for each in codes]
    optimiser = _optimiser(tables, layers, chosen)
    passed = _forward(tables, layers, chosen)

    def learn(epoch: int) -> bool:
        for done, batch in batches(len(rows.X), size, draws=draws):
            if time.monotonic() >= setting.deadline:
                return False
            rate = peak * scheduled(schedule, min(1.0, (epoch - 1 + done) / total))
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.zero_grad()
            raw = passed(X[batch], [each[batch] for each in places])
            _loss(raw, targets[batch], weights[batch], task=setting.task).backward()
            optimiser.step()
        return True

    return learn


def _optimiser(tables: Tables, layers: Layers, chosen: Hyperparameters) -> Any:
    """Return what takes steps; weights alone decay, as far as the learning rate goes."""
    import torch

    groups = [
        {"params": [layer.weight for layer in layers], "weight_decay": number(chosen, "alpha")},
        {"params": [*tables, *(layer.bias for layer in layers)], "weight_decay": 0.0},
    ]
    rate = number(chosen, "learning_rate")
    if chosen["solver"] == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=number(chosen, "momentum"), nesterov=True)
    betas = (number(chosen, "beta_1"), number(chosen, "beta_2"))
    kind = torch.optim.NAdam if chosen["solver"] == "nadam" else torch.optim.AdamW
    decoupled = {"decoupled_weight_decay": True} if chosen["solver"] == "nadam" else {}
    return kind(groups, lr=rate, betas=betas, **decoupled)


def _forward(
    tables: Tables, layers: Layers, chosen: Hyperparameters
) -> Callable[[Any, list[Any]], Any]:
    """Return the pass of a batch through a network that learns, dropout included."""
    import torch

    activation = getattr(torch.nn.functional, str(chosen["activation"]))
    rate = number(chosen, "dropout")

    def passed(X: Any, codes: list[Any]) -> Any:
        known = [table[places] for table, places in zip(tables, codes, strict=True)]
        hidden = torch.cat([*known, X], dim=1)
        for layer in layers[:-1]:
            hidden = torch.nn.functional.dropout(activation(layer(hidden)), rate)
        return layers[-1](hidden)

    return passed


def _loss(raw: Any, targets: Any, weights: Any, *, task: str) -> Any:
    """Return the weighted mean of the log loss, or of half the squared error."""
    from torch.nn import functional

    if task == "regression":
        losses = 0.5 * (raw - targets).square().sum(dim=1)
    elif task == "binary":
        losses = functional.binary_cross_entropy_with_logits(raw, targets, reduction="none")[:, 0]
    else:
        losses = functional.cross_entropy(raw, targets, reduction="none")
    return (losses * weights).mean()


def _frozen(
    tables: Tables, layers: Layers, *, chosen: Hyperparameters, setting: Setting, scale: Scale
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


def _predictions(network: Network, X: Floats) -> Predictions:
    if network.task == "regression":
        return Predictions(network.predict(X))
    chances = network.predict_proba(X)
    return Predictions(chances.argmax(axis=1).astype(np.float64), chances)
