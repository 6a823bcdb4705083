"""Holm's correction: p-values of several tests that are read together."""

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return the adjusted p-values, in the given order.

    The k-th smallest of m is multiplied by m - k + 1, is never below those before it and never
    above 1. Whoever rejects what stays at or below alpha makes any false claim at all with a
    chance of at most alpha, however the tests depend on each other.

    Parameters
    ----------
    p_values : sequence of float
        From 0 to 1.

    Raises
    ------
    ValueError
        If one is not from 0 to 1.

    References
    ----------
    Holm (1979), A Simple Sequentially Rejective Multiple Test Procedure.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    (0.03, 0.06, 0.06)
    """
    known = np.asarray(p_values, dtype=np.float64)
    if not np.all((known >= 0) & (known <= 1)):
        raise ValueError(f"'p_values' must be from 0 to 1. Got {list(p_values)} instead.")
    order = np.argsort(known, kind="stable")
    raised = np.maximum.accumulate(known[order] * np.arange(known.size, 0, -1))
    adjusted = np.empty_like(known)
    adjusted[order] = np.minimum(raised, 1.0)
    return tuple(adjusted.tolist())
