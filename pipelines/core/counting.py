"""Raw columns read once and counted: what a window and a reference have in common."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import infer_dtype, is_bool_dtype, is_datetime64_any_dtype, is_numeric_dtype

from pipelines.core.bins import Bin, Bins, level_codes, number_codes
from pipelines.core.breaches import shortened
from pipelines.core.cells import Read, as_boolean, as_number, as_text
from pipelines.core.clocks import MICROSECONDS_OF_A_DAY, clock
from pipelines.core.dates import as_date
from pipelines.core.predictions import Floats
from pipelines.core.readings import LARGEST
from pipelines.core.schema import Column, Schema

Codes = NDArray[np.int64]
Places = NDArray[np.bool_]
Hashes = NDArray[np.uint64]
NUMBERS = {"integer", "floating", "mixed-integer-float", "decimal", "empty"}
ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of a column as numbers, or as levels.

    Attributes
    ----------
    values : array of shape (n,), optional
        Numbers; 0 and 1 for truth values; microseconds since 1970 for dates; NaN where missing.
    codes : array of shape (n,), optional
        The place of each cell in `levels`, -1 where missing.
    levels : series of str
    unreadable : array of shape (n,)
    example : str
        The first cell that cannot be read.
    """

    values: Floats | None
    codes: Codes | None
    levels: pd.Series
    unreadable: Places
    example: str = ""


def read_cells(column: pd.Series, described: Column, schema: Schema) -> Cells:
    """Return a raw column as its kind; a cell that cannot be read is missing and marked.

    Different cells are read once each, however many rows have them.

    Examples
    --------
    >>> schema = Schema((Column("age", "number"),), "left", "binary")
    >>> cells = read_cells(pd.Series(["31", "x", None]), schema.features[0], schema)
    >>> cells.values.tolist(), cells.unreadable.tolist(), cells.example
    ([31.0, nan, nan], [False, True, False], 'x')
    """
    column = written(column)
    if _is_read(column, described, schema):
        values = column.to_numpy(dtype=np.float64)
        far = np.abs(values) > LARGEST
        return _cells(column, np.where(far, np.nan, values), far)
    if is_numeric_dtype(column.dtype) and described.kind in {"number", "boolean"}:
        places, distinct = np.arange(len(column)), column
    else:
        places, uniques = pd.factorize(column)
        distinct = pd.Series(uniques, name=column.name)
    if described.kind in {"category", "text"}:
        return _levels(places, distinct, schema)
    values, bad = _values(distinct, described, schema)
    return _cells(column, np.append(values, np.nan)[places], np.append(bad, False)[places])


def _is_read(column: pd.Series, described: Column, schema: Schema) -> bool:
    """Tell whether a column is numbers already, which a single window's speed lives on."""
    plain = isinstance(column.dtype, np.dtype) and column.dtype.kind in "iuf"
    return plain and described.kind == "number" and not schema.missing_values


def _cells(column: pd.Series, values: Floats, bad: Places) -> Cells:
    example = shortened(column.iloc[int(bad.argmax())]) if bad.any() else ""
    return Cells(values, None, pd.Series(dtype="str"), bad, example)


def written(column: pd.Series) -> pd.Series:
    """Return a column of objects as numbers, or as text that can be stored; others as they are.

    Examples
    --------
    >>> written(pd.Series([{"a": 1}, None, 10**400], dtype=object)).str.len().tolist()
    [8.0, nan, 401.0]
    >>> written(pd.Series([1, None, 10**400], dtype=object)).tolist()
    [1.0, nan, inf]
    """
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return written(column.astype(column.cat.categories.dtype))
    if is_datetime64_any_dtype(dtype) or is_bool_dtype(dtype) or column.dtype == "str":
        return column
    if is_numeric_dtype(dtype) and dtype.kind in "iuf":
        return column
    if isinstance(dtype, np.dtype) and infer_dtype(column, skipna=True) in NUMBERS:
        return column.map(_number, na_action="ignore").astype("float64")
    return column.map(_text, na_action="ignore").astype("str")


def _number(cell: float) -> float:
    if abs(cell) <= LARGEST:
        return float(cell)
    return math.inf if cell > 0 else -math.inf


def _text(cell: object) -> str:
    return str(cell).encode("utf-8", "replace").decode("utf-8")


def _levels(places: Codes, distinct: pd.Series, schema: Schema) -> Cells:
    texts = as_text(distinct, missing=schema.missing_values)
    codes, levels = pd.factorize(texts)
    found = np.append(codes, -1)[places]
    return Cells(None, found, pd.Series(levels, dtype="str"), np.zeros(len(places), dtype=bool))


def _values(distinct: pd.Series, described: Column, schema: Schema) -> tuple[Floats, Places]:
    values, bad = _read(distinct, described, schema)
    if described.kind == "date":
        return clock(values.to_numpy()), bad.to_numpy()
    far = values.abs() > LARGEST
    return values.mask(far).to_numpy(dtype=np.float64), (bad | far).to_numpy()


def _read(distinct: pd.Series, described: Column, schema: Schema) -> Read:
    missing = schema.missing_values
    if described.kind == "boolean":
        return as_boolean(distinct, missing=missing)
    if described.kind == "date":
        return as_date(distinct, days_first=described.day_first, missing=missing)
    return as_number(distinct, missing=missing, decimal=schema.decimal)


def lengths(cells: Cells) -> Floats:
    """Return how many characters each cell of text has, NaN where it is missing."""
    sizes = cells.levels.str.len().to_numpy(dtype=np.float64)
    return np.append(sizes, np.nan)[_codes(cells)]


def ages(cells: Cells, anchors: Floats) -> Floats:
    """Return how many days each date lies before its anchor, microseconds since 1970."""
    return (anchors - _numbers(cells)) / MICROSECONDS_OF_A_DAY


def binned(cells: Cells, bins: Bins, *, measured: str, anchors: Floats) -> tuple[Bin, Floats]:
    """Return the bin of each cell, and what is measured of it: nothing, of levels.

    Parameters
    ----------
    cells : Cells, n rows
    bins : Bins
    measured : str
        `value`, `length` of text, `age` of dates, or `level`.
    anchors : array of shape (n,)
        What ages are counted from.
    """
    if measured == "level":
        return np.append(level_codes(cells.levels, bins), np.uint8(255))[_codes(cells)], np.empty(0)
    values = measures(cells, measured=measured, anchors=anchors)
    return number_codes(values, bins), values


def measures(cells: Cells, *, measured: str, anchors: Floats) -> Floats:
    """Return the numbers that are counted of a column, shape (n,)."""
    if measured == "length":
        return lengths(cells)
    return ages(cells, anchors) if measured == "age" else _numbers(cells)


def hashed(columns: list[Cells], n_rows: int) -> Hashes:
    """Return a number for each row that equal rows share, and others nearly never do.

    Examples
    --------
    >>> column = Cells(np.array([1.0, 2.0, 1.0]), None, pd.Series(dtype="str"), np.zeros(3, bool))
    >>> len(np.unique(hashed([column], 3)))
    2
    """
    hashes = np.zeros(n_rows, dtype=np.uint64)
    for cells in columns:
        bits = (_codes(cells) if cells.values is None else cells.values + 0.0).view(np.uint64)
        hashes = (hashes ^ bits) * ODD
        hashes ^= hashes >> np.uint64(29)
    return hashes


def _codes(cells: Cells) -> Codes:
    return np.empty(0, dtype=np.int64) if cells.codes is None else cells.codes


def _numbers(cells: Cells) -> Floats:
    return np.empty(0) if cells.values is None else cells.values
