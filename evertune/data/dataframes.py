"""Parse tables that are already in memory, by the same rules as a source table.

A source table is refused for a single cell that cannot be read. A table in memory comes from a
program that has no params.yaml to fix: such cells count as missing and are returned as issues.
`parse_table` infers the schema, `parse_features` applies it to new rows.
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

from evertune.data.cleaning import (
    conform_to_schema,
    describe_column,
    monotone_issues,
    with_monotone,
)
from evertune.data.column_kinds import (
    ALL_MISSING,
    MAX_CATEGORIES,
    detect_formats,
    find_unusable_columns,
    text_issues,
)
from evertune.data.parsing import MAX_ABSOLUTE_VALUE
from evertune.data.schema import TableSchema, TableSpec, Trend
from evertune.data.validation import DataIssue, format_issues
from evertune.types import ColumnKind, Task

OUT_OF_RANGE_ENDING = f"{MAX_ABSOLUTE_VALUE:.1e}"  # how the issue of an infinite cell ends


@dataclass(frozen=True, eq=False)
class ParsedTable:
    """A clean table and how it came about.

    Attributes
    ----------
    table : DataFrame of n rows
        The features.
    excluded : dict
        Columns that are not features, each with the reason.
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
    monotone: Mapping[str, Trend] | None = None,
) -> ParsedTable:
    """Return the clean features of a raw table and the schema that is inferred from it.

    Columns that are empty, constant or identifier-like are excluded, unless no other is left.

    Parameters
    ----------
    raw : DataFrame
        Features only; typed or text cells.
    classes : sequence of str
        In the order of their codes; empty in regression.
    kinds : mapping from name to kind
        What the caller knows; the rest is inferred.
    monotone : mapping from name to trend, optional
        Numbers with which predictions may only rise, or fall.

    Raises
    ------
    ValueError
        The table cannot be learned from; the message lists all that is wrong.

    Examples
    --------
    >>> raw = pd.DataFrame({"age": ["31", "?"] + ["5"] * 18, "plan": ["a", "b"] * 10, "n": 1})
    >>> parsed = parse_table(raw, task="regression", classes=(), kinds={}, missing_values=())
    >>> [column.kind for column in parsed.schema.features], parsed.excluded
    (['number', 'category'], {'n': 'all cells are alike'})
    >>> parsed.unread[0].problem
    '1 of 20 cells are not numbers'
    """
    _check_columns(raw, kinds)
    target = "target"
    while target in raw.columns:
        target += "_"
    spec = TableSpec(
        target=target,
        columns=dict(kinds),
        missing_values=tuple(missing_values),
        monotone=dict(monotone or {}),
    )
    spec = detect_formats(raw, spec)
    excluded = _find_excluded(raw, spec)
    features = raw.drop(columns=list(excluded))
    schema = TableSchema(
        features=with_monotone([describe_column(features[name], spec) for name in features], spec),
        target=target,
        task=task,
        classes=tuple(classes),
        missing_values=spec.missing_values,
        decimal=spec.decimal or ".",
    )
    table, unread = conform_to_schema(features, schema)
    unreadable = [issue.column for issue in unread if table[issue.column].isna().all()]
    unreadable += [name for name in spec.open_numbers if name in table]
    if unreadable and not set(unreadable) <= set(kinds):
        # dates or numbers that can be read in two ways: read them as words
        words: dict[str, ColumnKind] = {
            str(name): "text" if raw[name].nunique() > MAX_CATEGORIES else "category"
            for name in unreadable
        }
        return parse_table(
            raw,
            task=task,
            classes=classes,
            kinds=words | dict(kinds),
            missing_values=missing_values,
            monotone=monotone,
        )
    _check_cells(table, unread)
    unfit = list(monotone_issues(schema, spec))
    if unfit:
        raise ValueError("\n".join(f"{each.column}: {each.problem}." for each in unfit))
    faults = [
        replace(issue, remedy="Make columns of their parts, or leave the column out.")
        for column in schema.features
        if column.kind in {"category", "text"}
        for issue in text_issues(features[column.name], missing=spec.missing_values)
    ]
    if faults:
        raise ValueError(f"Expected cells with one value each, but got:\n{format_issues(faults)}")
    return ParsedTable(table, schema, excluded, unread)


def parse_features(
    raw: pd.DataFrame, schema: TableSchema
) -> tuple[pd.DataFrame, tuple[DataIssue, ...]]:
    """Return the clean features of a table to predict, and the columns with unreadable cells.

    Those cells count as missing. Categories that the schema does not know are kept.

    Raises
    ------
    ValueError
        A feature is missing, a cell is infinite, or no cell of a column can be read.
    """
    table, issues = conform_to_schema(raw, schema)
    _check_cells(table, issues)
    return table, issues


def _check_columns(raw: pd.DataFrame, kinds: Mapping[str, ColumnKind]) -> None:
    twice = sorted(set(raw.columns[raw.columns.duplicated()]))
    if twice:
        raise ValueError(f"Expected columns of different names, but got several named {twice}.")
    absent = sorted(set(kinds) - set(raw.columns))
    if absent:
        raise ValueError(f"Expected kinds of columns of the table, but it has no {absent}.")
    # the wording is scikit-learn's, whose checks look for it
    compound = [name for name in raw if is_complex_dtype(raw[name].dtype)]
    if compound:
        raise ValueError(f"Complex data not supported, but got it in the columns {compound}.")


def _find_excluded(raw: pd.DataFrame, spec: TableSpec) -> dict[str, str]:
    suspects = [name for name in raw if not _clearly_varies(raw[name])]
    excluded = find_unusable_columns(raw[suspects], spec)
    if len(excluded) < raw.shape[1]:
        return excluded
    excluded = {name: reason for name, reason in excluded.items() if reason == ALL_MISSING}
    if len(excluded) == raw.shape[1]:
        raise ValueError("Expected a column to learn from, but all cells of the table are missing.")
    return excluded


def _clearly_varies(column: pd.Series) -> bool:
    """Return quickly whether typed cells are neither constant nor identifier-like."""
    if is_bool_dtype(column.dtype) or is_datetime64_any_dtype(column.dtype):
        return column.nunique() > 1
    if not is_numeric_dtype(column.dtype):
        return False
    values = column.to_numpy(dtype="float64", na_value=np.nan)
    finite = values[np.isfinite(values)]
    if not finite.size or finite.min() == finite.max():
        return False
    return bool((finite % 1 != 0).any()) or len(np.unique(finite)) < len(values)


def _check_cells(table: pd.DataFrame, issues: Sequence[DataIssue]) -> None:
    faults = [
        replace(issue, remedy="Correct the column, or say what it is under `columns`.")
        for issue in issues
        if issue.column not in table
        or issue.problem.endswith(OUT_OF_RANGE_ENDING)
        or table[issue.column].isna().all()
    ]
    if faults:
        raise ValueError(f"Expected a table that can be read, but got:\n{format_issues(faults)}")
