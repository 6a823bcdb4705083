"""Parse raw columns once and count their values in bins, for references and windows alike.

`number_bins` makes at most 20 quantile bins and `level_bins` one bin for each common level;
`number_codes` and `level_codes` give the bin of each value, 255 where it is missing.
`parse_column` reads raw cells as numbers or levels and marks those that cannot be read, each
distinct cell once, however many rows have it. `bin_column` bins what is measured of a column:
the value, the length of text, the age of dates, or the level. `hash_rows` gives equal rows
equal hashes, to count duplicates.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import infer_dtype, is_bool_dtype, is_datetime64_any_dtype, is_numeric_dtype

from evertune.data.inference import MAX_ABSOLUTE_VALUE
from evertune.data.parsing import ParsedCells, as_boolean, as_date, as_number, as_text
from evertune.data.schema import Column, TableSchema
from evertune.data.validation import truncate_cell
from evertune.times import MICROSECONDS_PER_DAY, times_to_numbers
from evertune.types import FloatArray

BinKind = Literal["number", "level"]
BinCodes = NDArray[np.uint8]
MAX_BINS = 20
MAX_LEVELS = 19
MIN_LEVEL_SHARE = 0.01
MISSING_CODE = 255


@dataclass(frozen=True)
class Bins:
    """How values are counted.

    Attributes
    ----------
    form : str
        `number`: by `edges`; `level`: by `levels`, all others together in the last bin.
    edges : tuple of float
        Increasing; a value equal to an edge lies above it.
    levels : tuple of str
        The commonest first.
    """

    name: str
    form: BinKind
    edges: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """The number of bins; missing values are in none."""
        return len(self.edges if self.form == "number" else self.levels) + 1


def number_bins(name: str, values: FloatArray) -> Bins:
    """Return at most 20 bins that hold about as many of the values each.

    Examples
    --------
    >>> number_bins("calls", np.array([0.0, 0.0, 0.0, 1.0, 2.0, np.nan])).edges
    (1.0, 2.0)
    """
    filled = values[np.isfinite(values)]
    if not filled.size:
        return Bins(name, "number")
    steps = np.linspace(0, 1, MAX_BINS + 1)[1:]
    edges = np.unique(np.quantile(filled, steps, method="higher"))
    few = np.unique(filled[:: max(1, filled.size // 1000)])
    inner = edges[(edges > filled.min()) & ((edges < filled.max()) | (few.size <= MAX_BINS))]
    return Bins(name, "number", edges=tuple(inner.tolist()))


def level_bins(name: str, levels: pd.Series, counts: NDArray[np.int64]) -> Bins:
    """Return a bin for each of the commonest levels, at most 19, and one for the others.

    Levels of less than a hundredth of the rows have no bin of their own.

    Parameters
    ----------
    levels : series of str
        Different ones.
    counts : array of shape (n_levels,)
        The rows of each.

    Examples
    --------
    >>> level_bins("plan", pd.Series(["a", "b"]), np.array([2, 3])).levels
    ('b', 'a')
    """
    rows = pd.Series(counts, index=levels).sort_index()
    common = rows[rows >= MIN_LEVEL_SHARE * rows.sum()].sort_values(ascending=False, kind="stable")
    return Bins(name, "level", levels=tuple(str(level) for level in common.index[:MAX_LEVELS]))


def number_codes(values: FloatArray, bins: Bins) -> BinCodes:
    """Return the bin of each value, 255 where it is missing, shape (n,).

    Examples
    --------
    >>> number_codes(np.array([0.5, 1.0, np.nan]), Bins("calls", "number", edges=(1.0, 2.0)))
    array([  0,   1, 255], dtype=uint8)
    """
    codes = np.searchsorted(np.asarray(bins.edges), values, side="right").astype(np.uint8)
    codes[np.isnan(values)] = MISSING_CODE
    return codes


def level_codes(levels: pd.Series, bins: Bins) -> BinCodes:
    """Return the bin of each level, 255 where it is missing, shape (n,)."""
    places = {level: place for place, level in enumerate(bins.levels)}
    codes = levels.map(places).fillna(len(places)).mask(levels.isna(), MISSING_CODE)
    return np.asarray(codes, dtype=np.uint8)


Codes = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Hashes = NDArray[np.uint64]
NUMERIC_TYPES = {"integer", "floating", "mixed-integer-float", "decimal", "empty"}
HASH_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, eq=False)
class ParsedColumn:
    """The cells of a column as numbers, or as levels.

    Attributes
    ----------
    values : array of shape (n,), optional
        Numbers; 0 and 1 for truth values; microseconds since 1970 for dates; NaN where missing.
    codes : array of shape (n,), optional
        The place of each cell in `levels`, -1 where missing.
    example : str
        The first cell that cannot be read.
    """

    values: FloatArray | None
    codes: Codes | None
    levels: pd.Series
    unreadable: BoolArray
    example: str = ""


def parse_column(column: pd.Series, described: Column, schema: TableSchema) -> ParsedColumn:
    """Return a raw column as its kind; a cell that cannot be read is missing and marked.

    Different cells are read once each, however many rows have them.

    Examples
    --------
    >>> schema = TableSchema((Column("age", "number"),), "left", "binary")
    >>> cells = parse_column(pd.Series(["31", "x", None]), schema.features[0], schema)
    >>> cells.values.tolist(), cells.unreadable.tolist(), cells.example
    ([31.0, nan, nan], [False, True, False], 'x')
    """
    column = to_storable_column(column)
    if _is_already_numeric(column, described, schema):
        values = column.to_numpy(dtype=np.float64)
        far = np.abs(values) > MAX_ABSOLUTE_VALUE
        return _numeric_column(column, np.where(far, np.nan, values), far)
    if is_numeric_dtype(column.dtype) and described.kind in {"number", "boolean"}:
        places, distinct = np.arange(len(column)), column
    else:
        places, uniques = pd.factorize(column)
        distinct = pd.Series(uniques, name=column.name)
    if described.kind in {"category", "text"}:
        return _level_column(places, distinct, schema)
    values, bad = _numeric_values(distinct, described, schema)
    return _numeric_column(column, np.append(values, np.nan)[places], np.append(bad, False)[places])


def _is_already_numeric(column: pd.Series, described: Column, schema: TableSchema) -> bool:
    """Tell whether a column is numbers already, which a single window's speed lives on."""
    plain = isinstance(column.dtype, np.dtype) and column.dtype.kind in "iuf"
    return plain and described.kind == "number" and not schema.missing_values


def _numeric_column(column: pd.Series, values: FloatArray, bad: BoolArray) -> ParsedColumn:
    example = truncate_cell(column.iloc[int(bad.argmax())]) if bad.any() else ""
    return ParsedColumn(values, None, pd.Series(dtype="str"), bad, example)


def to_storable_column(column: pd.Series) -> pd.Series:
    """Return a column of objects as numbers, or as text that can be stored; others as they are."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return to_storable_column(column.astype(column.cat.categories.dtype))
    if is_datetime64_any_dtype(dtype) or is_bool_dtype(dtype) or column.dtype == "str":
        return column
    if is_numeric_dtype(dtype) and dtype.kind in "iuf":
        return column
    if isinstance(dtype, np.dtype) and infer_dtype(column, skipna=True) in NUMERIC_TYPES:
        return column.map(_clip_to_float, na_action="ignore").astype("float64")
    return column.map(_to_utf8_text, na_action="ignore").astype("str")


def _clip_to_float(cell: float) -> float:
    if abs(cell) <= MAX_ABSOLUTE_VALUE:
        return float(cell)
    return math.inf if cell > 0 else -math.inf


def _to_utf8_text(cell: object) -> str:
    return str(cell).encode("utf-8", "replace").decode("utf-8")


def _level_column(places: Codes, distinct: pd.Series, schema: TableSchema) -> ParsedColumn:
    texts = as_text(distinct, missing=schema.missing_values)
    codes, levels = pd.factorize(texts)
    found = np.append(codes, -1)[places]
    return ParsedColumn(
        None, found, pd.Series(levels, dtype="str"), np.zeros(len(places), dtype=bool)
    )


def _numeric_values(
    distinct: pd.Series, described: Column, schema: TableSchema
) -> tuple[FloatArray, BoolArray]:
    values, bad = _parse_distinct(distinct, described, schema)
    if described.kind == "date":
        return times_to_numbers(values.to_numpy()), bad.to_numpy()
    far = values.abs() > MAX_ABSOLUTE_VALUE
    return values.mask(far).to_numpy(dtype=np.float64), (bad | far).to_numpy()


def _parse_distinct(distinct: pd.Series, described: Column, schema: TableSchema) -> ParsedCells:
    missing = schema.missing_values
    if described.kind == "boolean":
        return as_boolean(distinct, missing=missing)
    if described.kind == "date":
        return as_date(distinct, days_first=described.day_first, missing=missing)
    return as_number(distinct, missing=missing, decimal=schema.decimal)


def text_lengths(cells: ParsedColumn) -> FloatArray:
    """Return how many characters each cell of text has, NaN where it is missing."""
    sizes = cells.levels.str.len().to_numpy(dtype=np.float64)
    return np.append(sizes, np.nan)[_codes_or_empty(cells)]


def date_ages_days(cells: ParsedColumn, anchors: FloatArray) -> FloatArray:
    """Return how many days each date lies before its anchor, microseconds since 1970."""
    return (anchors - _values_or_empty(cells)) / MICROSECONDS_PER_DAY


def bin_column(
    cells: ParsedColumn, bins: Bins, *, measured: str, anchors: FloatArray
) -> tuple[BinCodes, FloatArray]:
    """Return the bin of each cell, and what is measured of it: nothing, of levels.

    Parameters
    ----------
    measured : str
        `value`, `length` of text, `age` of dates, or `level`.
    anchors : array of shape (n,)
        What ages are counted from.
    """
    if measured == "level":
        return np.append(level_codes(cells.levels, bins), np.uint8(255))[
            _codes_or_empty(cells)
        ], np.empty(0)
    values = measured_values(cells, measured=measured, anchors=anchors)
    return number_codes(values, bins), values


def measured_values(cells: ParsedColumn, *, measured: str, anchors: FloatArray) -> FloatArray:
    """Return the numbers that are counted of a column, shape (n,)."""
    if measured == "length":
        return text_lengths(cells)
    return date_ages_days(cells, anchors) if measured == "age" else _values_or_empty(cells)


def hash_rows(columns: list[ParsedColumn], n_rows: int) -> Hashes:
    """Return a number for each row that equal rows share, and others nearly never do.

    Examples
    --------
    >>> values, levels = np.array([1.0, 2.0, 1.0]), pd.Series(dtype="str")
    >>> column = ParsedColumn(values, None, levels, np.zeros(3, bool))
    >>> len(np.unique(hash_rows([column], 3)))
    2
    """
    hashes = np.zeros(n_rows, dtype=np.uint64)
    for cells in columns:
        bits = (_codes_or_empty(cells) if cells.values is None else cells.values + 0.0).view(
            np.uint64
        )
        hashes = (hashes ^ bits) * HASH_MULTIPLIER
        hashes ^= hashes >> np.uint64(29)
    return hashes


def _codes_or_empty(cells: ParsedColumn) -> Codes:
    return np.empty(0, dtype=np.int64) if cells.codes is None else cells.codes


def _values_or_empty(cells: ParsedColumn) -> FloatArray:
    return np.empty(0) if cells.values is None else cells.values
