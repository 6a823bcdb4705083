"""Parse a raw column and count its values in bins, alike for the reference and for windows.

`parse_column` reads raw cells as numbers or levels; cells that cannot be read are marked, and
raise nothing. `ParsedColumn.measure` gives the number that is binned: the value, the length of a
text or the age of a date. `number_bins` makes at most 20 quantile bins, `level_bins` one bin for
each common level. `hash_rows` gives equal rows equal hashes, to count duplicates.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import infer_dtype, is_bool_dtype, is_datetime64_any_dtype, is_numeric_dtype

from evertune.data.parsing import MAX_ABSOLUTE_VALUE, as_boolean, as_date, as_number, as_text
from evertune.data.schema import Column, TableSchema
from evertune.data.validation import truncate_cell
from evertune.times import MICROSECONDS_PER_DAY, times_to_numbers
from evertune.types import FloatArray, Mask

Measure = Literal["value", "length", "age", "level"]
BinCodes = NDArray[np.uint8]
LevelCodes = NDArray[np.int64]
MAX_BINS = 20
MAX_LEVELS = 19
MIN_LEVEL_SHARE = 0.01
MISSING_CODE = 255
NUMERIC_TYPES = {"integer", "floating", "mixed-integer-float", "decimal", "empty"}
HASH_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Bins:
    """How the values of a column are counted.

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
    form: Literal["number", "level"]
    edges: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """The number of bins; missing values are in none."""
        return len(self.edges if self.form == "number" else self.levels) + 1

    def codes(self, values: FloatArray) -> BinCodes:
        """Return the bin of each number, or of each code of a level; 255 where it is missing.

        Examples
        --------
        >>> Bins("calls", "number", edges=(1.0, 2.0)).codes(np.array([0.5, 1.0, np.nan]))
        array([  0,   1, 255], dtype=uint8)
        """
        if self.form == "number":
            codes = np.searchsorted(np.asarray(self.edges), values, side="right").astype(np.uint8)
            codes[np.isnan(values)] = MISSING_CODE
            return codes
        places = np.clip(np.nan_to_num(values), 0, self.size - 1)
        return np.where(np.isnan(values), MISSING_CODE, places).astype(np.uint8)


def number_bins(name: str, values: FloatArray) -> Bins:
    """Return at most 20 bins that hold about as many of the values each.

    Examples
    --------
    >>> number_bins("calls", np.array([0.0, 0.0, 0.0, 1.0, 2.0, np.nan])).edges
    (1.0, 2.0)
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return Bins(name, "number")
    quantiles = np.linspace(0, 1, MAX_BINS + 1)[1:]
    edges = np.unique(np.quantile(finite, quantiles, method="higher"))
    sample = np.unique(finite[:: max(1, finite.size // 1000)])
    is_inner = (edges > finite.min()) & ((edges < finite.max()) | (sample.size <= MAX_BINS))
    return Bins(name, "number", edges=tuple(edges[is_inner].tolist()))


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


@dataclass(frozen=True, eq=False)
class ParsedColumn:
    """The n cells of a column as numbers, or as levels.

    Attributes
    ----------
    unreadable : array of shape (n,)
        Cells that are not of the column's kind; they are missing too.
    values : array of shape (n,)
        Of numbers: 0 and 1 for booleans, microseconds since 1970 for dates, NaN where missing.
    levels : series of str, optional
        The different levels; None of a column of numbers.
    codes : array of shape (n,)
        Of levels: the place of each cell in `levels`, -1 where missing.
    example : str
        The first cell that cannot be read.
    """

    unreadable: Mask
    values: FloatArray = field(default_factory=lambda: np.empty(0))
    levels: pd.Series | None = None
    codes: LevelCodes = field(default_factory=lambda: np.empty(0, np.int64))
    example: str = ""

    def measure(self, measure: Measure, anchors: FloatArray) -> FloatArray:
        """Return the number that is binned of each cell, NaN where it is missing.

        Parameters
        ----------
        measure : str
            `value`; `length`, of text in characters; `age`, of dates in days before `anchors`.
        anchors : array of shape (n,)
            Microseconds since 1970; only ages need them.
        """
        if measure == "age":
            return (anchors - self.values) / MICROSECONDS_PER_DAY
        if measure == "length" and self.levels is not None:
            lengths = self.levels.str.len().to_numpy(dtype=np.float64)
            return np.append(lengths, np.nan)[self.codes]
        return self.values

    def level_bin_codes(self, bins: Bins) -> BinCodes:
        """Return the bin of each level, 255 where it is missing, shape (n,)."""
        places = {level: place for place, level in enumerate(bins.levels)}
        levels = pd.Series(dtype="str") if self.levels is None else self.levels
        codes = levels.map(places).fillna(len(places)).to_numpy(dtype=np.uint8)
        codes_or_missing: BinCodes = np.append(codes, np.uint8(MISSING_CODE)).astype(np.uint8)
        return codes_or_missing[self.codes]


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
    kind, missing = described.kind, schema.missing_values
    column = _to_storable_column(column, as_words=kind in {"category", "text"})
    is_plain = isinstance(column.dtype, np.dtype) and column.dtype.kind in "iuf"
    if is_plain and kind == "number" and not missing:  # the speed of large windows rests on it
        values = column.to_numpy(dtype=np.float64)
        unreadable = np.abs(values) > MAX_ABSOLUTE_VALUE
        values = np.where(unreadable, np.nan, values)
    else:
        if is_numeric_dtype(column.dtype) and kind in {"number", "boolean"}:
            places, distinct = np.arange(len(column)), column
        else:
            places, uniques = pd.factorize(column)
            distinct = pd.Series(uniques, name=column.name)
        if kind in {"category", "text"}:
            codes, levels = pd.factorize(as_text(distinct, missing=missing))
            return ParsedColumn(
                unreadable=np.zeros(len(column), dtype=bool),
                levels=pd.Series(levels, dtype="str"),
                codes=np.append(codes, -1)[places],
            )
        read, bad = _parse_distinct(distinct, described, schema)
        values, unreadable = np.append(read, np.nan)[places], np.append(bad, False)[places]
    example = truncate_cell(column.iloc[int(unreadable.argmax())]) if unreadable.any() else ""
    return ParsedColumn(unreadable, values, example=example)


def _parse_distinct(
    distinct: pd.Series, described: Column, schema: TableSchema
) -> tuple[FloatArray, Mask]:
    missing = schema.missing_values
    if described.kind == "date":
        dates, bad = as_date(distinct, days_first=described.day_first, missing=missing)
        return times_to_numbers(dates.to_numpy()), bad.to_numpy()
    if described.kind == "boolean":
        values, bad = as_boolean(distinct, missing=missing)
    else:
        written = schema.format_of(described.number_format)
        values, bad = as_number(distinct, missing=missing, number_format=written)
    too_large = values.abs() > MAX_ABSOLUTE_VALUE
    return values.mask(too_large).to_numpy(dtype=np.float64), (bad | too_large).to_numpy()


def _to_storable_column(column: pd.Series, *, as_words: bool = False) -> pd.Series:
    """Return a column of objects as numbers, or as text that can be stored; others as they are.

    Words keep all digits of integers and decimals.
    """
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _to_storable_column(column.astype(column.cat.categories.dtype), as_words=as_words)
    if is_datetime64_any_dtype(dtype) or is_bool_dtype(dtype) or dtype == "str":
        return column
    if is_numeric_dtype(dtype) and dtype.kind in "iuf":
        return column
    if isinstance(dtype, np.dtype) and infer_dtype(column, skipna=True) in NUMERIC_TYPES:
        if as_words:
            return as_text(column)
        return column.map(_clip_to_float, na_action="ignore").astype("float64")
    texts = column.map(
        lambda cell: str(cell).encode("utf-8", "replace").decode("utf-8"), na_action="ignore"
    )
    return texts.astype("str")


def _clip_to_float(cell: float) -> float:
    if abs(cell) <= MAX_ABSOLUTE_VALUE:
        return float(cell)
    return math.inf if cell > 0 else -math.inf


def hash_rows(columns: Sequence[ParsedColumn], n_rows: int) -> NDArray[np.uint64]:
    """Return a number for each row that equal rows share, and others nearly never do.

    Examples
    --------
    >>> column = ParsedColumn(np.zeros(3, bool), np.array([1.0, 2.0, 1.0]))
    >>> len(np.unique(hash_rows([column], 3)))
    2
    """
    hashes = np.zeros(n_rows, dtype=np.uint64)
    for cells in columns:
        bits = cells.values + 0.0 if cells.levels is None else cells.codes  # 0.0 for -0.0
        hashes = (hashes ^ bits.view(np.uint64)) * HASH_MULTIPLIER
        hashes ^= hashes >> np.uint64(29)
    return hashes
