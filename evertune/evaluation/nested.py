"""Nested cross-validation: the data of a repeated search and its score on the outer folds.

The whole search runs again inside each outer fold, so that its score comes from rows that chose
nothing. `inner_folds` restricts the other folds to the training rows of an outer one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from evertune.data.folds import Fold
from evertune.data.schema import TableSchema
from evertune.metrics.metrics import Metric
from evertune.trials import MetricValues


@dataclass(frozen=True, eq=False)
class CrossValidationData:
    """Clean training rows, their folds, and the metrics, of which the first is optimised."""

    table: pd.DataFrame
    schema: TableSchema
    folds: tuple[Fold, ...]
    metrics: tuple[Metric, ...]


@dataclass(frozen=True)
class NestedResult:
    """What the search reaches when it runs again without the rows that evaluate it.

    Attributes
    ----------
    figures : dict
        Means over the folds.
    folds : tuple of float
        The optimised metric, fold by fold.
    seconds : float, optional
        The budget of each search; None if it was in trials.
    """

    figures: MetricValues
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
    within = [
        Fold(*(np.flatnonzero(np.isin(rows, part)) for part in (fold.training, fold.validation)))
        for i, fold in enumerate(folds)
        if i != outer
    ]
    return tuple(fold for fold in within if len(fold.training) and len(fold.validation))
