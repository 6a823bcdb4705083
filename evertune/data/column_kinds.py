"""Infer the kinds of raw columns, and read columns as their kind.

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

`find_unusable_columns` names empty, constant and identifier-like columns, which no model can
learn from. `read_column` parses a column as its kind and reports the cells that do not fit.
"""

import re
from collections.abc import Collection
from functools import partial
from typing import Literal

import pandas as pd
from pandas.api.types import is_bool_dtype, is_datetime64_any_dtype, is_numeric_dtype

from evertune.data.parsing import (
    MISSING_WORDS,
    NUMBER_PATTERN,
    as_boolean,
    as_date,
    as_number,
    as_text,
    detect_day_first,
    is_text_column,
    looks_like_dates,
    mask_missing_words,
    normalize_dtype,
    strip_cells,
)
from evertune.data.schema import Column, TableSpec
from evertune.data.validation import DataIssue, issue_for_cells, option
from evertune.types import ColumnKind

MIN_KIND_SHARE = 0.9
MAX_CATEGORIES = 100
MAX_CATEGORY_LENGTH = 100
LEADING_ZERO_PATTERN = r"[+-]?0[0-9].*"
FORMATTED_NUMBER_PATTERN = (
    r"[$€£] ?[0-9][0-9.,]*|[0-9][0-9.,]* ?[%$€£]|[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?"
    r"|[+-]?[0-9]+,[0-9]+|[0-9]+(?:_[0-9]+)+|0[xX][0-9a-fA-F]+"
    r"|[+-]?[0-9]{1,3}(?:[ \x{a0}][0-9]{3})+|[+-]?[0-9.]+\x{a0}|[+-]?\p{Nd}+(?:[.,]\p{Nd}+)?"
)
MIN_IDENTIFIER_ROWS = 20
MIN_DISTINCT_SHARE = 0.95
MAX_IDENTIFIER_LENGTH = 64
IDENTIFIER_NAME_PATTERN = re.compile(
    r"(^|[_\W])(id|key|uuid|guid|nr|no|number|code)$|[a-z](ID|Id)$", re.I
)
ALL_MISSING = "all cells are missing"  # the reason that a column is excluded
LOOKS_LIKE_IDENTIFIER = "nearly every row has its own value, so it looks like an identifier"
MAX_ABSOLUTE_VALUE = 3.4e38  # of float32
MAX_CELL_LENGTH = 131_072
NESTED_PATTERN = r"(?s)\s*(?:\[.*\]|\{.*\})\s*"
NESTED_SHARE = 0.5

ParsedColumn = tuple[pd.Series, tuple[DataIssue, ...]]


def infer_kind(
    column: pd.Series, missing: Collection[str] = (), *, decimal: str = "."
) -> ColumnKind:
    """Return the kind of a raw column, typed or text.

    Examples
    --------
    >>> infer_kind(pd.Series(["1", "NA", " "])), infer_kind(pd.Series(["00123", "04567"]))
    ('number', 'category')
    """
    column = normalize_dtype(column)
    if is_bool_dtype(column.dtype):
        return "boolean"
    if is_datetime64_any_dtype(column.dtype):
        return "date"
    if is_numeric_dtype(column.dtype):
        return "number" if column.notna().any() else "category"
    return _infer_text_kind(strip_cells(column, missing), decimal)


def _infer_text_kind(cells: pd.Series, decimal: str) -> ColumnKind:
    counts = mask_missing_words(cells).value_counts(sort=False)
    texts = pd.Series(counts.index, dtype="str")
    if not texts.empty:
        if texts.str.lower().isin(["true", "false"]).all():
            return "boolean"
        needed = MIN_KIND_SHARE * counts.sum()
        coded = texts.str.fullmatch(LEADING_ZERO_PATTERN).any()
        if counts.to_numpy()[looks_like_numbers(texts, decimal)].sum() >= needed and not coded:
            return "number"
        if counts.to_numpy()[looks_like_dates(texts)].sum() >= needed:
            return "date"
    many = len(texts) > MAX_CATEGORIES
    return "text" if many or texts.str.len().max() > MAX_CATEGORY_LENGTH else "category"


def looks_like_numbers(cells: pd.Series, decimal: str = ".") -> pd.Series:
    """Return a mask of the stripped cells that are numbers, also formatted as `$12` or `1,234`."""
    if decimal == ",":
        cells = cells.str.replace(",", ".", regex=False)
    return cells.str.fullmatch(f"(?:{NUMBER_PATTERN}|{FORMATTED_NUMBER_PATTERN})", na=False)


def number_share(column: pd.Series, missing: Collection[str] = ()) -> float:
    """Return the share of a column's filled cells that are numbers, 0 if none is filled."""
    column = normalize_dtype(column)
    if not is_text_column(column):
        return float(is_numeric_dtype(column.dtype))
    cells = mask_missing_words(strip_cells(column, missing)).dropna()
    return float(cells.str.fullmatch(NUMBER_PATTERN).mean()) if len(cells) else 0.0


def detect_decimal_sign(raw: pd.DataFrame) -> Literal[".", ","]:
    """Return the decimal sign of a raw table's text cells.

    It is the comma if the cells of some column are whole numbers or numbers with a comma, not
    always three digits behind it, and no column of numbers has points.
    """
    signs = {_decimal_sign(raw.iloc[:, index]) for index in range(raw.shape[1])}
    return "," if "," in signs and "." not in signs else "."


def _decimal_sign(column: pd.Series) -> str | None:
    column = normalize_dtype(column)
    if not is_text_column(column):
        return None
    cells = mask_missing_words(strip_cells(column)).dropna()
    with_comma = cells.str.fullmatch("[+-]?[0-9]+,[0-9]+")
    whole = cells.str.fullmatch("[+-]?[0-9]+")
    if with_comma.any() and (with_comma | whole).mean() >= MIN_KIND_SHARE:
        thousands = cells.str.fullmatch("[+-]?[1-9][0-9]{0,2},[0-9]{3}") | whole
        return None if thousands.all() else ","
    with_point = cells.str.fullmatch(r"[+-]?[0-9]*\.[0-9]+")
    return "." if with_point.any() and (with_point | whole).mean() >= MIN_KIND_SHARE else None


def find_unusable_columns(raw: pd.DataFrame, spec: TableSpec) -> dict[str, str]:
    """Return the columns that cannot be features, each with the reason.

    Columns with a role and ignored columns are skipped. A column whose kind is declared is kept
    even if it looks like an identifier.

    Examples
    --------
    >>> raw = pd.DataFrame({"a": ["", ""], "b": ["x", "x"], "c": ["x", "y"], "y": ["0", "1"]})
    >>> find_unusable_columns(raw, TableSpec("y"))
    {'a': 'all cells are missing', 'b': 'all cells are alike'}
    """
    reasons = {}
    for name in raw.columns:
        if name in {*spec.roles.values(), *spec.ignore}:
            continue
        cells = as_text(raw[name], missing=spec.missing_values)
        if cells.isna().all():
            reasons[str(name)] = ALL_MISSING
        elif len(cells.unique()) == 1:
            reasons[str(name)] = "all cells are alike"
        elif name not in spec.columns and looks_like_identifier(raw[name], spec):
            reasons[str(name)] = LOOKS_LIKE_IDENTIFIER
    return reasons


def looks_like_identifier(column: pd.Series, spec: TableSpec) -> bool:
    """Return whether a column seems to be an identifier.

    Heuristic: nearly unique strings without blanks; or unique integers that either have an
    id-like name or count the rows from 0 or 1.
    """
    missing, decimal = spec.missing_values, spec.decimal
    cells = as_text(column, missing=missing).dropna()
    if len(cells) < MIN_IDENTIFIER_ROWS or cells.nunique() < MIN_DISTINCT_SHARE * len(cells):
        return False
    kind = infer_kind(column, missing, decimal=decimal)
    if kind == "number":
        values = as_number(column, missing=missing, decimal=decimal)[0]
        if not values.is_unique or values.isna().any() or (values % 1 != 0).any():
            return False
        counts_rows = values.iloc[0] in {0, 1} and (values.diff().dropna() == 1).all()
        return bool(counts_rows or IDENTIFIER_NAME_PATTERN.search(str(column.name)))
    short = (cells.str.len() <= MAX_IDENTIFIER_LENGTH).all()
    return bool(kind in {"category", "text"} and short and not cells.str.contains(" ").any())


def feature_advice(column: pd.Series, spec: TableSpec) -> str:
    """Return how `evertune use` keeps a column that was taken for an identifier as a feature."""
    kind = infer_kind(column, spec.missing_values, decimal=spec.decimal)
    question = "Is it a number?" if kind == "number" else "Does it describe the row?"
    return f"{question} Add `{option('kind', f'{column.name}={kind}')}`."


def literal_missing_words(column: pd.Series) -> list[str]:
    """Return words such as NA that are ordinary values of a column of words."""
    values = as_text(column).dropna().unique()
    return sorted(value for value in values if value.lower() in MISSING_WORDS)


def describe_time_column(column: pd.Series, *, missing: Collection[str] = ()) -> Column:
    """Return the description of the column that orders the rows: dates if any cell is one."""
    name, raw = str(column.name), normalize_dtype(column)
    if is_text_column(raw):
        dated = bool(looks_like_dates(strip_cells(raw)).any())
    else:
        dated = raw.dtype.kind == "M"
    if not dated:
        return Column(name, "number")
    return Column(name, "date", day_first=detect_day_first(column, missing))


def read_column(
    column: pd.Series, described: Column, *, missing: Collection[str] = (), decimal: str = "."
) -> ParsedColumn:
    """Return a raw column as its kind in a clean table, and the issues of its cells.

    Examples
    --------
    >>> values, issues = read_column(pd.Series(["4", "x"], name="age"), Column("age", "number"))
    >>> values.tolist(), issues[0].problem
    ([4.0, nan], '1 of 2 cells are not numbers')
    """
    if described.kind == "number":
        return read_number(column, missing=missing, decimal=decimal)
    if described.kind == "date":
        return _read_date(column, missing=missing, days_first=described.day_first)
    if described.kind == "boolean":
        values, bad = as_boolean(column, missing=missing)
        return values, issue_for_cells(
            column,
            bad,
            problem="cells are neither true nor false",
            remedy="Write true or false.",
            may_be_missing=True,
            kind="category",
        )
    return as_text(column, missing=missing), ()


def read_number(
    column: pd.Series, *, missing: Collection[str] = (), decimal: str = "."
) -> ParsedColumn:
    """Return float64 values, and issues for cells that are not numbers or out of range."""
    values, bad = as_number(column, missing=missing, decimal=decimal)
    not_numbers = _number_issues(column, bad, missing)
    far = values.abs() > MAX_ABSOLUTE_VALUE
    out_of_range = issue_for_cells(
        column,
        far,
        problem=f"cells are infinite or beyond {MAX_ABSOLUTE_VALUE:.1e}",
        remedy="Leave such cells empty or correct them.",
        may_be_missing=True,
    )
    return values.mask(far), not_numbers + out_of_range


def _number_issues(
    column: pd.Series, bad: pd.Series, missing: Collection[str]
) -> tuple[DataIssue, ...]:
    report = partial(issue_for_cells, column, bad, problem="cells are not numbers")
    if not bad.any() or not is_text_column(normalize_dtype(column)):
        return report(remedy="Write numbers.", kind="date")
    cells = strip_cells(normalize_dtype(column)[bad], missing)
    if cells.str.fullmatch("[+-]?[0-9]+,[0-9]+").all():
        return report(
            remedy="Write one thousand as 1000, not 1,000.",
            options=f"If the comma is the decimal sign, add `{option('decimal', ',')}`.",
        )
    if looks_like_numbers(cells).all():
        remedy = "Write plain numbers such as 1234.5, without currency, percent or thousands signs."
        return report(remedy=remedy, kind="category")
    return report(remedy="Fix these cells.", may_be_missing=True, kind="category")


def _read_date(
    column: pd.Series, *, missing: Collection[str], days_first: bool | None
) -> ParsedColumn:
    values, bad = as_date(column, missing=missing, days_first=days_first)
    if_day_first, _ = as_date(column, missing=missing, days_first=True)
    ambiguous = bad & if_day_first.notna() if days_first is None else bad & False
    issues = issue_for_cells(
        column,
        ambiguous,
        problem="cells are dates whose day and month cannot be told apart",
        remedy="Write dates as 2024-12-31.",
        kind="text",
    )
    issues += issue_for_cells(
        column,
        bad & ~ambiguous,
        problem="cells are not dates",
        remedy="Write dates as 2024-12-31.",
        may_be_missing=True,
        kind="text",
    )
    return values, issues


def text_issues(column: pd.Series, *, missing: Collection[str] = ()) -> tuple[DataIssue, ...]:
    """Return issues of words that are mostly lists or JSON, or whole documents."""
    cells = as_text(column, missing=missing)
    nested = cells.str.fullmatch(NESTED_PATTERN, na=False)
    mostly_nested = nested.sum() > NESTED_SHARE * cells.notna().sum()
    options = f"To leave the column out, add `{option('ignore', str(column.name))}`."
    return issue_for_cells(
        column,
        nested & mostly_nested,
        problem="cells hold lists or JSON",
        remedy="Make columns of their parts.",
        options=options,
    ) + issue_for_cells(
        column,
        cells.str.len() > MAX_CELL_LENGTH,
        problem=f"cells have more than {MAX_CELL_LENGTH} characters",
        remedy="Shorten them.",
        options=options,
    )
