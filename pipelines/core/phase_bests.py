"""The best of each phase: which baselines and which trials stand for it."""

from collections.abc import Iterable

from pipelines.core.baselines import BaselineFigures
from pipelines.core.metrics import Metric, is_better
from pipelines.core.selection import best_trial
from pipelines.core.trials import Trial

SIMPLE_FAMILIES = ("linear", "naive_bayes", "tree", "neighbours")


def is_simple(trial: Trial) -> bool:
    """Return whether a person can follow a trial's family of models.

    Examples
    --------
    >>> from pipelines.core.trials import Configuration
    >>> is_simple(Trial(0, Configuration("tree"), "complete", (), 0.5, None, 1.0))
    True
    """
    return trial.configuration.family in SIMPLE_FAMILIES


def best_simple_trial(trials: Iterable[Trial], metric: Metric) -> Trial | None:
    """Return the best complete trial of the families that a person can follow."""
    return best_trial(filter(is_simple, trials), (metric,), {})


def best_complex_trial(trials: Iterable[Trial], metric: Metric) -> Trial | None:
    """Return the best complete trial of all other families."""
    return best_trial((trial for trial in trials if not is_simple(trial)), (metric,), {})


def best_baseline(
    baselines: Iterable[BaselineFigures], metric: Metric, *, kind: str
) -> BaselineFigures | None:
    """Return the best of the baselines of one kind, by its mean over the folds."""
    best: BaselineFigures | None = None
    for each in baselines:
        if each.kind == kind and _is_above(metric, each, best):
            best = each
    return best


def _is_above(metric: Metric, left: BaselineFigures, right: BaselineFigures | None) -> bool:
    score = left.mean.get(metric.name)
    if score is None:
        return False
    return right is None or is_better(metric, score, right.mean.get(metric.name))
