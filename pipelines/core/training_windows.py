"""Which rows a model is fitted on, by when they happened, and how much each one weighs."""

import numpy as np
import pandas as pd

from pipelines.core.declared import MOMENT
from pipelines.core.findings import naive
from pipelines.core.plans import TrainingWindow
from pipelines.core.predictions import Floats
from pipelines.core.schema import Schema
from pipelines.core.sides import Mask

DAY = pd.Timedelta(days=1)


def event_moments(table: pd.DataFrame, schema: Schema) -> pd.Series:
    """Return when each row of a clean table happened; NaT where nothing tells.

    It is the column `moment` of rows that came from production, else the schema's time column
    where that holds dates.

    Examples
    --------
    >>> table = pd.DataFrame({"moment": pd.to_datetime([None, "2024-03-01"])})
    >>> event_moments(table, Schema((), "y", "regression")).dt.month.tolist()
    [nan, 3.0]
    """
    moments = pd.Series(pd.NaT, index=table.index, dtype="datetime64[us]", name=MOMENT)
    if MOMENT in table:
        moments = table[MOMENT].astype("datetime64[us]")
    if schema.time is not None and table[schema.time].dtype.kind == "M":
        moments = moments.fillna(table[schema.time].astype("datetime64[us]"))
    return moments


def moment_of_text(text: str) -> pd.Timestamp:
    """Return an ISO moment of a plan as tables hold it: in UTC, without a zone.

    Examples
    --------
    >>> moment_of_text("2024-11-01T00:00:00+00:00")
    Timestamp('2024-11-01 00:00:00')
    """
    return naive(pd.Timestamp(text).to_pydatetime())


def in_window(moments: pd.Series, window: TrainingWindow) -> Mask:
    """Return whether each row is in a window; a row of no known moment is older than any start.

    Examples
    --------
    >>> moments = pd.Series(pd.to_datetime([None, "2024-03-01", "2024-05-01"]))
    >>> in_window(moments, TrainingWindow("latest", "2024-04-01T00:00:00+00:00"))
    array([False, False,  True])
    """
    if window.start is None:
        return np.ones(len(moments), dtype=bool)
    return np.asarray(moments >= moment_of_text(window.start))


def row_weights(moments: pd.Series, window: TrainingWindow) -> Floats | None:
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
    ages = (moments.max() - moments.fillna(moments.min())) / DAY
    return np.asarray(0.5 ** (ages / window.half_life_days), dtype=np.float64)
