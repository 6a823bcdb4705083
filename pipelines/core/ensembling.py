"""Which trials of a search make the model together, and how much each counts."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pipelines.core.blend_kernels import is_own, scoring
from pipelines.core.calibrated import decided
from pipelines.core.candidates import Guards, distinct, is_kept, most_candidates, ranked
from pipelines.core.folds import Fold
from pipelines.core.greedy import greedy_weights
from pipelines.core.metrics import METRICS, Metric, is_better
from pipelines.core.pool import PoolEntry, is_whole
from pipelines.core.predictions import Floats, Predictions, figures_of
from pipelines.core.stacking import (
    Stack,
    blended,
    crossed_places,
    entries_of,
    figure_of,
    part_of,
    predictions_of,
    stacked,
    subsample,
)
from pipelines.core.unseen import DECIDED, Unseen, threshold_of

NETWORKS = ("neural_network",)
NETWORK_SHARE = 0.5  # of the weight, on tables so small that their fit to the folds is luck
ROWS_OF_FREE_NETWORKS = 2_500
MOST_ROWS = 20_000  # that choose weights

Weigh = Callable[[Stack], Floats]


@dataclass(frozen=True, eq=False)
class Selection:
    """What was selected, and how good it is on rows that no fold model saw.

    Attributes
    ----------
    weights : tuple of (int, float)
        Numbers of entries and their weights, which sum to 1, the heaviest first.
    score : float, optional
        Of these weights on the rows that chose them, which flatters.
    single : int
        The best single entry.
    single_score : float, optional
        Of the best single entry on the rows that chose it.
    cross_fitted : float, optional
        The score where each fold has the weights that the other folds chose.
    single_cross_fitted : float, optional
        The score where each fold has the single entry that the other folds chose.
    candidates : tuple of int
        The entries that the weights were chosen among.
    unseen : Unseen
    """

    weights: tuple[tuple[int, float], ...]
    score: float | None
    single: int
    single_score: float | None
    cross_fitted: float | None
    single_cross_fitted: float | None
    candidates: tuple[int, ...]
    unseen: Unseen


def select(  # noqa: PLR0913
    entries: Sequence[PoolEntry],
    truth: Floats,
    metric: Metric,
    *,
    folds: Sequence[Fold],
    seed: int,
    searched: Collection[int] = (),
    guards: Guards = (),
) -> Selection | None:
    """Return which entries are taken and with which weights; None where none is whole.

    Weights are chosen greedily on predictions of rows that the fold models did not see, and are
    used where they do at least as well as the best single entry on folds that did not choose them.
    What judges both is `aim_of` the metric.

    Parameters
    ----------
    entries : sequence of PoolEntry
        Only those that ran on every fold, uncut, are looked at.
    truth : array of shape (n,)
        Of all training rows.
    metric : Metric
    folds : sequence of Fold
    seed : int
        Of the rows that are drawn where there are many.
    searched : collection of int
        Entries that a searcher proposed: one of them is the best single entry only if it beats
        the best of the others by more than the standard error over the folds.
    guards : sequence of (Metric, float)
        Bounds that are kept wherever an entry keeps them.
    """
    whole = [entry for entry in entries if is_whole(entry, len(folds)) and _is_finite(entry)]
    if not whole:
        return None
    stack = stacked(whole, truth)
    aim = aim_of(metric)
    order = ranked(stack, aim, guards, searched=[each.number in searched for each in whole])
    places = distinct(stack, order, most=most_candidates(len(truth)))
    few, taken = entries_of(stack, places), [whole[place] for place in places]
    capped = _capped(taken, n_rows=len(truth))
    weigh = partial(_weights, metric=aim, capped=capped, seed=seed)
    weights = weigh(few)
    crossed = _crossed(few, aim, weigh=weigh, seed=seed)
    if np.count_nonzero(weights) == 1 or not _helps(few, crossed, aim, guards):
        weights = np.eye(len(taken))[0]
    return _selection(few, taken, metric, weights=weights, crossed=crossed)


def aim_of(metric: Metric) -> Metric:
    """Return what weights are chosen by: log loss where labels are judged, else the metric.

    Labels depend on few rows and on a threshold that is found afterwards; log loss tells blends
    apart by all rows.

    Examples
    --------
    >>> aim_of(METRICS["f1"]).name, aim_of(METRICS["roc_auc"]).name
    ('log_loss', 'roc_auc')
    """
    return METRICS["log_loss"] if metric.name in DECIDED and not is_own(metric) else metric


def alone(selection: Selection, entries: Sequence[PoolEntry], truth: Floats) -> Selection:
    """Return the selection of the best single entry and nothing else."""
    stack = stacked([entry for entry in entries if entry.number == selection.single], truth)
    said = predictions_of(stack, stack.said[0])
    return replace(
        selection,
        weights=((selection.single, 1.0),),
        score=selection.single_score,
        cross_fitted=selection.single_cross_fitted,
        unseen=Unseen(stack.rows, stack.folds, stack.truth, said),
    )


@dataclass(frozen=True, eq=False)
class _Crossed:
    """What is said of each part of the rows by what the other parts chose."""

    together: Floats
    alone: Floats


def _selection(
    few: Stack,
    taken: Sequence[PoolEntry],
    metric: Metric,
    *,
    weights: Floats,
    crossed: _Crossed | None,
) -> Selection:
    def figure(blend: Floats | None) -> float | None:
        return None if blend is None else _reached(few, metric, blend)

    single = few.said[0]
    several = np.count_nonzero(weights) > 1
    unseen = crossed.together if crossed is not None and several else single
    named = [(entry.number, float(w)) for entry, w in zip(taken, weights, strict=True) if w > 0]
    return Selection(
        weights=tuple(sorted(named, key=lambda pair: -pair[1])),
        score=figure(blended(few, weights)),
        single=taken[0].number,
        single_score=figure(single),
        cross_fitted=figure(crossed.together if crossed else None),
        single_cross_fitted=figure(crossed.alone if crossed else None),
        candidates=tuple(entry.number for entry in taken),
        unseen=Unseen(few.rows, few.folds, few.truth, predictions_of(few, unseen)),
    )


def _reached(few: Stack, metric: Metric, blend: Floats) -> float | None:
    """Return the figure of a blend; where labels are judged, at their best threshold."""
    said = predictions_of(few, blend)
    threshold = threshold_of(Unseen(few.rows, few.folds, few.truth, said), metric)
    if threshold is None or said.probabilities is None:
        return figure_of(few, metric, blend)
    labels = decided(said.probabilities, threshold)
    return metric.figure(few.truth, Predictions(labels, said.probabilities))


def _weights(stack: Stack, *, metric: Metric, capped: NDArray[np.bool_], seed: int) -> Floats:
    drawn = subsample(stack, most=MOST_ROWS, seed=seed)
    how = scoring(metric, drawn.truth)
    return greedy_weights(how.view(drawn.said), how, capped=capped, largest_share=NETWORK_SHARE)


def _crossed(few: Stack, metric: Metric, *, weigh: Weigh, seed: int) -> _Crossed | None:
    together, alone = np.empty(few.said.shape[1:]), np.empty(few.said.shape[1:])
    parts = crossed_places(few, seed=seed)
    for part in parts:
        others = part_of(few, np.setdiff1d(np.arange(len(few.truth)), part))
        how = scoring(metric, others.truth)
        together[part] = blended(few, weigh(others), part)
        alone[part] = few.said[how.score(how.view(others.said)).argmax(), part]
    return _Crossed(together, alone) if parts else None


def _helps(few: Stack, crossed: _Crossed | None, metric: Metric, guards: Guards) -> bool:
    """Return whether weights do as well as a single entry, and keep the bounds that it keeps."""
    if crossed is None:
        return False
    together = figure_of(few, metric, crossed.together)
    if is_better(metric, figure_of(few, metric, crossed.alone), together):
        return False
    return all(
        is_kept(guard, figure_of(few, guard[0], crossed.together))
        or not is_kept(guard, figure_of(few, guard[0], few.said[0]))
        for guard in guards
    )


def _capped(taken: Sequence[PoolEntry], *, n_rows: int) -> NDArray[np.bool_]:
    small = n_rows < ROWS_OF_FREE_NETWORKS
    return np.array([small and entry.configuration.family in NETWORKS for entry in taken])


def _is_finite(entry: PoolEntry) -> bool:
    return all(np.isfinite(figures_of(model.predictions)).all() for model in entry.folds)
