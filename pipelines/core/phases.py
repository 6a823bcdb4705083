"""The place of a window in its week: Mondays are compared with Mondays."""

from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from pipelines.core.predictions import Floats

Codes = NDArray[np.int64]
DAYS_OF_A_WEEK = 7
MOST_PHASES = 168
FIRST_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)


def n_phases(window_days: float) -> int:
    """Return how many windows make a week, and 1 where they do not divide it.

    Examples
    --------
    >>> n_phases(1), n_phases(0.5), n_phases(7), n_phases(2)
    (7, 14, 1, 1)
    """
    windows = round(DAYS_OF_A_WEEK / window_days)
    divides = abs(windows * window_days - DAYS_OF_A_WEEK) < 1e-9  # noqa: PLR2004
    return windows if divides and 1 <= windows <= MOST_PHASES else 1


def phase_rows(start: datetime, end: datetime, *, n_rows: int, window_days: float) -> Floats:
    """Return the rows of a window by place in the week; a longer window spreads them evenly.

    Parameters
    ----------
    start, end : datetime
    n_rows : int
    window_days : float
        Of the windows that make the places.

    Returns
    -------
    array of shape (n_phases,)

    Examples
    --------
    >>> monday = FIRST_MONDAY
    >>> phase_rows(monday, monday + timedelta(days=2), n_rows=10, window_days=1)
    array([5., 5., 0., 0., 0., 0., 0.])
    """
    count = n_phases(window_days)
    first = int((start - FIRST_MONDAY) / timedelta(days=window_days) + 1e-9)
    steps = round((end - start) / timedelta(days=window_days))
    rows = np.zeros(count)
    np.add.at(rows, (first + np.arange(min(max(steps, 1), count))) % count, 1.0)
    return np.asarray(rows * (n_rows / rows.sum()), dtype=np.float64)
