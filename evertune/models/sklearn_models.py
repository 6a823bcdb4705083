"""Families of scikit-learn: linear, naive Bayes, tree, dummy, neighbours, SVM and forests.

Linear classifiers, forests and histogram boosting are fitted in chunks to keep the deadline.
Neighbours and SVMs cannot be interrupted and do not support weights well, so they are fitted on
rows sampled by weight, at most `MAX_NEIGHBOUR_ROWS` and `MAX_SVM_ROWS` of them.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
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

from evertune.models.early_stopping import ROUNDS_WITHOUT_VALIDATION, fit_in_chunks, patience
from evertune.models.fit_context import (
    FitContext,
    FitResult,
    Hyperparameters,
    float_param,
    int_param,
    sample_rows,
)
from evertune.types import FloatArray

MAX_SOLVER_STEPS = 200
FIRST_CHUNK_STEPS = 10
MAX_NEIGHBOUR_ROWS = 20_000
MAX_SVM_ROWS = 10_000  # time grows with their square
MIN_CLASS_ROWS = 2
FULL_DEPTH_ROWS = 10_000  # above, leaves of forests grow with the table, or else files would
L1_RATIOS = {"l2": 0.0, "elasticnet": 0.5, "l1": 1.0}


def fit_linear(
    X: FloatArray, y: FloatArray, params: Hyperparameters, context: FitContext
) -> FitResult:
    """Fit a logistic or a linear regression with a penalty."""
    strength, ratio = float_param(params, "alpha"), L1_RATIOS[str(params["penalty"])]
    if context.task != "regression":
        return _fit_logistic(X, y, context, strength=strength, ratio=ratio)
    if ratio == 0:
        return FitResult(Ridge(alpha=strength).fit(X, y, context.weights), None)
    # Ridge sums squares over all rows, ElasticNet takes their mean
    alpha = strength * (float(np.std(y)) or 1.0) / len(y)
    lasso = ElasticNet(alpha=alpha, l1_ratio=ratio, tol=1e-3)
    return FitResult(lasso.fit(X, y, context.weights), None)


def _fit_logistic(
    X: FloatArray, y: FloatArray, context: FitContext, *, strength: float, ratio: float
) -> FitResult:
    model = LogisticRegression(
        C=1 / strength,
        l1_ratio=ratio,
        solver="lbfgs" if ratio == 0 else "saga",
        tol=1e-4 if ratio == 0 else 1e-3,
        random_state=context.seed,
        warm_start=not math.isinf(context.deadline),
    )
    n_steps = 0

    def grow_to(steps: int) -> bool:
        nonlocal n_steps
        model.set_params(max_iter=steps - n_steps).fit(X, y, context.weights)
        converged = int(model.n_iter_.max()) < steps - n_steps
        n_steps = steps
        return converged

    steps = fit_in_chunks(
        grow_to, total=MAX_SOLVER_STEPS, deadline=context.deadline, first=FIRST_CHUNK_STEPS
    )
    return FitResult(model, None, whole=steps == MAX_SOLVER_STEPS)


def fit_naive_bayes(
    X: FloatArray, y: FloatArray, params: Hyperparameters, context: FitContext
) -> FitResult:
    """Fit Gaussian naive Bayes; in regression, Bayesian ridge."""
    if context.task == "regression":
        return FitResult(BayesianRidge().fit(X, y, context.weights), None)
    model = GaussianNB(var_smoothing=float_param(params, "var_smoothing"))
    return FitResult(model.fit(X, y, context.weights), None)


def fit_tree(
    X: FloatArray, y: FloatArray, params: Hyperparameters, context: FitContext
) -> FitResult:
    """Fit one decision tree."""
    kind: Any = DecisionTreeRegressor if context.task == "regression" else DecisionTreeClassifier
    model = kind(random_state=context.seed, monotonic_cst=context.monotone or None, **params)
    return FitResult(model.fit(X, y, context.weights), None)


def fit_zero_rule(
    X: FloatArray, y: FloatArray, params: Hyperparameters, context: FitContext
) -> FitResult:
    """Fit a constant: the shares of the classes, or the mean or median."""
    if context.task == "regression":
        model: Any = DummyRegressor(strategy=params["statistic"])
    else:
        model = DummyClassifier(strategy="prior")
    return FitResult(model.fit(X, y, context.weights), None)


def fit_neighbours(
    X: FloatArray, y: FloatArray, params: Hyperparameters, context: FitContext
) -> FitResult:
    """Fit nearest neighbours."""
    rows = sample_rows(context, len(X), most=MAX_NEIGHBOUR_ROWS)
    X, y = (X, y) if rows is None else (X[rows], y[rows])
    kind: Any = KNeighborsRegressor if context.task == "regression" else KNeighborsClassifier
    model = kind(
        n_neighbors=min(int_param(params, "n_neighbors"), len(X)),
        weights=params["weights"],
        p=int_param(params, "p"),
        algorithm="brute",
    )
    return FitResult(model.fit(X, y), None)


def fit_svm(
    X: FloatArray, y: FloatArray, params: Hyperparameters, context: FitContext
) -> FitResult:
    """Fit a radial SVM, with probabilities calibrated by cross-validation."""
    rows = sample_rows(context, len(X), most=MAX_SVM_ROWS)
    X, y = (X, y) if rows is None else (X[rows], y[rows])
    values = {"C": float_param(params, "C"), "gamma": float_param(params, "gamma") / X.shape[1]}
    if context.task == "regression":
        scale = float(y.std()) or 1.0  # as if y had been standardised
        return FitResult(
            SVR(**values | {"C": values["C"] * scale}, epsilon=0.1 * scale).fit(X, y), None
        )
    least = int(np.unique(y, return_counts=True)[1].min())
    if least < MIN_CLASS_ROWS:
        raise ValueError(f"svm needs two rows of each class to calibrate, but got {least=}.")
    folds = StratifiedKFold(min(3, least), shuffle=True, random_state=context.seed)
    return FitResult(
        CalibratedClassifierCV(SVC(**values), cv=folds, ensemble=False).fit(X, y), None
    )


def fit_random_forest(
    X: FloatArray, y: FloatArray, params: Hyperparameters, context: FitContext
) -> FitResult:
    """Fit a random forest."""
    regression = context.task == "regression"
    kind = RandomForestRegressor if regression else RandomForestClassifier
    return _fit_forest(kind, X, y, params=params, context=context)


def fit_extra_trees(
    X: FloatArray, y: FloatArray, params: Hyperparameters, context: FitContext
) -> FitResult:
    """Fit a forest whose trees split at random thresholds."""
    kind = ExtraTreesRegressor if context.task == "regression" else ExtraTreesClassifier
    return _fit_forest(kind, X, y, params=params, context=context)


def _fit_forest(
    kind: Any, X: FloatArray, y: FloatArray, *, params: Hyperparameters, context: FitContext
) -> FitResult:
    least = max(int_param(params, "min_samples_leaf"), math.ceil(len(X) / FULL_DEPTH_ROWS))
    values = params | {"min_samples_leaf": least}
    forest = kind(
        **values,
        random_state=context.seed,
        n_jobs=context.n_jobs,
        monotonic_cst=context.monotone or None,
    )
    forest.set_params(warm_start=not math.isinf(context.deadline))
    total = context.iterations or int_param(params, "n_estimators")

    def grow_to(n_trees: int) -> bool:
        forest.set_params(n_estimators=n_trees).fit(X, y, context.weights)
        return False

    n_trees = fit_in_chunks(grow_to, total=total, deadline=context.deadline)
    # threads would add up votes in any order
    forest.set_params(n_jobs=None, warm_start=False)
    return FitResult(forest, n_trees, whole=n_trees == total)


def fit_hist_boosting(
    X: FloatArray, y: FloatArray, params: Hyperparameters, context: FitContext
) -> FitResult:
    """Fit histogram boosting, cut to its best round; columns without a value are left out."""
    filled = filled_columns(X)
    columns = tuple(filled.tolist()) if len(filled) < X.shape[1] else None
    total = hist_boosting_rounds(params, context)
    model = make_hist_boosting(context, filled, total=total)
    model.set_params(**params, warm_start=not math.isinf(context.deadline))
    reached = grow_hist_boosting(model, X, y, context, filled=filled, total=total)
    model.set_params(warm_start=False)
    cut_to_best_round(model, context)
    return FitResult(model, int(model.n_iter_), whole=reached == total, columns=columns)


def filled_columns(X: FloatArray) -> NDArray[np.intp]:
    """Return the numbers of the columns that have a value."""
    return np.flatnonzero(~np.isnan(X).all(axis=0))


def hist_boosting_rounds(params: Hyperparameters, context: FitContext) -> int:
    """Return the rounds to grow at most."""
    return context.max_rounds(int_param(params, "max_iter"), ROUNDS_WITHOUT_VALIDATION)


def make_hist_boosting(context: FitContext, filled: NDArray[np.intp], *, total: int) -> Any:
    """Return histogram boosting of some columns, of `total` rounds at most, not fitted."""
    regression = context.task == "regression"
    kind: Any = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    return kind(
        random_state=context.seed,
        early_stopping=context.stopping_rows is not None,
        n_iter_no_change=int(patience(total // 2)),
        categorical_features=None,
        monotonic_cst=[context.monotone[index] for index in filled] if context.monotone else None,
    )


def grow_hist_boosting(
    model: Any,
    X: FloatArray,
    y: FloatArray,
    context: FitContext,
    *,
    filled: NDArray[np.intp],
    total: int,
    n_done: int = 0,
) -> int:
    """Grow a model from `n_done` rounds by `total`; return by how many until the deadline."""
    validation = context.stopping_rows
    rows = {} if validation is None else {"X_val": validation[0][:, filled], "y_val": validation[1]}

    def grow_by(n_rounds: int) -> bool:
        model.set_params(max_iter=n_done + n_rounds)
        model.fit(X[:, filled], y, context.weights, **rows)
        return bool(model.n_iter_ < n_done + n_rounds)

    return fit_in_chunks(grow_by, total=total, deadline=context.deadline)


def cut_to_best_round(model: Any, context: FitContext) -> None:
    """Leave out the rounds of histogram boosting after the best one.

    scikit-learn keeps them, and has no public way to cut them.
    """
    if context.stopping_rows is not None:
        model._predictors = model._predictors[: max(int(np.argmax(model.validation_score_)), 1)]
