import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evertune.data.folds import default_folds
from evertune.data.schema import Column, TableSchema
from evertune.fitting import tune as module
from evertune.fitting.tune import tune
from evertune.metrics.metrics import METRICS, custom_metric
from evertune.search.objective import Objective
from evertune.search.study import SearchConfig

STRATEGY = SearchConfig(("linear", "tree"), workers=1)
TWO_TRIALS = {"budget_trials": 2}


@pytest.fixture
def work():
    draws = np.random.default_rng(0)
    table = pd.DataFrame(draws.normal(size=(90, 2)), columns=["a", "b"])
    y = (table["a"] > 0).to_numpy(float)
    schema = TableSchema(
        (Column("a", "number"), Column("b", "number")), "y", "binary", ("no", "yes")
    )
    folds = default_folds(y, 3, has_classes=True, seed=0)
    return Objective(table, y, schema, folds, (METRICS["log_loss"],), 0)


def tuned(work, **settings):
    return tune(work, STRATEGY, started=time.monotonic(), **TWO_TRIALS | settings)


def test_the_model_is_built_from_the_trials(work):
    built, trials = tuned(work)
    assert len(trials) == 2
    assert set(built.weights) <= {0, 1}
    assert sum(built.weights.values()) == pytest.approx(1)
    assert built.configuration == built.fitted.members[0].configuration
    assert built.origin.notes[0].startswith("The model is")


@pytest.mark.parametrize("mode", ["bag", "refit"])
def test_fold_models_are_kept_or_fitted_again(work, mode):
    built, _ = tuned(work, mode=mode)
    assert {len(m.fitted) for m in built.fitted.members} == {3 if mode == "bag" else 1}


def test_a_single_model_is_the_best_trial_alone(work):
    built, trials = tuned(work, mode="single")
    best = min(trials, key=lambda trial: trial.score)
    assert built.weights == {best.number: 1.0}
    assert len(built.fitted.members[0].fitted) == 1


def test_the_simplest_sufficient_model_is_built_where_it_is_preferred(work):
    built, _ = tuned(work, prefer_simplest=True)
    assert built.origin.phase == "optimised simple"


def test_without_folds_the_model_is_the_zero_rule(work):
    built, trials = tuned(replace(work, folds=()))
    assert built.configuration.family == "zero_rule"
    assert (trials, built.weights, built.score) == ((), {}, None)


def test_after_the_budget_the_model_is_the_zero_rule(work):
    late = time.monotonic() - 10
    built, _ = tune(work, STRATEGY, started=late, budget_seconds=1.0)
    assert built.origin.made_of == "zero rule"


def test_if_every_trial_fails_a_warning_gives_the_reasons(work):
    metric = custom_metric("m", lambda *_: float("nan"), greater_is_better=True, task="binary")
    with pytest.warns(UserWarning, match=r"All 2 trials failed: 2 x m is undefined on fold 0"):
        built, _ = tuned(replace(work, metrics=(metric,)))
    assert built.configuration.family == "zero_rule"


def test_the_zero_rule_of_an_absolute_error_is_the_median(work):
    schema = replace(work.schema, task="regression", classes=())
    given = replace(work, schema=schema, folds=(), metrics=(METRICS["mae"],))
    assert tuned(given)[0].configuration.hyperparameters == {"statistic": "median"}


def test_a_full_pool_keeps_the_best_trial(work, monkeypatch):
    monkeypatch.setattr(module, "MAX_POOL_MEGABYTES", 0)
    built, trials = tuned(work)
    best = min(trials, key=lambda trial: trial.score)
    assert built.weights == {best.number: 1.0}
