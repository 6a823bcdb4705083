"""Which columns a model relies on."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from pipelines.core.evaluation import Importance
from pipelines.core.metrics import Metric, figures, lift
from pipelines.core.predictions import Floats, Predictions
from pipelines.core.truths import taken

Predict = Callable[[pd.DataFrame], Predictions]
Loss = Callable[[Predictions], float | None]


def loss_beside(metric: Metric, truth: Floats, *, predictions: Predictions) -> Loss:
    """Return a function that says how much worse other predictions of the same rows are.

    It gives their loss in the metric's unit, positive where they are worse, and None where the
    metric is undefined.

    Parameters
    ----------
    metric : Metric
    truth : array of shape (n,)
    predictions : Predictions
        What others are compared with.

    Examples
    --------
    >>> from pipelines.core.metrics import METRICS
    >>> truth = np.array([0.0, 1.0])
    >>> loss = loss_beside(METRICS["accuracy"], truth, predictions=Predictions(truth))
    >>> loss(Predictions(np.array([0.0, 0.0])))
    0.5
    """

    def figure(said: Predictions) -> float | None:
        return figures([metric], truth, said)[metric.name]

    whole = figure(predictions)
    return lambda others: lift(metric, whole, figure(others))


def permutation_importance(
    predict: Predict, table: pd.DataFrame, *, loss: Loss, repeats: int, seed: int
) -> tuple[Importance, ...]:
    """Return what a model loses when a column is shuffled, largest loss first.

    Each column is shuffled on its own while the others stay (Breiman, 2001; Fisher, Rudin and
    Dominici, 2019). Columns for which the loss is undefined are left out.

    Parameters
    ----------
    predict : callable
        Takes a table like `table` and gives predictions for its rows.
    table : DataFrame, n rows
        Rows that the model was not trained on, with the columns to be shuffled and no others.
    loss : callable
        From `loss_beside`, for the rows of `table`.
    repeats : int
        Shuffles of each column, at least 1.
    seed : int

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
    ...     loss=loss_beside(METRICS["accuracy"], truth, predictions=Predictions(truth)),
    ...     repeats=5,
    ...     seed=0,
    ... )
    >>> [(row.column, row.loss > 0) for row in rows]
    [('used', True), ('unused', False)]
    """
    if repeats < 1:
        raise ValueError(f"The 'repeats' of an importance must be positive. Got {repeats} instead.")
    random = np.random.default_rng(seed)
    rows = []
    for column in table.columns:
        predictions = predict(_shuffled(table, column, repeats=repeats, random=random))
        losses = _losses(predictions, loss, repeats=repeats)
        if losses:
            mean = float(np.mean(losses))
            rows.append(Importance(str(column), mean, min(losses), max(losses)))
    return tuple(sorted(rows, key=lambda row: (-row.loss, row.column)))


def _shuffled(
    table: pd.DataFrame, column: str, *, repeats: int, random: np.random.Generator
) -> pd.DataFrame:
    """Return `repeats` copies of the table, one below the other, the column shuffled in each."""
    orders = [random.permutation(len(table)) for _ in range(repeats)]
    stacked = pd.concat([table] * repeats, ignore_index=True)
    shuffled = table[column].take(np.concatenate(orders)).reset_index(drop=True)
    return stacked.assign(**{column: shuffled})


def _losses(predictions: Predictions, loss: Loss, *, repeats: int) -> list[float]:
    parts = np.arange(predictions.values.size).reshape(repeats, -1)
    found = (loss(taken(predictions, rows)) for rows in parts)
    return [figure for figure in found if figure is not None]
