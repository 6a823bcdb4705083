"""Cells of a raw column, typed or as text, read as numbers, truth values or text.

A blank cell (also one of spaces) is missing, and so is each word that the user declares. Words such
as `NA` are missing in a column of numbers, truth values or dates, and ordinary values elsewhere.
"""

from collections.abc import Collection

import numpy as np
import pandas as pd
from pandas.api.types import (
    infer_dtype,
    is_bool_dtype,
    is_datetime64_any_dtype,
    is_integer_dtype,
    is_numeric_dtype,
    is_string_dtype,
)

MISSING_WORDS = frozenset({"na", "n/a", "#n/a", "nan", "none", "null", "<na>"})
NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?i:inf|infinity)"
BLANKS = " \t\r\n"
TRUE_WORDS = frozenset({"true", "yes", "1"})
FALSE_WORDS = frozenset({"false", "no", "0"})

Read = tuple[pd.Series, pd.Series]


def plain(column: pd.Series) -> pd.Series:
    """Return the column as text, bool, float64, int64 or datetime64, whatever it came as.

    Objects of several types become text, and so do truth values where some are missing.

    Examples
    --------
    >>> from decimal import Decimal
    >>> plain(pd.Series([Decimal("1.5"), None], dtype=object)).dtype
    dtype('float64')
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        return plain(column.astype(column.cat.categories.dtype))
    if is_datetime64_any_dtype(column.dtype):
        return column
    if is_bool_dtype(column.dtype) or is_numeric_dtype(column.dtype):
        return _plain_numbers(column)
    if column.dtype == object and infer_dtype(column, skipna=True) != "string":
        return _plain_objects(column)
    return column if column.dtype == "str" else column.astype("str")


def _plain_numbers(column: pd.Series) -> pd.Series:
    if isinstance(column.dtype, np.dtype):
        return column
    if is_bool_dtype(column.dtype):
        return _words(column) if column.isna().any() else column.astype("bool")
    gaps = column.isna().any()
    return column.astype("int64" if is_integer_dtype(column.dtype) and not gaps else "float64")


def _plain_objects(column: pd.Series) -> pd.Series:
    kind = infer_dtype(column, skipna=True)
    if kind in {"decimal", "integer", "floating", "mixed-integer-float", "empty"}:
        return column.astype("float64")
    if kind in {"date", "datetime", "datetime64"}:
        return pd.to_datetime(column, utc=True)
    return _words(column)


def _words(column: pd.Series) -> pd.Series:
    return column.map(str, na_action="ignore").astype("str")


def is_text(column: pd.Series) -> bool:
    """Tell whether a plain column holds text."""
    return is_string_dtype(column.dtype) and not is_bool_dtype(column.dtype)


def stripped(column: pd.Series, missing: Collection[str] = ()) -> pd.Series:
    """Return text cells without blanks around them, NaN where blank or declared missing.

    Examples
    --------
    >>> stripped(pd.Series([" a", " ", "?"], dtype="str"), ["?"]).tolist()
    ['a', nan, nan]
    """
    cells = column.str.strip(BLANKS)
    return cells.mask(cells.isin(["", *missing]))


def without_words(cells: pd.Series) -> pd.Series:
    """Return stripped cells with NaN for the words that mean "missing", such as NA and null."""
    return cells.mask(cells.str.lower().isin(MISSING_WORDS))


def as_number(column: pd.Series, *, missing: Collection[str] = (), decimal: str = ".") -> Read:
    """Return the cells as float64, and which of them are no numbers.

    Parameters
    ----------
    column : series of n cells, typed or text
    missing : collection of str
        What means "missing" beside a blank cell and words such as NA.
    decimal : str
        `.` or `,`.

    Returns
    -------
    series of float64, boolean series
        NaN where missing or bad; infinite where a cell says so or is too large.

    Examples
    --------
    >>> values, bad = as_number(pd.Series(["1e3", "NA", "$12"], dtype="str"))
    >>> values.tolist(), bad.tolist()
    ([1000.0, nan, nan], [False, False, True])
    """
    column = plain(column)
    if is_datetime64_any_dtype(column.dtype):
        return pd.Series(np.nan, index=column.index, name=column.name), column.notna()
    if not is_text(column):
        values = column.astype("float64")
        return values.mask(values.isin(_numbers(missing))), pd.Series(False, index=column.index)
    cells = without_words(stripped(column, missing))
    if decimal == ",":
        cells = cells.where(~cells.str.contains(".", regex=False, na=False), "x" + cells)
        cells = cells.str.replace(",", ".", regex=False)
    good = cells.str.fullmatch(NUMBER, na=False)
    return _floats(cells, good), cells.notna() & ~good


def _numbers(words: Collection[str]) -> list[float]:
    series = pd.Series(list(words), dtype="str")
    return _floats(series, series.str.fullmatch(NUMBER, na=False)).dropna().tolist()


def _floats(cells: pd.Series, good: pd.Series) -> pd.Series:
    values = np.full(len(cells), np.nan)
    values[good.to_numpy()] = cells[good].to_numpy(dtype=object).astype("float64")
    return pd.Series(values, index=cells.index, name=cells.name)


def as_boolean(column: pd.Series, *, missing: Collection[str] = ()) -> Read:
    """Return the cells as 1.0, 0.0 and NaN, and which of them are no truth values.

    Examples
    --------
    >>> values, bad = as_boolean(pd.Series(["True", "no", "maybe"], dtype="str"))
    >>> values.tolist(), bad.tolist()
    ([1.0, 0.0, nan], [False, False, True])
    """
    column = plain(column)
    if not is_text(column):
        values, bad = as_number(column, missing=missing)
        wrong = values.notna() & ~values.isin([0, 1])
        return values.mask(wrong), bad | wrong
    words = without_words(stripped(column, missing)).str.lower()
    values = words.isin(TRUE_WORDS).astype("float64")
    known = words.isin(TRUE_WORDS | FALSE_WORDS)
    return values.where(known), words.notna() & ~known


def as_text(column: pd.Series, *, missing: Collection[str] = ()) -> pd.Series:
    """Return the cells as text, NaN where missing; a number is written the same however it came.

    Examples
    --------
    >>> as_text(pd.Series([1.0, 2.5])).tolist(), as_text(pd.Series(["1.0", "007"])).tolist()
    (['1', '2.5'], ['1', '007'])
    """
    column = plain(column)
    if not is_text(column):
        column = _words(column)
    cells = stripped(column, missing)
    return cells.str.replace(r"^(-?(?:0|[1-9][0-9]*))\.0+$", r"\1", regex=True)
