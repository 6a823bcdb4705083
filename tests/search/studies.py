"""Studies whose fits are replaced by a function of the configuration, so that they take no time."""

import time

import numpy as np
import pandas as pd

from evertune.data.folds import Fold
from evertune.data.schema import Column, TableSchema
from evertune.ensemble.oof import FoldModel
from evertune.metrics.metrics import METRICS
from evertune.search.objective import FoldOutcome, JobUpdate, Objective
from evertune.search.samplers import make_sampler
from evertune.search.study import Budget, SearchConfig, Study
from evertune.trials import FoldResult, Trial
from evertune.types import Predictions


def small_objective(metric="rmse", n_folds=3, others=()):
    """Return a regression with 30 rows a fold."""
    rng = np.random.default_rng(0)
    n = 30 * n_folds
    table = pd.DataFrame(rng.normal(size=(n, 2)), columns=["a", "b"])
    rows = np.arange(n)
    folds = tuple(
        Fold(rows[rows % n_folds != part], rows[rows % n_folds == part]) for part in range(n_folds)
    )
    schema = TableSchema((Column("a", "number"), Column("b", "number")), "y", "regression")
    y = (table["a"] + table["b"] ** 2).to_numpy()
    metrics = tuple(METRICS[name] for name in (metric, *others))
    return Objective(table, y, schema, folds, metrics, 0)


OBJECTIVE = small_objective()


def make_study(
    families=("linear", "lightgbm"),
    *,
    seconds=None,
    trials=None,
    past=(),
    on_finished=None,
    **given,
):
    """Return a study; `given` has the settings, or the sampler or objective of another."""
    objective, sampler = given.pop("objective", OBJECTIVE), given.pop("sampler", None)
    config = SearchConfig(tuple(families), **given)
    return Study(
        objective,
        config,
        sampler=sampler or make_sampler(objective, config, tuple(past)),
        budget=Budget(time.monotonic(), seconds, trials),
        past_trials=tuple(past),
        on_finished=on_finished or (lambda *_: None),
    )


def outcome(objective, fold, score, *, completed=True):
    """Return what a fit of a fold would give whose RMSE is `score`."""
    rows = objective.folds[fold].validation
    noise = np.random.default_rng(fold).normal(size=len(rows))
    predictions = Predictions(objective.y[rows] + (score or 0.0) * noise)
    figures = {metric.name: score for metric in objective.metrics}
    result = FoldResult(fold, figures, 0.01, 0.01, iterations=20)
    return FoldOutcome(result, FoldModel(fold, rows, predictions, "skops", b"model"), completed)


def evaluate(study, job, score, *, failed=False):
    """Report the folds of a job one by one until it is pruned, and tell how it ended."""
    if failed:
        update, pruned = JobUpdate((), done=True, reason="no luck", failed=True), False
    for fold in () if failed else job.folds:
        done = fold == job.folds[-1]
        update = JobUpdate((outcome(study.objective, fold, score),), done=done)
        pruned = study.report(job, update) and not done
        if pruned:
            break
    study.tell(job, update, pruned=pruned)


def play(study, n=1000, *, score=lambda _: 1.0):
    """Evaluate up to n jobs and return their trials' configurations, in the order of asking."""
    configurations = {}
    while len(configurations) < n and (job := study.ask()) is not None:
        configurations[job.number] = job.configuration
        evaluate(study, job, score(job.configuration))
    return list(configurations.values())


def past_trial(number, configuration, score, status="complete", n_folds=3):
    folds = tuple(FoldResult(fold, {"rmse": score}, 0.1, 0.1) for fold in range(n_folds))
    return Trial(number, configuration, status, folds, score, None, 1.0)
