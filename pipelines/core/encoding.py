"""Columns as models need them: stateless parts first, what is learned from rows after.

`matrix` looks at one row at a time. All that is learned from rows (medians, scales, levels, mean
targets) is learned by the transformer that `encoder` returns, inside the fold.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer

from pipelines.core.column_encoders import (
    NUMBER_WAYS,
    code_encoder,
    number_encoder,
    one_hot_encoder,
    target_encoder,
)
from pipelines.core.schema import Column, Schema

Form = str  # how numbers are encoded, with how levels are after a plus sign where that differs
CODED = ("ordinal", "codes")
FORMS: tuple[Form, ...] = (*NUMBER_WAYS, "plain", *CODED)
LEVEL_WAYS = ("one_hot", "target", *CODED)

MANY_LEVELS = 30  # above, a category is encoded by the mean of the target
LARGEST = 1e37  # forests compute in float32, which ends at 3e38
MICROSECONDS_OF_A_DAY = 8.64e10


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
    parts = dict(part for column in schema.features for part in _parts(table, column))
    if schema.time is not None:
        parts |= dict(_clock_parts(table, schema.time))
    return pd.DataFrame(parts, index=table.index)


def encoder(form: Form, schema: Schema) -> ColumnTransformer:
    """Return an unfitted transformer from `matrix` to numbers; unseen levels are harmless.

    Parameters
    ----------
    form : str
        How numbers are encoded: `scaled` (gaps filled, standardised), `power` (Yeo-Johnson),
        `quantile` (ranks, as of a normal distribution), `robust` (scaled by percentiles, tails
        drawn in), `spline` and `binned` (curves and steps for linear models), each with one column
        a level; `plain` (numbers with their gaps, one column a level), `ordinal` (levels as codes,
        first columns) and `codes` (those with many levels too) for trees. A plus sign and
        `target`, `ordinal` or `codes` say otherwise for levels, as in `scaled+target`. A text, and
        a category with more than 30 levels that are no codes, is encoded by the mean of the target.
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
    numbers, ways = _ways(form)
    coded, targets = code_columns(form, schema), _target_columns(form, schema)
    columns = [] if ways == "target" or coded else levels(schema)
    means = target_encoder(continuous=schema.task == "regression", scaled=numbers in NUMBER_WAYS)
    parts = [
        ("levels", code_encoder() if coded else one_hot_encoder(), coded or columns),
        ("targets", means, targets),
        (
            "numbers",
            number_encoder(numbers) if numbers in NUMBER_WAYS else "passthrough",
            _numbers(schema),
        ),
    ]
    return ColumnTransformer(
        [part for part in parts if part[2]], sparse_threshold=0, verbose_feature_names_out=False
    )


def levels(schema: Schema) -> list[str]:
    """Return the categories with few levels."""
    return [c.name for c in schema.features if c.kind == "category" and not _has_many(c)]


def code_columns(form: Form, schema: Schema) -> list[str]:
    """Return the columns that a form makes codes, which stand first in its result.

    Examples
    --------
    >>> columns = (Column("age", "number"), Column("plan", "category", ("a",)))
    >>> schema = Schema(columns, "y", "binary")
    >>> code_columns("plain", schema), code_columns("codes", schema)
    ([], ['plan'])
    """
    way = _ways(form)[1]
    if way == "codes":
        return [c.name for c in schema.features if c.kind == "category"]
    return levels(schema) if way == "ordinal" else []


def form_named(numbers: str, way: str) -> Form:
    """Return the one name of the form with these ways for numbers and for levels.

    Examples
    --------
    >>> form_named("plain", "ordinal"), form_named("scaled", "one_hot")
    ('ordinal', 'scaled')
    >>> form_named("scaled", "target")
    'scaled+target'
    """
    if numbers == "plain" and way in CODED:
        return way
    return numbers if way == "one_hot" else f"{numbers}+{way}"


def _ways(form: Form) -> tuple[str, str]:
    numbers, _, way = form.partition("+")
    if numbers not in FORMS or (way and way not in LEVEL_WAYS):
        raise ValueError(
            f"form must be one of {', '.join(FORMS)}, with {', '.join(LEVEL_WAYS)} after a plus "
            f"sign where levels are encoded otherwise, but got {form=}."
        )
    return numbers, way or (numbers if numbers in CODED else "one_hot")


def _target_columns(form: Form, schema: Schema) -> list[str]:
    way, coded = _ways(form)[1], code_columns(form, schema)
    few = levels(schema) if way == "target" else []
    worded = [c.name for c in schema.features if c.kind in ("category", "text")]
    return [name for name in worded if name in few or name not in [*coded, *levels(schema)]]


def _has_many(column: Column) -> bool:
    return column.kind == "category" and len(column.categories) > MANY_LEVELS


def _numbers(schema: Schema) -> list[str]:
    worded = {column.name for column in schema.features if column.kind in ("category", "text")}
    names = [name for column in schema.features for name in _names(column)]
    clock = [] if schema.time is None else [f"{schema.time}:weekday", f"{schema.time}:hour"]
    return [name for name in dict.fromkeys(names + clock) if name not in worded]


def _names(column: Column) -> list[str]:
    parts = {"date": ("days", "month", "weekday", "hour"), "text": ("characters", "words")}
    return [f"{column.name}:{part}" for part in parts.get(column.kind, ())] or [column.name]


def _parts(table: pd.DataFrame, column: Column) -> Iterator[tuple[str, pd.Series]]:
    cells = table[column.name]
    if column.kind == "date":
        yield from _date_parts(cells, column.name)
    elif column.kind in ("category", "text"):
        yield column.name, cells.astype(object).where(cells.notna(), "")
        if column.kind == "text":
            yield f"{column.name}:characters", cells.str.len().astype(float)
            yield f"{column.name}:words", cells.str.count(r"\S+").astype(float)
    else:
        yield column.name, cells.astype(float).clip(-LARGEST, LARGEST)


def _date_parts(cells: pd.Series, name: str) -> Iterator[tuple[str, pd.Series]]:
    dates = pd.to_datetime(cells)
    yield f"{name}:days", _days(dates)
    yield f"{name}:month", dates.dt.month.astype(float)
    yield f"{name}:weekday", dates.dt.day_of_week.astype(float)
    yield f"{name}:hour", dates.dt.hour.astype(float)


def _days(dates: pd.Series) -> pd.Series:
    """Return days since 1970 from whole microseconds, in which the year 9999 has a place."""
    counts = dates.dt.as_unit("us").to_numpy().astype(np.int64).astype(np.float64)
    days = pd.Series(counts / MICROSECONDS_OF_A_DAY, index=dates.index)
    return days.where(dates.notna())


def _clock_parts(table: pd.DataFrame, name: str) -> Iterator[tuple[str, pd.Series]]:
    known = name in table and pd.api.types.is_datetime64_any_dtype(table[name])
    times = table[name] if known else pd.Series(pd.NaT, index=table.index)
    yield f"{name}:weekday", times.dt.day_of_week.astype(float)
    yield f"{name}:hour", times.dt.hour.astype(float)
