"""What holds for every family that grows: early stopping, exact iterations, the deadline."""

import time
from dataclasses import replace

import numpy as np
import pytest

from evertune.models.families import FAMILIES, fit_encoded
from evertune.models.model import predict_encoded
from evertune.trials import Configuration
from tests.tuning.rows import TASKS, rows, setting, skip_where_missing

STOPPING = (
    "lightgbm",
    "xgboost",
    "catboost",
    "hist_boosting",
    "neural_network",
    "embedding_network",
)
COUNTED = (*STOPPING, "random_forest", "extra_trees")
CODED = ("lightgbm", "catboost", "embedding_network")
LEARNING = sorted(set(FAMILIES) - {"zero_rule"})


def told(family, task, **given):
    skip_where_missing(family)
    return setting(task, n_levels=1 if family in CODED else 0, **given)


def said(grown, X, task):
    n_classes = {"binary": 2, "multiclass": 3, "regression": 0}[task]
    kept = X if grown.columns is None else X[:, list(grown.columns)]
    return predict_encoded(grown.predictor, kept, task=task, n_classes=n_classes)


def shares(found):
    return found.values if found.probabilities is None else found.probabilities


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("family", STOPPING)
def test_rows_that_watch_end_a_fit_at_its_best_round(family, task):
    X, y = rows(task)
    grown = fit_encoded(
        Configuration(family), X, y, told(family, task, validation=rows(task, seed=1))
    )
    assert 0 < grown.iterations < 1000
    assert grown.whole


@pytest.mark.parametrize("family", COUNTED)
def test_asked_for_so_many_rounds_a_fit_has_them(family):
    X, y = rows("binary")
    asked = told(family, "binary", iterations=7, validation=rows("binary", seed=1))
    assert fit_encoded(Configuration(family), X, y, asked).iterations == 7


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("family", COUNTED)
def test_a_fit_past_its_deadline_gives_what_it_has_and_says_so(family, task):
    X, y = rows(task)
    grown = fit_encoded(Configuration(family), X, y, told(family, task, deadline=time.monotonic()))
    assert (grown.iterations, grown.whole) == (1, False)
    assert np.isfinite(said(grown, X, task).values).all()


@pytest.mark.parametrize("family", COUNTED)
def test_a_deadline_that_is_kept_changes_nothing(family):
    X, y = rows("regression")
    free = told(family, "regression", iterations=5)
    timed = replace(free, deadline=time.monotonic() + 1000)
    first, second = (fit_encoded(Configuration(family), X, y, each) for each in (free, timed))
    assert (said(first, X, "regression").values == said(second, X, "regression").values).all()


@pytest.mark.parametrize("metric", ["roc_auc", "pr_auc", "log_loss", "accuracy", "of_the_user"])
@pytest.mark.parametrize("family", STOPPING)
def test_any_metric_can_be_watched(family, metric):
    X, y = rows("binary")
    watched = told(family, "binary", validation=rows("binary", seed=1), metric=metric)
    found = said(fit_encoded(Configuration(family), X, y, watched), X, "binary")
    assert (found.values == y).mean() > 0.85


@pytest.mark.parametrize("family", STOPPING)
def test_rows_of_one_class_can_watch(family):
    X, y = rows("binary")
    one = (X[y == 1], y[y == 1])
    watched = told(family, "binary", validation=one, metric="roc_auc")
    assert fit_encoded(Configuration(family), X, y, watched).iterations > 0


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("family", LEARNING)
def test_rows_of_no_weight_have_no_say(family, task):
    X, y = rows(task)
    light = np.arange(400) >= 300
    weights = np.where(light, 1e-12, 4 / 3)

    def gap(**given):
        both = [
            fit_encoded(Configuration(family), X, truth, told(family, task, **given))
            for truth in (y, np.where(light, y[::-1], y))
        ]
        first, second = (shares(said(grown, X, task)) for grown in both)
        return np.abs(first - second).mean()

    assert gap(weights=weights) < 0.5 * gap()
