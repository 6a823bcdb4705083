"""Which columns a model relies on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipelines.core.evaluation import Importance
from pipelines.core.metrics import Metric, figures, lift
from pipelines.core.model_figures import Bootstrap
from pipelines.core.predictions import Floats, Predictions
from pipelines.core.truths import taken

Predict = Callable[[pd.DataFrame], Predictions]
MOST_DRAWS = 200  # an interval of a bar needs no more


@dataclass(frozen=True, eq=False)
class Beside:
    """What predictions of shuffled rows are compared with.

    Attributes
    ----------
    metric : Metric
    truth : array of shape (n,)
    predictions : Predictions
        Of the rows as they are.
    """

    metric: Metric
    truth: Floats
    predictions: Predictions


def permutation_importance(
    predict: Predict, table: pd.DataFrame, *, beside: Beside, repeats: int, bootstrap: Bootstrap
) -> tuple[Importance, ...]:
    """Return what a model loses when a column is shuffled, largest loss first.

    Each column is shuffled on its own while the others stay (Breiman, 2001; Fisher, Rudin and
    Dominici, 2019). The loss is the mean over shuffles, its interval a percentile bootstrap over
    rows of that mean. Columns for which the loss is undefined are left out.

    Parameters
    ----------
    predict : callable
        Takes a table like `table` and gives predictions for its rows.
    table : DataFrame, n rows
        Rows that the model was not trained on, with the columns to be shuffled and no others.
    beside : Beside
        For the same rows.
    repeats : int
        Shuffles of each column, at least 1.
    bootstrap : Bootstrap
        At most 200 draws are made; its seed shuffles, too.

    Returns
    -------
    tuple of Importance

    Raises
    ------
    ValueError
        If `repeats` is not positive.

    Examples
    --------
    >>> from pipelines.core.metrics import METRICS
    >>> table = pd.DataFrame({"used": [0.0, 1.0, 0.0, 1.0], "unused": [1.0, 2.0, 3.0, 4.0]})
    >>> truth = table["used"].to_numpy()
    >>> rows = permutation_importance(
    ...     lambda rows: Predictions(rows["used"].to_numpy()),
    ...     table,
    ...     beside=Beside(METRICS["accuracy"], truth, Predictions(truth)),
    ...     repeats=5,
    ...     bootstrap=Bootstrap(100, 0.9, 0),
    ... )
    >>> [(row.column, row.loss > 0) for row in rows]
    [('used', True), ('unused', False)]
    """
    if repeats < 1:
        raise ValueError(f"The 'repeats' of an importance must be positive. Got {repeats} instead.")
    random = np.random.default_rng(bootstrap.seed)
    weights = _weights(len(table), bootstrap, random)
    found = []
    for column in table.columns:
        said = predict(_shuffled(table, column, repeats=repeats, random=random))
        parts = [taken(said, rows) for rows in np.arange(said.values.size).reshape(repeats, -1)]
        found.append(_importance(str(column), parts, beside, weights, bootstrap.confidence))
    known = [row for row in found if row is not None]
    return tuple(sorted(known, key=lambda row: (-row.loss, row.column)))


def _shuffled(
    table: pd.DataFrame, column: str, *, repeats: int, random: np.random.Generator
) -> pd.DataFrame:
    """Return `repeats` copies of the table, one below the other, the column shuffled in each."""
    orders = [random.permutation(len(table)) for _ in range(repeats)]
    stacked = pd.concat([table] * repeats, ignore_index=True)
    shuffled = table[column].take(np.concatenate(orders)).reset_index(drop=True)
    return stacked.assign(**{column: shuffled})


def _importance(
    column: str,
    shuffles: list[Predictions],
    beside: Beside,
    weights: Floats,
    confidence: float,
) -> Importance | None:
    metric, truth = beside.metric, beside.truth
    whole = figures([metric], truth, beside.predictions)[metric.name]
    losses = [lift(metric, whole, figures([metric], truth, s)[metric.name]) for s in shuffles]
    known = [loss for loss in losses if loss is not None]
    if not known:
        return None
    drawn = np.mean([_figures(beside, said, weights) for said in shuffles], axis=0)
    sign = 1.0 if metric.greater_is_better else -1.0
    gaps = sign * (_figures(beside, beside.predictions, weights) - drawn)
    ends = np.nanquantile(gaps, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Importance(column, float(np.mean(known)), float(ends[0]), float(ends[1]))


def _figures(beside: Beside, said: Predictions, weights: Floats) -> Floats:
    figures_of: Any = beside.metric.kernel(beside.truth, said)
    return np.asarray(figures_of(weights), dtype=np.float64)


def _weights(n_rows: int, bootstrap: Bootstrap, random: np.random.Generator) -> Floats:
    draws = min(bootstrap.draws, MOST_DRAWS)
    return random.multinomial(n_rows, np.full(n_rows, 1 / n_rows), size=draws).astype(np.float64)
