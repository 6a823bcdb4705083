"""How many rows would tell what those at hand cannot."""

import math

from pipelines.core.intervals import Difference


def rows_needed(difference: Difference) -> int | None:
    """Return about how many rows would tell that left is better, if it is as it seems.

    The half-width of an interval shrinks with the square root of the number of rows, so that
    n ((mean - low) / mean)^2 rows have an interval that ends above 0. None where left does not
    seem better.

    Parameters
    ----------
    difference : Difference

    Examples
    --------
    >>> rows_needed(Difference(mean=0.01, low=-0.01, high=0.03, share_better=0.8, n_rows=100))
    400
    """
    if difference.mean is None or difference.low is None or difference.mean <= 0:
        return None
    return math.ceil(
        difference.n_rows * ((difference.mean - difference.low) / difference.mean) ** 2
    )
