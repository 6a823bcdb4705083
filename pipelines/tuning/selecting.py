"""Which columns a fit takes, learned from its own rows."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.feature_selection import f_classif, f_regression
from sklearn.linear_model import ElasticNet, LogisticRegression

from pipelines.core.predictions import Floats
from pipelines.tuning.growing import Hyperparameters, Setting, number

MOST_ROWS = 10_000  # to choose columns from
HALVES = 3  # times that recursive selection looks again
TREES = 30

Ranking = Callable[[Floats, Floats, Setting], Floats]


def selected(
    X: Floats, y: Floats, chosen: Hyperparameters, setting: Setting
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
    setting : Setting
    """
    way, width = str(chosen["select"]), X.shape[1]
    n_kept = max(1, math.ceil(number(chosen, "select_share") * width))
    if way == "none" or n_kept >= width:
        return None
    rows = np.random.default_rng(setting.seed).permutation(len(X))[:MOST_ROWS]
    filled, known = _filled(X[rows]), y[rows]
    kept = np.arange(width)
    for n in _steps(width, n_kept) if way == "recursive" else [n_kept]:
        scores = RANKINGS[way](filled[:, kept], known, setting)
        kept = np.sort(kept[np.argsort(-scores, kind="stable")[:n]])
    return tuple(kept.tolist())


def only(columns: tuple[int, ...] | None, X: Floats, setting: Setting) -> tuple[Floats, Setting]:
    """Return X and setting with some columns alone."""
    if columns is None:
        return X, setting
    places = list(columns)
    validation = setting.validation
    rows = None if validation is None else (validation[0][:, places], validation[1])
    n_levels = sum(place < setting.n_levels for place in places)
    return X[:, places], replace(setting, n_levels=n_levels, validation=rows)


def _steps(width: int, n_kept: int) -> list[int]:
    return [round(width * (n_kept / width) ** (step / HALVES)) for step in range(1, HALVES + 1)]


def _filled(X: Floats) -> Floats:
    """Return X with medians in its gaps and every column on one scale."""
    empty = np.isnan(X).all(axis=0)
    medians = np.nanmedian(np.where(empty, 0.0, X), axis=0)
    filled = np.where(np.isnan(X), medians, X)
    spread = filled.std(axis=0)
    scaled: Floats = (filled - filled.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return scaled


def _alone(X: Floats, y: Floats, setting: Setting) -> Floats:
    score = f_regression if setting.task == "regression" else f_classif
    varying = np.ptp(X, axis=0) > 0
    found = np.full(X.shape[1], -1.0)
    found[varying] = np.nan_to_num(score(X[:, varying], y)[0], posinf=np.finfo(float).max)
    return found


def _by_weight(X: Floats, y: Floats, setting: Setting) -> Floats:
    if setting.task == "regression":
        sparse: Any = ElasticNet(alpha=0.01 * float(y.std() or 1.0), l1_ratio=1.0, tol=1e-2)
    else:
        sparse = LogisticRegression(
            C=0.1, l1_ratio=1.0, solver="saga", max_iter=50, tol=1e-2, random_state=setting.seed
        )
    found: Floats = np.abs(np.atleast_2d(sparse.fit(X, y).coef_)).max(axis=0)
    return found


def _by_importance(X: Floats, y: Floats, setting: Setting) -> Floats:
    kind: Any = ExtraTreesRegressor if setting.task == "regression" else ExtraTreesClassifier
    forest = kind(TREES, min_samples_leaf=5, random_state=setting.seed)
    found: Floats = forest.fit(X, y).feature_importances_
    return found


RANKINGS: dict[str, Ranking] = {
    "filter": _alone,
    "l1": _by_weight,
    "importance": _by_importance,
    "recursive": _by_importance,
}
