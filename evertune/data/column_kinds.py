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
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pandas.api.types import is_bool_dtype, is_datetime64_any_dtype, is_numeric_dtype

from evertune.data.cell_patterns import match_cells
from evertune.data.number_formats import (
    PLAIN,
    DecimalSign,
    DetectedFormat,
    NumberFormat,
    detect_format,
    looks_like_numbers,
)
from evertune.data.parsing import (
    LEADING_ZERO_PATTERN,
    MAX_ABSOLUTE_VALUE,
    MISSING_WORDS,
    NUMBER_PATTERN,
    THOUSANDS_OR_DECIMALS_PATTERN,
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
from evertune.data.plain_numbers import PlainNumbers, find_plain_numbers
from evertune.data.schema import Column, TableSpec
from evertune.data.validation import DataIssue, issue_for_cells, option
from evertune.types import ColumnKind

MIN_KIND_SHARE = 0.9
MAX_CATEGORIES = 100
MAX_CATEGORY_LENGTH = 100
# numbers that no format reads, so that they are refused instead of learned as words
OTHER_NUMBERS_PATTERN = r"[0-9]+(?:_[0-9]+)+|0[xX][0-9a-fA-F]+|[+-]?\p{Nd}+(?:[.,]\p{Nd}+)?"
FRACTIONS_PATTERN = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?"
MIN_IDENTIFIER_ROWS = 20
MIN_DISTINCT_SHARE = 0.95
MAX_IDENTIFIER_LENGTH = 64
IDENTIFIER_NAME_PATTERN = re.compile(
    r"(^|[_\W])(id|key|uuid|guid|nr|no|number|code)$|[a-z](ID|Id)$", re.I
)
ALL_MISSING = "all cells are missing"  # the reason that a column is excluded
LOOKS_LIKE_IDENTIFIER = "nearly every row has its own value, so it looks like an identifier"
MAX_CELL_LENGTH = 131_072
NESTED_PATTERN = r"(?s)\s*(?:\[.*\]|\{.*\})\s*"
NESTED_SHARE = 0.5

ParsedColumn = tuple[pd.Series, tuple[DataIssue, ...]]


def infer_kind(column: pd.Series, missing: Collection[str] = ()) -> ColumnKind:
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
    return _infer_text_kind(strip_cells(column, missing))


def _infer_text_kind(cells: pd.Series) -> ColumnKind:
    words = mask_missing_words(cells)
    texts = pd.Series(words.dropna().unique(), dtype="str")
    if may_be_numbers(texts):
        coded = match_cells(texts, LEADING_ZERO_PATTERN).any()
        if not coded and match_cells(texts, NUMBER_PATTERN).all():
            return "number"  # most columns of wide tables; what follows takes longer
        counts = words.value_counts(sort=False)
        texts = pd.Series(counts.index, dtype="str")
        needed = MIN_KIND_SHARE * counts.sum()
        if not coded and counts.to_numpy()[_seem_numbers(texts)].sum() >= needed:
            return "number"
        if counts.to_numpy()[looks_like_dates(texts)].sum() >= needed:
            return "date"
    if not texts.empty and texts.str.lower().isin(["true", "false"]).all():
        return "boolean"
    many = len(texts) > MAX_CATEGORIES
    return "text" if many or texts.str.len().max() > MAX_CATEGORY_LENGTH else "category"


def may_be_numbers(texts: pd.Series) -> bool:
    """Return whether a cell is more than words: only such cells are numbers, codes or dates."""
    return bool(match_cells(texts, r"(?s).*(?:\p{Nd}|(?i:inf)).*").any())


def _seem_numbers(texts: pd.Series) -> pd.Series:
    seem = match_cells(texts, NUMBER_PATTERN)
    if not seem.all():
        seem |= match_cells(texts, OTHER_NUMBERS_PATTERN) | looks_like_numbers(texts)
    return seem


def number_share(column: pd.Series, missing: Collection[str] = ()) -> float:
    """Return the share of a column's filled cells that are numbers, 0 if none is filled."""
    column = normalize_dtype(column)
    if not is_text_column(column):
        return float(is_numeric_dtype(column.dtype))
    cells = mask_missing_words(strip_cells(column, missing)).dropna()
    return float(match_cells(cells, NUMBER_PATTERN).mean()) if len(cells) else 0.0


def detect_formats(raw: pd.DataFrame, spec: TableSpec) -> TableSpec:
    """Return a spec that knows how the numbers of a raw table are written.

    Each column of text cells is read by itself. Where its cells leave the decimal sign open, that
    of the other columns decides; but whole numbers beside cells that all have three digits behind
    a point, as in `1.438` and `989`, contradict a decimal point, and stay open. What is declared is
    never open.

    Examples
    --------
    >>> raw = pd.DataFrame({"a": ["1.438", "989"], "b": ["2.400,50", "3,5"]})
    >>> detect_formats(raw, TableSpec("y")).number_formats["a"]
    NumberFormat(decimal=',', thousands='.', unit='')
    """
    found: dict[str, DetectedFormat] = {}
    without = {spec.identifier, spec.group, *spec.ignore}
    plain = {} if spec.decimal == "," else find_plain_numbers(raw, spec.missing_values)
    for index, name in enumerate(map(str, raw.columns)):
        kind = spec.columns.get(name)
        if name in without or kind not in {None, "number"}:
            continue
        numbers = plain.get(name)
        if numbers is None or (numbers.has_point and not numbers.has_decimals):
            detected = _detect_format(raw.iloc[:, index], spec, declared=kind == "number")
            if detected is not None:
                found[name] = detected
        elif numbers.has_point:
            found[name] = DetectedFormat(PLAIN, decimal_known=True)
    signs = {each.format.decimal for each in found.values() if each.decimal_known}
    common: DecimalSign | None = spec.decimal or (signs.pop() if len(signs) == 1 else None)
    decimal = common or "."
    open_numbers = {
        name: each.open_sign
        for name, each in found.items()
        if each.open_sign
        and (common is None or (each.open_sign == common == "." and each.beside_whole))
    }
    formats = {name: each.with_decimal(decimal) for name, each in found.items()}
    formats = {name: each for name, each in formats.items() if each != NumberFormat(decimal)}
    return replace(spec, decimal=decimal, number_formats=formats, open_numbers=open_numbers)


def detect_decimal_sign(raw: pd.DataFrame) -> DecimalSign:
    """Return the decimal sign that the text cells of a raw table share, the point if none does."""
    texts = [column for _, column in raw.items() if is_text_column(normalize_dtype(column))]
    if not any(column.str.contains(",", regex=False, na=False).any() for column in texts):
        return "."
    return detect_formats(raw, TableSpec("")).decimal or "."


def _detect_format(column: pd.Series, spec: TableSpec, *, declared: bool) -> DetectedFormat | None:
    """Return the format of a column of numbers; None where its cells show nothing about it."""
    column = normalize_dtype(column)
    if not is_text_column(column):
        return None
    words = mask_missing_words(strip_cells(column, spec.missing_values))
    texts = pd.Series(words.dropna().unique(), dtype="str")
    if not may_be_numbers(texts):
        return None
    plain = match_cells(texts, NUMBER_PATTERN)
    if plain.all() and spec.decimal != ",":
        with_point = texts[texts.str.contains(".", regex=False)]
        if with_point.empty:
            return None
        if spec.decimal or not match_cells(with_point, THOUSANDS_OR_DECIMALS_PATTERN).all():
            return DetectedFormat(PLAIN, decimal_known=True)
    rows = words.value_counts(sort=False)[texts].to_numpy()
    numbers = (plain | looks_like_numbers(texts, declared=declared)).to_numpy()
    is_number = rows[numbers].sum() >= MIN_KIND_SHARE * rows.sum()
    coded = match_cells(texts, LEADING_ZERO_PATTERN).any()
    if not numbers.any() or not (declared or (is_number and not coded)):
        return None
    return detect_format(texts[numbers], rows[numbers], decimal=spec.decimal)


def open_number_issues(column: pd.Series, spec: TableSpec) -> tuple[DataIssue, ...]:
    """Return the issue of a column of numbers whose cells can be read in two ways."""
    sign = spec.open_numbers.get(str(column.name))
    if sign is None:
        return ()
    cells = strip_cells(normalize_dtype(column), spec.missing_values)
    is_open = cells.str.contains(sign, regex=False, na=False)
    example = cells[is_open].iloc[0]
    name, other = ("point", ",") if sign == "." else ("comma", ".")
    return issue_for_cells(
        column,
        is_open,
        problem=f"cells can be read in two ways: {example} is {example.replace(sign, '')} if the "
        f"{name} separates thousands, and {example.replace(sign, '.')} if it is the decimal sign",
        remedy="Say which it is.",
        options=f"Add `{option('decimal', other)}` if the {name} separates thousands, "
        f"`{option('decimal', sign)}` if it is the decimal sign.",
    )


def find_unusable_columns(
    raw: pd.DataFrame, spec: TableSpec, plain: Mapping[str, PlainNumbers] | None = None
) -> dict[str, str]:
    """Return the columns that cannot be features, each with the reason.

    Columns with a role and ignored columns are skipped. A column whose kind is declared is kept
    even if it looks like an identifier.

    Parameters
    ----------
    plain : mapping, optional
        From `find_plain_numbers`, where it is known.

    Examples
    --------
    >>> raw = pd.DataFrame({"a": ["", ""], "b": ["x", "x"], "c": ["x", "y"], "y": ["0", "1"]})
    >>> find_unusable_columns(raw, TableSpec("y"))
    {'a': 'all cells are missing', 'b': 'all cells are alike'}
    """
    if plain is None:
        plain = find_plain_numbers(raw, spec.missing_values)
    reasons = {}
    without = {*spec.roles.values(), *spec.ignore}
    for name in raw.columns:
        numbers = plain.get(str(name))
        if name in without or (numbers is not None and _are_features(numbers, name, spec)):
            continue
        cells = as_text(raw[name], missing=spec.missing_values)
        if cells.isna().all():
            reasons[str(name)] = ALL_MISSING
        elif len(cells.unique()) == 1:
            reasons[str(name)] = "all cells are alike"
        elif name not in spec.columns and _names_rows(cells.dropna(), raw[name], spec):
            reasons[str(name)] = LOOKS_LIKE_IDENTIFIER
    return reasons


def _are_features(numbers: PlainNumbers, name: object, spec: TableSpec) -> bool:
    """Return whether numbers, which differ, surely are no identifier."""
    if name in spec.columns:
        return True
    return numbers.are_read_by(spec.format_of(name)) and not numbers.may_name_rows


def looks_like_identifier(column: pd.Series, spec: TableSpec) -> bool:
    """Return whether a column seems to be an identifier.

    Heuristic: nearly unique strings without blanks; or unique integers that either have an
    id-like name or count the rows from 0 or 1.
    """
    return _names_rows(as_text(column, missing=spec.missing_values).dropna(), column, spec)


def _names_rows(cells: pd.Series, column: pd.Series, spec: TableSpec) -> bool:
    if len(cells) < MIN_IDENTIFIER_ROWS or cells.nunique() < MIN_DISTINCT_SHARE * len(cells):
        return False
    missing, written = spec.missing_values, spec.format_of(column.name)
    has_fractions = cells.str.contains(".", regex=False).any()
    if has_fractions and written == PLAIN and match_cells(cells, FRACTIONS_PATTERN).all():
        return False
    kind = infer_kind(column, missing)
    if kind == "number":
        values = as_number(column, missing=missing, number_format=written)[0]
        if not values.is_unique or values.isna().any() or (values % 1 != 0).any():
            return False
        counts_rows = values.iloc[0] in {0, 1} and (values.diff().dropna() == 1).all()
        return bool(counts_rows or IDENTIFIER_NAME_PATTERN.search(str(column.name)))
    short = (cells.str.len() <= MAX_IDENTIFIER_LENGTH).all()
    return bool(kind in {"category", "text"} and short and not cells.str.contains(" ").any())


def feature_advice(column: pd.Series, spec: TableSpec) -> str:
    """Return how `evertune use` keeps a column that was taken for an identifier as a feature."""
    kind = infer_kind(column, spec.missing_values)
    question = "Is it a number?" if kind == "number" else "Does it describe the row?"
    return f"{question} Add `{option('kind', f'{column.name}={kind}')}`."


def literal_missing_words(column: pd.Series) -> list[str]:
    """Return words such as NA that are ordinary values of a column of words."""
    values = as_text(column).dropna().unique()
    return sorted(value for value in values if value.lower() in MISSING_WORDS)


def describe_time_column(
    column: pd.Series,
    *,
    missing: Collection[str] = (),
    number_format: NumberFormat | None = None,
) -> Column:
    """Return the description of the column that orders the rows: dates if any cell is one."""
    name, raw = str(column.name), normalize_dtype(column)
    if is_text_column(raw):
        dated = bool(looks_like_dates(strip_cells(raw)).any())
    else:
        dated = raw.dtype.kind == "M"
    if not dated:
        return Column(name, "number", number_format=number_format)
    return Column(name, "date", day_first=detect_day_first(column, missing))


def read_column(
    column: pd.Series,
    described: Column,
    *,
    missing: Collection[str] = (),
    number_format: NumberFormat = PLAIN,
) -> ParsedColumn:
    """Return a raw column as its kind in a clean table, and the issues of its cells.

    `number_format` is that of a number without a format of its own.

    Examples
    --------
    >>> values, issues = read_column(pd.Series(["4", "x"], name="age"), Column("age", "number"))
    >>> values.tolist(), issues[0].problem
    ([4.0, nan], '1 of 2 cells are not numbers')
    """
    if described.kind == "number":
        written = described.number_format or number_format
        return read_number(column, missing=missing, number_format=written)
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
    words = as_text(column, missing=missing)
    own = described.own_spelling
    return words.map(lambda word: own.get(word, word), na_action="ignore") if own else words, ()


def read_number(
    column: pd.Series, *, missing: Collection[str] = (), number_format: NumberFormat = PLAIN
) -> ParsedColumn:
    """Return float64 values, and issues for cells that are not numbers or out of range."""
    values, bad = as_number(column, missing=missing, number_format=number_format)
    not_numbers = _number_issues(column, bad, missing, number_format)
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
    column: pd.Series, bad: pd.Series, missing: Collection[str], number_format: NumberFormat
) -> tuple[DataIssue, ...]:
    report = partial(issue_for_cells, column, bad, problem="cells are not numbers")
    if not bad.any() or not is_text_column(normalize_dtype(column)):
        return report(remedy="Write numbers.", kind="date")
    cells = strip_cells(normalize_dtype(column)[bad], missing)
    if number_format == PLAIN and match_cells(cells, "[+-]?[0-9]+,[0-9]+").all():
        return report(
            remedy="Write one thousand as 1000, not 1,000.",
            options=f"If the comma is the decimal sign, add `{option('decimal', ',')}`.",
        )
    if (looks_like_numbers(cells) | match_cells(cells, OTHER_NUMBERS_PATTERN)).all():
        remedy = (
            f"Numbers of this column are read as {number_format.example()} is written; write all of"
            " them like that, or as plain numbers such as 1234.5."
        )
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
    texts = pa.array(cells)
    if not (
        pc.any(pc.match_substring_regex(texts, r"^\s*[\[{]")).as_py()
        or pc.max(pc.utf8_length(texts)).as_py() > MAX_CELL_LENGTH
    ):
        return ()
    nested = match_cells(cells, NESTED_PATTERN)
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
