"""The contract of every family's fit function, with early stopping and deadlines.

A `FitFunction` takes X, y, hyperparameters and a `FitContext` (task, seed, weights, validation
rows, deadline) and returns a `FitResult`. `EarlyStopping` tracks the best round;
`fit_in_chunks` fits round by round so that a deadline of the monotonic clock is kept.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evertune.trials import ParameterValue
from evertune.types import FloatArray, Task

Hyperparameters = dict[str, ParameterValue]

CHUNK_TIME_SHARE = 0.7  # of the time left that the next chunk may take at the pace of the last one
MIN_PATIENCE = 30  # rounds without gain, beside a share of the best round
PATIENCE_SHARE = 0.2
MIN_ROWS_FOR_RANKING = 100  # rows of the rarer class; with fewer the log loss is watched, not ranks


@dataclass(frozen=True, eq=False)
class FitContext:
    """What a fit needs to know beside rows and hyperparameters.

    Attributes
    ----------
    task : str
    n_classes : int
        0 in regression.
    n_levels : int
        How many of the first columns are codes of levels.
    seed, n_jobs : int
        Threads; -1 is one for each processor.
    weights : array of shape (n,), optional
        How much each row counts, 1 on average.
    validation : tuple of X and y, optional
        Rows on which a fit may stop early.
    metric : str
        The metric that is optimised; early stopping watches the nearest one that a library has.
    iterations : int, optional
        Exactly so many rounds, trees or epochs, without early stopping.
    deadline : float
        Moment of the monotonic clock at which the fit ends with what it has.
    """

    task: Task
    n_classes: int
    n_levels: int
    seed: int
    n_jobs: int
    weights: FloatArray | None = None
    validation: tuple[FloatArray, FloatArray] | None = None
    metric: str = ""
    iterations: int | None = None
    deadline: float = math.inf


@dataclass(frozen=True, eq=False)
class FitResult:
    """What a fit gives.

    Attributes
    ----------
    predictor : estimator or booster
    iterations : int, optional
        Rounds, trees or epochs that it kept; None where there are none.
    whole : bool
        False where the deadline cut it short.
    columns : tuple of int, optional
        Of X, those that the predictor takes; None is all.
    """

    predictor: Any
    iterations: int | None
    whole: bool = True
    columns: tuple[int, ...] | None = None


FitFunction = Callable[[FloatArray, FloatArray, Hyperparameters, FitContext], FitResult]


@dataclass
class EarlyStopping:
    """The best round so far, and why a fit should end.

    Attributes
    ----------
    deadline : float
    best, best_score : int and float
        The first round with the lowest score; rounds count from 1.
    expired : bool
        Whether the deadline ended the fit.
    """

    deadline: float
    best: int = 0
    best_score: float = field(default=math.inf)
    expired: bool = False

    def is_over(self, round_: int, score: float | None) -> bool:
        """Return whether the fit should end after a round; a lower score is better."""
        self.expired = time.monotonic() >= self.deadline
        if score is None:
            return self.expired
        if score < self.best_score or self.best == 0:
            self.best, self.best_score = round_, score
        return self.expired or round_ - self.best > patience(self.best)


def patience(best: int) -> float:
    """Return how many rounds without gain are waited for after the best one."""
    return MIN_PATIENCE + PATIENCE_SHARE * best


def fit_in_chunks(
    grow_to: Callable[[int], bool], *, total: int, deadline: float, first: int = 1
) -> int:
    """Grow to a number of rounds, in chunks that keep the deadline; return the rounds reached.

    Parameters
    ----------
    grow_to : callable
        Grows to so many rounds and returns whether it is done before its time.
    total : int
    deadline : float
        Of the monotonic clock; without one there is a single chunk.
    first : int
        Rounds of the first chunk; each is at most twice the last, for a start costs time too.
    """
    if math.isinf(deadline):
        grow_to(total)
        return total
    done, chunk = 0, min(first, total)
    while True:
        start = time.monotonic()
        finished = grow_to(done + chunk)
        done += chunk
        pace = max(time.monotonic() - start, 1e-6) / chunk
        left = deadline - time.monotonic()
        if finished or done >= total or left < pace:
            return total if finished else done
        chunk = min(total - done, 2 * chunk, max(1, int(CHUNK_TIME_SHARE * left / pace)))


def float_param(chosen: Hyperparameters, name: str) -> float:
    """Return a hyperparameter that is a number."""
    return float(chosen[name])  # type: ignore[arg-type]


def int_param(chosen: Hyperparameters, name: str) -> int:
    """Return a hyperparameter that is a whole number."""
    return int(chosen[name])  # type: ignore[arg-type]


def minority_count(y: FloatArray) -> int:
    """Return how many rows the rarest of two classes has, 0 where there is one class.

    Examples
    --------
    >>> minority_count(np.array([0.0, 1.0, 0.0])), minority_count(np.array([1.0, 1.0]))
    (1, 0)
    """
    counts = np.unique(y, return_counts=True)[1]
    return int(counts.min()) if len(counts) > 1 else 0


def sample_rows(
    setting: FitContext, n_rows: int, *, most: int
) -> np.ndarray[Any, np.dtype[np.intp]] | None:
    """Return which rows a fit without weights takes, or None where it takes all as they are.

    Rows are drawn with a chance that is their weight, and at most `most` of them.
    """
    if setting.weights is None and n_rows <= most:
        return None
    draws = np.random.default_rng(setting.seed)
    if setting.weights is None:
        return np.sort(draws.choice(n_rows, most, replace=False))
    chances = setting.weights / setting.weights.sum()
    return np.sort(draws.choice(n_rows, min(n_rows, most), p=chances))
