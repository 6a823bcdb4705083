"""Rows that every family can learn from, and one fit of each family and task for all tests."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from evertune.data.schema import Column, TableSchema
from evertune.models.embedding_network import OPTIONAL_LIBRARIES, is_installed
from evertune.models.families import FAMILIES, default_configuration, fit_configuration
from evertune.models.fit_context import FitContext
from evertune.models.fitted_model import Model

TASKS = ("binary", "multiclass", "regression")
LEARNING = sorted(set(FAMILIES) - {"zero_rule"})
CLASSES = {"binary": ("no", "yes"), "multiclass": ("p", "q", "r"), "regression": ()}
CITIES = tuple(f"city {n}" for n in range(40))
COLUMNS = (
    Column("z", "number"),
    Column("x", "number"),
    Column("empty", "number"),
    Column("plan", "category", ("a", "b", "c")),
    Column("city", "category", CITIES),
)


def skip_if_missing(family):
    """Skip a test of a family whose library is not installed."""
    library, extra = OPTIONAL_LIBRARIES.get(family, ("numpy", ""))
    if not is_installed(library):
        pytest.skip(f"{library}, which the extra `{extra}` brings, is not installed")


def encoded_rows(task, n=400, seed=0):
    """Return X and y: a code, a column that decides with it, and a column of noise."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.integers(0, 3, n), rng.normal(size=(n, 2))])
    value = X[:, 1] + 2 * (X[:, 0] == 1) + rng.normal(scale=0.3, size=n)
    return X, targets(value, task)


def targets(value, task):
    codes = {"binary": value > 1, "multiclass": np.digitize(value, [0, 1.5]), "regression": value}
    return np.asarray(codes[task], dtype=float)


def context(task, **values):
    """Return a fit context with one thread."""
    return FitContext(task, len(CLASSES[task]), **{"seed": 0, "n_jobs": 1, "n_ordinal": 0} | values)


@cache
def clean_rows(n=300):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(n, 2)), columns=["z", "x"])
    table.loc[::17, "x"] = np.nan
    return table.assign(
        empty=np.nan,
        plan=pd.Series(rng.choice(["a", "b", "c"], n), dtype="str"),
        city=pd.Series(rng.choice(CITIES, n), dtype="str"),
    )


def schema(task):
    return TableSchema(COLUMNS, "y", task, CLASSES[task])


def target(task):
    table = clean_rows()
    return targets(table["z"].to_numpy() + 2 * (table["plan"] == "b").to_numpy(), task)


def fit(family, task):
    skip_if_missing(family)
    configuration = default_configuration(family)
    fitted = fit_configuration(
        configuration, clean_rows(), target(task), schema=schema(task), seed=3, n_jobs=1
    )
    return Model(schema(task), configuration, fitted, ("0" * 16,))


@cache
def fitted_model(family, task):
    """Return the one model of a family and task that read-only tests share."""
    return fit(family, task)
