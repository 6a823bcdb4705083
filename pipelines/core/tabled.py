"""Tables in memory, read with the same eyes as a source table; what cannot be read is told.

A source table is refused for a single cell that cannot be read. A table in memory is handed over by
a program that has no params.yaml to mend: such cells count as missing, and the caller is told.
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

from pipelines.core.breaches import Breach, breach_text
from pipelines.core.cells import as_text
from pipelines.core.conforming import conform, described
from pipelines.core.declared import Declared
from pipelines.core.exclusions import exclusions
from pipelines.core.kinds import MOST_CATEGORIES, decimal_of
from pipelines.core.predictions import Task
from pipelines.core.readings import LARGEST, LONGEST_CELL, word_breaches
from pipelines.core.schema import Kind, Schema

TARGET = "target"
FATAL = f"{LARGEST:.1e}"  # how the breach of a cell that is infinite or beyond ends
EMPTY = "all cells are missing"


@dataclass(frozen=True, eq=False)
class Tabled:
    """A clean table and how it came about.

    Attributes
    ----------
    table : DataFrame of n rows
        The features.
    schema : Schema
    excluded : dict
        Columns that are no features, each with the reason.
    unread : tuple of Breach
        Columns with cells that could not be read and count as missing.
    """

    table: pd.DataFrame
    schema: Schema
    excluded: dict[str, str]
    unread: tuple[Breach, ...]


def tabled(
    raw: pd.DataFrame,
    *,
    task: Task,
    classes: Sequence[str],
    kinds: Mapping[str, Kind],
    missing_values: Sequence[str],
) -> Tabled:
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
    >>> found = tabled(raw, task="regression", classes=(), kinds={}, missing_values=())
    >>> [column.kind for column in found.schema.features], found.excluded
    (['number', 'category'], {'n': 'all cells are alike'})
    >>> found.unread[0].problem
    '1 of 20 cells are not numbers'
    """
    _check_columns(raw, kinds)
    declared = Declared(
        target=_free_name(raw),
        columns=dict(kinds),
        missing_values=tuple(missing_values),
        decimal=decimal_of(raw),
    )
    excluded = _excluded(raw, declared)
    kept = raw.drop(columns=list(excluded))
    schema = _schema(kept, declared, task=task, classes=classes)
    table, unread = conform(kept, schema)
    hidden = [breach.column for breach in unread if table[breach.column].isna().all()]
    if hidden and not set(hidden) <= set(kinds):  # such as dates that could be two dates
        words = {str(name): _worded(raw[name]) for name in hidden}
        return tabled(
            raw,
            task=task,
            classes=classes,
            kinds=words | dict(kinds),
            missing_values=missing_values,
        )
    _check_cells(table, unread)
    _check_words(kept, schema)
    return Tabled(table, schema, excluded, unread)


def read(raw: pd.DataFrame, schema: Schema) -> tuple[pd.DataFrame, tuple[Breach, ...]]:
    """Return the clean features of a table to predict, and the columns with unreadable cells.

    Those cells count as missing. Categories that the schema does not know are kept.

    Raises
    ------
    ValueError
        Where a feature is not there, a cell is infinite, or no cell of a column can be read.

    Examples
    --------
    >>> raw = pd.DataFrame({"age": [1, 2]})
    >>> found = tabled(raw, task="regression", classes=(), kinds={}, missing_values=())
    >>> read(pd.DataFrame({"age": ["3", "old"]}), found.schema)[0]["age"].tolist()
    [3.0, nan]
    """
    table, breaches = conform(raw, schema)
    _check_cells(table, breaches)
    return table, breaches


def _check_columns(raw: pd.DataFrame, kinds: Mapping[str, Kind]) -> None:
    twice = sorted(set(raw.columns[raw.columns.duplicated()]))
    if twice:
        raise ValueError(f"Expected columns of different names, but got several named {twice}.")
    absent = sorted(set(kinds) - set(raw.columns))
    if absent:
        raise ValueError(f"Expected kinds of columns of the table, but it has no {absent}.")
    compound = [name for name in raw if is_complex_dtype(raw[name].dtype)]
    if compound:
        raise ValueError(f"Complex data not supported, but got it in the columns {compound}.")


def _worded(column: pd.Series) -> Kind:
    return "text" if column.nunique() > MOST_CATEGORIES else "category"


def _free_name(raw: pd.DataFrame) -> str:
    name = TARGET
    while name in raw.columns:
        name += "_"
    return name


def _excluded(raw: pd.DataFrame, declared: Declared) -> dict[str, str]:
    suspects = [name for name in raw if not _varies(raw[name])]
    found = exclusions(raw[suspects], declared)
    if len(found) < raw.shape[1]:
        return found
    found = {name: reason for name, reason in found.items() if reason == EMPTY}
    if len(found) == raw.shape[1]:
        raise ValueError("Expected a column to learn from, but all cells of the table are missing.")
    return found


def _varies(column: pd.Series) -> bool:
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


def _schema(raw: pd.DataFrame, declared: Declared, *, task: Task, classes: Sequence[str]) -> Schema:
    return Schema(
        features=tuple(described(raw[name], declared) for name in raw),
        target=declared.target,
        task=task,
        classes=tuple(classes),
        missing_values=declared.missing_values,
        decimal=declared.decimal,
    )


def _check_cells(table: pd.DataFrame, breaches: Sequence[Breach]) -> None:
    faults = [
        replace(breach, remedy="Correct the column, or say what it is under `columns`.")
        for breach in breaches
        if breach.column not in table
        or breach.problem.endswith(FATAL)
        or table[breach.column].isna().all()
    ]
    if faults:
        raise ValueError(f"Expected a table that can be read, but got:\n{breach_text(faults)}")


def _check_words(raw: pd.DataFrame, schema: Schema) -> None:
    worded = [column.name for column in schema.features if column.kind in {"category", "text"}]
    faults = [
        replace(breach, remedy="Make columns of their parts, or leave the column out.")
        for name in worded
        if _could_be_wrong(as_text(raw[name]))
        for breach in word_breaches(raw[name], missing=schema.missing_values)
    ]
    if faults:
        raise ValueError(f"Expected cells with one value each, but got:\n{breach_text(faults)}")


def _could_be_wrong(cells: pd.Series) -> bool:
    """Tell quickly whether some cell begins as a list does, or is a document."""
    nested = cells.str.startswith(("[", "{"), na=False)
    return bool((nested | (cells.str.len() > LONGEST_CELL)).any())
