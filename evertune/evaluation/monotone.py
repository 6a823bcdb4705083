"""Whether a model's predictions are monotone in the columns that `data.monotone` names."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from evertune.data.schema import Trend
from evertune.models.fitted_model import Model, predict

MAX_ROWS = 200
N_VALUES = 21
TOLERANCE = 1e-9  # of a step, relative to the largest prediction: rounding of sums


@dataclass(frozen=True)
class MonotoneCheck:
    """What a model predicts for some rows while one of their columns takes a grid of values.

    Attributes
    ----------
    values, means : tuple of float
        The grid, and the mean prediction over the rows at each of its values: the probability of
        the positive class, or the value.
    worst_step : float
        The largest step of any row in the wrong direction; 0 if there is none.
    kept : bool
        Whether no step is beyond rounding.
    """

    column: str
    trend: Trend
    n_rows: int
    values: tuple[float, ...]
    means: tuple[float, ...]
    worst_step: float
    kept: bool


def check_monotone(model: Model, rows: pd.DataFrame) -> tuple[MonotoneCheck, ...]:
    """Return a check of each monotone column of a model's schema.

    Parameters
    ----------
    model : Model
        Binary, or of a regression.
    rows : DataFrame
        Clean rows; the first 200 at most are taken.
    """
    return tuple(_checks(model, rows.head(MAX_ROWS)))


def _checks(model: Model, rows: pd.DataFrame) -> Iterator[MonotoneCheck]:
    schema = model.schema
    for column in schema.features:
        known = rows[column.name].dropna()
        if column.monotone is None or known.empty:
            continue
        low = known.min() if column.minimum is None else column.minimum
        high = known.max() if column.maximum is None else column.maximum
        grid = np.linspace(float(low), float(high), N_VALUES)
        if column.kind == "boolean":
            grid = np.array([0.0, 1.0])
        repeated = rows.loc[rows.index.repeat(len(grid))].reset_index(drop=True)
        repeated[column.name] = np.tile(grid, len(rows))
        found = predict(model.fitted, repeated, schema)
        flat = found.values if found.probabilities is None else found.probabilities[:, 1]
        table = np.asarray(flat, dtype=float).reshape(len(rows), len(grid))
        steps = np.diff(table, axis=1) * (1 if column.monotone == "up" else -1)
        worst = float(max(0.0, -steps.min()))
        yield MonotoneCheck(
            column=column.name,
            trend=column.monotone,
            n_rows=len(rows),
            values=tuple(grid.tolist()),
            means=tuple(table.mean(axis=0).tolist()),
            worst_step=worst,
            kept=worst <= TOLERANCE * max(1.0, float(np.abs(table).max())),
        )
