"""Greedy selection of an ensemble from a library of models (Caruana and others, 2004)."""

import numpy as np
from numpy.typing import NDArray

from pipelines.core.blend_kernels import Scoring
from pipelines.core.predictions import Floats

N_STEPS = 25


def greedy_weights(
    members: Floats,
    how: Scoring,
    *,
    capped: NDArray[np.bool_],
    largest_share: float = 1.0,
    n_steps: int = N_STEPS,
) -> Floats:
    """Return the weights of members whose blend scores best, found step by step.

    Each step adds the member that helps most, which may be one that is in already; the best blend
    on the way is kept. Of equal members one that is in is taken, then the earliest.

    Parameters
    ----------
    members : array of shape (m, n) or (m, n, n_classes)
        What the scoring's view made of what is said, the best member first.
    how : Scoring
    capped : array of bool of shape (m,)
        Members that together have at most `largest_share` of the weight, unless all are.
    largest_share : float
    n_steps : int

    Returns
    -------
    array of shape (m,)
        Not negative; they sum to 1.

    Examples
    --------
    >>> from pipelines.core.blend_kernels import scoring
    >>> from pipelines.core.metrics import METRICS
    >>> how = scoring(METRICS["rmse"], np.array([1.0, 5.0]))
    >>> errors = how.view(np.array([[2.0, 5.0], [0.0, 5.0], [9.0, 9.0]]))
    >>> greedy_weights(errors, how, capped=np.zeros(3, dtype=bool)).tolist()
    [0.5, 0.5, 0.0]
    """
    capped = capped & ~capped.all()
    counts, total = np.zeros(len(members)), np.zeros(members.shape[1:])
    best, kept = (-np.inf, -np.inf), counts
    for step in range(1, n_steps + 1):
        full = counts[capped].sum() + 1 > largest_share * step
        allowed = np.flatnonzero(~capped if full else np.ones_like(capped))
        place, reached = _next((total + members[allowed]) / step, how, counts[allowed] > 0)
        counts[allowed[place]] += 1
        total = total + members[allowed[place]]
        if reached > best:
            best, kept = reached, counts.copy()
    kept = kept if kept.any() else np.eye(len(members))[0]
    return np.asarray(kept / kept.sum())


def _next(
    blends: Floats, how: Scoring, inside: NDArray[np.bool_]
) -> tuple[int, tuple[float, float]]:
    """Return the place of the best blend and what it scores."""
    scores = how.score(blends)
    equal = np.flatnonzero(scores == scores.max())
    nearer = np.zeros(len(equal)) if how.tie_break is None else how.tie_break(blends[equal])
    order = np.lexsort((equal, ~inside[equal], -nearer))
    return int(equal[order[0]]), (float(scores.max()), float(nearer[order[0]]))
