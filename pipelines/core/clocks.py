"""Times as numbers that can be compared and subtracted."""

import numpy as np
from numpy.typing import NDArray

from pipelines.core.predictions import Floats

Times = NDArray[np.datetime64] | Floats
MICROSECONDS_OF_A_DAY = 86_400_000_000


def clock(times: Times) -> Floats:
    """Return times as microseconds since 1970, exact until the year 2255; a counter as it is.

    Parameters
    ----------
    times : array of datetime64 or float
        NaT becomes NaN.

    Examples
    --------
    >>> clock(np.array(["1970-01-01T00:00:01", "NaT"], dtype="datetime64[us]"))
    array([1000000.,      nan])
    """
    if times.dtype.kind != "M":
        return times.astype(np.float64)
    moments = times.astype("datetime64[us]")
    return np.where(np.isnat(moments), np.nan, moments.astype(np.int64).astype(np.float64))


def span(times: Times, days: float) -> float:
    """Return a number of days in the unit of `clock`; of a counter, days are its units.

    Examples
    --------
    >>> span(np.array(["2024-01-01"], dtype="datetime64[us]"), 0.5)
    43200000000.0
    """
    return days * MICROSECONDS_OF_A_DAY if times.dtype.kind == "M" else days
