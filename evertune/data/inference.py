"""Infer column kinds, the task and its classes, and read columns as their kind.

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
learn from. `infer_task` and `infer_classes` look at the target; `target_issues` says why it
cannot be used. `read_column` parses a column as its kind and reports the cells that do not fit.
"""

import re
from collections.abc import Collection, Sequence
from typing import Literal, get_args

import pandas as pd
from pandas.api.types import infer_dtype, is_bool_dtype, is_datetime64_any_dtype, is_numeric_dtype

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
from evertune.data.validation import DataIssue, issue_for_cells, quote_list
from evertune.messages import did_you_mean
from evertune.types import ColumnKind, Task

MIN_KIND_SHARE = 0.9
MAX_CATEGORIES = 100
MAX_CATEGORY_LENGTH = 100
LEADING_ZERO_PATTERN = r"[+-]?0[0-9].*"
FORMATTED_NUMBER_PATTERN = (
    r"[$€£] ?[0-9][0-9.,]*|[0-9][0-9.,]* ?[%$€£]|[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?"
    r"|[+-]?[0-9]+,[0-9]+|[0-9]+(?:_[0-9]+)+|0[xX][0-9a-fA-F]+"
    r"|[+-]?[0-9]{1,3}(?:[ \x{a0}][0-9]{3})+|[+-]?[0-9.]+\x{a0}|[+-]?\p{Nd}+(?:[.,]\p{Nd}+)?"
)


def infer_kind(
    column: pd.Series, missing: Collection[str] = (), *, decimal: str = "."
) -> ColumnKind:
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
    levels = pd.Series(counts.index, dtype="str")
    if not levels.empty and levels.str.lower().isin(["true", "false"]).all():
        return "boolean"
    if (
        not levels.empty
        and _matching_share(looks_like_numbers(levels, decimal), counts) >= MIN_KIND_SHARE
    ):
        return _number_or_code(levels)
    if not levels.empty and _matching_share(looks_like_dates(levels), counts) >= MIN_KIND_SHARE:
        return "date"
    return _category_or_text(levels)


def _matching_share(matches: pd.Series, counts: pd.Series) -> float:
    return float(counts.to_numpy()[matches.to_numpy()].sum() / counts.sum())


def _number_or_code(levels: pd.Series) -> ColumnKind:
    return (
        _category_or_text(levels) if levels.str.fullmatch(LEADING_ZERO_PATTERN).any() else "number"
    )


def _category_or_text(levels: pd.Series) -> ColumnKind:
    many = len(levels) > MAX_CATEGORIES
    return "text" if many or levels.str.len().max() > MAX_CATEGORY_LENGTH else "category"


def looks_like_numbers(cells: pd.Series, decimal: str = ".") -> pd.Series:
    """Tell of each stripped cell whether it is a number, also one dressed as `$12` or `1,234`.

    Examples
    --------
    >>> looks_like_numbers(pd.Series(["-1.5e3", "12 %", "1,234", "0x1F", "12 May"])).tolist()
    [True, True, True, True, False]
    """
    if decimal == ",":
        cells = cells.str.replace(",", ".", regex=False)
    return cells.str.fullmatch(f"(?:{NUMBER_PATTERN}|{FORMATTED_NUMBER_PATTERN})", na=False)


def number_share(column: pd.Series, missing: Collection[str] = ()) -> float:
    """Return which part of a column's filled cells are numbers, 0 where none is filled.

    Examples
    --------
    >>> number_share(pd.Series(["113803", "A/5 21171"]))
    0.5
    """
    column = normalize_dtype(column)
    if not is_text_column(column):
        return float(is_numeric_dtype(column.dtype))
    cells = mask_missing_words(strip_cells(column, missing)).dropna()
    return float(cells.str.fullmatch(NUMBER_PATTERN).mean()) if len(cells) else 0.0


def detect_decimal_sign(raw: pd.DataFrame) -> Literal[".", ","]:
    """Return the decimal sign of a raw table's text cells.

    It is the comma where the cells of some column are all whole numbers or numbers with a comma,
    not always three digits behind it, and no column of numbers has points.

    Examples
    --------
    >>> detect_decimal_sign(pd.DataFrame({"a": ["1,5", "2"]})), detect_decimal_sign(pd.DataFrame({"a": ["1,500"]}))
    (',', '.')
    """
    votes = {_decimal_vote(raw.iloc[:, place]) for place in range(raw.shape[1])}
    return "," if "," in votes and "." not in votes else "."


def _decimal_vote(column: pd.Series) -> str | None:
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


MIN_IDENTIFIER_ROWS = 20
MIN_DISTINCT_SHARE = 0.95
MAX_IDENTIFIER_LENGTH = 64
IDENTIFIER_NAME_PATTERN = re.compile(
    r"(^|[_\W])(id|key|uuid|guid|nr|no|number|code)$|[a-z](ID|Id)$", re.I
)


def find_unusable_columns(raw: pd.DataFrame, declared: TableSpec) -> dict[str, str]:
    """Return the columns that cannot be features, each with the reason.

    Columns with a role, and those that are ignored anyway, are not looked at. A column whose kind
    is declared is kept even where it seems to name rows.

    Parameters
    ----------
    raw : DataFrame
    declared : TableSpec

    Examples
    --------
    >>> raw = pd.DataFrame({"a": ["", ""], "b": ["x", "x"], "c": ["x", "y"], "y": ["0", "1"]})
    >>> find_unusable_columns(raw, TableSpec("y"))
    {'a': 'all cells are missing', 'b': 'all cells are alike'}
    """
    reasons = {}
    for name in raw.columns:
        if name in {*declared.roles.values(), *declared.ignore}:
            continue
        reason = _exclusion_reason(raw[name], declared)
        if reason:
            reasons[str(name)] = reason
    return reasons


def _exclusion_reason(column: pd.Series, declared: TableSpec) -> str | None:
    cells = as_text(column, missing=declared.missing_values)
    values = cells.unique()
    if cells.isna().all():
        return "all cells are missing"
    if len(values) == 1:
        return "all cells are alike"
    if column.name not in declared.columns and looks_like_identifier(column, declared):
        return "it names rows instead of describing them"
    return None


def looks_like_identifier(column: pd.Series, declared: TableSpec) -> bool:
    """Tell whether a column seems to be an identifier.

    So seem words without blanks that are nearly all different, and whole numbers that are all
    different where the column's name says so or they count the rows from 0 or 1.

    Examples
    --------
    >>> looks_like_identifier(pd.Series(range(50), name="n"), TableSpec("y"))
    True
    >>> looks_like_identifier(pd.Series(range(0, 100, 2), name="area"), TableSpec("y"))
    False
    """
    missing, decimal = declared.missing_values, declared.decimal
    cells = as_text(column, missing=missing).dropna()
    if len(cells) < MIN_IDENTIFIER_ROWS or cells.nunique() < MIN_DISTINCT_SHARE * len(cells):
        return False
    kind = infer_kind(column, missing, decimal=decimal)
    if kind == "number":
        values = as_number(column, missing=missing, decimal=decimal)[0]
        return _numbers_identify_rows(
            values, named=bool(IDENTIFIER_NAME_PATTERN.search(str(column.name)))
        )
    if kind not in {"category", "text"}:
        return False
    return bool(
        (cells.str.len() <= MAX_IDENTIFIER_LENGTH).all() and not cells.str.contains(" ").any()
    )


def _numbers_identify_rows(values: pd.Series, *, named: bool) -> bool:
    if not values.is_unique or values.isna().any() or (values % 1 != 0).any():
        return False
    counted = values.iloc[0] in {0, 1} and (values.diff().dropna() == 1).all()
    return named or bool(counted)


ParsedColumn = tuple[pd.Series, tuple[DataIssue, ...]]

MAX_ABSOLUTE_VALUE = 3.4e38
MAX_CELL_LENGTH = 131_072
NESTED_PATTERN = r"(?s)\s*(?:\[.*\]|\{.*\})\s*"
NESTED_SHARE = 0.5


def read_column(
    column: pd.Series, described: Column, *, missing: Collection[str] = (), decimal: str = "."
) -> ParsedColumn:
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


def read_number(
    column: pd.Series, *, missing: Collection[str] = (), decimal: str = "."
) -> ParsedColumn:
    """Return float64 values, and breaches for cells that are no numbers or out of range.

    Examples
    --------
    >>> read_number(pd.Series(["1", "1e400"], name="a"))[1][0].problem
    '1 of 2 cells are infinite or beyond 3.4e+38'
    """
    values, bad = as_number(column, missing=missing, decimal=decimal)
    breaches = issue_for_cells(
        column, bad, problem="cells are not numbers", remedy=_number_remedy(column, bad, missing)
    )
    far = values.abs() > MAX_ABSOLUTE_VALUE
    out_of_range = issue_for_cells(
        column,
        far,
        problem=f"cells are infinite or beyond {MAX_ABSOLUTE_VALUE:.1e}",
        remedy="Leave such cells empty or correct them.",
    )
    return values.mask(far), breaches + out_of_range


def _number_remedy(column: pd.Series, bad: pd.Series, missing: Collection[str]) -> str:
    name = column.name
    if not bad.any() or not is_text_column(normalize_dtype(column)):
        return f"Write numbers, or set data.columns.{name} in params.yaml."
    cells = strip_cells(normalize_dtype(column)[bad], missing)
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


def read_boolean(column: pd.Series, *, missing: Collection[str] = ()) -> ParsedColumn:
    """Return 1.0, 0.0 and NaN, and a breach for cells that are neither true nor false.

    Examples
    --------
    >>> read_boolean(pd.Series(["true", "2"], name="a"))[1][0].problem
    '1 of 2 cells are neither true nor false'
    """
    values, bad = as_boolean(column, missing=missing)
    remedy = f"Write true or false, or set data.columns.{column.name}: category in params.yaml."
    problem = "cells are neither true nor false"
    return values, issue_for_cells(column, bad, problem=problem, remedy=remedy)


def read_date(
    column: pd.Series, *, missing: Collection[str] = (), days_first: bool | None = None
) -> ParsedColumn:
    """Return points in time, and breaches for cells that are no dates or could be two dates.

    Examples
    --------
    >>> read_date(pd.Series(["01/02/2024", "03/04/2024"], name="a"))[1][0].problem
    '2 of 2 cells are dates whose day and month cannot be told apart'
    """
    values, bad = as_date(column, missing=missing, days_first=days_first)
    read, _ = as_date(column, missing=missing, days_first=True)
    twofold = bad & read.notna() if days_first is None else bad & False
    either_way = issue_for_cells(
        column,
        twofold,
        problem="cells are dates whose day and month cannot be told apart",
        remedy="Write dates as 2024-12-31.",
    )
    no_dates = issue_for_cells(
        column,
        bad & ~twofold,
        problem="cells are not dates",
        remedy=f"Write 2024-12-31, or set data.columns.{column.name}: text in params.yaml.",
    )
    return values, either_way + no_dates


def text_issues(column: pd.Series, *, missing: Collection[str] = ()) -> tuple[DataIssue, ...]:
    """Return breaches where words are mostly lists or JSON, or whole documents.

    Examples
    --------
    >>> text_issues(pd.Series(["[1, 2]", "[3]"], name="a"))[0].problem
    '2 of 2 cells hold lists or JSON'
    """
    cells = as_text(column, missing=missing)
    nested = cells.str.fullmatch(NESTED_PATTERN, na=False)
    few = nested.sum() <= NESTED_SHARE * cells.notna().sum()
    ignored = f"or add {column.name!r} to data.ignore in params.yaml."
    lists = issue_for_cells(
        column,
        nested & (not few),
        problem="cells hold lists or JSON",
        remedy=f"Make columns of their parts, {ignored}",
    )
    long = issue_for_cells(
        column,
        cells.str.len() > MAX_CELL_LENGTH,
        problem=f"cells have more than {MAX_CELL_LENGTH} characters",
        remedy=f"Shorten them, {ignored}",
    )
    return lists + long


def describe_time_column(column: pd.Series, *, missing: Collection[str] = ()) -> Column:
    """Return what the column that orders the rows is: dates where any cell is one, else numbers.

    Examples
    --------
    >>> describe_time_column(pd.Series(["2024-01-31"], name="day")).kind
    'date'
    """
    name, raw = str(column.name), normalize_dtype(column)
    dated = (
        looks_like_dates(strip_cells(raw)).any() if is_text_column(raw) else raw.dtype.kind == "M"
    )
    if not dated:
        return Column(name, "number")
    return Column(name, "date", day_first=detect_day_first(column, missing))


MAX_NUMERIC_CLASSES = 20
MIN_ROWS_PER_CLASS = 10
BOOLEAN_DIGITS = {"true": "1", "false": "0"}
N_BINARY_CLASSES = 2


def parse_class_labels(column: pd.Series, missing: Collection[str] = ()) -> pd.Series:
    """Return a target's cells as class labels: text, NaN where missing.

    Words such as NA are missing among numbers and labels among words.

    Examples
    --------
    >>> parse_class_labels(pd.Series(["1.0", "0", "NA"])).tolist(), parse_class_labels(pd.Series(["no", "NA"])).tolist()
    (['1', '0', nan], ['no', 'NA'])
    """
    cells = as_text(column, missing=missing)
    return mask_missing_words(cells) if number_share(column, missing) == 1 else cells


def infer_task(column: pd.Series, missing: Collection[str] = (), *, decimal: str = ".") -> Task:
    """Return the task that a look at a target suggests.

    Two values: binary. Other words: multiclass. Whole numbers with at most 20 values and ten rows
    for each: multiclass. Other numbers: regression.

    Examples
    --------
    >>> infer_task(pd.Series(["-1", "1"])), infer_task(pd.Series(["1.5", "2.5", "3"]))
    ('binary', 'regression')
    """
    cells = parse_class_labels(column, missing).dropna()
    n_values = cells.nunique()
    if n_values <= N_BINARY_CLASSES:
        return "binary"
    if infer_kind(column, missing, decimal=decimal) != "number":
        return "multiclass"
    values = as_number(column, missing=missing, decimal=decimal)[0].dropna()
    few = n_values <= min(MAX_NUMERIC_CLASSES, len(cells) / MIN_ROWS_PER_CLASS)
    return "multiclass" if few and bool((values % 1 == 0).all()) else "regression"


def resolve_task(column: pd.Series, declared: TableSpec) -> Task:
    """Return the task that is declared, or that a look at the target suggests.

    Raises
    ------
    ValueError
        Where another task is declared than binary, multiclass, regression or auto.

    Examples
    --------
    >>> resolve_task(pd.Series(["a", "b"], name="y"), TableSpec("y"))
    'binary'
    """
    for task in get_args(Task):
        if declared.task == task:
            return task  # type: ignore[no-any-return]
    if declared.task != "auto":
        raise ValueError(f"Expected one of {get_args(Task)}, but got {declared.task=}.")
    return infer_task(column, declared.missing_values, decimal=declared.decimal)


def infer_classes(column: pd.Series, task: Task, declared: TableSpec) -> tuple[str, ...]:
    """Return the classes in the order of their codes; in a binary task the positive is the second.

    Numbers stand in the order of numbers. Where the positive class is `auto` it is the rarer one,
    and of two equally rare ones the later in order.

    Examples
    --------
    >>> infer_classes(pd.Series(["yes", "no", "no"]), "binary", TableSpec("y"))
    ('no', 'yes')
    >>> infer_classes(pd.Series([10, 9, -1]), "multiclass", TableSpec("y"))
    ('-1', '9', '10')
    """
    if task == "regression":
        return ()
    counts = parse_class_labels(column, declared.missing_values).value_counts()
    classes = _sort_classes(list(counts.index))
    if task != "binary" or len(classes) != N_BINARY_CLASSES:
        return tuple(classes)
    chosen = match_class(declared.positive, classes)
    if chosen is None:
        chosen = min(reversed(classes), key=lambda label: counts[label])
    return (*[label for label in classes if label != chosen], chosen)


def _sort_classes(classes: list[str]) -> list[str]:
    numbers = number_share(pd.Series(classes, dtype="str")) == 1
    return sorted(classes, key=float) if numbers else sorted(classes)


def match_class(name: str | float | bool, classes: Sequence[str]) -> str | None:
    """Return the class that params.yaml means, None where it names none.

    Examples
    --------
    >>> match_class(1.0, ("-1", "1")), match_class(True, ("false", "true"))
    ('1', 'true')
    """
    text = as_text(pd.Series([str(name)], dtype="str")).iloc[0]
    if text in classes:
        return str(text)
    return next((label for label in classes if label.lower() == str(text).lower()), None)


def parse_target(column: pd.Series, task: Task, declared: TableSpec) -> pd.Series:
    """Return a target's clean cells: class text, or float64 in regression; NaN where missing.

    Examples
    --------
    >>> parse_target(pd.Series([1.0, None]), "binary", TableSpec("y")).tolist()
    ['1', nan]
    """
    if task == "regression":
        return as_number(column, missing=declared.missing_values, decimal=declared.decimal)[0]
    return parse_class_labels(column, declared.missing_values)


def target_issues(column: pd.Series, declared: TableSpec) -> tuple[DataIssue, ...]:
    """Return what makes a target unusable for its task.

    Examples
    --------
    >>> target_issues(pd.Series(["a", "a"], name="y"), TableSpec("y"))[0].problem
    "all rows have the value 'a'"
    """
    missing, decimal = declared.missing_values, declared.decimal
    cells = parse_class_labels(column, missing)
    unusable = _unusable_target_issues(column, cells)
    if unusable:
        return unusable
    task = resolve_task(column, declared)
    if task == "regression":
        return read_number(column, missing=missing, decimal=decimal)[1]
    return (
        *_mixed_label_issues(column, cells),
        *(
            _continuous_target_issues(column, cells, declared)
            or _class_issues(cells, task, declared.positive)
        ),
    )


def _unusable_target_issues(column: pd.Series, cells: pd.Series) -> tuple[DataIssue, ...]:
    name, values = str(column.name), cells.dropna().unique()
    if len(values) == 0:
        return (DataIssue(name, "the target is missing in all rows", remedy="Give labelled rows."),)
    if len(values) == 1:
        remedy = "Nothing can be learned; choose another target."
        return (DataIssue(name, f"all rows have the value {values[0]!r}", remedy=remedy),)
    if normalize_dtype(column).dtype.kind == "M" or infer_kind(column) == "date":
        return (DataIssue(name, "the target holds dates", remedy="Choose a number or a class."),)
    return ()


def _mixed_label_issues(column: pd.Series, cells: pd.Series) -> tuple[DataIssue, ...]:
    name = str(column.name)
    if column.dtype == object and infer_dtype(column, skipna=True).startswith("mixed"):
        problem = (
            f"labels of several types: {quote_list(sorted({type(v).__name__ for v in column}))}"
        )
        return (DataIssue(name, problem, remedy="Write all labels as one type."),)
    meanings: dict[str, list[str]] = {}
    for label in cells.dropna().unique():
        meanings.setdefault(BOOLEAN_DIGITS.get(label.lower(), label.lower()), []).append(label)
    remedy = "Write them alike."
    return tuple(
        DataIssue(
            name, f"labels that seem to mean the same: {quote_list(sorted(alike))}", remedy=remedy
        )
        for alike in meanings.values()
        if len(alike) > 1
    )


def _continuous_target_issues(
    column: pd.Series, cells: pd.Series, declared: TableSpec
) -> tuple[DataIssue, ...]:
    name, n_values = str(column.name), cells.nunique()
    missing, decimal = declared.missing_values, declared.decimal
    kind = infer_kind(column, missing, decimal=decimal)
    if kind == "number" and n_values > MAX_NUMERIC_CLASSES:
        values = as_number(column, missing=missing, decimal=decimal)[0].dropna()
        if (values % 1 != 0).any():
            remedy = "Set data.task: regression in params.yaml."
            return (DataIssue(name, f"a number with {n_values} values is no class", remedy=remedy),)
    if kind == "text" and n_values * N_BINARY_CLASSES > cells.notna().sum():
        problem = f"{n_values} labels in {cells.notna().sum()} rows look like free text"
        return (DataIssue(name, problem, remedy="Choose a target with classes or numbers."),)
    return ()


def _class_issues(
    cells: pd.Series, task: str, positive: str | float | bool
) -> tuple[DataIssue, ...]:
    name, counts = str(cells.name), cells.value_counts()
    classes, breaches = [str(label) for label in counts.index], []
    if task == "binary" and len(classes) != N_BINARY_CLASSES:
        problem = f"expected 2 classes, found {len(classes)}: {quote_list(classes)}"
        breaches.append(DataIssue(name, problem, remedy="Set data.task: multiclass or regression."))
    if task == "binary" and positive != "auto" and match_class(positive, classes) is None:
        problem = f"no row has the positive class {positive!r}; classes are {quote_list(classes)}"
        remedy = f"{did_you_mean(str(positive), classes).strip()} Set data.positive.".strip()
        breaches.append(DataIssue(name, problem, remedy=remedy))
    rare = [label for label in classes if counts[label] == 1]
    if rare:
        problem = f"{len(rare)} of {len(classes)} classes have a single row: {quote_list(rare)}"
        breaches.append(DataIssue(name, problem, remedy="Add rows, merge classes or drop them."))
    return tuple(breaches)


def literal_missing_words(column: pd.Series) -> list[str]:
    """Return words such as NA that stay ordinary values of a column of words.

    Examples
    --------
    >>> literal_missing_words(pd.Series(["red", "NA", "None"]))
    ['NA', 'None']
    """
    values = as_text(column).dropna().unique()
    return sorted(value for value in values if value.lower() in MISSING_WORDS)
