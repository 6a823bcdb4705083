"""Models that compare rows with rows: nearest neighbours and support vectors.

Neither looks at a clock, and neither takes weights well: rows are drawn by weight instead.
"""

from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.svm import SVC, SVR

from pipelines.core.predictions import Floats
from pipelines.tuning.growing import Grown, Hyperparameters, Setting, drawn, number, whole_number

MOST_NEIGHBOURS = 20_000  # rows to compare with
MOST_SUPPORT = 10_000  # rows; time grows with their square
LEAST_OF_A_CLASS = 2


def neighbours(X: Floats, y: Floats, chosen: Hyperparameters, setting: Setting) -> Grown:
    """Return the nearest neighbours of rows."""
    rows = drawn(setting, len(X), most=MOST_NEIGHBOURS)
    X, y = (X, y) if rows is None else (X[rows], y[rows])
    kind: Any = KNeighborsRegressor if setting.task == "regression" else KNeighborsClassifier
    model = kind(
        n_neighbors=min(whole_number(chosen, "n_neighbors"), len(X)),
        weights=chosen["weights"],
        p=whole_number(chosen, "p"),
        algorithm="brute",
    )
    return Grown(model.fit(X, y), None)


def svm(X: Floats, y: Floats, chosen: Hyperparameters, setting: Setting) -> Grown:
    """Return support vectors with a radial kernel, its chances calibrated by cross-validation."""
    rows = drawn(setting, len(X), most=MOST_SUPPORT)
    X, y = (X, y) if rows is None else (X[rows], y[rows])
    values = {"C": number(chosen, "C"), "gamma": number(chosen, "gamma") / X.shape[1]}
    if setting.task == "regression":
        scale = float(y.std()) or 1.0  # as if y had been standardised
        return Grown(
            SVR(**values | {"C": values["C"] * scale}, epsilon=0.1 * scale).fit(X, y), None
        )
    least = int(np.unique(y, return_counts=True)[1].min())
    if least < LEAST_OF_A_CLASS:
        raise ValueError(f"svm needs two rows of each class to calibrate, but got {least=}.")
    folds = StratifiedKFold(min(3, least), shuffle=True, random_state=setting.seed)
    return Grown(CalibratedClassifierCV(SVC(**values), cv=folds, ensemble=False).fit(X, y), None)
