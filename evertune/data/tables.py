"""Parse tables that are already in memory, by the same rules as a source table.

A source table is refused for a single cell that cannot be read. A table in memory comes from a
program that has no params.yaml to fix: such cells count as missing, and the caller is told
which. `parse_table` infers the schema, `parse_features` applies it to new rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from pandas.api.types import (
    is_bool_dtype,
    is_complex_dtype,
    is_datetime64_any_dtype,
    is_numeric_dtype,
)

from evertune.data.cleaning import conform_to_schema, describe_column
from evertune.data.inference import (
    MAX_ABSOLUTE_VALUE,
    MAX_CATEGORIES,
    MAX_CELL_LENGTH,
    detect_decimal_sign,
    find_unusable_columns,
    text_issues,
)
from evertune.data.parsing import as_text
from evertune.data.schema import TableSchema, TableSpec
from evertune.data.validation import DataIssue, format_issues
from evertune.types import ColumnKind, Task

PLACEHOLDER_TARGET = "target"
OUT_OF_RANGE_ENDING = (
    f"{MAX_ABSOLUTE_VALUE:.1e}"  # how the breach of a cell that is infinite or beyond ends
)
ALL_MISSING = "all cells are missing"


@dataclass(frozen=True, eq=False)
class ParsedTable:
    """A clean table and how it came about.

    Attributes
    ----------
    table : DataFrame of n rows
        The features.
    schema : TableSchema
    excluded : dict
        Columns that are no features, each with the reason.
    unread : tuple of DataIssue
        Columns with cells that could not be read and count as missing.
    """

    table: pd.DataFrame
    schema: TableSchema
    excluded: dict[str, str]
    unread: tuple[DataIssue, ...]


def parse_table(
    raw: pd.DataFrame,
    *,
    task: Task,
    classes: Sequence[str],
    kinds: Mapping[str, ColumnKind],
    missing_values: Sequence[str],
) -> ParsedTable:
    """Return the clean features of a raw table and the schema that a look at it gives.

    Columns that are empty, alike in all rows or name the rows are left out, unless nothing else
    is there to learn from.

    Parameters
    ----------
    raw : DataFrame of n rows
        Features only; typed or text cells.
    task : str
    classes : sequence of str
        In the order of their codes; empty in regression.
    kinds : mapping from name to kind
        What the caller knows; the rest is guessed.
    missing_values : sequence of str
        What means "missing" beside a blank cell.

    Raises
    ------
    ValueError
        Where the table cannot be learned from; the message lists all that is wrong.

    Examples
    --------
    >>> raw = pd.DataFrame({"age": ["31", "?"] + ["5"] * 18, "plan": ["a", "b"] * 10, "n": 1})
    >>> found = parse_table(raw, task="regression", classes=(), kinds={}, missing_values=())
    >>> [column.kind for column in found.schema.features], found.excluded
    (['number', 'category'], {'n': 'all cells are alike'})
    >>> found.unread[0].problem
    '1 of 20 cells are not numbers'
    """
    _check_columns(raw, kinds)
    declared = TableSpec(
        target=_unused_name(raw),
        columns=dict(kinds),
        missing_values=tuple(missing_values),
        decimal=detect_decimal_sign(raw),
    )
    excluded = _find_excluded(raw, declared)
    kept = raw.drop(columns=list(excluded))
    schema = _build_schema(kept, declared, task=task, classes=classes)
    table, unread = conform_to_schema(kept, schema)
    hidden = [breach.column for breach in unread if table[breach.column].isna().all()]
    if hidden and not set(hidden) <= set(kinds):  # such as dates that could be two dates
        words = {str(name): _text_kind(raw[name]) for name in hidden}
        return parse_table(
            raw,
            task=task,
            classes=classes,
            kinds=words | dict(kinds),
            missing_values=missing_values,
        )
    _check_cells(table, unread)
    _check_text_cells(kept, schema)
    return ParsedTable(table, schema, excluded, unread)


def parse_features(
    raw: pd.DataFrame, schema: TableSchema
) -> tuple[pd.DataFrame, tuple[DataIssue, ...]]:
    """Return the clean features of a table to predict, and the columns with unreadable cells.

    Those cells count as missing. Categories that the schema does not know are kept.

    Raises
    ------
    ValueError
        Where a feature is not there, a cell is infinite, or no cell of a column can be read.

    Examples
    --------
    >>> raw = pd.DataFrame({"age": [1, 2]})
    >>> found = parse_table(raw, task="regression", classes=(), kinds={}, missing_values=())
    >>> parse_features(pd.DataFrame({"age": ["3", "old"]}), found.schema)[0]["age"].tolist()
    [3.0, nan]
    """
    table, breaches = conform_to_schema(raw, schema)
    _check_cells(table, breaches)
    return table, breaches


def _check_columns(raw: pd.DataFrame, kinds: Mapping[str, ColumnKind]) -> None:
    twice = sorted(set(raw.columns[raw.columns.duplicated()]))
    if twice:
        raise ValueError(f"Expected columns of different names, but got several named {twice}.")
    absent = sorted(set(kinds) - set(raw.columns))
    if absent:
        raise ValueError(f"Expected kinds of columns of the table, but it has no {absent}.")
    compound = [name for name in raw if is_complex_dtype(raw[name].dtype)]
    if compound:
        raise ValueError(f"Complex data not supported, but got it in the columns {compound}.")


def _text_kind(column: pd.Series) -> ColumnKind:
    return "text" if column.nunique() > MAX_CATEGORIES else "category"


def _unused_name(raw: pd.DataFrame) -> str:
    name = PLACEHOLDER_TARGET
    while name in raw.columns:
        name += "_"
    return name


def _find_excluded(raw: pd.DataFrame, declared: TableSpec) -> dict[str, str]:
    suspects = [name for name in raw if not _clearly_varies(raw[name])]
    found = find_unusable_columns(raw[suspects], declared)
    if len(found) < raw.shape[1]:
        return found
    found = {name: reason for name, reason in found.items() if reason == ALL_MISSING}
    if len(found) == raw.shape[1]:
        raise ValueError("Expected a column to learn from, but all cells of the table are missing.")
    return found


def _clearly_varies(column: pd.Series) -> bool:
    """Tell quickly of typed cells that they neither are alike nor could name rows."""
    if is_bool_dtype(column.dtype) or is_datetime64_any_dtype(column.dtype):
        return column.nunique() > 1
    if not is_numeric_dtype(column.dtype):
        return False
    values = column.to_numpy(dtype="float64", na_value=np.nan)
    known = values[np.isfinite(values)]
    if not known.size or known.min() == known.max():
        return False
    return bool((known % 1 != 0).any()) or len(np.unique(known)) < len(values)


def _build_schema(
    raw: pd.DataFrame, declared: TableSpec, *, task: Task, classes: Sequence[str]
) -> TableSchema:
    return TableSchema(
        features=tuple(describe_column(raw[name], declared) for name in raw),
        target=declared.target,
        task=task,
        classes=tuple(classes),
        missing_values=declared.missing_values,
        decimal=declared.decimal,
    )


def _check_cells(table: pd.DataFrame, breaches: Sequence[DataIssue]) -> None:
    faults = [
        replace(breach, remedy="Correct the column, or say what it is under `columns`.")
        for breach in breaches
        if breach.column not in table
        or breach.problem.endswith(OUT_OF_RANGE_ENDING)
        or table[breach.column].isna().all()
    ]
    if faults:
        raise ValueError(f"Expected a table that can be read, but got:\n{format_issues(faults)}")


def _check_text_cells(raw: pd.DataFrame, schema: TableSchema) -> None:
    worded = [column.name for column in schema.features if column.kind in {"category", "text"}]
    faults = [
        replace(breach, remedy="Make columns of their parts, or leave the column out.")
        for name in worded
        if _may_have_text_issues(as_text(raw[name]))
        for breach in text_issues(raw[name], missing=schema.missing_values)
    ]
    if faults:
        raise ValueError(f"Expected cells with one value each, but got:\n{format_issues(faults)}")


def _may_have_text_issues(cells: pd.Series) -> bool:
    """Tell quickly whether some cell begins as a list does, or is a document."""
    nested = cells.str.startswith(("[", "{"), na=False)
    return bool((nested | (cells.str.len() > MAX_CELL_LENGTH)).any())
