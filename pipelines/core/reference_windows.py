"""The rows of a reference as windows: by time where it is known, else drawn at random."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipelines.core.clocks import MICROSECONDS_OF_A_DAY, clock
from pipelines.core.phases import Codes, n_phases
from pipelines.core.predictions import Floats

FEWEST_WINDOWS = 8
FEWEST_ROWS = 30
MOST_WINDOWS = 1000
LEAST_OF_USUAL = 0.2
LONGER = (1, 2, 3, 7, 14, 28)
DRAWN_WINDOWS, DRAWN_ROWS, FEWEST_DRAWN = 60, 20, 5
FIRST_MONDAY_DAY = 4


@dataclass(frozen=True, eq=False)
class Windows:
    """Which window each row lies in.

    Attributes
    ----------
    places : array of shape (n_rows,)
        -1 for rows of no window, such as those of a day that was hardly begun.
    phases : array of shape (n_windows,)
        The place of each window in its week.
    rows : array of shape (n_windows,)
    days : float
        The length of a window.
    timed : bool
        Whether they are windows of time.
    span_days : float
    """

    places: Codes
    phases: Codes
    rows: Floats
    days: float
    timed: bool
    span_days: float


def windows_of(moments: pd.Series | None, n_rows: int, *, window_days: float, seed: int) -> Windows:
    """Return windows of the wanted length, longer ones where they would have too few rows.

    Parameters
    ----------
    moments : series of datetime64, n rows, optional
        Rows without a moment are in no window.
    n_rows : int
    window_days : float
    seed : int
        Of random windows, which are made where time gives fewer than eight.

    Examples
    --------
    >>> days = pd.Series(pd.date_range("2024-09-02", periods=20).repeat(40))
    >>> windows = windows_of(days, 800, window_days=1, seed=0)
    >>> len(windows.rows), windows.phases[:3].tolist(), windows.timed
    (20, [0, 1, 2], True)
    """
    if moments is not None:
        times = clock(moments.to_numpy())
        for factor in LONGER:
            found = _by_time(times, window_days * factor)
            if len(found.rows) < FEWEST_WINDOWS:
                break
            if np.median(found.rows) >= FEWEST_ROWS:
                return found
    return _drawn(n_rows, window_days=window_days, seed=seed)


def _by_time(times: Floats, days: float) -> Windows:
    known = ~np.isnan(times)
    since = times[known] / MICROSECONDS_OF_A_DAY - FIRST_MONDAY_DAY
    numbers = np.floor(since / days + 1e-9).astype(np.int64)
    distinct, places, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    usual = np.median(counts) if len(counts) else 0
    full = np.flatnonzero(counts >= LEAST_OF_USUAL * usual)[-MOST_WINDOWS:]
    renamed = np.full(len(distinct), -1)
    renamed[full] = np.arange(len(full))
    all_places = np.full(len(times), -1)
    all_places[known] = renamed[places]
    span = float(np.ptp(distinct[full]) + 1) * days if len(full) else 0.0
    phases = distinct[full] % n_phases(days)
    return Windows(all_places, phases, counts[full].astype(np.float64), days, True, span)


def _drawn(n_rows: int, *, window_days: float, seed: int) -> Windows:
    count = min(DRAWN_WINDOWS, n_rows // DRAWN_ROWS)
    count = count if count >= FEWEST_DRAWN else 0
    order = np.random.default_rng(seed).permutation(n_rows)
    places = order % count if count else np.full(n_rows, -1)
    rows = np.bincount(places, minlength=count)[:count] if count else np.empty(0)
    return Windows(
        places.astype(np.int64),
        np.zeros(count, dtype=np.int64),
        rows.astype(np.float64),
        window_days,
        False,
        0.0,
    )
