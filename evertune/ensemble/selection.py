"""Select the trials that make the model, and their weights, by greedy ensemble selection.

`select_ensemble` ranks the trials, drops near duplicates, and limits the candidates by the
number of rows, because more would fit the weights to chance. `greedy_weights` adds the trial
that helps most at each step (Caruana et al. 2004). The ensemble replaces the best single trial
only if it does at least as well in cross-fitting. `guards` are bounds on other metrics.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from evertune.data.folds import Fold
from evertune.ensemble.blend_metrics import BlendScorer, is_custom_metric, make_blend_scorer
from evertune.ensemble.calibration import THRESHOLD_METRICS, OOFPredictions, fit_threshold
from evertune.ensemble.oof import (
    OOFStack,
    TrialArtifacts,
    blend_oof,
    cross_fit_parts,
    fold_row_indices,
    ran_on_all_folds,
    score_blend,
    stack_oof,
    stack_predictions,
    subsample_rows,
    take_stack_rows,
    take_stack_trials,
)
from evertune.metrics.metrics import METRICS, Metric, is_better
from evertune.models.model import apply_threshold
from evertune.types import FloatArray, Predictions, probabilities_or_values

MAX_CANDIDATES_BY_ROWS = {
    100: 4,
    500: 8,
    2_500: 15,
    10_000: 40,
    100_000: 60,
}  # rows: most candidates
DUPLICATE_CORRELATION = 0.999  # correlation above which the worse of two candidates is left out
MAX_COMPARED_ROWS = 5_000

Guard = tuple[Metric, float]
Guards = Sequence[Guard]
IndexArray = NDArray[np.int64]


def max_candidates(n_rows: int) -> int:
    """Return among how many entries weights may be chosen: more would fit them to chance.

    Examples
    --------
    >>> [max_candidates(n_rows) for n_rows in (50, 500, 1_000, 10_000, 1_000_000)]
    [4, 8, 10, 40, 60]
    """
    rows, caps = np.log(list(MAX_CANDIDATES_BY_ROWS)), np.log(list(MAX_CANDIDATES_BY_ROWS.values()))
    return round(float(np.exp(np.interp(np.log(n_rows), rows, caps))))


def rank_candidates(
    stack: OOFStack, metric: Metric, guards: Guards, *, searched: Sequence[bool]
) -> IndexArray:
    """Return the places of the entries, the best single one first, the others by their score.

    Entries that keep all bounds come before those that do not. One that a searcher proposed comes
    first only if it beats the best of the others by more than the standard error of its gain over
    the folds: the best of many that were tried is partly the luckiest.

    Parameters
    ----------
    stack : OOFStack
    metric : Metric
    guards : sequence of (Metric, float)
    searched : sequence of bool
        Of each entry, whether a searcher proposed it.
    """
    how = make_blend_scorer(metric, stack.truth)
    scores = how.score(how.view(stack.said))
    breaking = np.array(
        [not meets_all_guards(stack, place, guards) for place in range(len(scores))]
    )
    order = np.lexsort((np.arange(len(scores)), -scores, breaking))
    alike = [place for place in order if breaking[place] == breaking[order[0]]]
    rivals = [place for place in alike if not searched[place]]
    if not rivals or _is_clearly_better(stack, metric, order[0], rivals[0]):
        return order
    return np.array([rivals[0], *order[order != rivals[0]]])


def drop_near_duplicates(stack: OOFStack, order: IndexArray, *, most: int) -> IndexArray:
    """Return the first entries in an order of which no two say nearly the same."""
    step = -(-len(stack.truth) // MAX_COMPARED_ROWS)
    said = stack.said[order][:, ::step].reshape(len(order), -1)
    centred = said - said.mean(axis=1, keepdims=True)
    lengths = np.maximum(np.linalg.norm(centred, axis=1), np.finfo(np.float64).tiny)
    alike = (centred / lengths[:, None]) @ (centred / lengths[:, None]).T > DUPLICATE_CORRELATION
    kept: list[int] = []
    for place in range(len(order)):
        if len(kept) < most and not alike[place, kept].any():
            kept.append(place)
    return order[kept]


def meets_all_guards(stack: OOFStack, place: int, guards: Guards) -> bool:
    """Return whether an entry keeps every bound."""
    said = stack.said[place]
    return all(meets_guard(guard, score_blend(stack, guard[0], said)) for guard in guards)


def meets_guard(guard: Guard, figure: float | None) -> bool:
    """Return whether a figure keeps a bound: at least, or at most, by the metric's direction."""
    metric, bound = guard
    return figure is not None and not is_better(metric, bound, figure)


def _is_clearly_better(stack: OOFStack, metric: Metric, left: int, right: int) -> bool:
    """Return whether the mean gain over the folds is more than its standard error."""
    if left == right:
        return True
    pair = take_stack_trials(stack, np.array([left, right]))
    gains = np.array([_score_difference(pair, metric, part) for part in fold_row_indices(pair)])
    if len(gains) == 1 or not np.isfinite(gains).all():
        return True
    return bool(gains.mean() > gains.std(ddof=1) / np.sqrt(len(gains)))


def _score_difference(pair: OOFStack, metric: Metric, part: IndexArray) -> float:
    how = make_blend_scorer(metric, pair.truth[part])
    scores: FloatArray = how.score(how.view(pair.said[:, part]))
    return float(scores[0] - scores[1])


N_GREEDY_STEPS = 25


def greedy_weights(
    members: FloatArray,
    how: BlendScorer,
    *,
    capped: NDArray[np.bool_],
    largest_share: float = 1.0,
    n_steps: int = N_GREEDY_STEPS,
) -> FloatArray:
    """Return the weights of members whose blend scores best, found step by step.

    Each step adds the member that helps most, which may be one that is in already; the best blend
    on the way is kept. Of equal members one that is in is taken, then the earliest.

    Parameters
    ----------
    members : array of shape (m, n) or (m, n, n_classes)
        What the scoring's view made of what is said, the best member first.
    how : BlendScorer
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
    >>> from evertune.ensemble.blend_metrics import make_blend_scorer
    >>> from evertune.metrics.metrics import METRICS
    >>> how = make_blend_scorer(METRICS["rmse"], np.array([1.0, 5.0]))
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
        place, reached = _best_addition((total + members[allowed]) / step, how, counts[allowed] > 0)
        counts[allowed[place]] += 1
        total = total + members[allowed[place]]
        if reached > best:
            best, kept = reached, counts.copy()
    kept = kept if kept.any() else np.eye(len(members))[0]
    return np.asarray(kept / kept.sum())


def _best_addition(
    blends: FloatArray, how: BlendScorer, inside: NDArray[np.bool_]
) -> tuple[int, tuple[float, float]]:
    """Return the place of the best blend and what it scores."""
    scores = how.score(blends)
    equal = np.flatnonzero(scores == scores.max())
    nearer = np.zeros(len(equal)) if how.tie_break is None else how.tie_break(blends[equal])
    order = np.lexsort((equal, ~inside[equal], -nearer))
    return int(equal[order[0]]), (float(scores.max()), float(nearer[order[0]]))


NETWORK_FAMILIES = ("neural_network",)
MAX_NETWORK_WEIGHT = 0.5  # of the weight, on tables so small that their fit to the folds is luck
ROWS_WITHOUT_NETWORK_CAP = 2_500
MAX_WEIGHTING_ROWS = 20_000  # that choose weights

WeightFunction = Callable[[OOFStack], FloatArray]


@dataclass(frozen=True, eq=False)
class EnsembleSelection:
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
    unseen : OOFPredictions
    """

    weights: tuple[tuple[int, float], ...]
    score: float | None
    single: int
    single_score: float | None
    cross_fitted: float | None
    single_cross_fitted: float | None
    candidates: tuple[int, ...]
    unseen: OOFPredictions


def select_ensemble(
    entries: Sequence[TrialArtifacts],
    truth: FloatArray,
    metric: Metric,
    *,
    folds: Sequence[Fold],
    seed: int,
    searched: Collection[int] = (),
    guards: Guards = (),
) -> EnsembleSelection | None:
    """Return which entries are taken and with which weights; None where none is whole.

    Weights are chosen greedily on predictions of rows that the fold models did not see, and are
    used where they do at least as well as the best single entry on folds that did not choose them.
    What judges both is `selection_metric` the metric.

    Parameters
    ----------
    entries : sequence of TrialArtifacts
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
    whole = [
        entry
        for entry in entries
        if ran_on_all_folds(entry, len(folds)) and _has_finite_predictions(entry)
    ]
    if not whole:
        return None
    stack = stack_oof(whole, truth)
    aim = selection_metric(metric)
    order = rank_candidates(
        stack, aim, guards, searched=[each.number in searched for each in whole]
    )
    places = drop_near_duplicates(stack, order, most=max_candidates(len(truth)))
    few, taken = take_stack_trials(stack, places), [whole[place] for place in places]
    capped = _capped_mask(taken, n_rows=len(truth))
    weigh = partial(_choose_weights, metric=aim, capped=capped, seed=seed)
    weights = weigh(few)
    crossed = _cross_fit(few, aim, weigh=weigh, seed=seed)
    if np.count_nonzero(weights) == 1 or not _beats_single_best(few, crossed, aim, guards):
        weights = np.eye(len(taken))[0]
    return _make_selection(few, taken, metric, weights=weights, crossed=crossed)


def selection_metric(metric: Metric) -> Metric:
    """Return what weights are chosen by: log loss where labels are judged, else the metric.

    Labels depend on few rows and on a threshold that is found afterwards; log loss tells blends
    apart by all rows.

    Examples
    --------
    >>> selection_metric(METRICS["f1"]).name, selection_metric(METRICS["roc_auc"]).name
    ('log_loss', 'roc_auc')
    """
    return (
        METRICS["log_loss"]
        if metric.name in THRESHOLD_METRICS and not is_custom_metric(metric)
        else metric
    )


def single_best(
    selection: EnsembleSelection, entries: Sequence[TrialArtifacts], truth: FloatArray
) -> EnsembleSelection:
    """Return the selection of the best single entry and nothing else."""
    stack = stack_oof([entry for entry in entries if entry.number == selection.single], truth)
    said = stack_predictions(stack, stack.said[0])
    return replace(
        selection,
        weights=((selection.single, 1.0),),
        score=selection.single_score,
        cross_fitted=selection.single_cross_fitted,
        unseen=OOFPredictions(stack.rows, stack.folds, stack.truth, said),
    )


@dataclass(frozen=True, eq=False)
class _CrossFitted:
    """What is said of each part of the rows by what the other parts chose."""

    together: FloatArray
    alone: FloatArray


def _make_selection(
    few: OOFStack,
    taken: Sequence[TrialArtifacts],
    metric: Metric,
    *,
    weights: FloatArray,
    crossed: _CrossFitted | None,
) -> EnsembleSelection:
    def figure(blend: FloatArray | None) -> float | None:
        return None if blend is None else _score_at_best_threshold(few, metric, blend)

    single = few.said[0]
    several = np.count_nonzero(weights) > 1
    unseen = crossed.together if crossed is not None and several else single
    named = [(entry.number, float(w)) for entry, w in zip(taken, weights, strict=True) if w > 0]
    return EnsembleSelection(
        weights=tuple(sorted(named, key=lambda pair: -pair[1])),
        score=figure(blend_oof(few, weights)),
        single=taken[0].number,
        single_score=figure(single),
        cross_fitted=figure(crossed.together if crossed else None),
        single_cross_fitted=figure(crossed.alone if crossed else None),
        candidates=tuple(entry.number for entry in taken),
        unseen=OOFPredictions(few.rows, few.folds, few.truth, stack_predictions(few, unseen)),
    )


def _score_at_best_threshold(few: OOFStack, metric: Metric, blend: FloatArray) -> float | None:
    """Return the figure of a blend; where labels are judged, at their best threshold."""
    said = stack_predictions(few, blend)
    threshold = fit_threshold(OOFPredictions(few.rows, few.folds, few.truth, said), metric)
    if threshold is None or said.probabilities is None:
        return score_blend(few, metric, blend)
    labels = apply_threshold(said.probabilities, threshold)
    return metric.score(few.truth, Predictions(labels, said.probabilities))


def _choose_weights(
    stack: OOFStack, *, metric: Metric, capped: NDArray[np.bool_], seed: int
) -> FloatArray:
    drawn = subsample_rows(stack, most=MAX_WEIGHTING_ROWS, seed=seed)
    how = make_blend_scorer(metric, drawn.truth)
    return greedy_weights(
        how.view(drawn.said), how, capped=capped, largest_share=MAX_NETWORK_WEIGHT
    )


def _cross_fit(
    few: OOFStack, metric: Metric, *, weigh: WeightFunction, seed: int
) -> _CrossFitted | None:
    together, alone = np.empty(few.said.shape[1:]), np.empty(few.said.shape[1:])
    parts = cross_fit_parts(few, seed=seed)
    for part in parts:
        others = take_stack_rows(few, np.setdiff1d(np.arange(len(few.truth)), part))
        how = make_blend_scorer(metric, others.truth)
        together[part] = blend_oof(few, weigh(others), part)
        alone[part] = few.said[how.score(how.view(others.said)).argmax(), part]
    return _CrossFitted(together, alone) if parts else None


def _beats_single_best(
    few: OOFStack, crossed: _CrossFitted | None, metric: Metric, guards: Guards
) -> bool:
    """Return whether weights do as well as a single entry, and keep the bounds that it keeps."""
    if crossed is None:
        return False
    together = score_blend(few, metric, crossed.together)
    if is_better(metric, score_blend(few, metric, crossed.alone), together):
        return False
    return all(
        meets_guard(guard, score_blend(few, guard[0], crossed.together))
        or not meets_guard(guard, score_blend(few, guard[0], few.said[0]))
        for guard in guards
    )


def _capped_mask(taken: Sequence[TrialArtifacts], *, n_rows: int) -> NDArray[np.bool_]:
    small = n_rows < ROWS_WITHOUT_NETWORK_CAP
    return np.array([small and entry.configuration.family in NETWORK_FAMILIES for entry in taken])


def _has_finite_predictions(entry: TrialArtifacts) -> bool:
    return all(
        np.isfinite(probabilities_or_values(model.predictions)).all() for model in entry.folds
    )
