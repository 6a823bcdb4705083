"""A small table whose days differ, its reference, and windows of it, for the tests of drift."""

from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pandas as pd

from evertune.data.schema import Column, TableSchema
from evertune.monitoring.input_reference import InputReference, build_input_reference
from evertune.monitoring.window_profiles import WindowProfile, build_window_profile
from evertune.times import TimeWindow
from evertune.types import Predictions

SCHEMA = TableSchema(
    features=(
        Column("age", "number"),
        Column("income", "number"),
        Column("member", "boolean"),
        Column("plan", "category", categories=("a", "b", "c")),
        Column("city", "text"),
        Column("joined", "date"),
    ),
    target="left",
    task="binary",
    classes=("no", "yes"),
    identifier="id",
    time="day",
)
N_DAYS, ROWS = 70, 60
FIRST, NEXT = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 3, 11, tzinfo=UTC)


def people(days: pd.DatetimeIndex, seed: int) -> pd.DataFrame:
    """Return clean rows; income goes with age, and a tenth of the ages are missing."""
    random, n_rows = np.random.default_rng(seed), len(days)
    age = random.normal(40, 10, n_rows)
    return pd.DataFrame(
        {
            "age": np.where(random.random(n_rows) < 0.1, np.nan, age),
            "income": age + random.normal(0, 5, n_rows),
            "member": (random.random(n_rows) < 0.5).astype(float),
            "plan": random.choice(["a", "b", "c"], n_rows, p=[0.5, 0.3, 0.2]),
            "city": random.choice([f"town {k}" for k in range(150)], n_rows),
            "joined": days - pd.to_timedelta(random.integers(1, 900, n_rows), unit="D"),
        }
    )


def days(n_days: int = N_DAYS) -> pd.DatetimeIndex:
    return pd.date_range(FIRST.replace(tzinfo=None), periods=n_days).repeat(ROWS)


def predictions_of(table: pd.DataFrame) -> Predictions:
    """Return predictions that depend on the age."""
    proba = 1 / (1 + np.exp(-(table["age"].fillna(40).to_numpy() - 40) / 10))
    return Predictions((proba > 0.5).astype(float), np.column_stack([1 - proba, proba]))


@cache
def reference(n_days: int = N_DAYS, *, timed: bool = True) -> InputReference:
    table = people(days(n_days), seed=0)
    return build_input_reference(
        table,
        SCHEMA,
        moments=pd.Series(days(n_days)) if timed else None,
        predictions=predictions_of(table),
        window_days=1,
        seed=0,
    )


def day(number: int = 0) -> TimeWindow:
    """Return a day after the reference's."""
    start = NEXT + timedelta(days=number)
    return TimeWindow(start, start + timedelta(days=1))


def rows_of(number: int = 0, n_rows: int = ROWS) -> pd.DataFrame:
    moments = pd.DatetimeIndex([day(number).start.replace(tzinfo=None)]).repeat(n_rows)
    return people(moments, seed=100 + number)


def profile(
    rows: pd.DataFrame, number: int = 0, *, predicted: bool = False, **settings: object
) -> WindowProfile:
    """Return the profile of a day's rows; the settings are those of its reference."""
    return build_window_profile(
        rows,
        reference(**settings),
        SCHEMA,
        window=day(number),
        predictions=predictions_of(rows) if predicted else None,
    )
