"""Training windows: which rows a model is fitted on, by their time, and how much each weighs.

`event_times` gives the time of each row, `is_in_window` selects rows from the window's start
on, and `row_weights` halves the weight of a row for every half-life of its age.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from evertune.data.schema import MOMENT_COLUMN, TableSchema
from evertune.times import to_naive_timestamp
from evertune.types import FloatArray, Mask

ONE_DAY = pd.Timedelta(days=1)


def event_times(table: pd.DataFrame, schema: TableSchema) -> pd.Series:
    """Return when each row of a clean table happened; NaT where nothing tells.

    It is the column `moment` of rows that came from production, else the schema's time column
    where that holds dates.

    Examples
    --------
    >>> table = pd.DataFrame({"moment": pd.to_datetime([None, "2024-03-01"])})
    >>> event_times(table, TableSchema((), "y", "regression")).dt.month.tolist()
    [nan, 3.0]
    """
    moments = pd.Series(pd.NaT, index=table.index, dtype="datetime64[us]", name=MOMENT_COLUMN)
    if MOMENT_COLUMN in table:
        moments = table[MOMENT_COLUMN].astype("datetime64[us]")
    if schema.time is not None and table[schema.time].dtype.kind == "M":
        moments = moments.fillna(table[schema.time].astype("datetime64[us]"))
    return moments


def parse_moment(text: str) -> pd.Timestamp:
    """Return an ISO moment of a plan as tables hold it: in UTC, without a zone.

    Examples
    --------
    >>> parse_moment("2024-11-01T00:00:00+00:00")
    Timestamp('2024-11-01 00:00:00')
    """
    return to_naive_timestamp(pd.Timestamp(text).to_pydatetime())


WindowName = Literal["since_change", "latest", "all", "decayed"]


@dataclass(frozen=True)
class TrainingWindow:
    """Rows that a model may be fitted on.

    Attributes
    ----------
    name : str
    start : str, optional
        ISO moment in UTC; rows before it are left out. None: no row is.
    half_life_days : float, optional
        A row weighs half as much for each such time that it is older than the newest one. None:
        all weigh the same.
    """

    name: WindowName
    start: str | None = None
    half_life_days: float | None = None


def is_in_window(moments: pd.Series, window: TrainingWindow) -> Mask:
    """Return whether each row is in a window; a row of no known moment is older than any start.

    Examples
    --------
    >>> moments = pd.Series(pd.to_datetime([None, "2024-03-01", "2024-05-01"]))
    >>> is_in_window(moments, TrainingWindow("latest", "2024-04-01T00:00:00+00:00"))
    array([False, False,  True])
    """
    if window.start is None:
        return np.ones(len(moments), dtype=bool)
    return np.asarray(moments >= parse_moment(window.start))


def row_weights(moments: pd.Series, window: TrainingWindow) -> FloatArray | None:
    """Return the weight of each row, 1 for the newest; None where all weigh the same.

    A weight is 0.5 ** (age / half-life). A row of no known moment is as old as the oldest.

    Examples
    --------
    >>> moments = pd.Series(pd.to_datetime([None, "2024-03-01", "2024-03-11"]))
    >>> row_weights(moments, TrainingWindow("decayed", half_life_days=10)).tolist()
    [0.5, 0.5, 1.0]
    """
    if window.half_life_days is None or moments.isna().all():
        return None
    ages = (moments.max() - moments.fillna(moments.min())) / ONE_DAY
    return np.asarray(0.5 ** (ages / window.half_life_days), dtype=np.float64)
