"""Select the trials that make the model, and their weights, by greedy ensemble selection.

`select_ensemble` ranks the trials, drops near duplicates, and limits the candidates by the
number of rows, because more would fit the weights to chance. `greedy_weights` adds the trial
that helps most at each step (Caruana et al. 2004). The ensemble replaces the best single trial
only if it does at least as well in cross-fitting. `guards` are bounds on other metrics.

Trials that the budget stopped after their first fold can be members, too: where they make the
ensemble clearly better on that fold's rows, these rows choose the weights.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from evertune.data.folds import Fold
from evertune.ensemble.blend_metrics import BlendScorer, is_custom_metric, make_blend_scorer
from evertune.ensemble.calibration import (
    THRESHOLD_METRICS,
    Guards,
    fit_threshold,
)
from evertune.ensemble.oof import (
    FoldModel,
    OOFPredictions,
    OOFStack,
    TrialArtifacts,
    positive_or_all,
    stack_oof,
)
from evertune.metrics.metrics import METRICS, Metric, is_better, keeps_bound
from evertune.models.families import FAMILIES
from evertune.models.fitted_model import apply_threshold
from evertune.types import FloatArray, Predictions, probabilities_or_values, take_rows

MAX_CANDIDATES_BY_ROWS = {100: 4, 500: 8, 2_500: 15, 10_000: 40, 100_000: 60}
DUPLICATE_CORRELATION = 0.999  # above it, the worse of two candidates is left out
MAX_COMPARED_ROWS = 5_000
MAX_WEIGHTING_ROWS = 20_000  # rows that choose weights
N_GREEDY_STEPS = 40
MIN_FIRST_ROWS = 200  # of the first fold, to choose weights by it alone
MAX_NETWORK_WEIGHT = 0.5  # on tables so small that a network's fit to the folds is luck
ROWS_WITHOUT_NETWORK_CAP = 2_500

IndexArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class EnsembleSelection:
    """The selected trials, with scores on rows that no fold model saw.

    Attributes
    ----------
    weights : tuple of (int, float)
        Trial numbers and their weights, which sum to 1, the heaviest first.
    score : float, optional
        Of these weights on the rows that chose them, which is optimistic.
    single : int
        The best single trial.
    single_score : float, optional
        Of the best single trial on the rows that chose it.
    cross_fitted : float, optional
        The score if each fold has the weights that the other folds chose.
    single_cross_fitted : float, optional
        The score if each fold has the single trial that the other folds chose.
    """

    weights: tuple[tuple[int, float], ...]
    score: float | None
    single: int
    single_score: float | None
    cross_fitted: float | None
    single_cross_fitted: float | None
    unseen: OOFPredictions


def select_ensemble(
    entries: Sequence[TrialArtifacts],
    y_true: FloatArray,
    metric: Metric,
    *,
    folds: Sequence[Fold],
    seed: int,
    searched: Collection[int] = (),
    guards: Guards = (),
) -> EnsembleSelection | None:
    """Return the selected trials and their weights; None if none ran on every fold.

    If none did, but several ran on the first fold and are better together, it is their ensemble.
    Weights are chosen greedily on out-of-fold predictions, and are used if they do at least as
    well as the best single trial on folds that did not choose them. Both are judged by the
    metric, or by the log loss if it judges labels (`selection_metric`).

    Parameters
    ----------
    entries : sequence of TrialArtifacts
        Only those with finite predictions are considered. Those that lack folds count on the rows
        of the first fold, if more trials ran on it and the ensemble of all of them is better
        there by more than the standard error. With time folds, whose first is the oldest and
        smallest, they do not.
    y_true : array of shape (n,)
        Of all training rows.
    seed : int
        For the rows that are drawn if there are many.
    searched : collection of int
        Trials that a searcher proposed: one of them is the best single trial only if it beats
        the best of the others by more than the standard error over the folds.
    guards : sequence of (Metric, float)
        Bounds, which are kept wherever a trial keeps them.
    """
    select = partial(
        _select, y_true=y_true, metric=metric, seed=seed, searched=searched, guards=guards
    )
    complete = [entry for entry in entries if _is_complete(entry, len(folds))]
    started = _first_folds(entries) if can_choose_by_first_fold(folds) else []
    whole = select(complete) if complete else None
    if len(started) <= max(len(complete), 1):
        return whole
    first = select(started)
    if whole is None:
        return first if len(first.weights) > 1 else None
    if not _is_clearly_better_on_first(first, whole, metric, seed=seed):
        return whole
    stack = stack_oof([entry for entry in complete if entry.number == whole.single], y_true)
    rows = stack.take(np.flatnonzero(stack.folds == stack.folds[0]))
    alone = _score_at_best_threshold(rows, metric, rows.values[0])
    return replace(first, single=whole.single, single_score=alone, single_cross_fitted=alone)


def can_choose_by_first_fold(folds: Sequence[Fold]) -> bool:
    """Return whether the first of several folds tells enough to choose weights by its rows alone.

    It must validate 200 rows, and learn from as many as other folds: of time folds it does not.

    Examples
    --------
    >>> few, many = (Fold(np.arange(n), np.arange(200)) for n in (200, 900))
    >>> can_choose_by_first_fold([few, few]), can_choose_by_first_fold([few, many])
    (True, False)
    >>> can_choose_by_first_fold([Fold(np.arange(9), np.arange(1))] * 2)
    False
    """
    if len(folds) < 2:
        return False
    most = max(len(fold.training) for fold in folds)
    return len(folds[0].validation) >= MIN_FIRST_ROWS and 2 * len(folds[0].training) >= most


def first_fold_weights(
    entries: Sequence[TrialArtifacts], y_true: FloatArray, metric: Metric, *, seed: int
) -> dict[int, float]:
    """Return the weights of all trials that ran on the first fold, chosen on its rows.

    They tell which trials deserve more folds. Without a trial on that fold they are empty.
    """
    started = _first_folds(entries)
    if not started:
        return {}
    return dict(_select(started, y_true, metric, seed=seed, searched=(), guards=()).weights)


def _select(
    entries: Sequence[TrialArtifacts],
    y_true: FloatArray,
    metric: Metric,
    *,
    seed: int,
    searched: Collection[int],
    guards: Guards,
) -> EnsembleSelection:
    """Return the selection among trials that ran on the same folds."""
    stack = stack_oof(entries, y_true)
    aim = selection_metric(metric)
    order = rank_candidates(
        stack, aim, guards, searched=[entry.number in searched for entry in entries]
    )
    index = drop_near_duplicates(stack, order, most=max_candidates(len(stack.rows)))
    few = replace(stack, values=stack.values[index])
    candidates = [entries[place] for place in index]
    small = len(y_true) < ROWS_WITHOUT_NETWORK_CAP
    capped = np.array(
        [small and FAMILIES[entry.configuration.family].kind == "network" for entry in candidates]
    )
    choose = partial(_choose_weights, metric=aim, capped=capped, seed=seed)
    weights = choose(few)
    blend, alone = _cross_fit(few, aim, choose=choose, seed=seed)
    if np.count_nonzero(weights) == 1 or not _beats_single_best(few, blend, alone, aim, guards):
        weights = np.eye(len(candidates))[0]

    def score(blended: FloatArray | None) -> float | None:
        return None if blended is None else _score_at_best_threshold(few, metric, blended)

    several = blend is not None and np.count_nonzero(weights) > 1
    unseen = blend if blend is not None and several else few.values[0]
    numbers = [entry.number for entry in candidates]
    named = [(n, float(weight)) for n, weight in zip(numbers, weights, strict=True) if weight > 0]
    return EnsembleSelection(
        weights=tuple(sorted(named, key=lambda pair: -pair[1])),
        score=score(few.blend(weights)),
        single=numbers[0],
        single_score=score(few.values[0]),
        cross_fitted=score(blend),
        single_cross_fitted=score(alone),
        unseen=OOFPredictions(few.rows, few.folds, few.y_true, few.predictions(unseen)),
    )


def single_best(
    selection: EnsembleSelection, entries: Sequence[TrialArtifacts], y_true: FloatArray
) -> EnsembleSelection:
    """Return the selection of the best single trial alone."""
    stack = stack_oof([entry for entry in entries if entry.number == selection.single], y_true)
    predictions = stack.predictions(stack.values[0])
    return replace(
        selection,
        weights=((selection.single, 1.0),),
        score=selection.single_score,
        cross_fitted=selection.single_cross_fitted,
        unseen=OOFPredictions(stack.rows, stack.folds, stack.y_true, predictions),
    )


def selection_metric(metric: Metric) -> Metric:
    """Return the metric that chooses weights: log loss for metrics of labels, else the metric.

    Labels depend on few rows and on a threshold that is found afterwards; the log loss compares
    blends by all rows.
    """
    judges_labels = metric.name in THRESHOLD_METRICS and not is_custom_metric(metric)
    return METRICS["log_loss"] if judges_labels else metric


def max_candidates(n_rows: int) -> int:
    """Return the most trials among which weights may be chosen: more would fit them to chance."""
    rows, caps = np.log(list(MAX_CANDIDATES_BY_ROWS)), np.log(list(MAX_CANDIDATES_BY_ROWS.values()))
    return round(float(np.exp(np.interp(np.log(n_rows), rows, caps))))


def rank_candidates(
    stack: OOFStack, metric: Metric, guards: Guards, *, searched: Sequence[bool]
) -> IndexArray:
    """Return the indices of the trials, the best single one first, the others by their score.

    Trials that keep all guards come first. One that a searcher proposed (`searched`) comes first
    only if it beats the best of the others by more than the standard error of its gain over the
    folds: the best of many that were tried is partly the luckiest.
    """
    scorer = make_blend_scorer(metric, stack.y_true)
    scores = scorer.score(scorer.view(stack.values))
    violating = np.array(
        [
            not all(
                keeps_bound(guard, stack.score(guard, values), bound) for guard, bound in guards
            )
            for values in stack.values
        ]
    )
    order = np.lexsort((np.arange(len(scores)), -scores, violating))
    rivals = [
        place for place in order if violating[place] == violating[order[0]] and not searched[place]
    ]
    if not rivals or _is_clearly_better(stack, metric, order[0], rivals[0]):
        return order
    return np.array([rivals[0], *order[order != rivals[0]]])


def drop_near_duplicates(stack: OOFStack, order: IndexArray, *, most: int) -> IndexArray:
    """Return the first `most` trials in an order of which no two predict nearly the same."""
    step = -(-len(stack.y_true) // MAX_COMPARED_ROWS)
    values = stack.values[order][:, ::step].reshape(len(order), -1)
    centred = values - values.mean(axis=1, keepdims=True)
    lengths = np.maximum(np.linalg.norm(centred, axis=1), np.finfo(np.float64).tiny)
    unit = centred / lengths[:, None]
    duplicates = unit @ unit.T > DUPLICATE_CORRELATION
    kept: list[int] = []
    for place in range(len(order)):
        if len(kept) < most and not duplicates[place, kept].any():
            kept.append(place)
    return order[kept]


def greedy_weights(
    members: FloatArray,
    scorer: BlendScorer,
    *,
    capped: NDArray[np.bool_],
    largest_share: float = 1.0,
    n_steps: int = N_GREEDY_STEPS,
) -> FloatArray:
    """Return the weights of members whose blend scores best, found step by step.

    Each step adds the member that helps most, with replacement; the best blend on the way is
    kept. Of equal members one that was already added is taken, then the earliest.
    """
    capped = capped & ~capped.all()
    counts, total = np.zeros(len(members)), np.zeros(members.shape[1:])
    best_score, best_counts = (-np.inf, -np.inf), counts
    for step in range(1, n_steps + 1):
        full = counts[capped].sum() + 1 > largest_share * step
        allowed = np.flatnonzero(~capped if full else np.ones_like(capped))
        blends = (total + members[allowed]) / step
        scores = scorer.score(blends)
        equal = np.flatnonzero(scores == scores.max())
        ties = np.zeros(len(equal)) if scorer.tie_break is None else scorer.tie_break(blends[equal])
        first = np.lexsort((equal, counts[allowed[equal]] == 0, -ties))[0]
        member = allowed[equal[first]]
        counts[member] += 1
        total = total + members[member]
        if (score := (float(scores.max()), float(ties[first]))) > best_score:
            best_score, best_counts = score, counts.copy()
    if not best_counts.any():
        best_counts = np.eye(len(members))[0]
    return np.asarray(best_counts / best_counts.sum())


def _is_complete(entry: TrialArtifacts, n_folds: int) -> bool:
    is_everywhere = sorted(model.fold for model in entry.folds) == list(range(n_folds))
    return is_everywhere and all(map(_is_usable, entry.folds))


def _is_usable(model: FoldModel) -> bool:
    return model.whole and bool(np.isfinite(probabilities_or_values(model.predictions)).all())


def _first_folds(entries: Sequence[TrialArtifacts]) -> list[TrialArtifacts]:
    """Return what the trials did on the first fold, of those that ran on it."""
    firsts = [
        (entry, [model for model in entry.folds if model.fold == 0 and _is_usable(model)])
        for entry in entries
    ]
    return [replace(entry, folds=tuple(models)) for entry, models in firsts if models]


def _is_clearly_better_on_first(
    first: EnsembleSelection, whole: EnsembleSelection, metric: Metric, *, seed: int
) -> bool:
    """Return whether one selection is better than another on the rows of the first fold.

    Both predict rows that did not choose their weights. The mean gain over parts of the rows must
    be more than its standard error.
    """
    index = np.flatnonzero(whole.unseen.folds == 0)
    pair = np.stack(
        [
            positive_or_all(first.unseen.predictions),
            positive_or_all(take_rows(whole.unseen.predictions, index)),
        ]
    )
    has_classes = first.unseen.predictions.probabilities is not None
    stack = OOFStack(
        pair, first.unseen.y_true, first.unseen.rows, first.unseen.folds, classes=has_classes
    )
    parts = stack.cross_fit_parts(seed=seed)
    return _mean_gain_is_clear(stack, selection_metric(metric), parts)


def _is_clearly_better(stack: OOFStack, metric: Metric, left: int, right: int) -> bool:
    """Return whether the mean gain over the folds is more than its standard error."""
    if left == right:
        return True
    return _mean_gain_is_clear(
        replace(stack, values=stack.values[[left, right]]), metric, stack.fold_indices()
    )


def _mean_gain_is_clear(stack: OOFStack, metric: Metric, parts: Sequence[IndexArray]) -> bool:
    """Return whether the first row of values beats the second by more than the standard error."""
    gains = []
    for rows in parts:
        scorer = make_blend_scorer(metric, stack.y_true[rows])
        scores = scorer.score(scorer.view(stack.values[:, rows]))
        gains.append(float(scores[0] - scores[1]))
    if len(gains) == 1 or not np.isfinite(gains).all():
        return True
    return bool(np.mean(gains) > np.std(gains, ddof=1) / np.sqrt(len(gains)))


def _choose_weights(
    stack: OOFStack, *, metric: Metric, capped: NDArray[np.bool_], seed: int
) -> FloatArray:
    drawn = stack.subsample(MAX_WEIGHTING_ROWS, seed=seed)
    scorer = make_blend_scorer(metric, drawn.y_true)
    return greedy_weights(
        scorer.view(drawn.values), scorer, capped=capped, largest_share=MAX_NETWORK_WEIGHT
    )


def _cross_fit(
    stack: OOFStack, metric: Metric, *, choose: Callable[[OOFStack], FloatArray], seed: int
) -> tuple[FloatArray, FloatArray] | tuple[None, None]:
    """Return, for each part of the rows, the blend and the single trial that other rows choose."""
    blend, alone = np.empty(stack.values.shape[1:]), np.empty(stack.values.shape[1:])
    parts = stack.cross_fit_parts(seed=seed)
    for part in parts:
        others = stack.take(np.setdiff1d(np.arange(len(stack.y_true)), part))
        scorer = make_blend_scorer(metric, others.y_true)
        blend[part] = stack.blend(choose(others), part)
        alone[part] = stack.values[scorer.score(scorer.view(others.values)).argmax(), part]
    return (blend, alone) if parts else (None, None)


def _beats_single_best(
    stack: OOFStack,
    blend: FloatArray | None,
    alone: FloatArray | None,
    metric: Metric,
    guards: Guards,
) -> bool:
    """Return whether weights do as well as a single trial, and keep the guards that it keeps."""
    if blend is None or alone is None:
        return False
    if is_better(metric, stack.score(metric, alone), stack.score(metric, blend)):
        return False
    return all(
        keeps_bound(guard, stack.score(guard, blend), bound)
        or not keeps_bound(guard, stack.score(guard, stack.values[0]), bound)
        for guard, bound in guards
    )


def _score_at_best_threshold(stack: OOFStack, metric: Metric, blend: FloatArray) -> float | None:
    predictions = stack.predictions(blend)
    oof = OOFPredictions(stack.rows, stack.folds, stack.y_true, predictions)
    threshold = fit_threshold(oof, metric)
    if threshold is None or predictions.probabilities is None:
        return stack.score(metric, blend)
    labels = apply_threshold(predictions.probabilities, threshold)
    return metric.score(stack.y_true, Predictions(labels, predictions.probabilities))
