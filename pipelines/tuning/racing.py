"""When a trial is given up: others of its family were better on the very same folds."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

FEWEST_RIVALS = 3

FoldScores = Mapping[int, float | None]  # by fold, turned so that more is better


def falls_behind(scores: FoldScores, rivals: Iterable[FoldScores]) -> bool:
    """Return whether a trial is worse than the median of its rivals on the folds that it has.

    Each rival counts with the mean over these folds alone, so that easy folds favour nobody; there
    must be three that have them all. A score that is undefined falls behind any that is not.

    Parameters
    ----------
    scores : mapping from fold to float
    rivals : iterable of mappings from fold to float

    Examples
    --------
    >>> falls_behind({0: 0.7}, [{0: 0.8, 1: 0.1}, {0: 0.75}, {0: 0.6}])
    True
    """
    folds = sorted(scores)
    if not folds:
        return False
    means = [_mean(rival, folds) for rival in rivals if all(fold in rival for fold in folds)]
    known = [mean for mean in means if mean is not None]
    if len(known) < FEWEST_RIVALS:
        return False
    reached = _mean(scores, folds)
    return reached is None or reached < median(known)


def _mean(scores: FoldScores, folds: Sequence[int]) -> float | None:
    values = [scores[fold] for fold in folds]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
