"""The contract of fits that go on step by step, which every family of `STEPWISE_FITS` keeps."""

import math
import pickle
import time

import numpy as np
import pytest

from evertune.config.search_rules import STEPWISE_FAMILIES
from evertune.metrics.metrics import METRICS
from evertune.models.families import FAMILIES, fit_encoded
from evertune.models.fit_context import FitContext
from evertune.models.fitted_model import predict_encoded
from evertune.models.stepwise import CHANGEABLE_PARAMETERS, STEPWISE_FITS, start_stepwise_fit
from evertune.trials import Configuration

N = 400
RNG = np.random.default_rng(0)
CODES = RNG.integers(0, 4, N).astype(float)
X = np.column_stack([CODES, RNG.normal(size=(N, 3))])
SIGNAL = X[:, 1] + (CODES == 2) - X[:, 2] ** 2 / 2
TARGETS = {
    "binary": (SIGNAL + RNG.normal(size=N) > 0).astype(float),
    "multiclass": np.digitize(SIGNAL + RNG.normal(size=N), [-1, 1]).astype(float),
    "regression": SIGNAL + 0.3 * RNG.normal(size=N),
}
METRIC = {"binary": "log_loss", "multiclass": "log_loss", "regression": "rmse"}
SHORT = {"mlp": {"epochs": 20}, "hist_gradient_boosting": {"max_iter": 60}}


def _context(task, **settings):
    y = TARGETS[task]
    return FitContext(
        task=task,
        n_classes={"binary": 2, "multiclass": 3, "regression": 0}[task],
        n_ordinal=1,
        seed=0,
        n_jobs=1,
        validation=(X[300:], y[300:]),
        metric=METRIC[task],
        **settings,
    )


def _start(family, task="binary", *, state=None, params=None, **settings):
    configuration = Configuration(family, SHORT.get(family, {"n_estimators": 60}) | (params or {}))
    context = _context(task, **settings)
    fit = start_stepwise_fit(configuration, X[:300], TARGETS[task][:300], context, state=state)
    return fit, configuration


def _score(result, task):
    rows = X[300:] if result.columns is None else X[300:, list(result.columns)]
    n_classes = _context(task).n_classes
    predictions = predict_encoded(result.predictor, rows, task=task, n_classes=n_classes)
    return METRICS[METRIC[task]].score(TARGETS[task][300:], predictions)


def test_the_families_that_train_in_steps_are_those_of_the_settings():
    assert set(STEPWISE_FITS) == set(STEPWISE_FAMILIES) == set(CHANGEABLE_PARAMETERS)
    for family, names in CHANGEABLE_PARAMETERS.items():
        assert set(names) <= set(FAMILIES[family].defaults)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("family", STEPWISE_FITS)
def test_a_fit_in_steps_with_pickled_states_scores_like_a_whole_fit(family, task):
    state = None
    for share in (1 / 9, 1 / 3, 1):
        fit, configuration = _start(family, task, state=state)
        fit.grow_to(round(share * fit.total))
        state = pickle.loads(pickle.dumps(fit.state()))
    whole = fit_encoded(configuration, X[:300], TARGETS[task][:300], _context(task))
    assert fit.finished
    assert _score(fit.result(), task) == pytest.approx(_score(whole, task), rel=0.1)
    assert fit.result().whole


@pytest.mark.parametrize("family", STEPWISE_FITS)
def test_a_state_goes_on_with_other_hyperparameters(family):
    first, _ = _start(family)
    first.grow_to(5)
    state = pickle.loads(pickle.dumps(first.state()))
    name = "learning_rate"
    slow, _ = _start(family, state=state, params={name: 1e-6})
    slow.grow_to(10)
    fast, _ = _start(family, state=pickle.loads(pickle.dumps(state)), params={name: 0.05})
    fast.grow_to(10)
    assert slow.rounds == fast.rounds == 10
    assert _score(slow.result(), "binary") == pytest.approx(_score(first.result(), "binary"), 1e-3)
    assert _score(fast.result(), "binary") < _score(first.result(), "binary")


@pytest.mark.parametrize("family", STEPWISE_FITS)
def test_early_stopping_ends_a_fit_over_its_steps_at_the_best_round(family):
    fit, _ = _start(family, params={"learning_rate": 0.5, next(iter(_size(family))): 2000})
    for n_rounds in (20, 60, 200, 700, 2000):
        fit.grow_to(n_rounds)
    assert fit.stopped
    assert fit.rounds < 2000
    assert fit.result().iterations < fit.rounds


@pytest.mark.parametrize("family", STEPWISE_FITS)
def test_a_deadline_ends_a_step(family):
    fit, _ = _start(family, deadline=time.monotonic() - 1, params=_size(family))
    fit.grow_to(math.inf)
    assert fit.expired
    assert not fit.finished


def _size(family):
    names = {"mlp": "epochs", "hist_gradient_boosting": "max_iter"}
    return {names.get(family, "n_estimators"): 5000}


def test_a_family_that_does_not_train_in_steps_is_refused():
    words = "family must be one of hist_gradient_boosting, lightgbm.*got 'linear'"
    with pytest.raises(ValueError, match=words):
        start_stepwise_fit(Configuration("linear"), X, TARGETS["binary"], _context("binary"))
