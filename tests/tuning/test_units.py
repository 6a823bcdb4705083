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
    job_from_config,
    job_to_config,
    run_job,
)
from evertune.trials import Configuration


@pytest.fixture
def work():
    draws = np.random.default_rng(0)
    table = pd.DataFrame(draws.normal(size=(400, 3)), columns=list("abc"))
    truth = (table["a"] + draws.normal(size=400) > 0).to_numpy(float)
    halves = np.arange(200), np.arange(200, 400)
    folds = (Fold(*halves), Fold(*halves[::-1]))
    schema = TableSchema(
        tuple(Column(name, "number") for name in "abc"), "y", "binary", ("no", "yes")
    )
    return Objective(table, truth, schema, folds, (METRICS["log_loss"],), 0)


def ran(work, unit):
    return [each for step in run_job(work, unit, {}) for each in step.yields]


def test_a_unit_gives_its_folds_with_what_was_said_of_their_rows(work):
    found = ran(work, Job(0, Configuration("linear"), (0, 1)))
    assert [each.result.fold for each in found] == [0, 1]
    assert found[1].model.rows.tolist() == list(range(200))


def test_a_unit_survives_the_way_to_a_worker():
    unit = Job(3, Configuration("linear", {"regularisation": 1.0}), (0, 2), "portfolio")
    assert job_from_config(job_to_config(unit)) == unit


def test_an_exception_ends_the_unit_with_its_reason(work):
    (step,) = run_job(work, Job(0, Configuration("oracle"), (0, 1)), {})
    assert step.failed
    assert "family must be one of" in step.reason


def test_folds_after_one_that_was_cut_short_have_as_many_rounds(work):
    slow = Configuration("lightgbm", {"learning_rate": 1e-4, "n_estimators": 100_000})
    found = ran(work, Job(0, slow, (0, 1), fold_seconds=0.4))
    first, second = (each.result.iterations for each in found)
    assert 10 <= first < 100_000
    assert first == second


def test_a_fold_that_the_deadline_cut_short_is_not_kept(work):
    slow = Configuration("lightgbm", {"learning_rate": 1e-4, "n_estimators": 100_000})
    unit = Job(0, slow, (1,), iterations=100_000, deadline=time.time() + 0.3)
    (step,) = run_job(work, unit, {})
    assert (step.yields, step.reason) == ((), OUT_OF_BUDGET)


def test_a_fit_that_finds_no_room_in_memory_is_not_begun(work):
    unit = Job(0, Configuration("linear"), (0, 1), deadline=time.time())
    (step,) = run_job(work, unit, {}, free=lambda: 0)
    assert (step.yields, step.failed) == ((), False)
    assert "of memory, but 0 MB are free" in step.reason


def test_a_fold_on_which_the_metric_is_undefined_ends_the_unit_as_failed(work):
    truth = np.where(np.arange(400) < 200, work.truth, 0.0)
    one_class = replace(work, truth=truth, metrics=(METRICS["roc_auc"],))
    (step,) = run_job(one_class, Job(0, Configuration("linear"), (0, 1)), {})
    assert (step.failed, step.reason) == (True, "roc_auc is undefined on fold 0")
