import numpy as np
import pandas as pd
import pytest

from evertune.data.schema import Column, TableSchema

COLUMNS = (
    Column("x", "number"),
    Column("z", "number"),
    Column("plan", "category", ("a", "b", "c")),
)


@pytest.fixture
def table():
    draws = np.random.default_rng(0)
    table = pd.DataFrame(draws.normal(size=(300, 2)), columns=["x", "z"])
    table.loc[::17, "x"] = np.nan
    return table.assign(plan=pd.Series(draws.choice(["a", "b", "c"], 300), dtype="str"))


@pytest.fixture(params=["binary", "multiclass", "regression"])
def task(request):
    return request.param


@pytest.fixture
def schema(task):
    classes = {"binary": ("no", "yes"), "multiclass": ("p", "q", "r"), "regression": ()}[task]
    return TableSchema(COLUMNS, "y", task, classes)


@pytest.fixture
def truth(table, task):
    value = table["z"] + 2 * (table["plan"] == "b")
    codes = {"binary": value > 1, "multiclass": np.digitize(value, [0, 1.5]), "regression": value}
    return np.asarray(codes[task], dtype=float)
