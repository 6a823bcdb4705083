"""How a search parts rows when nobody says how: by rows, columns and budget."""

import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.model_selection import KFold, ShuffleSplit, StratifiedKFold, StratifiedShuffleSplit

from pipelines.core.fold_parts import IntArray
from pipelines.core.folds import Fold
from pipelines.core.predictions import Floats

USUAL_FOLDS, FEW_FOLDS, ONE_HOLDOUT = 5, 3, 1
MANY_ROWS = 20_000  # from here on fewer folds at a short budget
VERY_MANY_ROWS = 100_000
LONG_SECONDS = 300
CELLS_A_SECOND = 10_000  # of the table, which a search in seconds can go through fold by fold
HELD_OUT, FEWEST_HELD_OUT, MOST_HELD_OUT = 0.15, 2_500, 1 / 3
FEWEST_ROWS_A_FOLD = 2
MOST_CELLS = 4_000_000  # that a fold learns from: more would rank configurations little better
VALIDATING_SHARE = 0.25  # as many rows as are learned from, times this, are enough to rank by


def n_folds_for(n_rows: int, n_columns: int, budget_seconds: float | None) -> int:
    """Return how many folds a search should use; 1 stands for a single hold-out.

    Parameters
    ----------
    n_rows, n_columns : int
    budget_seconds : float, optional
        None where the budget is in trials.

    Examples
    --------
    >>> n_folds_for(5_000, 20, 60), n_folds_for(40_000, 9, 60), n_folds_for(40_000, 9, 300)
    (5, 3, 5)
    >>> n_folds_for(1_000_000, 30, 300)
    1
    """
    seconds = math.inf if budget_seconds is None else budget_seconds
    if n_rows < MANY_ROWS:
        return USUAL_FOLDS
    if n_rows * n_columns > CELLS_A_SECOND * seconds:
        return ONE_HOLDOUT
    if n_rows < VERY_MANY_ROWS and seconds < LONG_SECONDS:
        return FEW_FOLDS
    return USUAL_FOLDS


def resampled(truth: Floats, n_folds: int, *, has_classes: bool, seed: int) -> tuple[Fold, ...]:
    """Return shuffled folds, or a single hold-out where `n_folds` is 1.

    Every fold has the shares of the classes as far as that goes. The row of a class that has no
    other is learned from in every fold and validates none. There are fewer folds where rows are
    few, and none where fewer than four can be parted.

    Parameters
    ----------
    truth : array of shape (n,)
        Class codes, or values.
    n_folds : int
    has_classes : bool
    seed : int

    Examples
    --------
    >>> made = resampled(np.array([0.0, 0, 1, 1, 2]), 2, has_classes=True, seed=0)
    >>> [(4 in fold.training, len(fold.validation)) for fold in made]
    [(True, 2), (True, 2)]
    """
    rows = np.arange(truth.size)
    parted, pinned = rows, rows[:0]
    if has_classes:
        single = np.bincount(truth.astype(np.int64))[truth.astype(np.int64)] == 1
        parted, pinned = rows[~single], rows[single]
    least = min(n_folds, parted.size // FEWEST_ROWS_A_FOLD)
    if parted.size < FEWEST_ROWS_A_FOLD * 2:
        return ()
    parts = _parts(truth[parted], max(least, 1), has_classes=has_classes, seed=seed)
    return tuple(
        Fold(np.sort(np.concatenate([parted[training], pinned])), np.sort(parted[validation]))
        for training, validation in parts
    )


def thinned(folds: Sequence[Fold], n_columns: int, *, seed: int) -> tuple[Fold, ...]:
    """Return folds of a large table that use a random part of their rows; others as they are.

    Configurations are ranked on the part; the chosen ones are fitted on all rows afterwards. Rows
    keep their order, and each fold draws its own.

    Parameters
    ----------
    folds : sequence of Fold
    n_columns : int
        Features of the table.
    seed : int

    Examples
    --------
    >>> (fold,) = thinned([Fold(np.arange(900), np.arange(900, 1000))], 40_000, seed=0)
    >>> len(fold.training), len(fold.validation)
    (100, 25)
    """
    most = most_rows(n_columns)
    draws = np.random.default_rng(seed)

    def part(rows: IntArray, n_kept: int) -> IntArray:
        if len(rows) <= n_kept:
            return rows
        return np.sort(draws.choice(rows, size=n_kept, replace=False))

    return tuple(
        Fold(part(fold.training, most), part(fold.validation, math.ceil(VALIDATING_SHARE * most)))
        if len(fold.training) > most
        else fold
        for fold in folds
    )


def most_rows(n_columns: int) -> int:
    """Return the training rows that a fold has at most, once it is thinned.

    Examples
    --------
    >>> most_rows(40)
    100000
    """
    return max(MOST_CELLS // max(n_columns, 1), FEWEST_ROWS_A_FOLD)


def _parts(
    truth: Floats, n_folds: int, *, has_classes: bool, seed: int
) -> Iterator[tuple[IntArray, IntArray]]:
    splitter = _splitter(truth, n_folds, has_classes=has_classes, seed=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")
        yield from splitter.split(np.empty(truth.size), truth if has_classes else None)


def _splitter(truth: Floats, n_folds: int, *, has_classes: bool, seed: int) -> Any:
    if n_folds == ONE_HOLDOUT:
        share = min(max(HELD_OUT, FEWEST_HELD_OUT / truth.size), MOST_HELD_OUT)
        kind = StratifiedShuffleSplit if has_classes else ShuffleSplit
        return kind(1, test_size=share, random_state=seed)
    if not has_classes:
        return KFold(n_folds, shuffle=True, random_state=seed)
    commonest = int(np.bincount(truth.astype(np.int64)).max())
    return StratifiedKFold(min(n_folds, commonest), shuffle=True, random_state=seed)
