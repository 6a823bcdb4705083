"""Statistics of methods that were each run several times: intervals of means, and ranks.

`mean_intervals` gives the mean over runs with a bootstrap interval. `compare_ranks` ranks the
methods within each block (a seed, or a table), tests whether all are alike (Friedman), and gives
the difference of mean ranks that two methods must exceed to be told apart (Nemenyi). Demsar (2006),
Statistical Comparisons of Classifiers over Multiple Data Sets, is the reference for both.

scipy has Friedman's statistic for three methods or more, and its p-value for many blocks. Here two
methods are allowed, and the p-value is that of shuffled ranks, which holds for a handful of blocks.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from evertune.types import FloatArray

N_SHUFFLES = 20_000


@dataclass(frozen=True)
class RankComparison:
    """Methods by their mean rank over blocks, the best first.

    Attributes
    ----------
    names : tuple of str
        The best first.
    mean_ranks : tuple of float
        From 1 (always the best) to the number of methods; in the order of the names.
    n_blocks : int
        Blocks in which every method was ranked.
    confidence : float
        Such as 0.95.
    chi_square : float
        Friedman's statistic, corrected for ties.
    p_value : float
        The share of shuffles of the ranks within blocks whose statistic is at least as large.
    smallest_p_value : float
        What the most extreme result of as many methods and blocks would have.
    critical_difference : float
        Nemenyi's: mean ranks of two methods that differ by more are told apart.
    groups : tuple of tuple of str
        Methods that are not told apart, as many together as possible; all in one group unless the
        test over all methods finds a difference.
    """

    names: tuple[str, ...]
    mean_ranks: tuple[float, ...]
    n_blocks: int
    confidence: float
    chi_square: float
    p_value: float
    smallest_p_value: float
    critical_difference: float
    groups: tuple[tuple[str, ...], ...]

    @property
    def finds_difference(self) -> bool:
        """Whether the test over all methods rejects that they are alike."""
        return self.p_value <= 1 - self.confidence

    @property
    def can_find_difference(self) -> bool:
        """Whether any result of so few blocks could have been called a difference."""
        return self.smallest_p_value <= 1 - self.confidence

    def different_pairs(self) -> tuple[tuple[str, str], ...]:
        """Return the pairs that are told apart, the better one of each first."""
        return tuple(
            (better, worse)
            for place, better in enumerate(self.names)
            for worse in self.names[place + 1 :]
            if not any(better in group and worse in group for group in self.groups)
        )


def compare_ranks(
    scores: Mapping[str, Sequence[float | None]],
    *,
    greater_is_better: bool,
    confidence: float = 0.95,
    seed: int = 0,
) -> RankComparison:
    """Rank methods within blocks and test whether they differ.

    Parameters
    ----------
    scores : mapping of str to sequence of n_blocks
        The score of each method in each block. None ranks last in its block; equal scores share
        the mean of their ranks.
    seed : int
        Of the shuffles that the p-value is from.

    Raises
    ------
    ValueError
        If there are fewer than two methods, no block, or methods with unlike numbers of blocks.

    Examples
    --------
    >>> found = compare_ranks({"a": [0.9, 0.8, 0.9], "b": [0.7, 0.8, 0.6]}, greater_is_better=True)
    >>> found.names, [round(rank, 2) for rank in found.mean_ranks], found.finds_difference
    (('a', 'b'), [1.17, 1.83], False)
    """
    lengths = {len(each) for each in scores.values()}
    if len(scores) < 2 or len(lengths) != 1 or lengths == {0}:
        raise ValueError(
            "scores must be of at least two methods over the same blocks, but got "
            f"{ {name: len(each) for name, each in scores.items()} }."
        )
    worst = -math.inf if greater_is_better else math.inf
    table = np.array(
        [[worst if score is None else score for score in each] for each in scores.values()]
    ).T
    ranks = stats.rankdata(-table if greater_is_better else table, axis=1)
    n_blocks, n_methods = ranks.shape
    means = ranks.mean(axis=0)
    smallest = math.factorial(n_methods) ** (1.0 - n_blocks)
    p_value = max(_shuffle_p_value(ranks, seed=seed), smallest)
    order = np.argsort(means, kind="stable")
    names = tuple(np.array(list(scores))[order].tolist())
    sorted_means = means[order]
    difference = critical_difference(n_methods, n_blocks, confidence=confidence)
    is_found = p_value <= 1 - confidence
    return RankComparison(
        names=names,
        mean_ranks=tuple(sorted_means.tolist()),
        n_blocks=n_blocks,
        confidence=confidence,
        chi_square=_friedman_statistic(ranks),
        p_value=p_value,
        smallest_p_value=smallest,
        critical_difference=difference,
        groups=_groups(names, sorted_means, difference) if is_found else (names,),
    )


def critical_difference(n_methods: int, n_blocks: int, *, confidence: float = 0.95) -> float:
    """Return by how much mean ranks must differ (Nemenyi).

    q sqrt(k (k + 1) / (6 n)) with k methods and n blocks, q being the quantile of the studentized
    range of k means, divided by the square root of 2.

    Examples
    --------
    >>> round(critical_difference(4, 14), 2), round(critical_difference(4, 14, confidence=0.9), 2)
    (1.25, 1.12)
    """
    quantile = float(stats.studentized_range.ppf(confidence, n_methods, np.inf)) / math.sqrt(2)
    return quantile * math.sqrt(n_methods * (n_methods + 1) / (6 * n_blocks))


def mean_intervals(
    values: FloatArray, *, confidence: float = 0.95, draws: int = 2000, seed: int = 0
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the mean over runs at each point, and the ends of its bootstrap interval.

    Percentiles of the means of resampled runs, at levels that are moved outwards since few runs
    show less spread than there is: Phi(-sqrt(n / (n - 1)) t), t being the quantile of Student's t
    with n - 1 degrees of freedom (Hesterberg, 2015, What Teachers Should Know About the Bootstrap,
    5.3). With two or three runs that is their whole range, and still too narrow.

    Parameters
    ----------
    values : array of shape (n_runs, n_points)
        At least two runs.

    Returns
    -------
    tuple of arrays of shape (n_points,)
        Mean, low end and high end.

    Raises
    ------
    ValueError
        If there are fewer than two runs.

    Examples
    --------
    >>> mean, low, high = mean_intervals(np.array([[1.0], [3.0]]))
    >>> mean.tolist(), low.tolist(), high.tolist()
    ([2.0], [1.0], [3.0])
    """
    n_runs = len(values)
    if n_runs < 2:
        raise ValueError(f"values must be of at least two runs, but got {n_runs}.")
    rows = np.random.default_rng(seed).integers(0, n_runs, size=(draws, n_runs))
    counts = np.stack([np.bincount(each, minlength=n_runs) for each in rows]) / n_runs
    means = counts @ values
    t = float(stats.t.ppf((1 + confidence) / 2, n_runs - 1))
    level = float(stats.norm.cdf(-math.sqrt(n_runs / (n_runs - 1)) * t))
    low, high = np.quantile(means, [level, 1 - level], axis=0)
    return values.mean(axis=0), low, high


def _friedman_statistic(ranks: FloatArray) -> float:
    n_blocks, n_methods = ranks.shape
    ties = sum(
        float((counts**3 - counts).sum())
        for counts in (np.unique(block, return_counts=True)[1] for block in ranks)
    )
    room = 1 - ties / (n_blocks * n_methods * (n_methods**2 - 1))
    if room <= 0:  # all scores of each block are equal
        return 0.0
    gaps = ranks.sum(axis=0) - n_blocks * (n_methods + 1) / 2
    return float(12 * (gaps**2).sum() / (n_blocks * n_methods * (n_methods + 1)) / room)


def _shuffle_p_value(ranks: FloatArray, *, seed: int) -> float:
    """Return how often ranks that are shuffled within blocks lie as far apart as these."""
    rng = np.random.default_rng(seed)
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    sums = np.zeros((N_SHUFFLES, ranks.shape[1]))
    for block in centred:
        sums += rng.permuted(np.tile(block, (N_SHUFFLES, 1)), axis=1)
    seen = float((centred.sum(axis=0) ** 2).sum())
    n_as_far = int(((sums**2).sum(axis=1) >= seen * (1 - 1e-9)).sum())
    return (1 + n_as_far) / (1 + N_SHUFFLES)


def _groups(
    names: tuple[str, ...], means: FloatArray, difference: float
) -> tuple[tuple[str, ...], ...]:
    """Return the longest runs of neighbours whose mean ranks do not differ by more."""
    groups: list[tuple[str, ...]] = []
    last = 0
    for start in range(len(names)):
        end = int(np.searchsorted(means, means[start] + difference, side="right"))
        if end > last:
            groups.append(names[start:end])
            last = end
    return tuple(groups)
