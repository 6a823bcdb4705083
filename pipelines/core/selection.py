"""Which trial of a search becomes the model."""

from collections.abc import Iterable, Mapping, Sequence

from pipelines.core.guesses import BY_THE_MEDIAN
from pipelines.core.metrics import Metric, is_better
from pipelines.core.trials import Configuration, Trial


def best_trial(
    trials: Iterable[Trial],
    metrics: Sequence[Metric],
    guards: Mapping[str, float],
) -> Trial | None:
    """Return the best of the trials that ran on every fold; None if there is none with a score.

    A trial that breaks a guard, by its mean over the folds, is chosen only where none keeps them
    all. Of equal trials the earliest is taken.

    Parameters
    ----------
    trials : iterable of Trial
    metrics : sequence of Metric
        The first is optimised; guards are among them.
    guards : mapping from metric to float
        What a figure must reach where greater is better, and must not pass where smaller is.

    Raises
    ------
    ValueError
        If a guard is no metric.

    Examples
    --------
    >>> from pipelines.core.metrics import METRICS
    >>> from pipelines.core.trials import Configuration, FoldResult
    >>> def trial(number, rmse, mae):
    ...     fold = FoldResult(0, {"rmse": rmse, "mae": mae}, 0.1, 0.1)
    ...     return Trial(number, Configuration("linear"), "complete", (fold,), rmse, None, 1.0)
    >>> trials = [trial(0, 2.0, 1.0), trial(1, 1.0, 9.0)]
    >>> best_trial(trials, [METRICS["rmse"], METRICS["mae"]], {"mae": 5.0}).number
    0
    """
    by_name = {metric.name: metric for metric in metrics}
    unknown = sorted(set(guards) - set(by_name))
    if unknown:
        raise ValueError(f"guards must be some of {sorted(by_name)}, but got {unknown}.")
    whole = [trial for trial in trials if trial.status == "complete" and trial.score is not None]
    bounds = [(by_name[name], bound) for name, bound in guards.items()]
    keeping = [trial for trial in whole if all(_keeps(trial, *bound) for bound in bounds)]
    return _best(keeping or whole, metrics[0])


def best_part(trials: Iterable[Trial], metric: Metric) -> Trial | None:
    """Return the best of the trials that were cut off before they ran on every fold, if any.

    Of those with the most folds, since figures of fewer folds say less.
    """
    known = [trial for trial in trials if trial.status == "stopped" and trial.score is not None]
    most = max((len(trial.folds) for trial in known), default=0)
    return _best([trial for trial in known if len(trial.folds) == most], metric)


def all_failed(trials: Sequence[Trial]) -> bool:
    """Return whether there were trials and each ended in an error of its own.

    Examples
    --------
    >>> all_failed([]), all_failed([Trial(0, Configuration("svm"), "failed", (), None, "", 1.0)])
    (False, True)
    """
    return bool(trials) and all(trial.status == "failed" for trial in trials)


def zero_rule_for(metric: Metric) -> Configuration:
    """Return the constant that suits a metric: the shares of the classes, the mean or the median.

    Examples
    --------
    >>> from pipelines.core.metrics import METRICS
    >>> zero_rule_for(METRICS["mae"]).hyperparameters
    {'statistic': 'median'}
    """
    statistic = "median" if metric.name in BY_THE_MEDIAN else "mean"
    return Configuration("zero_rule", {"statistic": statistic})


def _best(trials: Iterable[Trial], metric: Metric) -> Trial | None:
    best: Trial | None = None
    for trial in trials:
        if best is None or is_better(metric, trial.score, best.score):
            best = trial
    return best


def _keeps(trial: Trial, metric: Metric, bound: float) -> bool:
    values = [fold.figures.get(metric.name) for fold in trial.folds]
    known = [value for value in values if value is not None]
    mean = sum(known) / len(known) if known else None
    return mean is not None and not is_better(metric, bound, mean)
