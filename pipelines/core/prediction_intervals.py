"""Intervals around predicted values, from errors of rows that the fold models never saw."""

import numpy as np
import pandas as pd

from pipelines.core.calibrated import Errors
from pipelines.core.model import Ensemble, Fitted, predict_by_fold
from pipelines.core.predictions import Floats
from pipelines.core.schema import Schema

ROWS_AT_ONCE = 5_000


def intervals(
    fitted: Fitted | Ensemble, table: pd.DataFrame, schema: Schema, *, coverage: float = 0.9
) -> tuple[Floats, Floats]:
    """Return the lower and upper ends of intervals that hold the truth with a given chance.

    These are the CV+ intervals of Barber and others (2021): each fold's models predict, and from
    each prediction the errors on that fold's rows are gone down and up. They hold at least
    2 coverage - 1 of new rows and in practice about `coverage`; of members that were fitted on all
    rows only the latter.

    Parameters
    ----------
    fitted : Ensemble
        Of a regression.
    table : DataFrame of n rows
        Clean features.
    schema : Schema
    coverage : float
        0 to 1.

    Raises
    ------
    ValueError
        If the model keeps no errors.
    """
    if not isinstance(fitted, Ensemble) or fitted.errors is None:
        raise ValueError(
            "Intervals need a regression model that keeps its out-of-fold errors, but got one"
            " without; fit it from a pool."
        )
    by_fold = predict_by_fold(fitted, table, schema)
    starts = range(0, len(table), ROWS_AT_ONCE)
    parts = [
        ends(by_fold[:, start : start + ROWS_AT_ONCE], fitted.errors, coverage=coverage)
        for start in starts
    ]
    return np.concatenate([low for low, _ in parts]), np.concatenate([high for _, high in parts])


def ends(by_fold: Floats, errors: Errors, *, coverage: float) -> tuple[Floats, Floats]:
    """Return the ends of the intervals of n rows.

    Parameters
    ----------
    by_fold : array of shape (n_folds, n) or (1, n)
        What the models of each fold say; of one for all, what it says.
    errors : Errors
    coverage : float

    Examples
    --------
    >>> errors = Errors((10, 10), ((1.0, 1.0, 1.0), (3.0, 3.0, 3.0)))
    >>> low, high = ends(np.array([[5.0], [5.0]]), errors, coverage=0.9)
    >>> low.tolist(), high.tolist()
    ([2.0], [8.0])
    """
    sizes = np.array(errors.quantiles)
    weights = np.repeat(np.array(errors.n_rows) / sizes.shape[1], sizes.shape[1])
    n_rows = sum(errors.n_rows)
    share = min(1.0, np.ceil(coverage * (n_rows + 1)) / n_rows)
    up = (by_fold[:, None, :] + sizes[:, :, None]).reshape(sizes.size, -1)
    down = (sizes[:, :, None] - by_fold[:, None, :]).reshape(sizes.size, -1)
    return -_quantile(down, weights, share), _quantile(up, weights, share)


def _quantile(table: Floats, weights: Floats, share: float) -> Floats:
    """Return the weighted quantile of each column."""
    order = np.argsort(table, axis=0)
    reached = np.cumsum(weights[order], axis=0) / weights.sum()
    places = (reached < share - 1e-12).sum(axis=0).clip(max=len(table) - 1)
    found: Floats = np.take_along_axis(table, order, axis=0)[places, np.arange(table.shape[1])]
    return found
