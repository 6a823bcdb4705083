"""Select the encoded columns that a model is fitted on, from the rows of that fit alone.

Scikit-learn's selectors, on at most `MAX_SELECTION_ROWS` rows with gaps filled and columns scaled.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.feature_selection import RFE, SelectFromModel, SelectKBest, f_classif, f_regression
from sklearn.linear_model import ElasticNet, LogisticRegression

from evertune.models.fit_context import FitContext, Hyperparameters, float_param
from evertune.types import FloatArray

MAX_SELECTION_ROWS = 10_000
N_ELIMINATION_STEPS = 3  # of recursive elimination
N_TREES = 30


def select_features(
    X: FloatArray, y: FloatArray, params: Hyperparameters, context: FitContext
) -> tuple[int, ...] | None:
    """Return the columns to keep, in ascending order; None: all.

    Parameters
    ----------
    params : dict
        `feature_selection` is `none`, `filter` (F test of each column), `l1` (a sparse linear
        model), `importance` (of a small forest) or `recursive` (elimination by such a forest);
        `selected_fraction` is the share of columns to keep.
    """
    method, width = str(params["feature_selection"]), X.shape[1]
    n_kept = max(1, math.ceil(float_param(params, "selected_fraction") * width))
    if method == "none" or n_kept >= width:
        return None
    rows = np.random.default_rng(context.seed).permutation(len(X))[:MAX_SELECTION_ROWS]
    selector = SELECTORS[method](width, n_kept, y[rows], context)
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Features .* are constant")  # they are not selected
        selector.fit(_impute_and_scale(X[rows]), y[rows])
    return tuple(selector.get_support(indices=True).tolist())


def restrict_to_columns(
    columns: tuple[int, ...] | None, X: FloatArray, context: FitContext
) -> tuple[FloatArray, FitContext]:
    """Return X and context with some columns alone."""
    if columns is None:
        return X, context
    index = list(columns)
    rows = context.validation
    return X[:, index], replace(
        context,
        n_levels=sum(column < context.n_levels for column in columns),
        validation=None if rows is None else (rows[0][:, index], rows[1]),
    )


def _impute_and_scale(X: FloatArray) -> FloatArray:
    """Return X with medians in its gaps and every column standardised."""
    empty = np.isnan(X).all(axis=0)
    medians = np.nanmedian(np.where(empty, 0.0, X), axis=0)
    filled = np.where(np.isnan(X), medians, X)
    spread = filled.std(axis=0)
    scaled: FloatArray = (filled - filled.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return scaled


def _filter(_: int, n_kept: int, __: FloatArray, context: FitContext) -> Any:
    return SelectKBest(f_regression if context.task == "regression" else f_classif, k=n_kept)


def _l1(_: int, n_kept: int, y: FloatArray, context: FitContext) -> Any:
    if context.task == "regression":
        model: Any = ElasticNet(alpha=0.01 * float(y.std() or 1.0), l1_ratio=1.0, tol=1e-2)
    else:
        model = LogisticRegression(
            C=0.1, l1_ratio=1.0, solver="saga", max_iter=50, tol=1e-2, random_state=context.seed
        )
    return SelectFromModel(model, max_features=n_kept, threshold=-np.inf, norm_order=np.inf)


def _importance(_: int, n_kept: int, __: FloatArray, context: FitContext) -> Any:
    return SelectFromModel(_small_forest(context), max_features=n_kept, threshold=-np.inf)


def _recursive(width: int, n_kept: int, _: FloatArray, context: FitContext) -> Any:
    step = math.ceil((width - n_kept) / N_ELIMINATION_STEPS)
    return RFE(_small_forest(context), n_features_to_select=n_kept, step=step)


def _small_forest(context: FitContext) -> Any:
    kind = ExtraTreesRegressor if context.task == "regression" else ExtraTreesClassifier
    return kind(N_TREES, min_samples_leaf=5, random_state=context.seed)


SELECTORS: dict[str, Callable[[int, int, FloatArray, FitContext], Any]] = {
    "filter": _filter,
    "l1": _l1,
    "importance": _importance,
    "recursive": _recursive,
}
