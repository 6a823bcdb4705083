"""Decide whether a running trial is given up: worse than the median on the very same folds.

Optuna's and Tune's median rules compare means over whatever folds each trial has, so easy folds
favour some trials; this one compares on the same folds, and within one family.
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

MIN_RIVALS = 3

FoldScores = Mapping[int, float | None]  # by fold; greater is better


def should_prune(scores: FoldScores, rivals: Iterable[FoldScores]) -> bool:
    """Return whether a trial is worse than the median of its rivals on the folds that it has.

    A rival counts with its mean over these folds alone, and only if it has them all; there must be
    three such rivals. An undefined score is worse than any other.

    Examples
    --------
    >>> should_prune({0: 0.7}, [{0: 0.8, 1: 0.1}, {0: 0.75}, {0: 0.6}])
    True
    """
    folds = sorted(scores)
    if not folds:
        return False
    means = [_mean(rival, folds) for rival in rivals if all(fold in rival for fold in folds)]
    known = [mean for mean in means if mean is not None]
    if len(known) < MIN_RIVALS:
        return False
    own = _mean(scores, folds)
    return own is None or own < median(known)


def _mean(scores: FoldScores, folds: Sequence[int]) -> float | None:
    values = [score for fold in folds if (score := scores[fold]) is not None]
    return sum(values) / len(values) if len(values) == len(folds) else None
