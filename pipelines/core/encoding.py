"""Columns as models need them: stateless parts first, what is learned from rows after.

`matrix` looks at one row at a time. All that is learned from rows (medians, scales, levels, mean
targets) is learned by the transformer that `encoder` returns, inside the fold. Only scikit-learn
classes are used, so that a fitted encoder can be written to disk without pickle.
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)

from pipelines.core.schema import Column, Schema

Form = Literal["scaled", "power", "spline", "binned", "plain", "ordinal"]
FORMS: tuple[Form, ...] = ("scaled", "power", "spline", "binned", "plain", "ordinal")

MANY_LEVELS = 30  # above, a category is encoded by the mean of the target
RARE = 3  # levels with fewer rows share one code
LARGEST = 1e37  # forests compute in float32, which ends at 3e38


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
        `scaled` (imputed and standardised), `power` (Yeo-Johnson), `spline` and `binned` (curves
        and steps for linear models); `plain` (numbers with their gaps, levels as columns) and
        `ordinal` (levels as codes, first columns) for trees. A category with more than 30 levels
        is encoded by the mean of the target in every form.
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
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, but got {form=}.")
    few, many, numbers = levels(schema), _many_levels(schema), _numbers(schema)
    parts = [
        ("levels", _level_encoder(form), few),
        ("targets", _target_encoder(form, schema), many),
        ("numbers", _number_encoder(form), numbers),
    ]
    return ColumnTransformer(
        [part for part in parts if part[2]], sparse_threshold=0, verbose_feature_names_out=False
    )


def levels(schema: Schema) -> list[str]:
    """Return the columns with few levels; in form `ordinal` they are the first columns."""
    return [c.name for c in schema.features if c.kind == "category" and not _has_many(c)]


def _many_levels(schema: Schema) -> list[str]:
    return [c.name for c in schema.features if c.kind == "text" or _has_many(c)]


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
    yield f"{name}:days", (dates - pd.Timestamp(0)) / pd.Timedelta(days=1)
    yield f"{name}:month", dates.dt.month.astype(float)
    yield f"{name}:weekday", dates.dt.day_of_week.astype(float)
    yield f"{name}:hour", dates.dt.hour.astype(float)


def _clock_parts(table: pd.DataFrame, name: str) -> Iterator[tuple[str, pd.Series]]:
    known = name in table and pd.api.types.is_datetime64_any_dtype(table[name])
    times = table[name] if known else pd.Series(pd.NaT, index=table.index)
    yield f"{name}:weekday", times.dt.day_of_week.astype(float)
    yield f"{name}:hour", times.dt.hour.astype(float)


def _level_encoder(form: Form) -> Any:
    if form == "ordinal":
        return OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=np.nan, min_frequency=RARE
        )
    return OneHotEncoder(
        handle_unknown="infrequent_if_exist", min_frequency=RARE, sparse_output=False
    )


def _target_encoder(form: Form, schema: Schema) -> Any:
    kind = "continuous" if schema.task == "regression" else "auto"
    means = TargetEncoder(target_type=kind, cv=KFold(5, shuffle=True, random_state=0))
    return means if form in ("plain", "ordinal") else make_pipeline(means, StandardScaler())


def _number_encoder(form: Form) -> Any:
    curves: dict[Form, Callable[[], Any]] = {
        "scaled": StandardScaler,
        "power": PowerTransformer,
        "spline": lambda: make_pipeline(StandardScaler(), SplineTransformer(6, knots="quantile")),
        "binned": lambda: KBinsDiscretizer(8, encode="onehot-dense", random_state=0),
    }
    return "passthrough" if form in ("plain", "ordinal") else _filled(curves[form]())


def _filled(transformer: Any) -> Pipeline:
    gaps = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    return make_pipeline(gaps, transformer)
