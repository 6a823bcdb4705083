"""Rank the trials of a search: the leaderboard, and which trial becomes the model.

`top_trials` puts complete trials before stopped ones and those before failed ones: a mean over
some of the folds is never ranked beside a mean over all of them. `best_trial` picks the winner
among the complete trials; a trial that breaks a guard (a bound on a secondary metric) wins only
if no trial keeps all guards. `best_partial_trial` is the fallback when no trial finished every
fold. `pareto_front` has the compromises between several metrics. `leaderboard` returns all trials
as a table; `trial_title`, `trial_parameters` and `trial_metrics` describe one trial for its MLflow
run.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from evertune.metrics.metrics import MEDIAN_METRICS, Metric, is_better, keeps_bound, mean_metrics
from evertune.trials import Configuration, Trial

if TYPE_CHECKING:
    import pandas as pd

MAX_FOLD_COLUMNS = 50  # that the leaderboard shows one by one


def top_trials(trials: Sequence[Trial], *, greater_is_better: bool, most: int) -> tuple[Trial, ...]:
    """Return the `most` trials that are worth a run of their own, best first.

    Complete trials come before stopped ones, and those before failed ones: a score over some of
    the folds is never ranked beside a score over all of them.

    Examples
    --------
    >>> from evertune.trials import Configuration, Trial
    >>> def make_trial(number, status, score):
    ...     return Trial(number, Configuration("tree"), status, (), score, None, 0.0)
    >>> trials = [make_trial(*each) for each in [(0, "failed", None), (1, "stopped", 0.9)]]
    >>> trials.append(make_trial(2, "complete", 0.8))
    >>> [trial.number for trial in top_trials(trials, greater_is_better=True, most=2)]
    [2, 1]
    """
    order = {"complete": 0, "stopped": 1, "failed": 2}
    sign = -1 if greater_is_better else 1

    def rank(trial: Trial) -> tuple[int, float, int]:
        score = math.inf if trial.score is None else sign * trial.score
        return order[trial.status], score, trial.number

    return tuple(sorted(trials, key=rank)[:most])


def trial_title(trial: Trial) -> str:
    """Return the name of a trial's run.

    Examples
    --------
    >>> from evertune.trials import Configuration, Trial
    >>> trial_title(Trial(7, Configuration("linear"), "complete", (), 0.81234, None, 2.0))
    'trial 7: linear 0.8123'
    """
    shown = trial.status if trial.score is None else f"{trial.score:.4g}"
    mark = f" ({trial.status})" if trial.status == "stopped" else ""
    return f"trial {trial.number}: {trial.configuration.family} {shown}{mark}"


def trial_metrics(trial: Trial) -> dict[str, float]:
    """Return the means over the folds of a trial, named `folds/...`, with its seconds.

    Those of a trial that did not finish all folds are named `partial/...`.

    Examples
    --------
    >>> from evertune.trials import Configuration, FoldResult, Trial
    >>> folds = (FoldResult(0, {"mae": 1.0}, 2.0, 0.5), FoldResult(1, {"mae": 3.0}, 2.0, 0.5))
    >>> trial_metrics(Trial(0, Configuration("tree"), "complete", folds, 2.0, None, 6.0))
    {'folds/mae': 2.0, 'fit_seconds': 4.0, 'predict_seconds': 1.0, 'elapsed_seconds': 6.0}
    """
    name = "folds" if trial.status == "complete" else "partial"
    means = mean_metrics(fold.figures for fold in trial.folds)
    known = {f"{name}/{metric}": mean for metric, mean in means.items() if mean is not None}
    return known | {
        "fit_seconds": sum(fold.fit_seconds for fold in trial.folds),
        "predict_seconds": sum(fold.predict_seconds for fold in trial.folds),
        "elapsed_seconds": trial.elapsed_seconds,
    }


def trial_parameters(trial: Trial) -> dict[str, str]:
    """Return the family and the hyperparameters of a trial as text.

    Examples
    --------
    >>> from evertune.trials import Configuration, Trial
    >>> trial_parameters(Trial(0, Configuration("linear", {"C": 0.5}), "failed", (), None, "", 1))
    {'family': 'linear', 'C': '0.5'}
    """
    chosen = trial.configuration
    return {"family": chosen.family} | {
        name: str(value) for name, value in chosen.hyperparameters.items()
    }


def leaderboard(
    trials: Sequence[Trial], *, greater_is_better: bool, metric: str = ""
) -> "pd.DataFrame":
    """Return all trials as a table, best first: one row a trial, one column a value.

    Parameters
    ----------
    metric : str
        The one whose scores are shown fold by fold, of at most 50 folds; none by default.

    Examples
    --------
    >>> from evertune.trials import Configuration, Trial
    >>> trials = [Trial(n, Configuration("tree"), "complete", (), score, None, float(n))
    ...           for n, score in enumerate([0.5, 0.7])]
    >>> leaderboard(trials, greater_is_better=True)[["trial", "family", "score"]]
       trial family  score
    0      1   tree    0.7
    1      0   tree    0.5
    """
    import pandas as pd

    rows = []
    for trial in top_trials(trials, greater_is_better=greater_is_better, most=len(trials)):
        shown = trial.folds[:MAX_FOLD_COLUMNS] if metric else ()
        values = trial.configuration.hyperparameters
        rows.append(
            {
                "trial": trial.number,
                "family": trial.configuration.family,
                "phase": trial.phase,
                "status": trial.status,
                "score": trial.score,
                "n_folds": len(trial.folds),
                **{f"fold_{fold.fold}": fold.figures.get(metric) for fold in shown},
                **trial_metrics(trial),
                "reason": trial.reason,
                **{f"setting.{name}": str(value) for name, value in values.items()},
            }
        )
    return pd.DataFrame(rows)


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
    metrics : sequence of Metric
        The first is optimised; guards are among them.
    guards : mapping from metric to float
        What a metric must reach where greater is better, and must not pass where smaller is.

    Raises
    ------
    ValueError
        If a guard is no metric.

    Examples
    --------
    >>> from evertune.metrics.metrics import METRICS
    >>> from evertune.trials import Configuration, FoldResult
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
    keeping = []
    for trial in whole:
        means = mean_metrics(fold.figures for fold in trial.folds)
        if all(keeps_bound(metric, means.get(metric.name), bound) for metric, bound in bounds):
            keeping.append(trial)
    return _best_by_score(keeping or whole, metrics[0])


def best_partial_trial(trials: Iterable[Trial], metric: Metric) -> Trial | None:
    """Return the best of the trials that were cut off before they ran on every fold, if any.

    Of those with the most folds, since a mean over fewer folds says less.
    """
    known = [trial for trial in trials if trial.status == "stopped" and trial.score is not None]
    most = max((len(trial.folds) for trial in known), default=0)
    return _best_by_score([trial for trial in known if len(trial.folds) == most], metric)


def pareto_front(trials: Iterable[Trial], metrics: Sequence[Metric]) -> tuple[Trial, ...]:
    """Return the complete trials that no other beats in one metric without losing in another.

    Parameters
    ----------
    metrics : sequence of Metric
        Each is compared by its mean over the folds; a trial that lacks one is left out.

    Returns
    -------
    tuple of Trial
        By the first metric, the best one first; of trials with equal figures the earliest.

    Examples
    --------
    >>> from evertune.metrics.metrics import METRICS
    >>> from evertune.trials import Configuration, FoldResult
    >>> def trial(number, rmse, mae):
    ...     fold = FoldResult(0, {"rmse": rmse, "mae": mae}, 0.1, 0.1)
    ...     return Trial(number, Configuration("linear"), "complete", (fold,), rmse, None, 1.0)
    >>> trials = [trial(0, 2.0, 1.0), trial(1, 1.0, 3.0), trial(2, 2.0, 3.0)]
    >>> [each.number for each in pareto_front(trials, [METRICS["rmse"], METRICS["mae"]])]
    [1, 0]
    """
    known: dict[tuple[float, ...], Trial] = {}
    for trial in trials:
        means = mean_metrics(fold.figures for fold in trial.folds)
        values = [means.get(metric.name) for metric in metrics]
        if trial.status == "complete" and None not in values:
            losses = tuple(
                -value if metric.greater_is_better else value
                for value, metric in zip(values, metrics, strict=True)
                if value is not None
            )
            known.setdefault(losses, trial)

    def is_beaten(losses: tuple[float, ...]) -> bool:
        return any(
            other != losses and all(a <= b for a, b in zip(other, losses, strict=True))
            for other in known
        )

    return tuple(known[losses] for losses in sorted(known) if not is_beaten(losses))


def all_failed(trials: Sequence[Trial]) -> bool:
    """Return whether there were trials and each ended in an error of its own.

    Examples
    --------
    >>> all_failed([]), all_failed([Trial(0, Configuration("svm"), "failed", (), None, "", 1.0)])
    (False, True)
    """
    return bool(trials) and all(trial.status == "failed" for trial in trials)


def zero_rule_configuration(metric: Metric) -> Configuration:
    """Return the constant that suits a metric: the shares of the classes, the mean or the median.

    Examples
    --------
    >>> from evertune.metrics.metrics import METRICS
    >>> zero_rule_configuration(METRICS["mae"]).hyperparameters
    {'statistic': 'median'}
    """
    statistic = "median" if metric.name in MEDIAN_METRICS else "mean"
    return Configuration("zero_rule", {"statistic": statistic})


def _best_by_score(trials: Iterable[Trial], metric: Metric) -> Trial | None:
    best: Trial | None = None
    for trial in trials:
        if best is None or is_better(metric, trial.score, best.score):
            best = trial
    return best
