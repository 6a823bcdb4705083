import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evertune.data.folds import default_folds
from evertune.data.schema import Column, TableSchema
from evertune.fitting import tune as module
from evertune.fitting.tune import TuneSettings, tune
from evertune.metrics.metrics import METRICS, custom_metric
from evertune.search.objective import Objective
from evertune.search.study import SearchConfig

STRATEGY = SearchConfig(("linear", "tree"), workers=1)
TWO_TRIALS = TuneSettings(STRATEGY, budget_seconds=None, budget_trials=2)


@pytest.fixture
def work():
    draws = np.random.default_rng(0)
    table = pd.DataFrame(draws.normal(size=(90, 2)), columns=["a", "b"])
    truth = (table["a"] > 0).to_numpy(float)
    schema = TableSchema(
        (Column("a", "number"), Column("b", "number")), "y", "binary", ("no", "yes")
    )
    folds = default_folds(truth, 3, has_classes=True, seed=0)
    return Objective(table, truth, schema, folds, (METRICS["log_loss"],), 0)


def test_the_model_is_made_of_trials(work):
    tuned = tune(work, TWO_TRIALS, started=time.monotonic())
    assert len(tuned.trials) == 2
    assert set(tuned.weights) <= {0, 1}
    assert tuned.configuration == tuned.fitted.members[0].configuration


def test_a_single_model_is_the_best_trial_alone(work):
    single = replace(TWO_TRIALS, mode="single")
    tuned = tune(work, single, started=time.monotonic())
    best = min(tuned.trials, key=lambda trial: trial.score)
    assert tuned.weights == {best.number: 1.0}
    assert len(tuned.fitted.members[0].fitted) == 1


def test_without_folds_the_zero_rule_is_returned(work):
    tuned = tune(replace(work, folds=()), TWO_TRIALS, started=time.monotonic())
    assert tuned.configuration.family == "zero_rule"
    assert (tuned.trials, tuned.weights, tuned.score) == ((), {}, None)


def test_after_its_budget_the_zero_rule_is_returned(work):
    late = TuneSettings(STRATEGY, budget_seconds=1.0, budget_trials=None)
    tuned = tune(work, late, started=time.monotonic() - 10)
    assert tuned.configuration.family == "zero_rule"


def test_where_every_trial_failed_the_reasons_are_told_beside_the_zero_rule(work):
    metric = custom_metric("m", lambda *_: float("nan"), greater_is_better=True, task="binary")
    with pytest.warns(UserWarning, match=r"All 2 trials failed: 2 x m is undefined on fold 0"):
        tuned = tune(replace(work, metrics=(metric,)), TWO_TRIALS, started=time.monotonic())
    assert tuned.configuration.family == "zero_rule"


def test_the_zero_rule_of_an_absolute_error_is_the_median(work):
    schema = replace(work.schema, task="regression", classes=())
    given = replace(work, schema=schema, folds=(), metrics=(METRICS["mae"],))
    tuned = tune(given, TWO_TRIALS, started=time.monotonic())
    assert tuned.configuration.hyperparameters == {"statistic": "median"}


def test_a_full_pool_keeps_the_best_trial(work, monkeypatch):
    monkeypatch.setattr(module, "MAX_POOL_MEGABYTES", 0)
    tuned = tune(work, TWO_TRIALS, started=time.monotonic())
    best = min(tuned.trials, key=lambda trial: trial.score)
    assert tuned.weights == {best.number: 1.0}
