"""Families of scikit-learn: linear, naive Bayes, tree, dummy, neighbours, SVM and forests.

Linear classifiers, forests and histogram boosting are fitted in chunks to keep the deadline.
Neighbours and SVMs cannot be interrupted and do not support weights well, so they are fitted on
rows sampled by weight, at most `MAX_NEIGHBOUR_ROWS` and `MAX_SVM_ROWS` of them.
"""

import math
from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import BayesianRidge, ElasticNet, LogisticRegression, Ridge
from sklearn.model_selection import StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from evertune.models.training import (
    FitContext,
    FitResult,
    Hyperparameters,
    fit_in_chunks,
    float_param,
    int_param,
    patience,
    sample_rows,
)
from evertune.types import FloatArray

MAX_SOLVER_STEPS = 200
FIRST_CHUNK_STEPS = 10
L1_RATIOS = {"l2": 0.0, "elastic": 0.5, "l1": 1.0}


def fit_linear(
    X: FloatArray, y: FloatArray, chosen: Hyperparameters, setting: FitContext
) -> FitResult:
    """Return logistic regression, or a linear regression, with a penalty."""
    strength, ratio = float_param(chosen, "regularisation"), L1_RATIOS[str(chosen["penalty"])]
    if setting.task != "regression":
        return _fit_logistic(X, y, setting, strength=strength, ratio=ratio)
    if ratio == 0:
        return FitResult(Ridge(alpha=strength).fit(X, y, setting.weights), None)
    # Ridge adds up squares over all rows, this one takes their mean
    alpha = strength * (float(np.std(y)) or 1.0) / len(y)
    lasso = ElasticNet(alpha=alpha, l1_ratio=ratio, tol=1e-3)
    return FitResult(lasso.fit(X, y, setting.weights), None)


def _fit_logistic(
    X: FloatArray, y: FloatArray, setting: FitContext, *, strength: float, ratio: float
) -> FitResult:
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

    steps = fit_in_chunks(
        grow_to, total=MAX_SOLVER_STEPS, deadline=setting.deadline, first=FIRST_CHUNK_STEPS
    )
    return FitResult(model, None, whole=steps == MAX_SOLVER_STEPS)


def fit_naive_bayes(
    X: FloatArray, y: FloatArray, chosen: Hyperparameters, setting: FitContext
) -> FitResult:
    """Return Gaussian naive Bayes; in regression a ridge that finds its own strength."""
    if setting.task == "regression":
        return FitResult(BayesianRidge().fit(X, y, setting.weights), None)
    model = GaussianNB(var_smoothing=float_param(chosen, "var_smoothing"))
    return FitResult(model.fit(X, y, setting.weights), None)


def fit_tree(
    X: FloatArray, y: FloatArray, chosen: Hyperparameters, setting: FitContext
) -> FitResult:
    """Return one decision tree."""
    kind: Any = DecisionTreeRegressor if setting.task == "regression" else DecisionTreeClassifier
    return FitResult(kind(random_state=setting.seed, **chosen).fit(X, y, setting.weights), None)


def fit_zero_rule(
    X: FloatArray, y: FloatArray, chosen: Hyperparameters, setting: FitContext
) -> FitResult:
    """Return what looks at no feature: the shares of the classes, or the mean."""
    if setting.task == "regression":
        model: Any = DummyRegressor(strategy=chosen["statistic"])
    else:
        model = DummyClassifier(strategy="prior")
    return FitResult(model.fit(X, y, setting.weights), None)


MAX_NEIGHBOUR_ROWS = 20_000  # rows to compare with
MAX_SVM_ROWS = 10_000  # rows; time grows with their square
MIN_CLASS_ROWS = 2


def fit_neighbours(
    X: FloatArray, y: FloatArray, chosen: Hyperparameters, setting: FitContext
) -> FitResult:
    """Return the nearest neighbours of rows."""
    rows = sample_rows(setting, len(X), most=MAX_NEIGHBOUR_ROWS)
    X, y = (X, y) if rows is None else (X[rows], y[rows])
    kind: Any = KNeighborsRegressor if setting.task == "regression" else KNeighborsClassifier
    model = kind(
        n_neighbors=min(int_param(chosen, "n_neighbors"), len(X)),
        weights=chosen["weights"],
        p=int_param(chosen, "p"),
        algorithm="brute",
    )
    return FitResult(model.fit(X, y), None)


def fit_svm(
    X: FloatArray, y: FloatArray, chosen: Hyperparameters, setting: FitContext
) -> FitResult:
    """Return support vectors with a radial kernel, its chances calibrated by cross-validation."""
    rows = sample_rows(setting, len(X), most=MAX_SVM_ROWS)
    X, y = (X, y) if rows is None else (X[rows], y[rows])
    values = {"C": float_param(chosen, "C"), "gamma": float_param(chosen, "gamma") / X.shape[1]}
    if setting.task == "regression":
        scale = float(y.std()) or 1.0  # as if y had been standardised
        return FitResult(
            SVR(**values | {"C": values["C"] * scale}, epsilon=0.1 * scale).fit(X, y), None
        )
    least = int(np.unique(y, return_counts=True)[1].min())
    if least < MIN_CLASS_ROWS:
        raise ValueError(f"svm needs two rows of each class to calibrate, but got {least=}.")
    folds = StratifiedKFold(min(3, least), shuffle=True, random_state=setting.seed)
    return FitResult(
        CalibratedClassifierCV(SVC(**values), cv=folds, ensemble=False).fit(X, y), None
    )


FULL_DEPTH_ROWS = 10_000  # above, leaves of forests grow with the table, or files would
ROUNDS_WITHOUT_VALIDATION = 200  # of boosting without rows on which to stop


def fit_random_forest(
    X: FloatArray, y: FloatArray, chosen: Hyperparameters, setting: FitContext
) -> FitResult:
    """Return a random forest."""
    regression = setting.task == "regression"
    kind = RandomForestRegressor if regression else RandomForestClassifier
    return _fit_forest(kind, X, y, chosen=chosen, setting=setting)


def fit_extra_trees(
    X: FloatArray, y: FloatArray, chosen: Hyperparameters, setting: FitContext
) -> FitResult:
    """Return a forest whose trees split at random places."""
    kind = ExtraTreesRegressor if setting.task == "regression" else ExtraTreesClassifier
    return _fit_forest(kind, X, y, chosen=chosen, setting=setting)


def _fit_forest(
    kind: Any, X: FloatArray, y: FloatArray, *, chosen: Hyperparameters, setting: FitContext
) -> FitResult:
    least = max(int_param(chosen, "min_samples_leaf"), math.ceil(len(X) / FULL_DEPTH_ROWS))
    values = chosen | {"min_samples_leaf": least}
    forest = kind(**values, random_state=setting.seed, n_jobs=setting.n_jobs)
    forest.set_params(warm_start=not math.isinf(setting.deadline))
    total = setting.iterations or int_param(chosen, "n_estimators")

    def grow_to(n_trees: int) -> bool:
        forest.set_params(n_estimators=n_trees).fit(X, y, setting.weights)
        return False

    n_trees = fit_in_chunks(grow_to, total=total, deadline=setting.deadline)
    # threads would add up votes in any order
    forest.set_params(n_jobs=None, warm_start=False)
    return FitResult(forest, n_trees, whole=n_trees == total)


def fit_hist_boosting(
    X: FloatArray, y: FloatArray, chosen: Hyperparameters, setting: FitContext
) -> FitResult:
    """Return histogram boosting, cut to its best rounds; a column without a value is left out."""
    filled = np.flatnonzero(~np.isnan(X).all(axis=0))
    columns = tuple(filled.tolist()) if len(filled) < X.shape[1] else None
    regression = setting.task == "regression"
    kind: Any = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    judged = None if setting.iterations is not None else setting.validation
    most = int_param(chosen, "max_iter")
    total = setting.iterations or (most if judged else min(most, ROUNDS_WITHOUT_VALIDATION))
    model = kind(
        **chosen | {"max_iter": total},
        random_state=setting.seed,
        early_stopping=judged is not None,
        n_iter_no_change=int(patience(total // 2)),
        categorical_features=None,
        warm_start=not math.isinf(setting.deadline),
    )
    rows = {} if judged is None else {"X_val": judged[0][:, filled], "y_val": judged[1]}

    def grow_to(n_rounds: int) -> bool:
        model.set_params(max_iter=n_rounds)
        model.fit(X[:, filled], y, setting.weights, **rows)
        return bool(model.n_iter_ < n_rounds)

    reached = fit_in_chunks(grow_to, total=total, deadline=setting.deadline)
    model.set_params(warm_start=False)
    if judged is not None:
        # scikit-learn keeps the rounds after the best one
        del model._predictors[max(int(np.argmax(model.validation_score_)), 1) :]
    return FitResult(model, int(model.n_iter_), whole=reached == total, columns=columns)
