"""Random forests, extra trees and histogram boosting of scikit-learn, grown in chunks."""

import math
from typing import Any

import numpy as np
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

from pipelines.core.predictions import Floats
from pipelines.tuning.growing import (
    Grown,
    Hyperparameters,
    Setting,
    grow_in_chunks,
    patience,
    whole_number,
)

ROWS_OF_FULL_DEPTH = 10_000  # above, leaves of forests grow with the table, or files would
UNWATCHED_ROUNDS = 200  # of boosting without rows on which to stop


def random_forest(X: Floats, y: Floats, chosen: Hyperparameters, setting: Setting) -> Grown:
    """Return a random forest."""
    regression = setting.task == "regression"
    kind = RandomForestRegressor if regression else RandomForestClassifier
    return _forest(kind, X, y, chosen=chosen, setting=setting)


def extra_trees(X: Floats, y: Floats, chosen: Hyperparameters, setting: Setting) -> Grown:
    """Return a forest whose trees split at random places."""
    kind = ExtraTreesRegressor if setting.task == "regression" else ExtraTreesClassifier
    return _forest(kind, X, y, chosen=chosen, setting=setting)


def _forest(kind: Any, X: Floats, y: Floats, *, chosen: Hyperparameters, setting: Setting) -> Grown:
    least = max(whole_number(chosen, "min_samples_leaf"), math.ceil(len(X) / ROWS_OF_FULL_DEPTH))
    values = chosen | {"min_samples_leaf": least}
    forest = kind(**values, random_state=setting.seed, n_jobs=setting.n_jobs)
    forest.set_params(warm_start=not math.isinf(setting.deadline))
    total = setting.iterations or whole_number(chosen, "n_estimators")

    def grow_to(n_trees: int) -> bool:
        forest.set_params(n_estimators=n_trees).fit(X, y, setting.weights)
        return False

    n_trees = grow_in_chunks(grow_to, total=total, deadline=setting.deadline)
    # threads would add up votes in any order
    forest.set_params(n_jobs=None, warm_start=False)
    return Grown(forest, n_trees, whole=n_trees == total)


def hist_boosting(X: Floats, y: Floats, chosen: Hyperparameters, setting: Setting) -> Grown:
    """Return histogram boosting, cut to its best rounds; a column without a value is left out."""
    filled = np.flatnonzero(~np.isnan(X).all(axis=0))
    columns = tuple(filled.tolist()) if len(filled) < X.shape[1] else None
    regression = setting.task == "regression"
    kind: Any = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    judged = None if setting.iterations is not None else setting.validation
    most = whole_number(chosen, "max_iter")
    total = setting.iterations or (most if judged else min(most, UNWATCHED_ROUNDS))
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

    reached = grow_in_chunks(grow_to, total=total, deadline=setting.deadline)
    model.set_params(warm_start=False)
    if judged is not None:
        # scikit-learn keeps the rounds after the best one
        del model._predictors[max(int(np.argmax(model.validation_score_)), 1) :]
    return Grown(model, int(model.n_iter_), whole=reached == total, columns=columns)
