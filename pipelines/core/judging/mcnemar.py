"""McNemar's test: whether one of two models is right more often on the same rows."""

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from pipelines.core.judging.results import TestResult

EXACT_BELOW = 25


def mcnemar(
    left_right: NDArray[np.bool_], right_right: NDArray[np.bool_], *, confidence: float
) -> TestResult:
    """Return McNemar's test of the difference in accuracy.

    Only rows on which one of the two is right count: of b + c such rows, b on which left is. Were
    left not better, b would be at most binomial(b + c, 1/2). Below 25 such rows the p-value is
    exact, P(B >= b); from there on it is the mid-p, P(B > b) + P(B = b) / 2, whose level stays
    within the nominal one where the exact test's is well below and the continuity correction's
    further still. The interval turns that of b / (b + c), by the same tail, into (2 b / (b + c) -
    1) (b + c) / n: it is above 0 where the p-value is below (1 - confidence) / 2.

    Parameters
    ----------
    left_right, right_right : arrays of shape (n,)
        Whether left, and whether right, is right about each row.
    confidence : float

    Returns
    -------
    TestResult
        Without ends and p-value where no row tells the two apart.

    References
    ----------
    McNemar (1947). Fagerland, Lydersen and Laake (2013), The McNemar Test for Binary Matched-Pairs
    Data: Mid-p and Asymptotic Are Better Than Exact Conditional.

    Examples
    --------
    >>> left, right = np.array([True] * 9 + [False]), np.array([False] * 6 + [True] * 4)
    >>> found = mcnemar(left, right, confidence=0.95)
    >>> round(found.difference, 6), round(found.p_value, 4), found.note
    (0.5, 0.0625, '6 rows to 1, exact')
    """
    n_left = int(np.count_nonzero(left_right & ~right_right))
    n_right = int(np.count_nonzero(right_right & ~left_right))
    n_told, n_rows = n_left + n_right, int(left_right.size)
    if not n_told:
        gap = 0.0 if n_rows else None
        return TestResult("McNemar", gap, None, None, None, n_rows, "no row tells them apart")
    mid = 0.5 if n_told >= EXACT_BELOW else 0.0
    tail = (1 - confidence) / 2
    low = _least_share(n_left, n_told, tail=tail, mid=mid)
    high = 1 - _least_share(n_right, n_told, tail=tail, mid=mid)
    return TestResult(
        "McNemar",
        (n_left - n_right) / n_rows,
        (2 * low - 1) * n_told / n_rows,
        (2 * high - 1) * n_told / n_rows,
        _tail(0.5, n_left, n_told, mid),
        n_rows,
        f"{n_left} rows to {n_right}, {'mid-p' if mid else 'exact'}",
    )


def _tail(share: float, n_left: int, n_told: int, mid: float) -> float:
    beyond = stats.binom.sf(n_left - 1, n_told, share)
    return float(beyond - mid * stats.binom.pmf(n_left, n_told, share))


def _least_share(n_left: int, n_told: int, *, tail: float, mid: float) -> float:
    if n_left == 0:
        return 0.0

    def excess(share: float) -> float:
        return _tail(share, n_left, n_told, mid) - tail

    return float(optimize.brentq(excess, 0.0, 1.0)) if excess(1.0) > 0 else 1.0
