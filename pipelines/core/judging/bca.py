"""The ends of a bootstrap interval, and what they say of chance: Efron's BCa.

All ends are asked for by z, the quantile of the standard normal distribution at the wanted tail:
-1.96 is the low end of an interval of 95 %.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

from pipelines.core.predictions import Floats

LARGEST_BIAS = 1.0  # in standard deviations; beyond it BCa's levels leave the draws
FEWEST_LEFT_OUT = 0.5
NORMAL_KURTOSIS = 3.0


@dataclass(frozen=True, eq=False)
class Bootstrapped:
    """A figure, and what it is on resamples of its rows.

    Attributes
    ----------
    figure : float
        Of all rows.
    draws : array of shape (n_draws,)
        Of resamples; at least two that are defined and not equal, in ascending order.
    left_out : array of shape (n_groups,)
        With each group of rows left out.
    """

    figure: float
    draws: Floats
    left_out: Floats

    @cached_property
    def bias(self) -> float:
        """The quantile of the standard normal at the share of draws below the figure."""
        below, upto = (np.searchsorted(self.draws, self.figure, side) for side in ("left", "right"))
        return float(stats.norm.ppf((below + upto) / (2 * self.draws.size)))

    @cached_property
    def pull(self) -> float:
        """The acceleration: how the spread of the figure changes with the figure itself."""
        return acceleration(self.left_out)

    @property
    def is_far_off(self) -> bool:
        """Whether the draws lie so far to one side of the figure that BCa cannot correct it."""
        return not abs(self.bias) <= LARGEST_BIAS


def acceleration(left_out: Floats) -> float:
    """Return the acceleration of a figure from a jackknife.

    sum (m - x_j)^3 / (6 (sum (m - x_j)^2)^1.5), x_j being the figure without the j-th group of
    rows and m their mean. Groups of equal size give what single rows give, up to chance: a sum
    over a group is less skew by just the factor by which there are fewer groups. From -1/6 to
    1/6; 0 where the figure is undefined without most groups, or the same without any.

    Parameters
    ----------
    left_out : array of shape (n_groups,)

    References
    ----------
    Efron (1987), Better Bootstrap Confidence Intervals, and its section on grouping.

    Examples
    --------
    >>> round(acceleration(np.array([1.0, 1.0, 1.0, 0.0])), 4)
    0.0962
    """
    known = left_out[np.isfinite(left_out)]
    if known.size < max(2, FEWEST_LEFT_OUT * left_out.size):
        return 0.0
    gaps = known.mean() - known
    spread = float((gaps**2).sum()) ** 1.5
    return float((gaps**3).sum()) / (6 * spread) if spread > 0 else 0.0


def effective_rows(left_out: Floats, n_rows: int) -> float:
    """Return how many rows of normal influence tell as much of the spread as those at hand do.

    n / (1 + e), e being the excess over 3 of the kurtosis of the rows' influences on the figure:
    n where these are normal, and about d where two models differ on d rows only, however many
    others there are. The excess of groups is smaller than that of rows by the size of a group.
    From 1 to n.

    Parameters
    ----------
    left_out : array of shape (n_groups,)
        The figure with each group of rows left out.
    n_rows : int

    Examples
    --------
    >>> round(effective_rows(np.array([0.0, 1.0] * 2 + [0.5] * 96), 100), 1)
    4.3
    """
    known = left_out[np.isfinite(left_out)]
    gaps = known - known.mean()
    squares = float((gaps**2).mean())
    if squares == 0.0:
        return 1.0
    excess = float((gaps**4).mean()) / squares**2 - NORMAL_KURTOSIS
    return max(n_rows / (1 + max(excess, 0.0) * n_rows / left_out.size), 1.0)


def level(found: Bootstrapped, z: float) -> float:
    """Return the share of draws that lies below BCa's end.

    Phi(b + (b + z) / (1 - a (b + z))) with the bias b and the acceleration a.

    Parameters
    ----------
    found : Bootstrapped
    z : float
        Quantile of the standard normal distribution at the wanted tail.

    References
    ----------
    Efron (1987), formula 2.3.

    Examples
    --------
    >>> even = Bootstrapped(1.5, np.arange(4.0), np.array([1.0, 2.0]))
    >>> round(level(even, -1.96), 3)
    0.025
    """
    moved = found.bias + z
    shrunk = 1 - found.pull * moved
    if shrunk <= 0:
        return float(moved > 0)
    return float(stats.norm.cdf(found.bias + moved / shrunk))


def low_end(found: Bootstrapped, z: float) -> float:
    """Return the low end of BCa's interval: the draw with a share `level` of draws up to it.

    It is the k-th smallest of B draws, k being the whole part of level (B + 1). Where k is 0 no
    draw lies that far out: then it is the smallest draw, or the normal end if that is lower. The
    normal end, figure - bias + z deviation, is used too where the draws lie far to one side of
    the figure.

    Parameters
    ----------
    found : Bootstrapped
    z : float
        Below 0.

    References
    ----------
    Davison and Hinkley (1997), Bootstrap Methods and Their Application, 5.2.1 and 5.3.2.

    Examples
    --------
    >>> even = Bootstrapped(49.0, np.arange(99.0), np.array([1.0, 2.0]))
    >>> low_end(even, -1.2815)
    9.0
    """
    if found.is_far_off:
        return _normal_end(found, z)
    place = math.floor(level(found, z) * (found.draws.size + 1))
    if place == 0:
        return min(float(found.draws[0]), _normal_end(found, z))
    return float(found.draws[min(place, found.draws.size) - 1])


def high_end(found: Bootstrapped, z: float) -> float:
    """Return the high end of BCa's interval; it is the low end of the figure turned round.

    Parameters
    ----------
    found : Bootstrapped
    z : float
        Below 0, as for the low end.

    Examples
    --------
    >>> even = Bootstrapped(49.0, np.arange(99.0), np.array([1.0, 2.0]))
    >>> high_end(even, -1.2815)
    89.0
    """
    return -low_end(Bootstrapped(-found.figure, -found.draws[::-1], -found.left_out), z)


def z_of_zero(found: Bootstrapped) -> float:
    """Return the z whose low end comes to lie above 0: for every larger one it does.

    Parameters
    ----------
    found : Bootstrapped

    Examples
    --------
    >>> even = Bootstrapped(49.0, np.arange(99.0) - 8.5, np.array([1.0, 2.0]))
    >>> round(z_of_zero(Bootstrapped(40.5, even.draws, even.left_out)), 2)
    -1.28
    """
    normal = _normal_z(found)
    if found.is_far_off:
        return normal
    n_upto = int(np.searchsorted(found.draws, 0.0, "right"))
    if n_upto == found.draws.size:
        return math.inf
    quantile = float(stats.norm.ppf((n_upto + 1) / (found.draws.size + 1))) - found.bias
    shrunk = 1 + found.pull * quantile
    if shrunk <= 0:
        return math.copysign(math.inf, quantile)
    z = quantile / shrunk - found.bias
    return z if n_upto else min(z, normal)


def _normal_end(found: Bootstrapped, z: float) -> float:
    return 2 * found.figure - float(found.draws.mean()) + z * float(found.draws.std(ddof=1))


def _normal_z(found: Bootstrapped) -> float:
    centre = 2 * found.figure - float(found.draws.mean())
    return -centre / float(found.draws.std(ddof=1))
