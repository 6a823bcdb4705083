"""DeLong's test: two areas under the ROC curve on the same rows."""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pipelines.core.judging.results import TestResult
from pipelines.core.predictions import Floats

FEWEST_OF_A_CLASS = 2
NAME = "DeLong"


def delong(
    positive: NDArray[np.bool_], left: Floats, right: Floats, *, confidence: float
) -> TestResult:
    """Return DeLong's test of the difference of two areas under the ROC curve.

    A row's placement is the share of rows of the other class that it stands on the right side of,
    ties half; an area is the mean placement of the positive rows, of the negative ones, too. The
    difference has the variance of the mean gap in placement of the one class plus that of the
    other. Placements come from midranks in n log n steps.

    Parameters
    ----------
    positive : array of shape (n,)
    left, right : arrays of shape (n,)
        The scores that each gives; greater means positive.
    confidence : float

    Returns
    -------
    TestResult
        Without ends and p-value where a class has fewer than two rows, and where the placements
        do not differ: two perfect rankings do not tell how far each may be off.

    References
    ----------
    DeLong, DeLong and Clarke-Pearson (1988). Sun and Xu (2014), Fast Implementation of DeLong's
    Algorithm for Comparing the Areas Under Correlated ROC Curves.

    Examples
    --------
    >>> positive = np.array([True, True, True, False, False, False])
    >>> left, right = np.array([6.0, 5, 3, 4, 2, 1]), np.array([6.0, 3, 2, 5, 4, 1])
    >>> found = delong(positive, left, right, confidence=0.95)
    >>> round(found.difference, 3), round(found.low, 3), round(found.p_value, 3)
    (0.333, -0.2, 0.11)
    """
    n_rows, n_least = positive.size, min(positive.sum(), (~positive).sum())
    if not n_least:
        return TestResult(NAME, None, None, None, None, n_rows, "only one class occurs")
    up, down = (
        a - b for a, b in zip(_placed(positive, left), _placed(positive, right), strict=True)
    )
    gap = float(up.mean())
    if n_least < FEWEST_OF_A_CLASS:
        return TestResult(NAME, gap, None, None, None, n_rows, "one class has a single row")
    error = float(np.sqrt(up.var(ddof=1) / up.size + down.var(ddof=1) / down.size))
    if error <= np.finfo(np.float64).eps:
        return TestResult(NAME, gap, None, None, None, n_rows, "no row tells them apart")
    half = float(stats.norm.ppf((1 + confidence) / 2)) * error
    p_value = float(stats.norm.sf(gap / error))
    return TestResult(NAME, gap, gap - half, gap + half, p_value, n_rows)


def _placed(positive: NDArray[np.bool_], scores: Floats) -> tuple[Floats, Floats]:
    among_all = stats.rankdata(scores)
    up, down = among_all[positive], among_all[~positive]
    beaten = (up - stats.rankdata(scores[positive])) / down.size
    beaten_by = 1 - (down - stats.rankdata(scores[~positive])) / up.size
    return beaten, beaten_by
