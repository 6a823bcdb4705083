"""Models that are simple by themselves: linear ones, naive Bayes, one tree, the zero rule."""

import math
from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import BayesianRidge, ElasticNet, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from pipelines.core.predictions import Floats
from pipelines.tuning.growing import Grown, Hyperparameters, Setting, grow_in_chunks, number

MOST_STEPS = 200
FIRST_STEPS = 10
L1_RATIOS = {"l2": 0.0, "elastic": 0.5, "l1": 1.0}


def linear(X: Floats, y: Floats, chosen: Hyperparameters, setting: Setting) -> Grown:
    """Return logistic regression, or a linear regression, with a penalty."""
    strength, ratio = number(chosen, "regularisation"), L1_RATIOS[str(chosen["penalty"])]
    if setting.task != "regression":
        return _logistic(X, y, setting, strength=strength, ratio=ratio)
    if ratio == 0:
        return Grown(Ridge(alpha=strength).fit(X, y, setting.weights), None)
    # Ridge adds up squares over all rows, this one takes their mean
    alpha = strength * (float(np.std(y)) or 1.0) / len(y)
    lasso = ElasticNet(alpha=alpha, l1_ratio=ratio, tol=1e-3)
    return Grown(lasso.fit(X, y, setting.weights), None)


def _logistic(X: Floats, y: Floats, setting: Setting, *, strength: float, ratio: float) -> Grown:
    model = LogisticRegression(
        C=1 / strength,
        l1_ratio=ratio,
        solver="lbfgs" if ratio == 0 else "saga",
        tol=1e-4 if ratio == 0 else 1e-3,
        random_state=setting.seed,
        warm_start=not math.isinf(setting.deadline),
    )
    reached = 0

    def grow_to(steps: int) -> bool:
        nonlocal reached
        model.set_params(max_iter=steps - reached).fit(X, y, setting.weights)
        done = int(model.n_iter_.max()) < steps - reached
        reached = steps
        return done

    steps = grow_in_chunks(grow_to, total=MOST_STEPS, deadline=setting.deadline, first=FIRST_STEPS)
    return Grown(model, None, whole=steps == MOST_STEPS)


def naive_bayes(X: Floats, y: Floats, chosen: Hyperparameters, setting: Setting) -> Grown:
    """Return Gaussian naive Bayes; in regression a ridge that finds its own strength."""
    if setting.task == "regression":
        return Grown(BayesianRidge().fit(X, y, setting.weights), None)
    model = GaussianNB(var_smoothing=number(chosen, "var_smoothing"))
    return Grown(model.fit(X, y, setting.weights), None)


def tree(X: Floats, y: Floats, chosen: Hyperparameters, setting: Setting) -> Grown:
    """Return one decision tree."""
    kind: Any = DecisionTreeRegressor if setting.task == "regression" else DecisionTreeClassifier
    return Grown(kind(random_state=setting.seed, **chosen).fit(X, y, setting.weights), None)


def zero_rule(X: Floats, y: Floats, chosen: Hyperparameters, setting: Setting) -> Grown:
    """Return what looks at no feature: the shares of the classes, or the mean."""
    if setting.task == "regression":
        model: Any = DummyRegressor(strategy=chosen["statistic"])
    else:
        model = DummyClassifier(strategy="prior")
    return Grown(model.fit(X, y, setting.weights), None)
