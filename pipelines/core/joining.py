"""The clean table of the source with labelled rows of production joined to it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from pipelines.core.breaches import Breach
from pipelines.core.conforming import conform
from pipelines.core.declared import MOMENT, Declared
from pipelines.core.parting import ROW_KEY, with_row_keys
from pipelines.core.prepared import Prepared
from pipelines.core.schema import Column, Schema
from pipelines.core.sides import Mask
from pipelines.core.targets import target_values


@dataclass(frozen=True, eq=False)
class Joined:
    """A clean table of the source and of production.

    Attributes
    ----------
    clean : DataFrame
        With `moment`: when a row of production happened, NaT for a row of the source.
    schema : Schema
        The source's, with the categories and ranges of the joined rows.
    n_absorbed : int
        Rows of production.
    n_replaced : int
        Rows of the source that are rows of production too, and so count once.
    n_unusable : int
        Rows of production without a time, a group or a label that the schema knows.
    breaches : tuple of Breach
        Their cells that could not be read, which count as missing.
    """

    clean: pd.DataFrame
    schema: Schema
    n_absorbed: int
    n_replaced: int
    n_unusable: int
    breaches: tuple[Breach, ...]


def joined(prepared: Prepared, absorbed: pd.DataFrame, declared: Declared) -> Joined:
    """Return the source's clean table with labelled rows of production, each row once.

    A row of both is production's: its label is the newer one, its inputs are those that were
    known when it was predicted. Rows are the same by their identifier; without one by all they
    hold, and then as many of the source's give way as production has.

    Parameters
    ----------
    prepared : Prepared
        Of the source, whose schema holds.
    absorbed : DataFrame of n rows
        Raw columns, the target and `moment`; the label that came last stands last. Columns that
        it lacks are missing.
    declared : Declared

    Examples
    --------
    >>> clean = pd.DataFrame({"id": ["a", "b"], "age": [1.0, 2.0], "price": [3.0, 4.0]})
    >>> schema = Schema((Column("age", "number"),), "price", "regression", identifier="id")
    >>> late = pd.DataFrame({"id": ["b"], "age": [9], "price": [5.0], "moment": pd.NaT})
    >>> found = joined(Prepared(clean, schema, {}, 0), late, Declared("price", identifier="id"))
    >>> found.clean[["id", "age", "price"]].values.tolist()
    [['a', 1.0, 3.0], ['b', 9.0, 5.0]]
    """
    schema, source = prepared.schema, prepared.clean
    source = source.assign(**{MOMENT: pd.Series(pd.NaT, source.index, dtype="datetime64[us]")})
    late, breaches = _labelled(absorbed, schema, declared)
    usable = late[_usable(late, schema)]
    keys = with_row_keys(usable, schema)[ROW_KEY]
    if schema.identifier is not None:
        usable, keys = usable[~keys.duplicated(keep="last")], keys.drop_duplicates(keep="last")
    stays = _without(with_row_keys(source, schema)[ROW_KEY], keys, whole=bool(schema.identifier))
    parts = [source[stays], usable.reindex(columns=source.columns)] if len(usable) else [source]
    clean = pd.concat(parts, ignore_index=True).astype(source.dtypes.to_dict())
    return Joined(
        clean=clean,
        schema=_grown(schema, clean) if len(usable) else schema,
        n_absorbed=len(usable),
        n_replaced=int((~stays).sum()),
        n_unusable=len(late) - len(usable),
        breaches=breaches,
    )


def production_rows(
    absorbed: pd.DataFrame, schema: Schema
) -> tuple[pd.DataFrame, tuple[Breach, ...]]:
    """Return absorbed rows as clean rows without target, and their cells that cannot be read.

    Parameters
    ----------
    absorbed : DataFrame of n rows
        Raw columns and `moment`, which is the time of a row that has none.
    schema : Schema

    Examples
    --------
    >>> schema = Schema((Column("age", "number"),), "price", "regression")
    >>> late = pd.DataFrame({"moment": pd.to_datetime(["2024-01-01"])})
    >>> production_rows(late, schema)[0].values.tolist()
    [[nan, Timestamp('2024-01-01 00:00:00')]]
    """
    raw = absorbed.reset_index(drop=True)
    named = [column.name for column in schema.features]
    named += [name for name in (schema.time, schema.identifier, schema.group) if name]
    absent = {name: pd.Series(None, raw.index, dtype="str") for name in named if name not in raw}
    features, breaches = conform(raw.assign(**absent), schema)
    clean = features.assign(**{MOMENT: raw[MOMENT].astype("datetime64[us]")})
    if schema.time is not None and clean[schema.time].dtype.kind == "M":
        clean[schema.time] = clean[schema.time].fillna(clean[MOMENT])
    return clean, breaches


def _labelled(
    absorbed: pd.DataFrame, schema: Schema, declared: Declared
) -> tuple[pd.DataFrame, tuple[Breach, ...]]:
    clean, breaches = production_rows(absorbed, schema)
    none = pd.Series(None, absorbed.index, dtype="str", name=schema.target)
    target = target_values(absorbed.get(schema.target, none), schema.task, declared)
    return clean.assign(**{schema.target: target.to_numpy()}), breaches


def _usable(late: pd.DataFrame, schema: Schema) -> Mask:
    needed = [name for name in (schema.target, schema.time, schema.group) if name]
    complete = late[needed].notna().all(axis="columns")
    known = late[schema.target].isin(schema.classes) if schema.classes else complete
    return np.asarray(complete & known)


def _without(source: pd.Series, late: pd.Series, *, whole: bool) -> Mask:
    """Return which rows of the source stay, by their keys and those of production."""
    if whole:
        return np.asarray(~source.isin(late))
    given_way = source.map(late.value_counts()).fillna(0)
    return np.asarray(source.groupby(source).cumcount() >= given_way)


def _grown(schema: Schema, clean: pd.DataFrame) -> Schema:
    features = tuple(_with_values(column, clean[column.name]) for column in schema.features)
    return replace(schema, features=features)


def _with_values(column: Column, values: pd.Series) -> Column:
    known: Iterable[str] = values.dropna().unique()
    if column.kind == "category":
        return replace(column, categories=tuple(sorted({*column.categories, *known})))
    if column.kind == "number" and values.notna().any():
        return replace(column, minimum=float(values.min()), maximum=float(values.max()))
    return column
