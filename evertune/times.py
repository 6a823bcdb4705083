"""Times as numbers, time windows, and conversion between UTC datetimes and table columns.

In records, times are aware datetimes in UTC. In tables they are `datetime64[us]` without a
zone, in UTC.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evertune.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd

TimeArray = NDArray[np.datetime64] | FloatArray
MICROSECONDS_PER_DAY = 86_400_000_000


@dataclass(frozen=True)
class TimeWindow:
    """The half-open interval from `start` to before `end`, and its number of predictions."""

    start: datetime
    end: datetime
    n_rows: int = 0


def times_to_numbers(times: TimeArray) -> FloatArray:
    """Return times as microseconds since 1970, exact until the year 2255; a counter as it is.

    Parameters
    ----------
    times : array of datetime64 or float
        NaT becomes NaN.
    """
    if times.dtype.kind != "M":
        return times.astype(np.float64)
    moments = times.astype("datetime64[us]")
    return np.where(np.isnat(moments), np.nan, moments.astype(np.int64).astype(np.float64))


def days_to_time_units(times: TimeArray, days: float) -> float:
    """Return a number of days in the unit of `times_to_numbers`; a counter counts days."""
    return days * MICROSECONDS_PER_DAY if times.dtype.kind == "M" else days


def to_utc_datetime(moment: "pd.Timestamp") -> datetime:
    """Return a table's time, which is UTC without a zone, as an aware datetime."""
    moment = moment.tz_localize(UTC) if moment.tzinfo is None else moment.tz_convert(UTC)
    return moment.to_pydatetime(warn=False)


def to_naive_timestamp(moment: datetime) -> "pd.Timestamp":
    """Return an aware datetime as tables hold it: in UTC, without a zone."""
    import pandas as pd

    return pd.Timestamp(moment).tz_convert(UTC).tz_localize(None)
