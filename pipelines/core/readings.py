"""Raw columns read as their kind, with the cells that cannot be read as breaches."""

from collections.abc import Collection

import pandas as pd

from pipelines.core.breaches import Breach, cell_breach
from pipelines.core.cells import as_boolean, as_number, as_text, is_text, plain, stripped
from pipelines.core.dates import as_date, day_first, looks_like_dates
from pipelines.core.kinds import looks_like_numbers
from pipelines.core.schema import Column

Reading = tuple[pd.Series, tuple[Breach, ...]]

LARGEST = 3.4e38
LONGEST_CELL = 131_072
NESTED = r"(?s)\s*(?:\[.*\]|\{.*\})\s*"
MOSTLY = 0.5


def read_column(
    column: pd.Series, described: Column, *, missing: Collection[str] = (), decimal: str = "."
) -> Reading:
    """Return a raw column as its kind in a clean table, and what is wrong with its cells.

    Parameters
    ----------
    column : series of n cells, typed or text
    described : Column
    missing : collection of str
        What means "missing" beside a blank cell.
    decimal : str
        `.` or `,`.

    Examples
    --------
    >>> values, breaches = read_column(pd.Series(["4", "x"], name="age"), Column("age", "number"))
    >>> values.tolist(), breaches[0].problem
    ([4.0, nan], '1 of 2 cells are not numbers')
    """
    if described.kind == "number":
        return read_number(column, missing=missing, decimal=decimal)
    if described.kind == "boolean":
        return read_boolean(column, missing=missing)
    if described.kind == "date":
        return read_date(column, missing=missing, days_first=described.day_first)
    return as_text(column, missing=missing), ()


def read_number(column: pd.Series, *, missing: Collection[str] = (), decimal: str = ".") -> Reading:
    """Return float64 values, and breaches for cells that are no numbers or out of range.

    Examples
    --------
    >>> read_number(pd.Series(["1", "1e400"], name="a"))[1][0].problem
    '1 of 2 cells are infinite or beyond 3.4e+38'
    """
    values, bad = as_number(column, missing=missing, decimal=decimal)
    breaches = cell_breach(
        column, bad, problem="cells are not numbers", remedy=_number_remedy(column, bad, missing)
    )
    far = values.abs() > LARGEST
    out_of_range = cell_breach(
        column,
        far,
        problem=f"cells are infinite or beyond {LARGEST:.1e}",
        remedy="Leave such cells empty or correct them.",
    )
    return values.mask(far), breaches + out_of_range


def _number_remedy(column: pd.Series, bad: pd.Series, missing: Collection[str]) -> str:
    name = column.name
    if not bad.any() or not is_text(plain(column)):
        return f"Write numbers, or set data.columns.{name} in params.yaml."
    cells = stripped(plain(column)[bad], missing)
    if cells.str.fullmatch("[+-]?[0-9]+,[0-9]+").all():
        return (
            "Write 1234.5 for one thousand and so on; where the comma is the decimal sign set "
            "data.dialect.decimal: ',' in params.yaml."
        )
    if looks_like_numbers(cells).all():
        return (
            "Write plain numbers such as 1234.5, without signs of currency, percent or thousands."
        )
    return (
        "Correct them; list words that mean missing under data.missing_values, or, if they are "
        f"labels, set data.columns.{name}: category in params.yaml."
    )


def read_boolean(column: pd.Series, *, missing: Collection[str] = ()) -> Reading:
    """Return 1.0, 0.0 and NaN, and a breach for cells that are neither true nor false.

    Examples
    --------
    >>> read_boolean(pd.Series(["true", "2"], name="a"))[1][0].problem
    '1 of 2 cells are neither true nor false'
    """
    values, bad = as_boolean(column, missing=missing)
    remedy = f"Write true or false, or set data.columns.{column.name}: category in params.yaml."
    problem = "cells are neither true nor false"
    return values, cell_breach(column, bad, problem=problem, remedy=remedy)


def read_date(
    column: pd.Series, *, missing: Collection[str] = (), days_first: bool | None = None
) -> Reading:
    """Return points in time, and breaches for cells that are no dates or could be two dates.

    Examples
    --------
    >>> read_date(pd.Series(["01/02/2024", "03/04/2024"], name="a"))[1][0].problem
    '2 of 2 cells are dates whose day and month cannot be told apart'
    """
    values, bad = as_date(column, missing=missing, days_first=days_first)
    read, _ = as_date(column, missing=missing, days_first=True)
    twofold = bad & read.notna() if days_first is None else bad & False
    either_way = cell_breach(
        column,
        twofold,
        problem="cells are dates whose day and month cannot be told apart",
        remedy="Write dates as 2024-12-31.",
    )
    no_dates = cell_breach(
        column,
        bad & ~twofold,
        problem="cells are not dates",
        remedy=f"Write 2024-12-31, or set data.columns.{column.name}: text in params.yaml.",
    )
    return values, either_way + no_dates


def word_breaches(column: pd.Series, *, missing: Collection[str] = ()) -> tuple[Breach, ...]:
    """Return breaches where words are mostly lists or JSON, or whole documents.

    Examples
    --------
    >>> word_breaches(pd.Series(["[1, 2]", "[3]"], name="a"))[0].problem
    '2 of 2 cells hold lists or JSON'
    """
    cells = as_text(column, missing=missing)
    nested = cells.str.fullmatch(NESTED, na=False)
    few = nested.sum() <= MOSTLY * cells.notna().sum()
    ignored = f"or add {column.name!r} to data.ignore in params.yaml."
    lists = cell_breach(
        column,
        nested & (not few),
        problem="cells hold lists or JSON",
        remedy=f"Make columns of their parts, {ignored}",
    )
    long = cell_breach(
        column,
        cells.str.len() > LONGEST_CELL,
        problem=f"cells have more than {LONGEST_CELL} characters",
        remedy=f"Shorten them, {ignored}",
    )
    return lists + long


def time_described(column: pd.Series, *, missing: Collection[str] = ()) -> Column:
    """Return what the column that orders the rows is: dates where any cell is one, else numbers.

    Examples
    --------
    >>> time_described(pd.Series(["2024-01-31"], name="day")).kind
    'date'
    """
    name, raw = str(column.name), plain(column)
    dated = looks_like_dates(stripped(raw)).any() if is_text(raw) else raw.dtype.kind == "M"
    if not dated:
        return Column(name, "number")
    return Column(name, "date", day_first=day_first(column, missing))
