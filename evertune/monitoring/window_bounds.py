"""Split rows into windows: of production, and of a reference; and place windows in the week.

`windows_by_days` and `windows_by_rows` give the windows of production. Days are those of a time
zone, counted from 1970-01-01, so that every run has the same windows.

Mondays are compared with Mondays: `n_seasons` is the number of windows in a week (1 where they
do not divide it) and `rows_by_season` counts a window's rows by its place in the week.
`split_into_windows` cuts rows by time, with longer windows where short ones would have too few
rows, and falls back to random windows where the rows have no time or span too few windows.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evertune.times import (
    EPOCH,
    MICROSECONDS_PER_DAY,
    TimeWindow,
    from_wall_clock,
    in_zone,
    times_to_numbers,
    to_naive_timestamp,
    to_utc_datetime,
    wall_clock,
)
from evertune.types import FloatArray

Codes = NDArray[np.int64]
DAYS_PER_WEEK = 7
MAX_SEASONS = 168
FIRST_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)
MIN_WINDOWS = 8
MIN_MEDIAN_ROWS = 30
MAX_WINDOWS = 1000
MIN_SHARE_OF_MEDIAN_ROWS = 0.2
LENGTH_FACTORS = (1, 2, 3, 7, 14, 28)
MAX_RANDOM_WINDOWS, MIN_RANDOM_WINDOW_ROWS, MIN_RANDOM_WINDOWS = 60, 20, 5


def windows_by_days(
    moments: pd.Series,
    *,
    days: float,
    now: datetime,
    whole_first: bool = False,
    zone: str = "UTC",
) -> tuple[TimeWindow, ...]:
    """Return the windows from the first row to now, oldest first, empty ones included.

    A window that ends after now is left out. Days are those of the zone: where its clocks are
    changed one has 23 or 25 hours.

    Parameters
    ----------
    moments : Series of datetime64
        In UTC.
    whole_first : bool
        Leave out the window of the first row unless the row starts it.

    Examples
    --------
    >>> moments = pd.Series(pd.to_datetime(["2024-05-01 08:00", "2024-05-03 20:00"]))
    >>> now = datetime(2024, 5, 4, 6, tzinfo=UTC)
    >>> [(each.start.day, each.n_rows) for each in windows_by_days(moments, days=1, now=now)]
    [(1, 1), (2, 0), (3, 1)]
    """
    if moments.empty:
        return ()
    length, first = timedelta(days=days), to_utc_datetime(moments.min())
    number = (wall_clock(in_zone(first, zone)) - EPOCH) // length
    last = (wall_clock(in_zone(now, zone)) - EPOCH) // length + 1
    shown = (EPOCH + i * length for i in range(number, last + 1))
    # an hour that the clocks skip is no window
    edges = list(dict.fromkeys(from_wall_clock(each, zone) for each in shown))
    edges = [each for each in edges if each <= now]
    edges = edges[1:] if whole_first and edges and first > edges[0] else edges
    if len(edges) < 2:
        return ()
    ordered = moments.sort_values().to_numpy()
    positions = np.searchsorted(ordered, [to_naive_timestamp(e).to_datetime64() for e in edges])
    return tuple(
        TimeWindow(start, end, int(n_rows))
        for start, end, n_rows in zip(edges[:-1], edges[1:], np.diff(positions), strict=True)
    )


def windows_by_rows(moments: pd.Series, *, rows: int) -> tuple[TimeWindow, ...]:
    """Return windows of so many rows each, oldest first; rows of one moment stay together.

    Examples
    --------
    >>> moments = pd.Series(pd.date_range("2024-05-01", periods=5, freq="h"))
    >>> [(each.start.hour, each.end.hour) for each in windows_by_rows(moments, rows=2)]
    [(0, 2), (2, 4)]
    """
    ordered = moments.sort_values(ignore_index=True)
    edges = ordered.iloc[::rows].drop_duplicates()
    n_rows = np.diff(np.searchsorted(ordered.to_numpy(), edges.to_numpy()))
    times = [to_utc_datetime(edge) for edge in edges]
    return tuple(
        TimeWindow(start, end, int(n))
        for start, end, n in zip(times[:-1], times[1:], n_rows, strict=True)
    )


def n_seasons(window_days: float) -> int:
    """Return how many windows make a week, and 1 where they do not divide it.

    Examples
    --------
    >>> n_seasons(1), n_seasons(0.5), n_seasons(7), n_seasons(2)
    (7, 14, 1, 1)
    """
    windows = round(DAYS_PER_WEEK / window_days)
    divides = abs(windows * window_days - DAYS_PER_WEEK) < 1e-9
    return windows if divides and 1 <= windows <= MAX_SEASONS else 1


def rows_by_season(
    start: datetime, end: datetime, *, n_rows: int, window_days: float
) -> FloatArray:
    """Return the rows of a window by place in the week; a longer window spreads them evenly.

    Parameters
    ----------
    window_days : float
        Of the windows that make the places.

    Examples
    --------
    >>> monday = FIRST_MONDAY
    >>> rows_by_season(monday, monday + timedelta(days=2), n_rows=10, window_days=1)
    array([5., 5., 0., 0., 0., 0., 0.])
    """
    count = n_seasons(window_days)
    start, end = wall_clock(start), wall_clock(end)  # Monday begins when it does there
    first = int((start - FIRST_MONDAY) / timedelta(days=window_days) + 1e-9)
    steps = round((end - start) / timedelta(days=window_days))
    rows = np.zeros(count)
    np.add.at(rows, (first + np.arange(min(max(steps, 1), count))) % count, 1.0)
    return np.asarray(rows * (n_rows / rows.sum()), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class ReferenceWindows:
    """Which window each row lies in.

    Attributes
    ----------
    places : array of shape (n_rows,)
        -1 for rows of no window, such as those of a day that was hardly begun.
    phases : array of shape (n_windows,)
        The place of each window in its week.
    days : float
        The length of a window.
    timed : bool
        Whether they are windows of time.
    """

    places: Codes
    phases: Codes
    rows: FloatArray
    days: float
    timed: bool
    span_days: float


def split_into_windows(
    moments: pd.Series | None, n_rows: int, *, window_days: float, seed: int
) -> ReferenceWindows:
    """Return windows of the wanted length, longer ones where they would have too few rows.

    Parameters
    ----------
    moments : series of datetime64, n rows, optional
        Rows without a moment are in no window.
    seed : int
        Of random windows, which are made where time gives fewer than eight.

    Examples
    --------
    >>> days = pd.Series(pd.date_range("2024-09-02", periods=20).repeat(40))
    >>> windows = split_into_windows(days, 800, window_days=1, seed=0)
    >>> len(windows.rows), windows.phases[:3].tolist(), windows.timed
    (20, [0, 1, 2], True)
    """
    if moments is not None:
        times = times_to_numbers(moments.to_numpy())
        for factor in LENGTH_FACTORS:
            found = _time_windows(times, window_days * factor)
            if len(found.rows) < MIN_WINDOWS:
                break
            if np.median(found.rows) >= MIN_MEDIAN_ROWS:
                return found
    return _random_windows(n_rows, window_days=window_days, seed=seed)


def _time_windows(times: FloatArray, days: float) -> ReferenceWindows:
    is_known = ~np.isnan(times)
    since_monday = times[is_known] / MICROSECONDS_PER_DAY - (FIRST_MONDAY - EPOCH).days
    numbers = np.floor(since_monday / days + 1e-9).astype(np.int64)
    distinct, inverse, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    usual = np.median(counts) if len(counts) else 0
    full = np.flatnonzero(counts >= MIN_SHARE_OF_MEDIAN_ROWS * usual)[-MAX_WINDOWS:]
    place_of = np.full(len(distinct), -1)
    place_of[full] = np.arange(len(full))
    places = np.full(len(times), -1)
    places[is_known] = place_of[inverse]
    return ReferenceWindows(
        places,
        phases=distinct[full] % n_seasons(days),
        rows=counts[full].astype(np.float64),
        days=days,
        timed=True,
        span_days=float(np.ptp(distinct[full]) + 1) * days if len(full) else 0.0,
    )


def _random_windows(n_rows: int, *, window_days: float, seed: int) -> ReferenceWindows:
    n_windows = min(MAX_RANDOM_WINDOWS, n_rows // MIN_RANDOM_WINDOW_ROWS)
    places = np.full(n_rows, -1)
    if n_windows < MIN_RANDOM_WINDOWS:
        n_windows = 0
    else:
        places = np.random.default_rng(seed).permutation(n_rows) % n_windows
    return ReferenceWindows(
        places,
        phases=np.zeros(n_windows, dtype=np.int64),
        rows=np.bincount(places[places >= 0], minlength=n_windows).astype(np.float64),
        days=window_days,
        timed=False,
        span_days=0.0,
    )
