"""Columns that no model can learn from: empty ones, constants, and those that name each row."""

import re

import pandas as pd

from pipelines.core.cells import as_number, as_text
from pipelines.core.declared import Declared
from pipelines.core.kinds import kind_of

FEWEST_ROWS = 20
NEARLY_ALL = 0.95
LONGEST_NAME = 64
IDENTIFIER_NAME = re.compile(r"(^|[_\W])(id|key|uuid|guid|nr|no|number|code)$|[a-z](ID|Id)$", re.I)


def exclusions(raw: pd.DataFrame, declared: Declared) -> dict[str, str]:
    """Return the columns that cannot be features, each with the reason.

    Columns with a role, and those that are ignored anyway, are not looked at. A column whose kind
    is declared is kept even where it seems to name rows.

    Parameters
    ----------
    raw : DataFrame
    declared : Declared

    Examples
    --------
    >>> raw = pd.DataFrame({"a": ["", ""], "b": ["x", "x"], "c": ["x", "y"], "y": ["0", "1"]})
    >>> exclusions(raw, Declared("y"))
    {'a': 'all cells are missing', 'b': 'all cells are alike'}
    """
    reasons = {}
    for name in raw.columns:
        if name in {*declared.roles.values(), *declared.ignore}:
            continue
        reason = _reason(raw[name], declared)
        if reason:
            reasons[str(name)] = reason
    return reasons


def _reason(column: pd.Series, declared: Declared) -> str | None:
    cells = as_text(column, missing=declared.missing_values)
    values = cells.unique()
    if cells.isna().all():
        return "all cells are missing"
    if len(values) == 1:
        return "all cells are alike"
    if column.name not in declared.columns and names_rows(column, declared):
        return "it names rows instead of describing them"
    return None


def names_rows(column: pd.Series, declared: Declared) -> bool:
    """Tell whether a column seems to be an identifier.

    So seem words without blanks that are nearly all different, and whole numbers that are all
    different where the column's name says so or they count the rows from 0 or 1.

    Examples
    --------
    >>> names_rows(pd.Series(range(50), name="n"), Declared("y"))
    True
    >>> names_rows(pd.Series(range(0, 100, 2), name="area"), Declared("y"))
    False
    """
    missing, decimal = declared.missing_values, declared.decimal
    cells = as_text(column, missing=missing).dropna()
    if len(cells) < FEWEST_ROWS or cells.nunique() < NEARLY_ALL * len(cells):
        return False
    kind = kind_of(column, missing, decimal=decimal)
    if kind == "number":
        values = as_number(column, missing=missing, decimal=decimal)[0]
        return _counts_rows(values, named=bool(IDENTIFIER_NAME.search(str(column.name))))
    if kind not in {"category", "text"}:
        return False
    return bool((cells.str.len() <= LONGEST_NAME).all() and not cells.str.contains(" ").any())


def _counts_rows(values: pd.Series, *, named: bool) -> bool:
    if not values.is_unique or values.isna().any() or (values % 1 != 0).any():
        return False
    counted = values.iloc[0] in {0, 1} and (values.diff().dropna() == 1).all()
    return named or bool(counted)
