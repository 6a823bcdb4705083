"""What of a search is shown as runs: which trials, under which names, with which figures."""

import json
import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from statistics import fmean

import pandas as pd

from pipelines.core.pages import Page, Point
from pipelines.core.trials import Trial

MOST_FOLDS = 50  # that the leaderboard shows one by one
STATUS = {"complete": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


def kept_trials(
    trials: Sequence[Trial], *, greater_is_better: bool, most: int
) -> tuple[Trial, ...]:
    """Return the `most` trials that are worth a run of their own, best first.

    Complete trials come before stopped ones, and those before failed ones: a score over some of
    the folds is never ranked beside a score over all of them.

    Examples
    --------
    >>> from pipelines.core.trials import Configuration, Trial
    >>> def trial(number, status, score):
    ...     return Trial(number, Configuration("tree"), status, (), score, None, 0.0)
    >>> trials = [trial(0, "failed", None), trial(1, "stopped", 0.9), trial(2, "complete", 0.8)]
    >>> [kept.number for kept in kept_trials(trials, greater_is_better=True, most=2)]
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
    >>> from pipelines.core.trials import Configuration, Trial
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
    >>> from pipelines.core.trials import Configuration, FoldResult, Trial
    >>> folds = (FoldResult(0, {"mae": 1.0}, 2.0, 0.5), FoldResult(1, {"mae": 3.0}, 2.0, 0.5))
    >>> trial_metrics(Trial(0, Configuration("tree"), "complete", folds, 2.0, None, 6.0))
    {'folds/mae': 2.0, 'fit_seconds': 4.0, 'predict_seconds': 1.0, 'elapsed_seconds': 6.0}
    """
    name = "folds" if trial.status == "complete" else "partial"
    names = trial.folds[0].figures if trial.folds else {}
    columns = {key: [fold.figures.get(key) for fold in trial.folds] for key in names}
    known = {
        key: [value for value in values if value is not None] for key, values in columns.items()
    }
    means = {f"{name}/{key}": fmean(values) for key, values in known.items() if values}
    return means | {
        "fit_seconds": sum(fold.fit_seconds for fold in trial.folds),
        "predict_seconds": sum(fold.predict_seconds for fold in trial.folds),
        "elapsed_seconds": trial.elapsed_seconds,
    }


def trial_parameters(trial: Trial) -> dict[str, str]:
    """Return the family and the hyperparameters of a trial as text.

    Examples
    --------
    >>> from pipelines.core.trials import Configuration, Trial
    >>> trial_parameters(Trial(0, Configuration("linear", {"C": 0.5}), "failed", (), None, "", 1))
    {'family': 'linear', 'C': '0.5'}
    """
    chosen = trial.configuration
    return {"family": chosen.family} | {
        name: str(value) for name, value in chosen.hyperparameters.items()
    }


def trial_page(trial: Trial) -> Page:
    """Return what the run of a trial shows.

    Examples
    --------
    >>> from pipelines.core.trials import Configuration, Trial
    >>> page = trial_page(Trial(7, Configuration("linear"), "failed", (), None, "no memory", 2.0))
    >>> page.title, page.status, page.tags["evertune.reason"]
    ('trial 7: linear failed', 'FAILED', 'no memory')
    """
    return Page(
        title=trial_title(trial),
        note=trial.reason or "",
        parameters=trial_parameters(trial),
        metrics=trial_metrics(trial),
        tags={"evertune.status": trial.status, "evertune.reason": trial.reason or ""},
        status=STATUS[trial.status],
    )


def best_so_far(
    trials: Sequence[Trial], *, greater_is_better: bool, started_milliseconds: int
) -> tuple[Point, ...]:
    """Return two curves over the complete trials in the order they ended: score and best score.

    Parameters
    ----------
    trials : sequence of Trial
    greater_is_better : bool
    started_milliseconds : int
        When the search started, since 1970.

    Examples
    --------
    >>> from pipelines.core.trials import Configuration, Trial
    >>> trials = [Trial(n, Configuration("tree"), "complete", (), score, None, float(n))
    ...           for n, score in enumerate([0.5, 0.4, 0.7])]
    >>> points = best_so_far(trials, greater_is_better=True, started_milliseconds=1000)
    >>> [(point.value, point.milliseconds) for point in points if point.name == "search/best"]
    [(0.5, 1000), (0.5, 2000), (0.7, 3000)]
    """
    pick = max if greater_is_better else min
    ranked = [trial for trial in trials if trial.status == "complete" and trial.score is not None]
    scores = [trial.score for trial in ranked if trial.score is not None]
    points: list[Point] = []
    for step, (trial, score, best) in enumerate(
        zip(ranked, scores, accumulate(scores, pick), strict=True)
    ):
        when = started_milliseconds + round(1000 * trial.elapsed_seconds)
        points.append(Point("search/score", score, step, when))
        points.append(Point("search/best", best, step, when))
    return tuple(points)


def leaderboard(
    trials: Sequence[Trial], *, greater_is_better: bool, metric: str = ""
) -> pd.DataFrame:
    """Return all trials as a table, best first: one row a trial, one column a figure.

    Parameters
    ----------
    trials : sequence of Trial
    greater_is_better : bool
    metric : str
        The one whose scores are shown fold by fold, of at most 50 folds; none by default.

    Examples
    --------
    >>> from pipelines.core.trials import Configuration, Trial
    >>> trials = [Trial(n, Configuration("tree"), "complete", (), score, None, float(n))
    ...           for n, score in enumerate([0.5, 0.7])]
    >>> leaderboard(trials, greater_is_better=True)[["trial", "family", "score"]]
       trial family  score
    0      1   tree    0.7
    1      0   tree    0.5
    """
    ranked = kept_trials(trials, greater_is_better=greater_is_better, most=len(trials))
    rows = [_row(trial, metric) for trial in ranked]
    return pd.DataFrame(rows)


def column_types(table: pd.DataFrame) -> str:
    """Return the columns of a table with their types, as MLflow keeps them.

    Examples
    --------
    >>> column_types(pd.DataFrame({"n": [1]}))
    '{"mlflow_colspec": [{"name": "n", "type": "double", "required": false}]}'
    """
    kinds = {"b": "boolean", "i": "double", "u": "double", "f": "double", "M": "datetime"}
    columns = [
        {"name": str(name), "type": kinds.get(kind.kind, "string"), "required": False}
        for name, kind in table.dtypes.items()
    ]
    return json.dumps({"mlflow_colspec": columns})


def table_size(table: pd.DataFrame) -> str:
    """Return the size of a table, as MLflow keeps it.

    Examples
    --------
    >>> table_size(pd.DataFrame({"n": [1, 2], "m": [3, 4]}))
    '{"num_rows": 2, "num_elements": 4}'
    """
    return json.dumps({"num_rows": len(table), "num_elements": int(table.size)})


def flat(values: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Return nested values as text under dotted names.

    Examples
    --------
    >>> flat({"search": {"seed": 0, "families": ["linear", "tree"]}, "data": {"columns": {}}})
    {'search.seed': '0', 'search.families': 'linear, tree', 'data.columns': ''}
    """
    named: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            named |= flat(value, f"{prefix}{key}.")
        else:
            named[f"{prefix}{key}"] = _text(value)
    return named


def _text(value: object) -> str:
    if isinstance(value, (list, tuple, Mapping)):
        return ", ".join(str(item) for item in value)
    return str(value)


def _row(trial: Trial, metric: str) -> dict[str, object]:
    chosen = trial.configuration
    shown = trial.folds[:MOST_FOLDS] if metric else ()
    settings = {f"setting.{name}": str(v) for name, v in chosen.hyperparameters.items()}
    return {
        "trial": trial.number,
        "family": chosen.family,
        "phase": trial.phase,
        "status": trial.status,
        "score": trial.score,
        "n_folds": len(trial.folds),
        **{f"fold_{fold.fold}": fold.figures.get(metric) for fold in shown},
        **trial_metrics(trial),
        "reason": trial.reason,
        **settings,
    }
