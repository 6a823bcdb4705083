"""Rows that every family can learn from, encoded as its form has them."""

import numpy as np
import pytest

from evertune.models.embedding_mlp import OPTIONAL_LIBRARIES, is_installed
from evertune.models.training import FitContext

TASKS = ("binary", "multiclass", "regression")


def skip_where_missing(family):
    """Skip a test of a family whose library is not installed."""
    library, extra = OPTIONAL_LIBRARIES.get(family, ("numpy", ""))
    if not is_installed(library):
        pytest.skip(f"{library}, which the extra `{extra}` brings, is not installed")


def rows(task, n=400, seed=0):
    """Return X and y: a column that decides, one that does not, and a code in the first place."""
    draws = np.random.default_rng(seed)
    X = np.column_stack([draws.integers(0, 3, n), draws.normal(size=(n, 2))])
    value = X[:, 1] + 2 * (X[:, 0] == 1) + draws.normal(scale=0.3, size=n)
    codes = {"binary": value > 1, "multiclass": np.digitize(value, [0, 1.5]), "regression": value}
    return X, np.asarray(codes[task], dtype=float)


def setting(task, **given):
    """Return a setting with one thread."""
    n_classes = {"binary": 2, "multiclass": 3, "regression": 0}[task]
    values = {"seed": 0, "n_jobs": 1, "n_levels": 0} | given
    return FitContext(task, n_classes, **values)
