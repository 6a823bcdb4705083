"""Early stopping and deadlines inside fits, shared by all families.

`EarlyStopping` follows the validation loss round by round; LightGBM, XGBoost and CatBoost call it
from a callback (`evertune.models.boosting`), networks after each epoch. `fit_in_chunks` grows a
model of scikit-learn in chunks of rounds, so that a deadline of the monotonic clock is kept.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from evertune.types import FloatArray

CHUNK_TIME_SHARE = 0.7  # of the time left that the next chunk may take at the last one's pace
MIN_PATIENCE = 30  # rounds without gain, besides a share of the best round
PATIENCE_SHARE = 0.2
ROUNDS_WITHOUT_VALIDATION = 200  # of boosting without rows for early stopping
MIN_ROWS_FOR_RANKING = 100  # rows of the rarer class; with fewer, ranking metrics are too noisy


@dataclass
class EarlyStopping:
    """The best round so far, and whether a fit should end.

    Attributes
    ----------
    deadline : float
        Of the monotonic clock.
    best, best_loss : int and float
        The first round with the lowest loss; rounds count from 1.
    expired : bool
        Whether the deadline ended the fit.
    """

    deadline: float
    best: int = 0
    best_loss: float = math.inf
    expired: bool = False

    def is_over(self, round_: int, loss: float | None) -> bool:
        """Return whether the fit should end after a round; without a loss only at the deadline."""
        self.expired = time.monotonic() >= self.deadline
        if loss is None:
            return self.expired
        if loss < self.best_loss or self.best == 0:
            self.best, self.best_loss = round_, loss
        return self.expired or round_ - self.best > patience(self.best)


def patience(best: int) -> float:
    """Return the rounds without gain after which a fit ends, by its best round so far."""
    return MIN_PATIENCE + PATIENCE_SHARE * best


def fit_in_chunks(
    grow_to: Callable[[int], bool], *, total: int, deadline: float, first: int = 1
) -> int:
    """Grow a model to a number of rounds, in chunks that keep the deadline; return those reached.

    Parameters
    ----------
    grow_to : callable
        Grows to a number of rounds, and returns whether the model has converged.
    deadline : float
        Of the monotonic clock; without one there is a single chunk.
    first : int
        Rounds of the first chunk; each is at most twice the last, because a start takes time, too.
    """
    if math.isinf(deadline):
        grow_to(total)
        return total
    done, chunk = 0, min(first, total)
    while True:
        start = time.monotonic()
        converged = grow_to(done + chunk)
        done += chunk
        seconds_per_round = max(time.monotonic() - start, 1e-6) / chunk
        left = deadline - time.monotonic()
        if converged or done >= total or left < seconds_per_round:
            return total if converged else done
        affordable = int(CHUNK_TIME_SHARE * left / seconds_per_round)
        chunk = min(total - done, 2 * chunk, max(1, affordable))


def can_rank(y: FloatArray) -> bool:
    """Return whether the rarer of two classes has enough rows for early stopping by ranks.

    Examples
    --------
    >>> can_rank(np.arange(300) % 2), can_rank(np.ones(300))
    (True, False)
    """
    counts = np.unique(y, return_counts=True)[1]
    return len(counts) > 1 and int(counts.min()) >= MIN_ROWS_FOR_RANKING
