"""Folds within folds: the whole search judged on rows that chose nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipelines.core.fold_parts import IntArray
from pipelines.core.folds import Fold
from pipelines.core.metrics import Metric
from pipelines.core.schema import Schema
from pipelines.core.trials import Figures


@dataclass(frozen=True, eq=False)
class Rows:
    """Clean training rows, their folds, and the metrics, of which the first is optimised."""

    table: pd.DataFrame
    schema: Schema
    folds: tuple[Fold, ...]
    metrics: tuple[Metric, ...]


@dataclass(frozen=True)
class Nested:
    """What the search reaches where it is run again without the rows that judge it.

    Attributes
    ----------
    figures : dict
        Means over the folds.
    folds : tuple of float
        The metric that is optimised, fold by fold.
    seconds : float, optional
        The budget of each search; None where it was in trials.
    """

    figures: Figures
    folds: tuple[float | None, ...]
    seconds: float | None


def inner_folds(folds: Sequence[Fold], outer: int) -> tuple[Fold, ...]:
    """Return the other folds within the training rows of one, whose rows are counted anew from 0.

    Of folds in time only the earlier ones have rows there, and of the first fold there are none.

    Examples
    --------
    >>> folds = [Fold(np.array([2, 3]), np.array([0, 1])), Fold(np.array([0, 1]), np.array([2, 3]))]
    >>> folds += [Fold(np.array([0, 2]), np.array([1, 3]))]
    >>> [(fold.training.tolist(), fold.validation.tolist()) for fold in inner_folds(folds, 2)]
    [([1], [0]), ([0], [1])]
    """
    rows = folds[outer].training
    others = [fold for number, fold in enumerate(folds) if number != outer]
    within = [
        Fold(np.flatnonzero(np.isin(rows, fold.training)), _held(rows, fold)) for fold in others
    ]
    return tuple(fold for fold in within if len(fold.training) and len(fold.validation))


def _held(rows: IntArray, fold: Fold) -> IntArray:
    return np.flatnonzero(np.isin(rows, fold.validation))


def mean_figures(folds: Sequence[Figures]) -> Figures:
    """Return the mean of every figure over the folds in which it is defined.

    Examples
    --------
    >>> mean_figures([{"mae": 1.0, "r2": None}, {"mae": 3.0, "r2": None}])
    {'mae': 2.0, 'r2': None}
    """
    means: Figures = {}
    for name in folds[0]:
        known = [value for figures in folds if (value := figures[name]) is not None]
        means[name] = float(np.mean(known)) if known else None
    return means
