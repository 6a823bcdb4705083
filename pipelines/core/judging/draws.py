"""Resamples of rows, as weights: of a bootstrap, and of a jackknife by groups of rows."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from pipelines.core.kernels import Weighed
from pipelines.core.predictions import Floats

CELLS_AT_ONCE = 250_000  # 2 megabytes of weights stay in the processor's cache
MOST_GROUPS = 200
USUAL_TAIL, WIDE_TAIL, LEAST_TAIL = 0.025, 0.02, 1e-6
MOST_DRAWS = 10_000
MOST_CELLS = 1_000_000_000


def drawn(weighed: Sequence[Weighed], n_rows: int, *, draws: int, seed: int) -> list[Floats]:
    """Return what each figure is on resamples of the rows, the same for all figures.

    Parameters
    ----------
    weighed : sequence of callable
        From weights of shape (k, n_rows) to k figures.
    n_rows : int
    draws : int
    seed : int

    Examples
    --------
    >>> [found] = drawn([lambda weights: weights.sum(axis=1)], 5, draws=3, seed=0)
    >>> found
    array([5., 5., 5.])
    """
    rng = np.random.default_rng(seed)
    sizes = _blocks(draws, n_rows)
    return _figures(weighed, (_draw_counts(rng, n_rows, size) for size in sizes))


def without_groups(weighed: Sequence[Weighed], n_rows: int, *, seed: int) -> list[Floats]:
    """Return what each figure is without each of at most 200 groups of rows, taken at random.

    Parameters
    ----------
    weighed : sequence of callable
    n_rows : int
    seed : int

    Examples
    --------
    >>> [found] = without_groups([lambda weights: weights.sum(axis=1)], 1000, seed=0)
    >>> found.shape, float(found[0])
    ((200,), 995.0)
    """
    n_groups = min(n_rows, MOST_GROUPS)
    groups = np.random.default_rng(seed).permutation(n_rows) % n_groups
    starts = np.cumsum([0, *_blocks(n_groups, n_rows)])
    spans = pairwise(starts)
    return _figures(
        weighed, ((groups != np.arange(a, b)[:, None]).astype(np.float64) for a, b in spans)
    )


def draws_needed(draws: int, n_rows: int, *, tail: float) -> int:
    """Return how many draws show an end with the given tail: those wished, or more.

    Beyond a narrow end as many lie as beyond that of 95 % among those wished, up to 10,000 draws
    and a billion cells of draws x rows. No more than those wished where not even these would come
    near the end.

    Parameters
    ----------
    draws : int
        Those that are wished, at least.
    n_rows : int
    tail : float
        Such as 0.025.

    Examples
    --------
    >>> draws_needed(1000, 500, tail=0.025), draws_needed(1000, 500, tail=0.005)
    (1000, 5000)
    >>> draws_needed(1000, 500, tail=1e-5), draws_needed(1000, 500_000, tail=1e-5)
    (10000, 2000)
    """
    if tail >= WIDE_TAIL or tail < LEAST_TAIL:
        return draws
    most = min(MOST_DRAWS, MOST_CELLS // max(n_rows, 1))
    return max(draws, min(most, int(np.ceil(draws * USUAL_TAIL / tail))))


def _figures(weighed: Sequence[Weighed], tables: Iterator[Floats]) -> list[Floats]:
    blocks = [[figures(weights) for figures in weighed] for weights in tables]
    return [np.concatenate(parts) for parts in zip(*blocks, strict=True)]


def _blocks(n_draws: int, n_rows: int) -> list[int]:
    size = max(1, CELLS_AT_ONCE // n_rows)
    return [min(size, n_draws - start) for start in range(0, n_draws, size)]


def _draw_counts(rng: np.random.Generator, n_rows: int, n_draws: int) -> Floats:
    rows = rng.integers(0, n_rows, size=(n_draws, n_rows))
    rows += n_rows * np.arange(n_draws)[:, None]
    counts = np.bincount(rows.ravel(), minlength=n_draws * n_rows)
    return counts.reshape(n_draws, n_rows).astype(np.float64)
