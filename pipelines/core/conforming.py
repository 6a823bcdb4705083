"""From raw columns to a schema, and from any raw table to the clean columns of a schema."""

from collections.abc import Collection

import pandas as pd

from pipelines.core.breaches import Breach
from pipelines.core.cells import as_number, as_text
from pipelines.core.dates import day_first
from pipelines.core.declared import Declared
from pipelines.core.kinds import kind_of
from pipelines.core.readings import read_column, time_described
from pipelines.core.schema import Column, Schema
from pipelines.core.targets import classes_of, known_task
from pipelines.core.wording import did_you_mean


def schema_of(raw: pd.DataFrame, declared: Declared) -> Schema:
    """Return the schema of a raw table whose roles and target were checked.

    Parameters
    ----------
    raw : DataFrame
        Typed or text cells.
    declared : Declared

    Raises
    ------
    ValueError
        Where a column is not there, or no feature is left.

    Examples
    --------
    >>> raw = pd.DataFrame({"age": ["31", "?"], "left": ["no", "yes"]})
    >>> schema = schema_of(raw, Declared("left", positive="yes", missing_values=("?",)))
    >>> schema.features[0].kind, schema.features[0].maximum, schema.classes
    ('number', 31.0, ('no', 'yes'))
    """
    roles = declared.roles
    _check_names(raw, list(roles.values()))
    names = [name for name in raw.columns if name not in {*roles.values(), *declared.ignore}]
    if not names:
        raise ValueError("Expected at least one feature, but none is left.")
    task = known_task(raw[declared.target], declared)
    time = roles.get("time")
    return Schema(
        features=tuple(described(raw[name], declared) for name in names),
        target=declared.target,
        task=task,
        classes=classes_of(raw[declared.target], task, declared),
        identifier=declared.identifier,
        time=time,
        group=declared.group,
        human=declared.human,
        existing=declared.existing,
        time_column=time_described(raw[time], missing=declared.missing_values) if time else None,
        missing_values=declared.missing_values,
        decimal=declared.decimal,
    )


def _check_names(raw: pd.DataFrame, names: Collection[str]) -> None:
    absent = [name for name in names if name not in raw.columns]
    if absent:
        raise ValueError(f"Expected the columns {absent}, but the table lacks them.")


def described(column: pd.Series, declared: Declared) -> Column:
    """Return what a raw column is; a look tells its kind where none is declared.

    Examples
    --------
    >>> described(pd.Series(["b", "a", ""], name="plan"), Declared("left")).categories
    ('a', 'b')
    """
    name, missing, decimal = str(column.name), declared.missing_values, declared.decimal
    kind = declared.columns.get(name) or kind_of(column, missing, decimal=decimal)
    if kind == "number":
        values = as_number(column, missing=missing, decimal=decimal)[0].dropna()
        low, high = (float(values.min()), float(values.max())) if len(values) else (None, None)
        return Column(name, kind, minimum=low, maximum=high)
    if kind == "category":
        levels = as_text(column, missing=missing).dropna().unique()
        return Column(name, kind, categories=tuple(sorted(levels)))
    if kind == "date":
        return Column(name, kind, day_first=day_first(column, missing))
    return Column(name, kind)


def conform(raw: pd.DataFrame, schema: Schema) -> tuple[pd.DataFrame, tuple[Breach, ...]]:
    """Return the clean columns of a raw table, and all that keeps it from being one.

    Categories that the schema does not know are kept. The order of columns does not count, and
    columns that the schema does not name are left out.

    Parameters
    ----------
    raw : DataFrame of n rows
        Typed or text cells.
    schema : Schema

    Returns
    -------
    DataFrame of n rows, tuple of Breach
        The features, the time column, and identifier and group where the table has them, with
        rows numbered from 0. A feature or time column that is not there is a breach.

    Examples
    --------
    >>> schema = Schema((Column("age", "number"),), "left", "binary", ("no", "yes"))
    >>> conform(pd.DataFrame({"extra": ["x"], "age": ["31"]}), schema)
    (    age
    0  31.0, ())
    """
    raw = raw.reset_index(drop=True).set_axis(raw.columns.map(str), axis="columns")
    wanted = [*schema.features, *_time_of(schema)]
    twice = tuple(_twice(name) for name in raw.columns[raw.columns.duplicated()])
    if twice:
        return pd.DataFrame(index=raw.index), twice
    breaches = tuple(_absent(raw, column.name) for column in wanted if column.name not in raw)
    readings = [
        read_column(raw[column.name], column, missing=schema.missing_values, decimal=schema.decimal)
        for column in wanted
        if column.name in raw
    ]
    names = [name for name in (schema.identifier, schema.group) if name and name in raw]
    parts = [values for values, _ in readings]
    parts += [as_text(raw[name], missing=schema.missing_values) for name in names]
    clean = pd.concat(parts, axis="columns") if parts else pd.DataFrame(index=raw.index)
    return clean, breaches + tuple(breach for _, found in readings for breach in found)


def _time_of(schema: Schema) -> list[Column]:
    if schema.time is None:
        return []
    return [schema.time_column or Column(schema.time, "date")]


def _twice(name: str) -> Breach:
    return Breach(name, "the table has several columns of this name", remedy="Rename them.")


def _absent(raw: pd.DataFrame, name: str) -> Breach:
    nearest = did_you_mean(name, [str(column) for column in raw.columns])
    return Breach(name, "expected, but the table has no such column", remedy=nearest.strip())
