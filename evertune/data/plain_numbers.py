"""Read the columns of plain numbers of a table together, without a search for their formats.

Most columns of a wide table are numbers that need no such search: `12`, `-0.5`, `1e-3`. Column by
column, each takes a hundred small calls of pandas; together they take a few of Arrow. What is found
is what `evertune.data.column_kinds` finds in such a column.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from evertune.data.cell_patterns import match_texts
from evertune.data.number_formats import NumberFormat
from evertune.data.parsing import (
    LEADING_ZERO_PATTERN,
    MAX_ABSOLUTE_VALUE,
    NUMBER_PATTERN,
    THOUSANDS_OR_DECIMALS_PATTERN,
    mask_missing,
    strip_texts,
)
from evertune.types import FloatArray

BLOCK_CELLS = 2_000_000
SAMPLE_ROWS = 1000  # of a long table: a column that is none in these rows is none


@dataclass(frozen=True, eq=False)
class PlainNumbers:
    """A column of text whose cells are plain numbers or missing; not all numbers are equal.

    Attributes
    ----------
    values : array of n rows
        NaN where a cell is missing.
    has_point : bool
        Whether a cell has a point.
    has_decimals : bool
        Whether a cell has one that cannot separate thousands, as it might in `1.438`.
    """

    values: FloatArray
    has_point: bool
    has_decimals: bool

    def are_read_by(self, written: NumberFormat) -> bool:
        """Return whether a format reads these values."""
        with_point = written.decimal == "." and not written.thousands
        return not written.unit and (with_point or not self.has_point)

    @property
    def may_name_rows(self) -> bool:
        """Whether the cells are different whole numbers, and none is missing."""
        is_whole = not (self.values % 1 != 0).any()  # a missing one is none
        return is_whole and len(np.unique(self.values)) == len(self.values)


def find_plain_numbers(raw: pd.DataFrame, missing: Collection[str] = ()) -> dict[str, PlainNumbers]:
    """Return the columns of text that are plain numbers, by name.

    A column with a leading zero, as codes have, or with a number beyond float32 is none of them.

    Examples
    --------
    >>> raw = pd.DataFrame({"a": ["1", "NA", "2.5"], "b": ["1", "x", "2"], "c": ["01", "2", "3"]})
    >>> {name: each.values.tolist() for name, each in find_plain_numbers(raw).items()}
    {'a': [1.0, nan, 2.5]}
    """
    is_text = np.array([isinstance(dtype, pd.StringDtype) for dtype in raw.dtypes], dtype=bool)
    table = raw.loc[:, is_text & ~raw.columns.duplicated(keep=False)]
    if len(table) > 2 * SAMPLE_ROWS:
        table = table[list(find_plain_numbers(table.head(SAMPLE_ROWS), missing))]
    if table.empty:
        return {}
    found: dict[str, PlainNumbers] = {}
    width = max(1, BLOCK_CELLS // len(table))
    for start in range(0, table.shape[1], width):
        block = table.iloc[:, start : start + width]
        read = _read_block([pa.array(column) for _, column in block.items()], missing)
        found |= {str(block.columns[place]): numbers for place, numbers in read}
    return found


def _read_block(
    columns: Sequence[pa.Array], missing: Collection[str]
) -> Iterator[tuple[int, PlainNumbers]]:
    """Yield the columns of plain numbers among some of the same length, with their places."""
    shape = len(columns), len(columns[0])
    parts = [part for column in columns for part in getattr(column, "chunks", [column])]
    texts = mask_missing(strip_texts(pa.chunked_array(parts, pa.large_string()), missing))
    is_missing = np.asarray(texts.is_null()).reshape(shape)
    is_number = match_texts(texts, NUMBER_PATTERN).reshape(shape) | is_missing
    is_coded = match_texts(texts, LEADING_ZERO_PATTERN).reshape(shape)
    plain = np.flatnonzero(is_number.all(axis=1) & ~is_coded.any(axis=1) & ~is_missing.all(axis=1))
    if not plain.size:
        return
    texts = texts.filter(pa.array(np.repeat(np.isin(np.arange(shape[0]), plain), shape[1])))
    values = _to_floats(texts).reshape(-1, shape[1])
    points = np.asarray(pc.fill_null(pc.match_substring(texts, "."), False)).reshape(values.shape)
    is_open = match_texts(texts, THOUSANDS_OR_DECIMALS_PATTERN).reshape(values.shape)
    with np.errstate(invalid="ignore"):
        low, high = np.fmin.reduce(values, axis=1), np.fmax.reduce(values, axis=1)
    usable = (low < high) & (low >= -MAX_ABSOLUTE_VALUE) & (high <= MAX_ABSOLUTE_VALUE)
    for row in np.flatnonzero(usable):
        has_point, has_decimals = points[row].any(), (points[row] & ~is_open[row]).any()
        yield int(plain[row]), PlainNumbers(values[row], bool(has_point), bool(has_decimals))


def _to_floats(texts: pa.ChunkedArray) -> FloatArray:
    try:
        values = pc.cast(texts, pa.float64())
    except pa.ArrowInvalid:  # it reads neither a plus nor what is too large
        cells = texts.to_numpy()
        filled = np.asarray(texts.is_valid())
        numbers = np.full(len(cells), np.nan)
        numbers[filled] = cells[filled].astype("float64")
        return numbers
    return np.asarray(pc.fill_null(values, np.nan))
