"""Select the encoded columns that a model is fitted on, from the rows of that fit alone.

Scikit-learn's selectors, on at most `MAX_SELECTION_ROWS` rows with gaps filled and columns scaled.
"""

import math
import warnings
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
    """Return the selected columns in ascending order; None: all.

    Parameters
    ----------
    params : dict
        `feature_selection` is `none`, `filter` (F test of each column), `l1` (a sparse linear
        model), `importance` (of a small forest) or `recursive` (elimination by such a forest);
        `selected_fraction` is the share of columns to keep.
    """
    method, width = str(params["feature_selection"]), X.shape[1]
    n_selected = max(1, math.ceil(float_param(params, "selected_fraction") * width))
    if method == "none" or n_selected >= width:
        return None
    rows = np.random.default_rng(context.seed).permutation(len(X))[:MAX_SELECTION_ROWS]
    selector = _make_selector(method, X.shape[1], n_selected, y[rows], context)
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
        n_ordinal=sum(column < context.n_ordinal for column in columns),
        validation=None if rows is None else (rows[0][:, index], rows[1]),
        monotone=tuple(context.monotone[column] for column in columns) if context.monotone else (),
    )


def _impute_and_scale(X: FloatArray) -> FloatArray:
    """Return X with medians in its gaps and every column standardised."""
    empty = np.isnan(X).all(axis=0)
    medians = np.nanmedian(np.where(empty, 0.0, X), axis=0)
    filled = np.where(np.isnan(X), medians, X)
    spread = filled.std(axis=0)
    scaled: FloatArray = (filled - filled.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return scaled


def _make_selector(
    method: str, width: int, n_selected: int, y: FloatArray, context: FitContext
) -> Any:
    """Return scikit-learn's unfitted selector of a number of columns."""
    regression = context.task == "regression"
    if method == "filter":
        return SelectKBest(f_regression if regression else f_classif, k=n_selected)
    if method == "l1":
        if regression:
            model: Any = ElasticNet(alpha=0.01 * float(y.std() or 1.0), l1_ratio=1.0, tol=1e-2)
        else:
            model = LogisticRegression(
                C=0.1, l1_ratio=1.0, solver="saga", max_iter=50, tol=1e-2, random_state=context.seed
            )
        return SelectFromModel(model, max_features=n_selected, threshold=-np.inf, norm_order=np.inf)
    forest = (ExtraTreesRegressor if regression else ExtraTreesClassifier)(
        N_TREES, min_samples_leaf=5, random_state=context.seed
    )
    if method == "importance":
        return SelectFromModel(forest, max_features=n_selected, threshold=-np.inf)
    step = math.ceil((width - n_selected) / N_ELIMINATION_STEPS)
    return RFE(forest, n_features_to_select=n_selected, step=step)
