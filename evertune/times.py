"""Times as numbers, windows of time, and conversion between UTC datetimes and table columns.

In records, times are aware datetimes in UTC. In tables they are `datetime64[us]` without a
zone, in UTC. `to_utc_datetime` and `to_naive_timestamp` convert between the two.
`times_to_numbers` turns times into microseconds since 1970 and leaves a counter as it is;
`days_to_time_units` turns days into the same unit. `TimeWindow` is a half-open interval with
its number of predictions.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evertune.types import FloatArray

TimeArray = NDArray[np.datetime64] | FloatArray
MICROSECONDS_PER_DAY = 86_400_000_000


def times_to_numbers(times: TimeArray) -> FloatArray:
    """Return times as microseconds since 1970, exact until the year 2255; a counter as it is.

    Parameters
    ----------
    times : array of datetime64 or float
        NaT becomes NaN.

    Examples
    --------
    >>> times_to_numbers(np.array(["1970-01-01T00:00:01", "NaT"], dtype="datetime64[us]"))
    array([1000000.,      nan])
    """
    if times.dtype.kind != "M":
        return times.astype(np.float64)
    moments = times.astype("datetime64[us]")
    return np.where(np.isnat(moments), np.nan, moments.astype(np.int64).astype(np.float64))


def days_to_time_units(times: TimeArray, days: float) -> float:
    """Return a number of days in the unit of `times_to_numbers`; of a counter, days are its units.

    Examples
    --------
    >>> days_to_time_units(np.array(["2024-01-01"], dtype="datetime64[us]"), 0.5)
    43200000000.0
    """
    return days * MICROSECONDS_PER_DAY if times.dtype.kind == "M" else days


@dataclass(frozen=True)
class TimeWindow:
    """A stretch of time from `start` to before `end`, and how many predictions lie in it."""

    start: datetime
    end: datetime
    n_rows: int = 0


def to_utc_datetime(moment: pd.Timestamp) -> datetime:
    """Return a moment of a table, which is in UTC without saying so, as an aware datetime.

    Examples
    --------
    >>> to_utc_datetime(pd.Timestamp("2024-11-01"))
    datetime.datetime(2024, 11, 1, 0, 0, tzinfo=datetime.timezone.utc)
    """
    moment = moment.tz_localize(UTC) if moment.tzinfo is None else moment.tz_convert(UTC)
    return moment.to_pydatetime(warn=False)


def to_naive_timestamp(moment: datetime) -> pd.Timestamp:
    """Return an aware datetime as tables hold it: in UTC, without a zone.

    Examples
    --------
    >>> to_naive_timestamp(datetime(2024, 11, 1, 12, tzinfo=UTC))
    Timestamp('2024-11-01 12:00:00')
    """
    return pd.Timestamp(moment).tz_convert(UTC).tz_localize(None)
