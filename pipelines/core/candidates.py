"""Which trials weights are chosen among: the best, no two alike, the fewer the fewer rows."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.core.blend_kernels import scoring
from pipelines.core.metrics import Metric, is_better
from pipelines.core.predictions import Floats
from pipelines.core.stacking import Stack, entries_of, figure_of, fold_places

CAPS = {100: 4, 500: 8, 2_500: 15, 10_000: 40, 100_000: 60}  # rows: most candidates
ALIKE = 0.999  # correlation above which the worse of two candidates is left out
MOST_ROWS_COMPARED = 5_000

Guard = tuple[Metric, float]
Guards = Sequence[Guard]
Places = NDArray[np.int64]


def most_candidates(n_rows: int) -> int:
    """Return among how many entries weights may be chosen: more would fit them to chance.

    Examples
    --------
    >>> [most_candidates(n_rows) for n_rows in (50, 500, 1_000, 10_000, 1_000_000)]
    [4, 8, 10, 40, 60]
    """
    rows, caps = np.log(list(CAPS)), np.log(list(CAPS.values()))
    return round(float(np.exp(np.interp(np.log(n_rows), rows, caps))))


def ranked(stack: Stack, metric: Metric, guards: Guards, *, searched: Sequence[bool]) -> Places:
    """Return the places of the entries, the best single one first, the others by their score.

    Entries that keep all bounds come before those that do not. One that a searcher proposed comes
    first only if it beats the best of the others by more than the standard error of its gain over
    the folds: the best of many that were tried is partly the luckiest.

    Parameters
    ----------
    stack : Stack
    metric : Metric
    guards : sequence of (Metric, float)
    searched : sequence of bool
        Of each entry, whether a searcher proposed it.
    """
    how = scoring(metric, stack.truth)
    scores = how.score(how.view(stack.said))
    breaking = np.array([not keeps_all(stack, place, guards) for place in range(len(scores))])
    order = np.lexsort((np.arange(len(scores)), -scores, breaking))
    alike = [place for place in order if breaking[place] == breaking[order[0]]]
    rivals = [place for place in alike if not searched[place]]
    if not rivals or _is_clearly_better(stack, metric, order[0], rivals[0]):
        return order
    return np.array([rivals[0], *order[order != rivals[0]]])


def distinct(stack: Stack, order: Places, *, most: int) -> Places:
    """Return the first entries in an order of which no two say nearly the same."""
    step = -(-len(stack.truth) // MOST_ROWS_COMPARED)
    said = stack.said[order][:, ::step].reshape(len(order), -1)
    centred = said - said.mean(axis=1, keepdims=True)
    lengths = np.maximum(np.linalg.norm(centred, axis=1), np.finfo(np.float64).tiny)
    alike = (centred / lengths[:, None]) @ (centred / lengths[:, None]).T > ALIKE
    kept: list[int] = []
    for place in range(len(order)):
        if len(kept) < most and not alike[place, kept].any():
            kept.append(place)
    return order[kept]


def keeps_all(stack: Stack, place: int, guards: Guards) -> bool:
    """Return whether an entry keeps every bound."""
    said = stack.said[place]
    return all(is_kept(guard, figure_of(stack, guard[0], said)) for guard in guards)


def is_kept(guard: Guard, figure: float | None) -> bool:
    """Return whether a figure keeps a bound: at least, or at most, by the metric's direction."""
    metric, bound = guard
    return figure is not None and not is_better(metric, bound, figure)


def _is_clearly_better(stack: Stack, metric: Metric, left: int, right: int) -> bool:
    """Return whether the mean gain over the folds is more than its standard error."""
    if left == right:
        return True
    pair = entries_of(stack, np.array([left, right]))
    gains = np.array([_gain(pair, metric, part) for part in fold_places(pair)])
    if len(gains) == 1 or not np.isfinite(gains).all():
        return True
    return bool(gains.mean() > gains.std(ddof=1) / np.sqrt(len(gains)))


def _gain(pair: Stack, metric: Metric, part: Places) -> float:
    how = scoring(metric, pair.truth[part])
    scores: Floats = how.score(how.view(pair.said[:, part]))
    return float(scores[0] - scores[1])
