"""Dates in text: which form a column is written in, and its cells as points in time."""

from collections.abc import Collection
from datetime import datetime

import pandas as pd
from pandas.api.types import is_datetime64_any_dtype

from pipelines.core.cells import Read, is_text, plain, stripped, without_words

ZONE = r"(?: ?(?:Z|UTC|[+-][0-9]{2}:?[0-9]{2}))?"
TIME = rf"(?:[T ][0-9]{{1,2}}:[0-9]{{2}}(?::[0-9]{{2}}(?:\.[0-9]+)?)?{ZONE})?"
YEAR_FIRST = rf"([0-9]{{4}})[-/.]([0-9]{{1,2}})[-/.]([0-9]{{1,2}})({TIME})"
YEAR_LAST = rf"([0-9]{{1,2}})[-/.]([0-9]{{1,2}})[-/.]([0-9]{{4}})({TIME})"
DAY_MONTH = r"[0-9]{1,2}[ -][A-Za-z]{3,9}\.?,?[ -][0-9]{4}"
MONTH_DAY = r"[A-Za-z]{3,9}\.? [0-9]{1,2},? [0-9]{4}"
NAMED = f"(?:{DAY_MONTH}|{MONTH_DAY}){TIME}"
MONTHS_IN_YEAR = 12
FIRST, LAST = pd.Timestamp(datetime.min), pd.Timestamp(datetime.max)


def looks_like_dates(cells: pd.Series) -> pd.Series:
    """Tell of each stripped cell whether it is written like a date with a four-digit year.

    Examples
    --------
    >>> looks_like_dates(pd.Series(["2024-01-31", "31/1/24", "Jan 31, 2024", "20240131"])).tolist()
    [True, False, True, False]
    """
    return cells.str.fullmatch(f"(?:{YEAR_FIRST}|{YEAR_LAST}|{NAMED})", na=False)


def day_first(column: pd.Series, missing: Collection[str] = ()) -> bool | None:
    """Tell whether the day comes before the month in dates that end with the year.

    With dots the day comes first; with slashes or dashes a part above 12 tells.

    Returns
    -------
    bool or None
        None where the column has no such dates, or day and month cannot be told apart.

    Examples
    --------
    >>> day_first(pd.Series(["03/04/2024", "13/04/2024"], dtype="str"))
    True
    >>> day_first(pd.Series(["03/04/2024", "05/04/2024"], dtype="str")) is None
    True
    """
    column = plain(column)
    if not is_text(column):
        return None
    cells = pd.Series(stripped(column, missing).dropna().unique(), dtype="str")
    parts = cells.str.extract(f"^{YEAR_LAST}$").dropna(subset=[0])
    first = int((parts[0].astype(int) > MONTHS_IN_YEAR).sum())
    second = int((parts[1].astype(int) > MONTHS_IN_YEAR).sum())
    dotted = len(parts) > 0 and cells.loc[parts.index].str.contains(".", regex=False).all()
    if first > second or dotted:
        return True
    return False if second else None


def as_date(
    column: pd.Series, *, days_first: bool | None = None, missing: Collection[str] = ()
) -> Read:
    """Return the cells as datetime64[us] without a zone, and which of them are no dates.

    Times with a zone are moved to UTC. Years before 1 and after 9999 are no dates.

    Parameters
    ----------
    column : series of n cells, typed or text
    days_first : bool, optional
        Whether the day comes before the month in dates that end with the year; found by a look
        where it is None. Dates with the year first or a named month need no telling.
    missing : collection of str

    Returns
    -------
    series of datetime64[us], boolean series
        A cell is bad too where its day and month cannot be told apart.

    Examples
    --------
    >>> values, bad = as_date(pd.Series(["31.12.2024", "2024-02-30"], dtype="str"))
    >>> values.tolist(), bad.tolist()
    ([Timestamp('2024-12-31 00:00:00'), NaT], [False, True])
    """
    column = plain(column)
    if is_datetime64_any_dtype(column.dtype):
        values = _within_years(_without_zone(column))
        return values, column.notna() & values.isna()
    if not is_text(column):
        return _nothing(column), column.notna()
    cells = without_words(stripped(column, missing))
    levels = pd.Series(cells.dropna().unique(), dtype="str")
    read = _read(levels, day_first(column, missing) if days_first is None else days_first)
    values = cells.map(dict(zip(levels, read, strict=True))).astype("datetime64[us]")
    values = _within_years(values)
    return values, cells.notna() & values.isna()


def _nothing(column: pd.Series) -> pd.Series:
    return pd.Series(pd.NaT, index=column.index, name=column.name, dtype="datetime64[us]")


def _without_zone(column: pd.Series) -> pd.Series:
    if column.dt.tz is not None:
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    return column.astype("datetime64[us]")


def _within_years(values: pd.Series) -> pd.Series:
    return values.where(values.between(FIRST, LAST))


def _read(levels: pd.Series, days_first: bool | None) -> pd.Series:
    iso = levels.str.replace(f"^{YEAR_FIRST}$", r"\1-\2-\3\4", regex=True)
    if days_first is not None:
        order = r"\3-\2-\1\4" if days_first else r"\3-\1-\2\4"
        iso = iso.str.replace(f"^{YEAR_LAST}$", order, regex=True)
    iso = iso.str.replace("UTC", "Z", regex=False).where(looks_like_dates(levels))
    read = pd.to_datetime(iso, format="ISO8601", errors="coerce", utc=True)
    named = levels.where(levels.str.fullmatch(NAMED, na=False))
    if named.notna().any():
        read = read.fillna(pd.to_datetime(named, format="mixed", errors="coerce", utc=True))
    return read.dt.tz_localize(None)
