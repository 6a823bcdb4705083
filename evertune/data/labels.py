"""Parse labels that arrive after the prediction, one at a time or as a table.

Labels are normalized to the schema's class names or numbers. A label dated in the future is
refused. `parse_label_table` keeps the good rows and reports the rest. A label finds its
prediction by the prediction's id or by the identifier column.
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from evertune.data.parsing import as_date, as_number, as_text, normalize_dtype, strip_cells
from evertune.data.schema import TableSchema
from evertune.data.target import match_class, parse_class_labels
from evertune.data.validation import DataIssue, issue_for_cells, quote_list
from evertune.messages import did_you_mean
from evertune.times import to_naive_timestamp

PREDICTION_ID_COLUMN = "prediction_id"
LABELLED_AT_COLUMN = "labelled_at"
FUTURE_MESSAGE = "is in the future; a label cannot be known before its time."
MAX_ID_LENGTH = 200


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
    """

    labels: pd.DataFrame
    by_id: bool
    n_refused: int
    issues: tuple[DataIssue, ...]


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
    values, bad = as_number(column, missing=schema.missing_values, decimal=schema.decimal)
    bad |= np.isinf(values)
    return values.mask(bad).map(repr, na_action="ignore").astype("str"), bad


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
    `labelled_at`. A label later than `now` is refused.
    """
    table = table.reset_index(drop=True).set_axis(table.columns.map(str), axis="columns")
    by_id = PREDICTION_ID_COLUMN in table.columns
    key_name = PREDICTION_ID_COLUMN if by_id else str(schema.identifier)
    if by_id:  # an id is not a number: 1.0 stays 1.0
        ids = normalize_dtype(table[key_name]).map(str, na_action="ignore")
        keys = strip_cells(ids.astype("str"))
    else:
        keys = as_text(table[key_name])
    texts, no_label = normalize_label_column(table[schema.target], schema)
    moments = pd.Series(pd.NaT, index=table.index, dtype="datetime64[us]")
    no_date = pd.Series(False, index=table.index)
    if LABELLED_AT_COLUMN in table.columns:
        moments, no_date = as_date(table[LABELLED_AT_COLUMN])
    filled = texts.notna()
    first_bad = next(iter(table.loc[no_label, schema.target]), "")
    expected = describe_expected_label(first_bad, schema)
    no_key = keys.isna() | keys.map(id_error, na_action="ignore").notna()
    in_future = moments > to_naive_timestamp(now)
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
    return ParsedLabels(
        labels.reset_index(drop=True),
        by_id=by_id,
        n_refused=int(refused.sum()),
        issues=tuple(issues),
    )
