"""The contract of a family's fit function: from a `FitContext` to a `FitResult`."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evertune.trials import ParameterValue
from evertune.types import FloatArray, Task

Hyperparameters = dict[str, ParameterValue]


@dataclass(frozen=True, eq=False)
class FitContext:
    """All that a fit takes besides rows and hyperparameters.

    Attributes
    ----------
    n_classes : int
        0 in regression.
    n_ordinal : int
        How many of the first columns are codes of categories.
    seed : int
        Of all that a fit draws; the same seed gives the same model.
    n_jobs : int
        Threads; -1 is one for each processor.
    weights : array of shape (n,), optional
        Of the rows, 1 on average.
    validation : tuple of X and y, optional
        Rows for early stopping.
    metric : str
        The optimised metric; early stopping uses the nearest one that a library has.
    iterations : int, optional
        Exactly so many rounds, trees or epochs, without early stopping.
    deadline : float
        Moment of the monotonic clock at which the fit ends with what it has.
    monotone : tuple of int
        For each column of X: 1 where predictions may only rise with it, -1 where they may only
        fall, else 0. Empty if there is no such column.
    """

    task: Task
    n_classes: int
    n_ordinal: int
    seed: int
    n_jobs: int
    weights: FloatArray | None = None
    validation: tuple[FloatArray, FloatArray] | None = None
    metric: str = ""
    iterations: int | None = None
    deadline: float = math.inf
    monotone: tuple[int, ...] = ()

    @property
    def stopping_rows(self) -> tuple[FloatArray, FloatArray] | None:
        """The validation rows, unless the number of iterations is given."""
        return None if self.iterations is not None else self.validation

    def max_rounds(self, limit: int, without_validation: int) -> int:
        """Return how many rounds to grow at most; fewer if nothing stops the fit early."""
        if self.iterations is not None:
            return self.iterations
        return limit if self.validation else min(limit, without_validation)


@dataclass(frozen=True, eq=False)
class FitResult:
    """A fitted predictor.

    Attributes
    ----------
    iterations : int, optional
        Rounds, trees or epochs that it kept; None for families without.
    whole : bool
        False if the deadline cut it short.
    columns : tuple of int, optional
        The columns of X that the predictor takes; None: all.
    """

    predictor: Any
    iterations: int | None
    whole: bool = True
    columns: tuple[int, ...] | None = None


FitFunction = Callable[[FloatArray, FloatArray, Hyperparameters, FitContext], FitResult]


def float_param(params: Hyperparameters, name: str) -> float:
    """Return a hyperparameter that is a number."""
    return float(params[name])  # type: ignore[arg-type]


def int_param(params: Hyperparameters, name: str) -> int:
    """Return a hyperparameter that is a whole number."""
    return int(params[name])  # type: ignore[arg-type]


def sample_rows(context: FitContext, n_rows: int, *, most: int) -> NDArray[np.intp] | None:
    """Return the rows for a fit without weights, at most `most`; None: all as they are.

    Rows are drawn with probabilities proportional to their weights.
    """
    if context.weights is None and n_rows <= most:
        return None
    rng = np.random.default_rng(context.seed)
    if context.weights is None:
        return np.sort(rng.choice(n_rows, most, replace=False))
    proba = context.weights / context.weights.sum()
    return np.sort(rng.choice(n_rows, min(n_rows, most), p=proba))
