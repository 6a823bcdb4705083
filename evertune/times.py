"""Times as numbers, time windows, and conversion between UTC datetimes and table columns.

In records, times are aware datetimes: in UTC, or those of windows and decisions in the time zone
of `monitoring.timezone`, so that they show the time there (`in_zone`). In tables they are
`datetime64[us]` without a zone, in UTC. `to_wall_clock` and `from_wall_clock` translate between
UTC and what a clock on the wall shows, also where that is put forward or back.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from evertune.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd

TimeArray = NDArray[np.datetime64] | FloatArray
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
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


def check_times(numbers: FloatArray) -> None:
    """Raise ValueError if a time of `times_to_numbers` is missing."""
    n_missing = int(np.isnan(numbers).sum())
    if n_missing:
        raise ValueError(f"Every row must have a time. Got {n_missing} rows without one instead.")


def days_to_time_units(times: TimeArray, days: float) -> float:
    """Return a number of days in the unit of `times_to_numbers`; a counter counts days."""
    return days * MICROSECONDS_PER_DAY if times.dtype.kind == "M" else days


def to_utc_datetime(moment: "pd.Timestamp") -> datetime:
    """Return a table's time, which is UTC without a zone, as an aware datetime."""
    moment = moment.tz_localize(UTC) if moment.tzinfo is None else moment.tz_convert(UTC)
    return moment.to_pydatetime(warn=False)


def in_zone(moment: datetime, zone: str) -> datetime:
    """Return the same moment with the offset that a time zone has then.

    The offset is fixed, so that differences and comparisons are exact where clocks are changed;
    ``%Z`` writes the name of the zone.

    Examples
    --------
    >>> in_zone(datetime(2024, 3, 31, 1, tzinfo=UTC), "Europe/Berlin").isoformat()
    '2024-03-31T03:00:00+02:00'
    """
    if zone == "UTC":
        return moment.astimezone(UTC)
    there = moment.astimezone(ZoneInfo(zone))
    offset = there.utcoffset()
    return there if offset is None else there.replace(tzinfo=timezone(offset, zone), fold=0)


def wall_clock(moment: datetime) -> datetime:
    """Return what the clock shows at a moment of `in_zone`, as if it were UTC.

    Between midnights there are 24 hours by the wall clock, also on days of 23 or 25 hours.
    """
    return moment.replace(tzinfo=UTC)


def from_wall_clock(shown: datetime, zone: str) -> datetime:
    """Return the moment at which the clock of a zone shows a time, given as if it were UTC.

    Of a time that is shown twice it is the first moment; a time that clocks skip is read as if they
    had not been put forward yet.

    Examples
    --------
    >>> midnight = datetime(2024, 4, 1, tzinfo=UTC)
    >>> from_wall_clock(midnight, "Europe/Berlin").isoformat()
    '2024-04-01T00:00:00+02:00'
    """
    return in_zone(shown.replace(tzinfo=ZoneInfo(zone)), zone)


def to_wall_clock(moments: "pd.Series", zone: str) -> "pd.Series":
    """Return a table's times, which are UTC, as the clocks of a zone show them."""
    if zone == "UTC":
        return moments
    shown: pd.Series = moments.dt.tz_localize(UTC).dt.tz_convert(zone).dt.tz_localize(None)
    return shown


def to_naive_timestamp(moment: datetime) -> "pd.Timestamp":
    """Return an aware datetime as tables hold it: in UTC, without a zone."""
    import pandas as pd

    return pd.Timestamp(moment).tz_convert(UTC).tz_localize(None)
