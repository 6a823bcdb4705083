"""Columns as models need them: stateless parts first, what is learned from rows after.

`matrix` looks at one row at a time. All that is learned from rows (medians, scales, levels, mean
targets) is learned by the transformer that `encoder` returns, inside the fold.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipelines.core.column_encoders import (
    code_encoder,
    number_encoder,
    one_hot_encoder,
    target_encoder,
)
from pipelines.core.forms import FORMS, Form, Ways, form_named, ways_of
from pipelines.core.hashed_levels import HashedLevels
from pipelines.core.pairs import Crosses, Products
from pipelines.core.schema import Column, Schema
from pipelines.core.text_columns import TextColumns

__all__ = [
    "FORMS",
    "Form",
    "clock_names",
    "code_columns",
    "encoder",
    "has_many_levels",
    "levels",
    "matrix",
    "matrix_names",
]

MANY_LEVELS = 30  # above, a category is encoded by the mean of the target
LARGEST = 1e37  # forests compute in float32, which ends at 3e38
MICROSECONDS_OF_A_DAY = 8.64e10
PARTS = {"date": ("days", "month", "weekday", "hour"), "text": ("characters", "words")}


def matrix(table: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return the columns that the encoders take, made row by row from a clean table.

    Numbers and booleans stay; categories and text become text in which a missing value is the
    empty string; a date becomes days since 1970, month, weekday and hour; a text adds its lengths
    in characters and words; the time column gives weekday and hour alone, for the days that it
    counts only ever grow.

    Parameters
    ----------
    table : DataFrame of n rows
        A clean table with the schema's features; a missing time column counts as unknown times.
    schema : Schema

    Returns
    -------
    DataFrame of n rows
        float64 and object columns, in an order that only the schema decides.

    Examples
    --------
    >>> columns = (Column("age", "number"), Column("plan", "category", ("a",)))
    >>> schema = Schema(columns, "y", "binary")
    >>> matrix(pd.DataFrame({"plan": ["a", None], "age": [1.0, 2.0]}), schema).to_dict("list")
    {'age': [1.0, 2.0], 'plan': ['a', '']}
    """
    parts: dict[str, pd.Series] = {}
    for column in schema.features:
        parts |= zip(matrix_names(column, schema), _parts(table, column), strict=True)
    if schema.time is not None:
        parts |= zip(clock_names(schema), _clock_parts(table, schema.time), strict=True)
    return pd.DataFrame(parts, index=table.index)


def encoder(form: Form, schema: Schema) -> ColumnTransformer:
    """Return an unfitted transformer from `matrix` to numbers; unseen levels are harmless.

    Parameters
    ----------
    form : str
        How numbers are encoded: `scaled` (gaps filled, standardised), `power` (Yeo-Johnson),
        `box_cox` (where a column is positive, else as `power`), `quantile` (ranks, as of a normal
        distribution), `robust` (scaled by percentiles, tails drawn in), `spline`, `piecewise` and
        `binned` (curves, bent lines and steps for linear models and networks), each with one
        column a level; `plain` (numbers with their gaps, one column a level), `ordinal` (levels as
        codes, first columns) and `codes` (those with many levels too) for trees. After a plus
        sign, `target`, `ordinal`, `codes` or `hashed` say otherwise for levels, as in
        `scaled+target`; `text:...` says how texts are read (`TextColumns`), and `pairs:numbers`,
        `pairs:levels` or `pairs:both` adds pairs of columns. A category with more than 30 levels
        that are neither codes nor hashed is encoded by the mean of the target.
    schema : Schema

    Raises
    ------
    ValueError
        If there is no such form.

    Examples
    --------
    >>> columns = (Column("age", "number"), Column("plan", "category", ("a",)))
    >>> schema = Schema(columns, "y", "binary")
    >>> X = matrix(pd.DataFrame({"plan": ["a", "b", "a"], "age": [1.0, 2.0, 3.0]}), schema)
    >>> encoder("ordinal", schema).fit_transform(X, [0, 1, 1]).tolist()
    [[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]]
    """
    parts = [part for part in _parts_of(ways_of(form), schema) if part[2]]
    return ColumnTransformer(parts, sparse_threshold=0, verbose_feature_names_out=False)


def levels(schema: Schema) -> list[str]:
    """Return the categories with few levels."""
    return [c.name for c in schema.features if c.kind == "category" and not has_many_levels(c)]


def code_columns(form: Form, schema: Schema) -> list[str]:
    """Return the columns that a form makes codes, which stand first in its result.

    Examples
    --------
    >>> columns = (Column("age", "number"), Column("plan", "category", ("a",)))
    >>> schema = Schema(columns, "y", "binary")
    >>> code_columns("plain", schema), code_columns("codes", schema)
    ([], ['plan'])
    """
    way = ways_of(form).levels
    if way == "codes":
        return _named(schema, "category")
    return levels(schema) if way == "ordinal" else []


def matrix_names(column: Column, schema: Schema) -> tuple[str, ...]:
    """Return the names of a feature's columns in the matrix, none of them another feature's.

    Examples
    --------
    >>> schema = Schema((Column("d", "date"), Column("d:hour", "number")), "y", "binary")
    >>> matrix_names(schema.features[0], schema)
    ('d:days', 'd:month', 'd:weekday', 'd::hour')
    """
    own = [column.name] if column.kind == "text" else []
    parts = [_part_name(column.name, part, schema) for part in PARTS.get(column.kind, ())]
    return (*own, *parts) or (column.name,)


def clock_names(schema: Schema) -> tuple[str, ...]:
    """Return the names of the time column's parts in the matrix: weekday and hour."""
    if schema.time is None:
        return ()
    return tuple(_part_name(schema.time, part, schema) for part in ("weekday", "hour"))


def _part_name(name: str, part: str, schema: Schema) -> str:
    taken, between = {column.name for column in schema.features}, ":"
    while f"{name}{between}{part}" in taken:
        between += ":"
    return f"{name}{between}{part}"


def _parts_of(ways: Ways, schema: Schema) -> list[tuple[str, Any, list[str]]]:
    """Return what encodes which columns of the matrix; codes of levels stand first."""
    kind = {"continuous": schema.task == "regression", "scaled": ways.scaled}
    numbers, words = _numbers(schema), _named(schema, "category")
    coded, many = code_columns(form_named(ways), schema), _many(schema)
    few = [] if ways.levels == "target" or coded else levels(schema)
    means = words if ways.levels == "target" else many
    products = Products(continuous=kind["continuous"])
    return [
        ("levels", code_encoder() if coded else one_hot_encoder(), coded or few),
        ("targets", target_encoder(**kind), [] if ways.levels in ("codes", "hashed") else means),
        ("hashes", HashedLevels(), many if ways.levels == "hashed" else []),
        ("texts", TextColumns(ways.text, **kind), _named(schema, "text")),  # type: ignore[arg-type]
        ("numbers", number_encoder(ways.numbers) if ways.scaled else "passthrough", numbers),
        (
            "products",
            make_pipeline(products, StandardScaler()) if ways.scaled else products,
            numbers if ways.pairs in ("numbers", "both") and len(numbers) > 1 else [],
        ),
        (
            "crosses",
            Crosses(**kind),
            words if ways.pairs in ("levels", "both") and len(words) > 1 else [],
        ),
    ]


def _named(schema: Schema, kind: str) -> list[str]:
    return [column.name for column in schema.features if column.kind == kind]


def _many(schema: Schema) -> list[str]:
    return [column.name for column in schema.features if has_many_levels(column)]


def has_many_levels(column: Column) -> bool:
    """Return whether a column is a category with more than 30 levels."""
    return column.kind == "category" and len(column.categories) > MANY_LEVELS


def _numbers(schema: Schema) -> list[str]:
    worded = {column.name for column in schema.features if column.kind in ("category", "text")}
    names = [name for column in schema.features for name in matrix_names(column, schema)]
    return [name for name in dict.fromkeys([*names, *clock_names(schema)]) if name not in worded]


def _parts(table: pd.DataFrame, column: Column) -> Iterator[pd.Series]:
    cells = table[column.name]
    if column.kind == "date":
        yield from _date_parts(cells)
    elif column.kind in ("category", "text"):
        yield cells.astype(object).where(cells.notna(), "")
        if column.kind == "text":
            yield cells.str.len().astype(float)
            yield cells.str.count(r"\S+").astype(float)
    else:
        yield cells.astype(float).clip(-LARGEST, LARGEST)


def _date_parts(cells: pd.Series) -> Iterator[pd.Series]:
    dates = pd.to_datetime(cells)
    yield _days(dates)
    yield dates.dt.month.astype(float)
    yield dates.dt.day_of_week.astype(float)
    yield dates.dt.hour.astype(float)


def _days(dates: pd.Series) -> pd.Series:
    """Return days since 1970 from whole microseconds, in which the year 9999 has a place."""
    counts = dates.dt.as_unit("us").to_numpy().astype(np.int64).astype(np.float64)
    days = pd.Series(counts / MICROSECONDS_OF_A_DAY, index=dates.index)
    return days.where(dates.notna())


def _clock_parts(table: pd.DataFrame, name: str) -> Iterator[pd.Series]:
    known = name in table and pd.api.types.is_datetime64_any_dtype(table[name])
    times = table[name] if known else pd.Series(pd.NaT, index=table.index)
    yield times.dt.day_of_week.astype(float)
    yield times.dt.hour.astype(float)
