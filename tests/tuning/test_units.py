import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipelines.core.folds import Fold
from pipelines.core.metrics import METRICS
from pipelines.core.schema import Column, Schema
from pipelines.core.trials import Configuration
from pipelines.tuning.units import OUT_OF_BUDGET, Unit, steps, suggested, suggestion
from pipelines.tuning.work import Work


@pytest.fixture
def work():
    draws = np.random.default_rng(0)
    table = pd.DataFrame(draws.normal(size=(400, 3)), columns=list("abc"))
    truth = (table["a"] + draws.normal(size=400) > 0).to_numpy(float)
    halves = np.arange(200), np.arange(200, 400)
    folds = (Fold(*halves), Fold(*halves[::-1]))
    schema = Schema(tuple(Column(name, "number") for name in "abc"), "y", "binary", ("no", "yes"))
    return Work(table, truth, schema, folds, (METRICS["log_loss"],), 0)


def ran(work, unit):
    return [each for step in steps(work, unit, {}) for each in step.yields]


def test_a_unit_gives_its_folds_with_what_was_said_of_their_rows(work):
    found = ran(work, Unit(0, Configuration("linear"), (0, 1)))
    assert [each.result.fold for each in found] == [0, 1]
    assert found[1].model.rows.tolist() == list(range(200))


def test_a_unit_survives_the_way_to_a_worker():
    unit = Unit(3, Configuration("linear", {"regularisation": 1.0}), (0, 2), "portfolio")
    assert suggested(suggestion(unit)) == unit


def test_an_exception_ends_the_unit_with_its_reason(work):
    (step,) = steps(work, Unit(0, Configuration("oracle"), (0, 1)), {})
    assert step.failed
    assert "family must be one of" in step.reason


def test_folds_after_one_that_was_cut_short_have_as_many_rounds(work):
    slow = Configuration("lightgbm", {"learning_rate": 1e-4, "n_estimators": 100_000})
    found = ran(work, Unit(0, slow, (0, 1), fold_seconds=0.4))
    first, second = (each.result.iterations for each in found)
    assert 10 <= first < 100_000
    assert first == second


def test_a_fold_that_the_deadline_cut_short_is_not_kept(work):
    slow = Configuration("lightgbm", {"learning_rate": 1e-4, "n_estimators": 100_000})
    unit = Unit(0, slow, (1,), iterations=100_000, deadline=time.time() + 0.3)
    (step,) = steps(work, unit, {})
    assert (step.yields, step.reason) == ((), OUT_OF_BUDGET)


def test_a_fit_that_finds_no_room_in_memory_is_not_begun(work):
    unit = Unit(0, Configuration("linear"), (0, 1), deadline=time.time())
    (step,) = steps(work, unit, {}, free=lambda: 0)
    assert (step.yields, step.failed) == ((), False)
    assert "of memory, but 0 MB are free" in step.reason


def test_a_fold_on_which_the_metric_is_undefined_ends_the_unit_as_failed(work):
    truth = np.where(np.arange(400) < 200, work.truth, 0.0)
    one_class = replace(work, truth=truth, metrics=(METRICS["roc_auc"],))
    (step,) = steps(one_class, Unit(0, Configuration("linear"), (0, 1)), {})
    assert (step.failed, step.reason) == (True, "roc_auc is undefined on fold 0")
