"""Select the encoded columns that a model is fitted on, from the rows of that fit alone.

`select_features` ranks columns by univariate F tests, an L1 model or a small forest's
importances, or eliminates them recursively; `restrict_to_columns` applies the choice to X and
the fit context.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.feature_selection import f_classif, f_regression
from sklearn.linear_model import ElasticNet, LogisticRegression

from evertune.models.training import FitContext, Hyperparameters, float_param
from evertune.types import FloatArray

MAX_SELECTION_ROWS = 10_000  # to choose columns from
N_ELIMINATION_STEPS = 3  # times that recursive selection looks again
N_TREES = 30

RankingFunction = Callable[[FloatArray, FloatArray, FitContext], FloatArray]


def select_features(
    X: FloatArray, y: FloatArray, chosen: Hyperparameters, setting: FitContext
) -> tuple[int, ...] | None:
    """Return the columns that are kept, in their order; None where none is left out.

    Parameters
    ----------
    X : array of shape (n, width)
    y : array of shape (n,)
    chosen : dict
        `select` is `none`, `filter` (each column alone against y), `l1` (a sparse linear model),
        `importance` (of a small forest) or `recursive` (the same, leaving out a part at a time);
        `select_share` of the columns are kept.
    setting : FitContext
    """
    way, width = str(chosen["select"]), X.shape[1]
    n_kept = max(1, math.ceil(float_param(chosen, "select_share") * width))
    if way == "none" or n_kept >= width:
        return None
    rows = np.random.default_rng(setting.seed).permutation(len(X))[:MAX_SELECTION_ROWS]
    filled, known = _impute_and_scale(X[rows]), y[rows]
    kept = np.arange(width)
    for n in _elimination_steps(width, n_kept) if way == "recursive" else [n_kept]:
        scores = RANKINGS[way](filled[:, kept], known, setting)
        kept = np.sort(kept[np.argsort(-scores, kind="stable")[:n]])
    return tuple(kept.tolist())


def restrict_to_columns(
    columns: tuple[int, ...] | None, X: FloatArray, setting: FitContext
) -> tuple[FloatArray, FitContext]:
    """Return X and setting with some columns alone."""
    if columns is None:
        return X, setting
    places = list(columns)
    validation = setting.validation
    rows = None if validation is None else (validation[0][:, places], validation[1])
    n_levels = sum(place < setting.n_levels for place in places)
    return X[:, places], replace(setting, n_levels=n_levels, validation=rows)


def _elimination_steps(width: int, n_kept: int) -> list[int]:
    return [
        round(width * (n_kept / width) ** (step / N_ELIMINATION_STEPS))
        for step in range(1, N_ELIMINATION_STEPS + 1)
    ]


def _impute_and_scale(X: FloatArray) -> FloatArray:
    """Return X with medians in its gaps and every column on one scale."""
    empty = np.isnan(X).all(axis=0)
    medians = np.nanmedian(np.where(empty, 0.0, X), axis=0)
    filled = np.where(np.isnan(X), medians, X)
    spread = filled.std(axis=0)
    scaled: FloatArray = (filled - filled.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return scaled


def _f_scores(X: FloatArray, y: FloatArray, setting: FitContext) -> FloatArray:
    score = f_regression if setting.task == "regression" else f_classif
    varying = np.ptp(X, axis=0) > 0
    found = np.full(X.shape[1], -1.0)
    found[varying] = np.nan_to_num(score(X[:, varying], y)[0], posinf=np.finfo(float).max)
    return found


def _l1_coefficients(X: FloatArray, y: FloatArray, setting: FitContext) -> FloatArray:
    if setting.task == "regression":
        sparse: Any = ElasticNet(alpha=0.01 * float(y.std() or 1.0), l1_ratio=1.0, tol=1e-2)
    else:
        sparse = LogisticRegression(
            C=0.1, l1_ratio=1.0, solver="saga", max_iter=50, tol=1e-2, random_state=setting.seed
        )
    found: FloatArray = np.abs(np.atleast_2d(sparse.fit(X, y).coef_)).max(axis=0)
    return found


def _forest_importances(X: FloatArray, y: FloatArray, setting: FitContext) -> FloatArray:
    kind: Any = ExtraTreesRegressor if setting.task == "regression" else ExtraTreesClassifier
    forest = kind(N_TREES, min_samples_leaf=5, random_state=setting.seed)
    found: FloatArray = forest.fit(X, y).feature_importances_
    return found


RANKINGS: dict[str, RankingFunction] = {
    "filter": _f_scores,
    "l1": _l1_coefficients,
    "importance": _forest_importances,
    "recursive": _forest_importances,
}
