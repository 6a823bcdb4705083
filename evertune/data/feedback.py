"""Merge labelled production rows into the training table, and read evaluation tables.

`merge_feedback` counts a row of both sources once: production's row wins, because its label is
newer and its inputs are those that were known at prediction time. `parse_evaluation_table` reads
any table with a target and leaves out the rows that the model was trained or selected on.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from evertune.data.cleaning import conform_to_schema
from evertune.data.holdout import ROW_KEY, add_row_keys
from evertune.data.labels import describe_expected_label, normalize_label_column
from evertune.data.schema import MOMENT_COLUMN, Column, PreparedTable, TableSchema, TableSpec
from evertune.data.target import parse_target
from evertune.data.validation import DataIssue, issue_for_cells
from evertune.messages import did_you_mean

DIGEST_LENGTH = 12


@dataclass(frozen=True, eq=False)
class MergedTable:
    """A clean table of the source and of production.

    Attributes
    ----------
    clean : DataFrame
        With `moment`: when a row of production happened, NaT for a row of the source.
    schema : TableSchema
        The source's, with the categories and ranges of the merged rows.
    n_absorbed : int
        Rows of production.
    n_replaced : int
        Rows of the source that are rows of production too, and so count once.
    n_unusable : int
        Rows of production without a time, a group or a label that the schema knows.
    issues : tuple of DataIssue
        Cells of production that could not be read and count as missing.
    """

    clean: pd.DataFrame
    schema: TableSchema
    n_absorbed: int
    n_replaced: int
    n_unusable: int
    issues: tuple[DataIssue, ...]


def merge_feedback(
    prepared: PreparedTable, production: pd.DataFrame, spec: TableSpec
) -> MergedTable:
    """Return the source's clean table with labelled rows of production, each row once.

    Rows are the same by their identifier; without one by all their cells, and then as many of
    the source's give way as production has.

    Parameters
    ----------
    production : DataFrame
        Raw columns, the target and `moment`, the newest label last. Columns that it lacks are
        missing.

    Examples
    --------
    >>> clean = pd.DataFrame({"id": ["a", "b"], "age": [1.0, 2.0], "price": [3.0, 4.0]})
    >>> schema = TableSchema((Column("age", "number"),), "price", "regression", identifier="id")
    >>> late = pd.DataFrame({"id": ["b"], "age": [9], "price": [5.0], "moment": pd.NaT})
    >>> prepared, spec = PreparedTable(clean, schema, {}, 0), TableSpec("price", identifier="id")
    >>> merge_feedback(prepared, late, spec).clean[["id", "age", "price"]].values.tolist()
    [['a', 1.0, 3.0], ['b', 9.0, 5.0]]
    """
    schema = prepared.schema
    no_moment = pd.Series(pd.NaT, prepared.clean.index, dtype="datetime64[us]")
    source = prepared.clean.assign(**{MOMENT_COLUMN: no_moment})
    rows, issues = clean_production_rows(production, schema)
    no_label = pd.Series(None, production.index, dtype="str", name=schema.target)
    target = parse_target(production.get(schema.target, no_label), schema.task, spec)
    rows = rows.assign(**{schema.target: target.to_numpy()})

    needed = [name for name in (schema.target, schema.time, schema.group) if name]
    is_usable = rows[needed].notna().all(axis="columns")
    if schema.classes:
        is_usable &= rows[schema.target].isin(schema.classes)
    usable = rows[is_usable]

    source_keys = add_row_keys(source, schema)[ROW_KEY]
    keys = add_row_keys(usable, schema)[ROW_KEY]
    if schema.identifier is not None:
        newest = ~keys.duplicated(keep="last")
        usable, keys = usable[newest], keys[newest]
        stays = ~source_keys.isin(keys)
    else:
        n_replaced = source_keys.map(keys.value_counts()).fillna(0)
        stays = source_keys.groupby(source_keys).cumcount() >= n_replaced
    parts = [source[stays], usable.reindex(columns=source.columns)] if len(usable) else [source]
    clean = pd.concat(parts, ignore_index=True).astype(source.dtypes.to_dict())
    if len(usable):
        features = (_extend_column(column, clean[column.name]) for column in schema.features)
        schema = replace(schema, features=tuple(features))
    return MergedTable(
        clean=clean,
        schema=schema,
        n_absorbed=len(usable),
        n_replaced=int((~stays).sum()),
        n_unusable=len(rows) - len(usable),
        issues=issues,
    )


def clean_production_rows(
    production: pd.DataFrame, schema: TableSchema
) -> tuple[pd.DataFrame, tuple[DataIssue, ...]]:
    """Return raw rows of production as clean rows without target, and their unreadable cells.

    A column that they lack is missing. `moment` is the time of a row that has none.
    """
    raw = production.reset_index(drop=True)
    names = [column.name for column in schema.features]
    names += [name for name in (schema.time, schema.identifier, schema.group) if name]
    absent = {name: pd.Series(None, raw.index, dtype="str") for name in names if name not in raw}
    features, issues = conform_to_schema(raw.assign(**absent), schema)
    clean = features.assign(**{MOMENT_COLUMN: raw[MOMENT_COLUMN].astype("datetime64[us]")})
    if schema.time is not None and clean[schema.time].dtype.kind == "M":
        clean[schema.time] = clean[schema.time].fillna(clean[MOMENT_COLUMN])
    return clean, issues


def _extend_column(column: Column, values: pd.Series) -> Column:
    known: Iterable[str] = values.dropna().unique()
    if column.kind == "category":
        return replace(column, categories=tuple(sorted({*column.categories, *known})))
    if column.kind == "number" and values.notna().any():
        return replace(column, minimum=float(values.min()), maximum=float(values.max()))
    return column


@dataclass(frozen=True, eq=False)
class EvaluationTable:
    """Rows that can judge a model.

    Attributes
    ----------
    table : DataFrame
        Clean rows with the target and a `row_key`, and the extra columns.
    n_unlabelled : int
        Rows that were left out because they have no target.
    n_trained : int
        Rows that were left out because the model was trained or selected on them.
    n_repeated : int
        Rows of the table that repeat an earlier one.
    """

    table: pd.DataFrame
    n_unlabelled: int
    n_trained: int
    n_repeated: int


def parse_evaluation_table(
    raw: pd.DataFrame, schema: TableSchema, *, trained: Sequence[str], extra: Sequence[str] = ()
) -> tuple[EvaluationTable | None, tuple[DataIssue, ...]]:
    """Return the rows of a raw table that can judge a model; None if there are issues.

    Parameters
    ----------
    trained : sequence of str
        Keys of the rows that the model was trained or selected on.
    extra : sequence of str
        Columns to return as they are if the table has them, such as those that no model may see.
    """
    if schema.target not in raw:
        remedy = did_you_mean(schema.target, [str(name) for name in raw.columns]).strip()
        problem = "the target is expected, but the table has no such column"
        return None, (DataIssue(schema.target, problem, remedy=remedy),)
    clean, issues = conform_to_schema(raw, schema)
    cells = raw[schema.target].reset_index(drop=True)
    labels, bad = normalize_label_column(cells, schema)
    if bad.any():
        expected = describe_expected_label(cells[bad].iloc[0], schema)
        remedy = expected[0].upper() + expected[1:]
        problem = "cells are not labels of the model"
        issues += issue_for_cells(cells, bad, problem=problem, remedy=remedy)
    if issues:
        return None, issues
    target = labels if schema.classes else labels.astype(float)
    columns = {name: raw[name].to_numpy() for name in extra if name in raw and name not in clean}
    keyed = add_row_keys(clean, schema).assign(**{schema.target: target}, **columns)
    labelled = keyed.dropna(subset=[schema.target])
    seen = labelled[ROW_KEY].isin(set(trained))
    table = labelled[~seen].reset_index(drop=True)
    n_repeated = int(table[ROW_KEY].duplicated().sum())
    return EvaluationTable(table, len(keyed) - len(labelled), int(seen.sum()), n_repeated), ()


def count_unseen_category_rows(table: pd.DataFrame, schema: TableSchema) -> int:
    """Return how many rows have a category that is not in the schema."""
    unseen = np.zeros(len(table), dtype=bool)
    for column in schema.features:
        if column.kind == "category":
            cells = table[column.name]
            unseen |= (cells.notna() & ~cells.isin(column.categories)).to_numpy()
    return int(unseen.sum())


def digest_table(raw: pd.DataFrame) -> str:
    """Return a hash of 12 digits of a table's columns and cells, in their order."""
    digest = hashlib.sha256("\x1f".join(map(str, raw.columns)).encode())
    digest.update(pd.util.hash_pandas_object(raw.astype(str), index=False).to_numpy().tobytes())
    return digest.hexdigest()[:DIGEST_LENGTH]
