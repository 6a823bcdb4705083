"""The kind of a column by a look at its cells.

number
    At least nine in ten cells are numbers, and none has a leading zero as codes have (`00123`).
boolean
    All cells are `true` or `false`.
date
    At least nine in ten cells are dates with a four-digit year.
text
    More than 100 distinct values, or a cell of more than 100 characters.
category
    The rest.
"""

from collections.abc import Collection
from typing import Literal

import pandas as pd
from pandas.api.types import is_bool_dtype, is_datetime64_any_dtype, is_numeric_dtype

from pipelines.core.cells import NUMBER, is_text, plain, stripped, without_words
from pipelines.core.dates import looks_like_dates
from pipelines.core.schema import Kind

NEARLY_ALL = 0.9
MOST_CATEGORIES = 100
LONGEST_CATEGORY = 100
LEADING_ZERO = r"[+-]?0[0-9].*"
DRESSED_NUMBER = (
    r"[$€£] ?[0-9][0-9.,]*|[0-9][0-9.,]* ?[%$€£]|[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?"
    r"|[+-]?[0-9]+,[0-9]+|[0-9]+(?:_[0-9]+)+|0[xX][0-9a-fA-F]+"
    r"|[+-]?[0-9]{1,3}(?:[ \x{a0}][0-9]{3})+|[+-]?[0-9.]+\x{a0}|[+-]?\p{Nd}+(?:[.,]\p{Nd}+)?"
)


def kind_of(column: pd.Series, missing: Collection[str] = (), *, decimal: str = ".") -> Kind:
    """Return the kind of a raw column.

    Parameters
    ----------
    column : series of n cells, typed or text
    missing : collection of str
        What means "missing" beside a blank cell.
    decimal : str
        `.` or `,`.

    Examples
    --------
    >>> kind_of(pd.Series(["1", "NA", " "])), kind_of(pd.Series(["00123", "04567"]))
    ('number', 'category')
    """
    column = plain(column)
    if is_bool_dtype(column.dtype):
        return "boolean"
    if is_datetime64_any_dtype(column.dtype):
        return "date"
    if is_numeric_dtype(column.dtype):
        return "number" if column.notna().any() else "category"
    return _kind_of_text(stripped(column, missing), decimal)


def _kind_of_text(cells: pd.Series, decimal: str) -> Kind:
    counts = without_words(cells).value_counts(sort=False)
    levels = pd.Series(counts.index, dtype="str")
    if not levels.empty and levels.str.lower().isin(["true", "false"]).all():
        return "boolean"
    if not levels.empty and _share(looks_like_numbers(levels, decimal), counts) >= NEARLY_ALL:
        return _number_or_code(levels)
    if not levels.empty and _share(looks_like_dates(levels), counts) >= NEARLY_ALL:
        return "date"
    return _words(levels)


def _share(matches: pd.Series, counts: pd.Series) -> float:
    return float(counts.to_numpy()[matches.to_numpy()].sum() / counts.sum())


def _number_or_code(levels: pd.Series) -> Kind:
    return _words(levels) if levels.str.fullmatch(LEADING_ZERO).any() else "number"


def _words(levels: pd.Series) -> Kind:
    many = len(levels) > MOST_CATEGORIES
    return "text" if many or levels.str.len().max() > LONGEST_CATEGORY else "category"


def looks_like_numbers(cells: pd.Series, decimal: str = ".") -> pd.Series:
    """Tell of each stripped cell whether it is a number, also one dressed as `$12` or `1,234`.

    Examples
    --------
    >>> looks_like_numbers(pd.Series(["-1.5e3", "12 %", "1,234", "0x1F", "12 May"])).tolist()
    [True, True, True, True, False]
    """
    if decimal == ",":
        cells = cells.str.replace(",", ".", regex=False)
    return cells.str.fullmatch(f"(?:{NUMBER}|{DRESSED_NUMBER})", na=False)


def number_share(column: pd.Series, missing: Collection[str] = ()) -> float:
    """Return which part of a column's filled cells are numbers, 0 where none is filled.

    Examples
    --------
    >>> number_share(pd.Series(["113803", "A/5 21171"]))
    0.5
    """
    column = plain(column)
    if not is_text(column):
        return float(is_numeric_dtype(column.dtype))
    cells = without_words(stripped(column, missing)).dropna()
    return float(cells.str.fullmatch(NUMBER).mean()) if len(cells) else 0.0


def decimal_of(raw: pd.DataFrame) -> Literal[".", ","]:
    """Return the decimal sign of a raw table's text cells.

    It is the comma where the cells of some column are all whole numbers or numbers with a comma,
    not always three digits behind it, and no column of numbers has points.

    Examples
    --------
    >>> decimal_of(pd.DataFrame({"a": ["1,5", "2"]})), decimal_of(pd.DataFrame({"a": ["1,500"]}))
    (',', '.')
    """
    votes = {_decimal_vote(raw.iloc[:, place]) for place in range(raw.shape[1])}
    return "," if "," in votes and "." not in votes else "."


def _decimal_vote(column: pd.Series) -> str | None:
    column = plain(column)
    if not is_text(column):
        return None
    cells = without_words(stripped(column)).dropna()
    with_comma = cells.str.fullmatch("[+-]?[0-9]+,[0-9]+")
    whole = cells.str.fullmatch("[+-]?[0-9]+")
    if with_comma.any() and (with_comma | whole).mean() >= NEARLY_ALL:
        thousands = cells.str.fullmatch("[+-]?[1-9][0-9]{0,2},[0-9]{3}") | whole
        return None if thousands.all() else ","
    with_point = cells.str.fullmatch(r"[+-]?[0-9]*\.[0-9]+")
    return "." if with_point.any() and (with_point | whole).mean() >= NEARLY_ALL else None
