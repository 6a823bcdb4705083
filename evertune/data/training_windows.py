"""Training windows: the rows that a model is fitted on, by their time, and their weights."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from evertune.data.schema import MOMENT_COLUMN, TableSchema
from evertune.times import to_naive_timestamp
from evertune.types import FloatArray, Mask

WindowName = Literal["since_change", "latest", "all", "decayed"]


@dataclass(frozen=True)
class TrainingWindow:
    """Rows that a model may be fitted on.

    Attributes
    ----------
    start : str, optional
        ISO time in UTC; earlier rows are left out. None: no row is.
    half_life_days : float, optional
        A row's weight halves with each such age, counted from the newest row. None: all rows
        weigh the same.
    """

    name: WindowName
    start: str | None = None
    half_life_days: float | None = None


def event_times(table: pd.DataFrame, schema: TableSchema) -> pd.Series:
    """Return the time of each row of a clean table, datetime64[us]; NaT if it is not known.

    It is the column `moment` of rows that came from production, else the schema's time column
    if that holds dates.
    """
    times = pd.Series(pd.NaT, index=table.index, dtype="datetime64[us]", name=MOMENT_COLUMN)
    if MOMENT_COLUMN in table:
        times = table[MOMENT_COLUMN].astype("datetime64[us]")
    if schema.time is not None and table[schema.time].dtype.kind == "M":
        times = times.fillna(table[schema.time].astype("datetime64[us]"))
    return times


def parse_moment(text: str) -> pd.Timestamp:
    """Return an ISO time of a plan as tables hold it: in UTC, without a zone."""
    return to_naive_timestamp(pd.Timestamp(text).to_pydatetime())


def is_in_window(times: pd.Series, window: TrainingWindow) -> Mask:
    """Return whether each row is in a window; a row without a time is older than any start."""
    if window.start is None:
        return np.ones(len(times), dtype=bool)
    return np.asarray(times >= parse_moment(window.start))


def row_weights(times: pd.Series, window: TrainingWindow) -> FloatArray | None:
    """Return the weight of each row, 1 for the newest; None if all weigh the same.

    A weight is 0.5 ** (age / half-life). A row without a time is as old as the oldest.
    """
    if window.half_life_days is None or times.isna().all():
        return None
    days = (times.max() - times.fillna(times.min())) / pd.Timedelta(days=1)
    return np.asarray(0.5 ** (days / window.half_life_days), dtype=np.float64)
