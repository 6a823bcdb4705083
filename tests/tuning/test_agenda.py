import math

import numpy as np
import pandas as pd
import pytest

from evertune.data.folds import Fold
from evertune.data.schema import Column, TableSchema
from evertune.metrics.metrics import METRICS
from evertune.search.objective import JobUpdate, Objective, run_job
from evertune.search.samplers import SamplerContext, SequentialSampler
from evertune.search.study import (
    BATCH_SIZE,
    PastTrials,
    SearchConfig,
    Study,
    TimeBudget,
    TrialTracker,
)


@pytest.fixture
def work():
    table = pd.DataFrame({"a": np.arange(20.0)})
    halves = np.arange(0, 20, 2), np.arange(1, 20, 2)
    folds = (Fold(*halves), Fold(*halves[::-1]))
    schema = TableSchema((Column("a", "number"),), "y", "regression")
    return Objective(table, np.arange(20.0), schema, folds, (METRICS["rmse"],), 0)


@pytest.fixture
def ended():
    return []


def agenda(work, ended, n_trials, *, in_order=True):
    account = TrialTracker(work, clock=lambda: 1.0, on_finished=lambda *each: ended.append(each))
    start = SamplerContext(
        PastTrials(work.metrics[0], 2), account, TimeBudget(math.inf, math.inf, 1), n_trials
    )
    points = SequentialSampler(work, SearchConfig(("linear",), "random"), start)
    return Study(points, account, metric=work.metrics[0], races=True, in_order=in_order)


def follow(made, work, unit):
    for step in run_job(work, unit, {}):
        made.took(unit, step)
    made.end(unit, step)


def test_no_unit_comes_before_the_whole_batch_has_ended(work, ended):
    made = agenda(work, ended, 9)
    units = [made.next_unit() for _ in range(BATCH_SIZE)]
    follow(made, work, units[3])
    assert made.next_unit() is None
    for unit in units[:3]:
        follow(made, work, unit)
    assert made.next_unit().number == BATCH_SIZE


def test_without_an_order_units_come_as_long_as_there_are_any(work, ended):
    made = agenda(work, ended, 6, in_order=False)
    assert [made.next_unit().number for _ in range(6)] == list(range(6))
    assert made.ended


def test_a_trial_is_handed_over_with_its_models(work, ended):
    made = agenda(work, ended, 1)
    follow(made, work, made.next_unit())
    made.account.hand_over()
    ((trial, entry),) = ended
    assert (trial.status, len(trial.folds)) == ("complete", 2)
    assert all(fold.data for fold in entry.folds)


def test_a_worker_that_died_fails_its_trial_alone(work, ended):
    made = agenda(work, ended, 2)
    first, second = made.next_unit(), made.next_unit()
    made.end(first, None)
    follow(made, work, second)
    made.account.close()
    assert [(trial.status, trial.reason) for trial, _ in ended] == [
        ("failed", "the worker process ended"),
        ("complete", None),
    ]


def test_what_the_budget_cut_short_is_closed_as_stopped(work, ended):
    made = agenda(work, ended, 1)
    unit = made.next_unit()
    made.took(unit, JobUpdate(next(run_job(work, unit, {})).yields[:1], done=False))
    made.account.close()
    ((trial, entry),) = ended
    assert (trial.status, trial.reason) == ("stopped", "the budget was used up")
    assert len(entry.folds) == 1
