import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evertune.data.folds import Fold
from evertune.data.schema import Column, TableSchema
from evertune.metrics.metrics import METRICS
from evertune.search.objective import (
    OUT_OF_BUDGET,
    Job,
    Objective,
    evaluate_fold,
    mean_score,
    run_job,
)
from evertune.trials import Configuration, FoldResult


@pytest.fixture
def objective():
    draws = np.random.default_rng(0)
    table = pd.DataFrame(draws.normal(size=(400, 3)), columns=list("abc"))
    y = (table["a"] + draws.normal(size=400) > 0).to_numpy(float)
    halves = np.arange(200), np.arange(200, 400)
    folds = (Fold(*halves), Fold(*halves[::-1]))
    schema = TableSchema(
        tuple(Column(name, "number") for name in "abc"), "y", "binary", ("no", "yes")
    )
    return Objective(table, y, schema, folds, (METRICS["log_loss"],), 0)


def outcomes(objective, job):
    return [each for update in run_job(objective, job, {}) for each in update.outcomes]


def test_a_job_gives_its_folds_with_predictions_of_their_validation_rows(objective):
    found = outcomes(objective, Job(0, Configuration("linear"), (0, 1)))
    assert [each.result.fold for each in found] == [0, 1]
    assert found[1].model.rows.tolist() == list(range(200))


def test_without_a_deadline_each_fold_is_reported_alone_since_pruning_must_not_depend_on_time(
    objective,
):
    updates = list(run_job(objective, Job(0, Configuration("zero_rule"), (0, 1)), {}))
    assert [len(update.outcomes) for update in updates] == [1, 1]


def test_an_exception_fails_the_job_with_its_reason(objective):
    (update,) = run_job(objective, Job(0, Configuration("oracle"), (0, 1)), {})
    assert update.failed
    assert "family must be one of" in update.reason


@pytest.mark.slow
def test_folds_after_one_that_was_cut_short_have_as_many_rounds(objective):
    slow = Configuration("lightgbm", {"learning_rate": 1e-4, "n_estimators": 100_000})
    # A busy machine must have the time for ten rounds, an idle one none for all of them.
    found = outcomes(objective, Job(0, slow, (0, 1), fold_seconds=1.0))
    first, second = (each.result.iterations for each in found)
    assert 10 <= first < 100_000
    assert first == second


def test_a_fold_that_the_deadline_cut_short_is_not_kept(objective):
    slow = Configuration("lightgbm", {"learning_rate": 1e-4, "n_estimators": 100_000})
    job = Job(0, slow, (1,), iterations=100_000, deadline=time.time() + 0.3)
    (update,) = run_job(objective, job, {})
    assert (update.outcomes, update.reason) == ((), OUT_OF_BUDGET)


def test_a_fit_that_does_not_fit_into_memory_is_not_started(objective):
    job = Job(0, Configuration("linear"), (0, 1), deadline=time.time())
    (update,) = run_job(objective, job, {}, free=lambda: 0)
    assert (update.outcomes, update.failed) == ((), False)
    assert "of memory, but 0 MB are free" in update.reason


def test_a_fold_on_which_the_metric_is_undefined_fails_the_job(objective):
    y = np.where(np.arange(400) < 200, objective.y, 0.0)
    one_class = replace(objective, y=y, metrics=(METRICS["roc_auc"],))
    (update,) = run_job(one_class, Job(0, Configuration("linear"), (0, 1)), {})
    assert (update.failed, update.reason) == (True, "roc_auc is undefined on fold 0")


def test_a_fold_is_fitted_on_its_training_rows_and_scored_on_the_others():
    table = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0]})
    fold, y = Fold(np.array([0, 1]), np.array([2, 3])), np.array([1.0, 3.0, 6, 8])
    schema = TableSchema((Column("a", "number"),), "y", "regression")
    objective = Objective(table, y, schema, (fold,), (METRICS["mae"], METRICS["rmse"]), 0)
    result = evaluate_fold(objective, Configuration("zero_rule"), 0, encodings={}).result
    assert result.figures == {"mae": 5.0, "rmse": pytest.approx(26**0.5)}
    assert result.fold == 0


@pytest.mark.parametrize(
    ("values", "mean"), [([1.0, 3.0], 2.0), ([1.0, None], 1.0), ([None], None)]
)
def test_the_mean_is_over_the_folds_in_which_a_metric_is_defined(values, mean):
    results = [FoldResult(fold, {"r2": value}, 0.1, 0.1) for fold, value in enumerate(values)]
    assert mean_score(results, "r2") == mean
