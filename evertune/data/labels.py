"""Parse labels that arrive after the prediction, one at a time or as a table.

Labels are normalized to the schema's class names or numbers. A label dated in the future is
refused (but for clocks that differ by minutes), and so are two labels that contradict each other.
`parse_label_table` keeps the good rows and reports the rest. A label finds its prediction by the
prediction's id or by the identifier column; `explain_unknown_id` says why one finds none.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from difflib import SequenceMatcher

import numpy as np
import pandas as pd

from evertune.data.parsing import as_date, as_number, as_text, normalize_dtype, strip_cells
from evertune.data.schema import TableSchema
from evertune.data.target import match_class, parse_class_labels
from evertune.data.validation import DataIssue, issue_for_cells, quote_list, truncate_cell
from evertune.messages import did_you_mean
from evertune.times import to_naive_timestamp

PREDICTION_ID_COLUMN = "prediction_id"
LABELLED_AT_COLUMN = "labelled_at"
FUTURE_MESSAGE = "is in the future; a label cannot be known before its time."
MAX_ID_LENGTH = 200
MAX_CLOCK_SKEW = timedelta(minutes=5)  # between machines
MAX_CONFLICTS_SHOWN = 5
MAX_CLASSES_SHOWN = 5
MISSPELT_SIMILARITY = 0.85
EXACT_DIGITS = 15  # of a number in a spreadsheet
EXPONENT_PATTERN = re.compile(r"([0-9])(?:[.,]([0-9]+))?[eE]\+?([0-9]{1,2})")


@dataclass(frozen=True, eq=False)
class ParsedLabels:
    """Labels that can be stored, and the issues of the others.

    Attributes
    ----------
    labels : DataFrame
        `key` (a prediction's id, or an identifier), `value` as `normalize_label_column` writes
        it, and `moment`, datetime64[us] in UTC, NaT if the table has none.
    by_id : bool
        Whether `key` is the prediction's id.
    n_refused : int
        Rows with an issue.
    unknown_classes : tuple of str
        Classes that the schema does not know; their labels are among `labels`.
    """

    labels: pd.DataFrame
    by_id: bool
    n_refused: int
    issues: tuple[DataIssue, ...]
    unknown_classes: tuple[str, ...] = ()


def normalize_label_column(column: pd.Series, schema: TableSchema) -> tuple[pd.Series, pd.Series]:
    """Return labels as the prediction log stores them, and a mask of the cells that are none.

    A label is the name of its class, or its number. NaN if a cell is blank or bad.

    Examples
    --------
    >>> schema = TableSchema((), "churned", "binary", ("no", "yes"))
    >>> texts, bad = normalize_label_column(pd.Series(["YES", "", "?"]), schema)
    >>> texts.tolist(), bad.tolist()
    (['yes', nan, nan], [False, False, True])
    """
    if schema.classes:
        # words that the schema declares missing are not labels; other words may name classes
        cells = parse_class_labels(column, schema.missing_values)
        names = {text: match_class(text, schema.classes) for text in cells.dropna().unique()}
        texts = cells.map(names).astype("str")
        return texts, cells.notna() & texts.isna()
    if normalize_dtype(column).dtype == bool:
        return pd.Series(np.nan, index=column.index, dtype="str"), column.notna()
    written = schema.format_of(schema.target_format)
    values, bad = as_number(column, missing=schema.missing_values, number_format=written)
    bad |= np.isinf(values)
    return values.mask(bad).map(repr, na_action="ignore").astype("str"), bad


def read_labels(column: pd.Series, schema: TableSchema) -> tuple[pd.Series, pd.Series]:
    """Return labels and a mask as `normalize_label_column`, with classes that are not known yet.

    A class that the schema does not know is kept as it is written, if it does not look like a known
    one misspelt, and other labels of the column are of known classes.

    Examples
    --------
    >>> schema = TableSchema((), "churned", "binary", ("no", "yes"))
    >>> read_labels(pd.Series(["yes", "paused", "yess"]), schema)[0].tolist()
    ['yes', 'paused', nan]
    >>> read_labels(pd.Series(["paused"]), schema)[0].tolist()
    [nan]
    """
    texts, no_label = normalize_label_column(column, schema)
    if not texts.notna().any():
        return texts, no_label
    new_classes = _new_class_names(column, no_label, schema)
    return texts.fillna(new_classes), no_label & new_classes.isna()


def describe_expected_label(raw: object, schema: TableSchema) -> str:
    """Return what a label could have been, a clause."""
    if not schema.classes:
        return "expected a finite number."
    return f"expected one of {quote_list(schema.classes)}.{did_you_mean(str(raw), schema.classes)}"


def id_error(identity: str) -> str | None:
    """Return why a text cannot be an id, None if it can."""
    if not identity:
        return "is empty"
    if len(identity) > MAX_ID_LENGTH:
        return f"has {len(identity)} characters; expected at most {MAX_ID_LENGTH}"
    if not identity.isprintable():
        return "has characters that cannot be printed"
    return None


def missing_column_issues(table: pd.DataFrame, schema: TableSchema) -> tuple[DataIssue, ...]:
    """Return an issue for each column that a table of labels needs and lacks."""
    names, issues = [str(name) for name in table.columns], []
    keys = [PREDICTION_ID_COLUMN, *([schema.identifier] if schema.identifier else [])]
    if not set(keys) & set(names):
        problem = f"expected a column {' or '.join(repr(key) for key in keys)}"
        issues.append(DataIssue(None, problem, remedy=did_you_mean(keys[-1], names).strip()))
    if schema.target not in names:
        problem = f"expected a column {schema.target!r} with the labels"
        issues.append(DataIssue(None, problem, remedy=did_you_mean(schema.target, names).strip()))
    return tuple(issues)


def parse_label_table(table: pd.DataFrame, schema: TableSchema, *, now: datetime) -> ParsedLabels:
    """Return the labels of a table; a row without one is skipped.

    The table has the columns that `missing_column_issues` checks for, and optionally
    `labelled_at`. A label later than `now` is refused, and so are all labels that one id has for
    one time where they differ.

    `read_labels` says which classes that the schema does not know are kept.
    """
    table = table.reset_index(drop=True).set_axis(table.columns.map(str), axis="columns")
    by_id = PREDICTION_ID_COLUMN in table.columns
    key_name = PREDICTION_ID_COLUMN if by_id else str(schema.identifier)
    if by_id:  # an id is not a number: 1.0 stays 1.0
        ids = normalize_dtype(table[key_name]).map(str, na_action="ignore")
        keys = strip_cells(ids.astype("str"))
    else:
        keys = as_text(table[key_name])
    texts, no_label = read_labels(table[schema.target], schema)
    moments = pd.Series(pd.NaT, index=table.index, dtype="datetime64[us]")
    no_date = pd.Series(False, index=table.index)
    if LABELLED_AT_COLUMN in table.columns:
        moments, no_date = as_date(table[LABELLED_AT_COLUMN])
    filled = texts.notna()
    first_bad = next(iter(table.loc[no_label, schema.target]), "")
    expected = describe_expected_label(first_bad, schema)
    no_key = keys.isna() | keys.map(id_error, na_action="ignore").notna()
    in_future = moments > to_naive_timestamp(now + MAX_CLOCK_SKEW)
    checks = (
        (key_name, filled & no_key, "cells name no prediction", "Give the prediction's id."),
        (schema.target, no_label, "cells are not labels", expected[0].upper() + expected[1:]),
        (LABELLED_AT_COLUMN, filled & no_date, "cells are not dates", "Write 2024-12-31."),
        (
            LABELLED_AT_COLUMN,
            filled & in_future,
            "labels are from the future",
            "A label cannot be known before its time.",
        ),
    )
    issues: list[DataIssue] = []
    refused = pd.Series(False, index=table.index)
    for column, faulty, problem, remedy in checks:
        if faulty.any():
            refused |= faulty
            issues += issue_for_cells(table[column], faulty, problem=problem, remedy=remedy)
    labels = pd.DataFrame({"key": keys, "value": texts, "moment": moments})[filled & ~refused]
    n_values = labels.groupby(["key", "moment"], dropna=False)["value"].transform("nunique")
    conflicting = labels[n_values > 1]
    issues += _conflict_issues(conflicting, key_name)
    labels = labels.drop(conflicting.index).reset_index(drop=True)
    names = dict.fromkeys(labels["value"]) if schema.classes else {}
    return ParsedLabels(
        labels,
        by_id=by_id,
        n_refused=int(refused.sum()) + len(conflicting),
        issues=tuple(issues),
        unknown_classes=tuple(name for name in names if name not in schema.classes),
    )


def _new_class_names(column: pd.Series, no_label: pd.Series, schema: TableSchema) -> pd.Series:
    """Return the cells that may name a class that the schema does not know; NaN for all others."""
    if not schema.classes:
        return pd.Series(np.nan, index=column.index, dtype="str")
    cells = parse_class_labels(column, schema.missing_values).where(no_label)
    names = {
        text: text
        for text in cells.dropna().unique()
        if any(letter.isalnum() for letter in text)
        and not id_error(text)
        and not any(_is_misspelt(text, known) for known in schema.classes)
    }
    return cells.map(names).astype("str")


def _is_misspelt(text: str, known: str) -> bool:
    """Return whether a text is nearly that of a class; `plan 3` is none of `plan 2`."""
    a, b = ("".join(filter(str.isalnum, each.casefold())) for each in (text, known))
    if re.sub("[^0-9]", "", a) != re.sub("[^0-9]", "", b):
        return False
    return SequenceMatcher(None, a, b).ratio() >= MISSPELT_SIMILARITY


def _conflict_issues(labels: pd.DataFrame, key_name: str) -> list[DataIssue]:
    """Return an issue for each id that has two labels for one time, the first five."""
    issues = []
    for (key, _), rows in labels.groupby(["key", "moment"], dropna=False, sort=False):
        first = rows.iloc[0]
        other = rows[rows["value"] != first["value"]].iloc[0]
        day = "" if pd.isna(first["moment"]) else f", both for {first['moment']}"
        issues.append(
            DataIssue(
                key_name,
                f"{truncate_cell(key)!r} has two labels: {first['value']!r} in row"
                f" {rows.index[0] + 1} and {other['value']!r} in row {other.name + 1}{day}",
                remedy=f"Keep the right one; or, if both were true, tell when in a column"
                f" {LABELLED_AT_COLUMN!r}.",
            )
        )
    more = len(issues) - MAX_CONFLICTS_SHOWN
    if more > 0:
        issues[MAX_CONFLICTS_SHOWN:] = [DataIssue(key_name, f"{more} more ids have two labels")]
    return issues


def new_classes_note(labels: Mapping[str, int]) -> str:
    """Return how many labels are of classes that the model does not know, a sentence."""
    n_labels, most = sum(labels.values()), sorted(labels, key=lambda name: -labels[name])
    shown = ", ".join(f"{name!r} {labels[name]}" for name in most[:MAX_CLASSES_SHOWN])
    more = ", ..." if len(most) > MAX_CLASSES_SHOWN else ""
    are = "label is of a class" if n_labels == 1 else "labels are of classes"
    return (
        f"{n_labels} {are} that the model does not know ({shown}{more}): kept, and not judged until"
        " a version is trained on a table that has the class"
    )


def explain_unknown_id(unknown: Sequence[str], known: Collection[str]) -> tuple[str, str, str]:
    """Return an unknown id, the known one that it was probably meant to be, and what went wrong.

    Spreadsheets write 00300 as 300 and 1577134800018226901 as 1.57713E+18, and tables with an
    empty cell write 300 as 300.0.

    Returns
    -------
    unknown, known, cause : str
        The cause is "" where no id looks like another; then each is the first of its list.

    Examples
    --------
    >>> explain_unknown_id(["7", "300.0"], ["00299", "00300"])
    ('300.0', '00300', "'.0' was added, and leading zeros were lost")
    >>> explain_unknown_id(["1.57713E+18"], ["1577134800018226901"])[2]
    'digits were lost in the exponent form of a spreadsheet'
    >>> explain_unknown_id(["a"], ["b"])
    ('a', 'b', '')
    """
    by_plain = {_plain_id(each): each for each in known}
    for each in unknown:
        meant = by_plain.get(_plain_id(each))
        if meant is not None:
            causes = [
                cause
                for cause in ID_CHANGES
                if _plain_id(each, without=cause) != _plain_id(meant, without=cause)
            ]
            return each, meant, ", and ".join(causes) or "they are written differently"
    shortened = next(filter(EXPONENT_PATTERN.fullmatch, unknown), None)
    if shortened is not None:
        value = Decimal(shortened.replace(",", "."))
        n_digits = len(value.as_tuple().digits) - 1
        for each in known:
            if (
                each.isascii()
                and each.isdecimal()
                and value == Decimal(f"{Decimal(each):.{n_digits}E}")
            ):
                cause = "digits were lost in the exponent form of a spreadsheet"
                return shortened, each, cause
    return unknown[0], next(iter(known), ""), ""


def _plain_id(text: str, *, without: str | None = None) -> str:
    """Return an id without what tables often change, but for one of these changes."""
    for cause, change in ID_CHANGES.items():
        if cause != without:
            text = change(text)
    return text


def _expand_exponent(text: str) -> str:
    is_number = EXPONENT_PATTERN.fullmatch(text)
    return format(Decimal(text.replace(",", ".")), "f") if is_number else text


def _without_inexact_digits(text: str) -> str:
    if not (text.isdecimal() and len(text) > EXACT_DIGITS):
        return text
    return text[:EXACT_DIGITS].ljust(len(text), "0")


ID_CHANGES: dict[str, Callable[[str], str]] = {
    "blanks or quotes differ": lambda text: re.sub("[\\s\u200b\ufeff'\"]+", "", text),
    "upper and lower case differ": str.casefold,
    "a number was written with an exponent": _expand_exponent,
    "'.0' was added": lambda text: re.sub(r"\.0+$", "", text),
    "leading zeros were lost": lambda text: text.lstrip("0") or "0",
    f"digits after the {EXACT_DIGITS}th were lost": _without_inexact_digits,
}
