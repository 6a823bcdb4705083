"""Parse raw cells, typed or text, as numbers, booleans, dates or text.

A blank cell (also one of spaces) is missing, and so is each word that the user declares. Words
such as `NA` are missing in a column of numbers, booleans or dates, and ordinary values
elsewhere. Text cells are compared in the form of `evertune.unicode_text.clean_text`.

`as_number`, `as_boolean` and `as_date` return the values and a mask of the cells that could not
be parsed. Dates need a four-digit year; times with a zone are converted to UTC. A date such as
03/04/2024 is bad if the column does not show whether the day or the month comes first.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pandas.api.types import (
    infer_dtype,
    is_bool_dtype,
    is_datetime64_any_dtype,
    is_float_dtype,
    is_integer_dtype,
    is_numeric_dtype,
    is_string_dtype,
)

from evertune.data.cell_patterns import match_cells
from evertune.data.number_formats import PLAIN, NumberFormat
from evertune.unicode_text import WHITESPACE, clean_text

MISSING_WORDS = frozenset({"na", "n/a", "#n/a", "nan", "none", "null", "<na>"})
NUMBER_PATTERN = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?i:inf|infinity)"
LEADING_ZERO_PATTERN = r"[+-]?0[0-9].*"
THOUSANDS_OR_DECIMALS_PATTERN = r"[+-]?[1-9][0-9]{0,2}\.[0-9]{3}"
MAX_ABSOLUTE_VALUE = 3.4e38  # of float32
TRUE_WORDS = frozenset({"true", "yes", "1"})
FALSE_WORDS = frozenset({"false", "no", "0"})
NUMBER_OBJECTS = frozenset(
    {"decimal", "integer", "floating", "mixed-integer-float", "empty", "timedelta"}
)

ZONE_PATTERN = r"(?: ?(?:Z|UTC|[+-][0-9]{2}:?[0-9]{2}))?"
TIME_PATTERN = rf"(?:[T ][0-9]{{1,2}}:[0-9]{{2}}(?::[0-9]{{2}}(?:\.[0-9]+)?)?{ZONE_PATTERN})?"
YEAR_FIRST_PATTERN = rf"([0-9]{{4}})[-/.]([0-9]{{1,2}})[-/.]([0-9]{{1,2}})({TIME_PATTERN})"
YEAR_LAST_PATTERN = rf"([0-9]{{1,2}})[-/.]([0-9]{{1,2}})[-/.]([0-9]{{4}})({TIME_PATTERN})"
DAY_MONTH_PATTERN = r"[0-9]{1,2}[ -][A-Za-z]{3,9}\.?,?[ -][0-9]{4}"
MONTH_DAY_PATTERN = r"[A-Za-z]{3,9}\.? [0-9]{1,2},? [0-9]{4}"
NAMED_MONTH_PATTERN = f"(?:{DAY_MONTH_PATTERN}|{MONTH_DAY_PATTERN}){TIME_PATTERN}"
FIRST_DATE, LAST_DATE = pd.Timestamp(datetime.min), pd.Timestamp(datetime.max)

TEXT_DTYPE = pd.StringDtype(na_value=np.nan)  # what "str" means, without looking it up
ParsedCells = tuple[pd.Series, pd.Series]  # values, and a mask of cells that could not be parsed


def as_number(
    column: pd.Series, *, missing: Collection[str] = (), number_format: NumberFormat = PLAIN
) -> ParsedCells:
    """Return the cells as float64, and a mask of those that are not numbers.

    Typed cells are numbers whatever the format.

    Parameters
    ----------
    missing : collection of str
        Cells that mean "missing", besides a blank cell and words such as NA.
    number_format : NumberFormat
        How text cells are written.

    Returns
    -------
    series of float64, boolean series
        NaN for missing and bad cells; infinite if a cell says so or is too large.

    Examples
    --------
    >>> values, bad = as_number(pd.Series(["1e3", "NA", "$12"], dtype="str"))
    >>> values.tolist(), bad.tolist()
    ([1000.0, nan, nan], [False, False, True])
    """
    cells, column = column, normalize_dtype(column)
    if is_datetime64_any_dtype(column.dtype):
        return pd.Series(np.nan, index=column.index, name=column.name), column.notna()
    if cells.dtype == object and is_text_column(column) and number_format != PLAIN:
        typed = cells.map(lambda cell: isinstance(cell, int | float | Decimal)).to_numpy(dtype=bool)
        if typed.any():  # rows of JSON: 1.438 as a number, and "1.438" as text
            values, bad = as_number(
                column.mask(typed), missing=missing, number_format=number_format
            )
            numbers, wrong = as_number(column.where(typed), missing=missing)
            return values.mask(typed, numbers), bad | wrong
    if not is_text_column(column):
        values, words = column.astype("float64"), pd.Series(list(missing), dtype="str")
        numbers = _parse_floats(words, match_cells(words, NUMBER_PATTERN))
        return values.mask(values.isin(numbers.dropna())), pd.Series(False, index=column.index)
    cells = mask_missing_words(strip_cells(column, missing))
    plain = cells
    if number_format.decimal == ",":
        plain = cells.where(~cells.str.contains(".", regex=False, na=False), "x" + cells)
        plain = plain.str.replace(",", ".", regex=False)
    good = match_cells(plain, NUMBER_PATTERN)
    if number_format.unit:
        good &= False
    values, others = _parse_floats(plain, good), (cells.notna() & ~good).to_numpy()
    if others.any():
        parsed = {text: number_format.parse(text) for text in cells[others].unique()}
        values[others] = cells[others].map(parsed).to_numpy(dtype="float64", na_value=np.nan)
    return values, cells.notna() & values.isna()


def as_boolean(column: pd.Series, *, missing: Collection[str] = ()) -> ParsedCells:
    """Return the cells as 1.0, 0.0 and NaN, and a mask of those that are not true or false.

    Examples
    --------
    >>> values, bad = as_boolean(pd.Series(["True", "no", "maybe"], dtype="str"))
    >>> values.tolist(), bad.tolist()
    ([1.0, 0.0, nan], [False, False, True])
    """
    column = normalize_dtype(column)
    if not is_text_column(column):
        values, bad = as_number(column, missing=missing)
        wrong = values.notna() & ~values.isin([0, 1])
        return values.mask(wrong), bad | wrong
    words = mask_missing_words(strip_cells(column, missing)).str.lower()
    values = words.isin(TRUE_WORDS).astype("float64")
    known = words.isin(TRUE_WORDS | FALSE_WORDS)
    return values.where(known), words.notna() & ~known


def as_text(column: pd.Series, *, missing: Collection[str] = ()) -> pd.Series:
    """Return the cells as text, NaN if missing; a whole number is written without a fraction.

    Typed integers and decimals keep every digit, however long they are.

    Examples
    --------
    >>> as_text(pd.Series([1.0, 2.5])).tolist(), as_text(pd.Series(["1.0", "007"])).tolist()
    (['1', '2.5'], ['1', '007'])
    """
    cells = strip_cells(_to_text(column), missing)
    whole = pc.replace_substring_regex(pa.array(cells), r"^(-?(?:0|[1-9][0-9]*))\.0+$", r"\1")
    return _as_series(whole, cells)


def as_date(
    column: pd.Series, *, days_first: bool | None = None, missing: Collection[str] = ()
) -> ParsedCells:
    """Return the cells as datetime64[us] without a zone, and a mask of those that are not dates.

    Times with a zone are converted to UTC. Years before 1 and after 9999 are not dates.

    Parameters
    ----------
    days_first : bool, optional
        Whether the day comes before the month in dates that end with the year; detected if None.
        Dates with the year first or a named month do not need it.

    Returns
    -------
    series of datetime64[us], boolean series
        A cell whose day and month cannot be told apart is bad too.

    Examples
    --------
    >>> values, bad = as_date(pd.Series(["31.12.2024", "2024-02-30"], dtype="str"))
    >>> values.tolist(), bad.tolist()
    ([Timestamp('2024-12-31 00:00:00'), NaT], [False, True])
    """
    column = normalize_dtype(column)
    if is_datetime64_any_dtype(column.dtype):
        if column.dt.tz is not None:
            column = column.dt.tz_convert("UTC").dt.tz_localize(None)
        values, filled = column.astype("datetime64[us]"), column.notna()
    elif not is_text_column(column):
        nothing = pd.Series(pd.NaT, index=column.index, name=column.name, dtype="datetime64[us]")
        return nothing, column.notna()
    else:
        cells = mask_missing_words(strip_cells(column, missing))
        texts = pd.Series(cells.dropna().unique(), dtype="str")
        if days_first is None:
            days_first = detect_day_first(column, missing)
        dates = dict(zip(texts, _parse_dates(texts, days_first), strict=True))
        values, filled = cells.map(dates).astype("datetime64[us]"), cells.notna()
    values = values.where(values.between(FIRST_DATE, LAST_DATE))
    return values, filled & values.isna()


def normalize_dtype(column: pd.Series) -> pd.Series:
    """Return the column as text, bool, float64, int64 or datetime64, whatever its dtype.

    Objects of several types become text, and so do booleans with missing cells. Durations become
    seconds.
    """
    if column.dtype == TEXT_DTYPE or is_datetime64_any_dtype(column.dtype):
        return column
    if isinstance(column.dtype, pd.CategoricalDtype):
        return normalize_dtype(column.astype(column.cat.categories.dtype))
    if column.dtype.kind == "m" or is_bool_dtype(column.dtype) or is_numeric_dtype(column.dtype):
        return _normalize_numbers(column)
    kind = infer_dtype(column, skipna=True) if column.dtype == object else "string"
    if kind in NUMBER_OBJECTS:
        numbers = [np.nan if pd.isna(cell) else _to_float(cell) for cell in column]
        return pd.Series(numbers, column.index, name=column.name, dtype="float64")
    if kind in {"date", "datetime", "datetime64"}:
        return pd.to_datetime(column, utc=True)
    return column.astype("str") if kind == "string" else _objects_to_text(column)


def is_text_column(column: pd.Series) -> bool:
    """Return whether a column of `normalize_dtype` holds text."""
    return is_string_dtype(column.dtype) and not is_bool_dtype(column.dtype)


def strip_cells(column: pd.Series, missing: Collection[str] = ()) -> pd.Series:
    """Return text cells in the form of `clean_text`, NaN if blank or declared missing."""
    return _as_series(strip_texts(pa.array(column), missing), column)


def strip_texts(texts: pa.Array, missing: Collection[str] = ()) -> pa.Array:
    """Return the same of an array of Arrow."""
    cells = pc.utf8_trim(texts, WHITESPACE)
    foreign = pc.invert(pc.fill_null(pc.string_is_ascii(cells), True))
    if pc.any(foreign).as_py():
        objects, rows = cells.to_numpy(zero_copy_only=False).copy(), np.asarray(foreign)
        objects[rows] = [clean_text(text) for text in objects[rows]]
        cells = pa.array(objects, cells.type, from_pandas=True)
    return _mask_words(cells, cells, ["", *map(clean_text, missing)])


def mask_missing_words(cells: pd.Series) -> pd.Series:
    """Return stripped cells with NaN for the words that mean "missing", such as NA and null."""
    return _as_series(mask_missing(pa.array(cells)), cells)


def mask_missing(texts: pa.Array) -> pa.Array:
    """Return the same of an array of Arrow."""
    return _mask_words(texts, pc.utf8_lower(texts), MISSING_WORDS)


def looks_like_dates(cells: pd.Series) -> pd.Series:
    """Return a mask of the stripped cells that are written like a date with a four-digit year."""
    pattern = f"(?:{YEAR_FIRST_PATTERN}|{YEAR_LAST_PATTERN}|{NAMED_MONTH_PATTERN})"
    return match_cells(cells, pattern)


def detect_day_first(column: pd.Series, missing: Collection[str] = ()) -> bool | None:
    """Return whether the day comes before the month in dates that end with the year.

    With dots the day comes first; with slashes or dashes a number above 12 tells. None if the
    column has no such dates, or day and month cannot be told apart.
    """
    column = normalize_dtype(column)
    if not is_text_column(column):
        return None
    cells = pd.Series(strip_cells(column, missing).dropna().unique(), dtype="str")
    parts = cells.str.extract(f"^{YEAR_LAST_PATTERN}$").dropna(subset=[0])
    first_is_day, second_is_day = (int((parts[n].astype(int) > 12).sum()) for n in (0, 1))
    dotted = len(parts) > 0 and cells.loc[parts.index].str.contains(".", regex=False).all()
    if first_is_day > second_is_day or dotted:
        return True
    return False if second_is_day else None


def _mask_words(texts: pa.Array, words: pa.Array, masked: Collection[str]) -> pa.Array:
    """Return texts with null where the word of the cell is to be masked."""
    return pc.if_else(pc.is_in(words, pa.array(masked, words.type)), None, texts)


def _as_series(texts: pa.Array, like: pd.Series) -> pd.Series:
    return pd.Series(texts, index=like.index, name=like.name, dtype=TEXT_DTYPE)


def _normalize_numbers(column: pd.Series) -> pd.Series:
    if column.dtype.kind == "m":
        seconds: pd.Series = column.dt.total_seconds()
        return seconds
    if isinstance(column.dtype, np.dtype):
        return column
    gaps = column.isna().any()
    if is_bool_dtype(column.dtype):
        return _objects_to_text(column) if gaps else column.astype("bool")
    return column.astype("int64" if is_integer_dtype(column.dtype) and not gaps else "float64")


def _to_text(column: pd.Series) -> pd.Series:
    """Return a column of any dtype as text; numbers with all their digits."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _to_text(column.astype(dtype.categories.dtype))
    is_object = column.dtype == object and infer_dtype(column, skipna=True) in NUMBER_OBJECTS
    is_long = is_numeric_dtype(dtype) and not isinstance(dtype, np.dtype)
    if is_object or (is_long and not (is_bool_dtype(dtype) or is_float_dtype(dtype))):
        return _objects_to_text(column.astype(object))
    column = normalize_dtype(column)
    return column if is_text_column(column) else _objects_to_text(column)


def _objects_to_text(column: pd.Series) -> pd.Series:
    return column.map(number_to_text, na_action="ignore").astype("str")


def number_to_text(value: object) -> str:
    """Return a value as text; a decimal with its digits and without an exponent.

    Examples
    --------
    >>> number_to_text(Decimal("1E+3")), number_to_text(Decimal("12.50"))
    ('1000', '12.5')
    """
    if not isinstance(value, Decimal):
        return str(value)
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _to_float(value: float | Decimal | timedelta) -> float:
    if isinstance(value, timedelta):
        return value.total_seconds()
    try:
        return float(value)
    except OverflowError:  # an integer of more than 308 digits
        return np.inf if value > 0 else -np.inf


def _parse_floats(cells: pd.Series, good: pd.Series) -> pd.Series:
    values = np.full(len(cells), np.nan)
    values[good.to_numpy()] = cells[good].to_numpy(dtype=object).astype("float64")
    return pd.Series(values, index=cells.index, name=cells.name)


def _parse_dates(texts: pd.Series, days_first: bool | None) -> pd.Series:
    iso = texts.str.replace(f"^{YEAR_FIRST_PATTERN}$", r"\1-\2-\3\4", regex=True)
    if days_first is not None:
        order = r"\3-\2-\1\4" if days_first else r"\3-\1-\2\4"
        iso = iso.str.replace(f"^{YEAR_LAST_PATTERN}$", order, regex=True)
    iso = iso.str.replace("UTC", "Z", regex=False).where(looks_like_dates(texts))
    dates = pd.to_datetime(iso, format="ISO8601", errors="coerce", utc=True)
    named = texts.where(match_cells(texts, NAMED_MONTH_PATTERN))
    if named.notna().any():
        dates = dates.fillna(pd.to_datetime(named, format="mixed", errors="coerce", utc=True))
    return dates.dt.tz_localize(None)
