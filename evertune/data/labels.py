"""Parse labels that arrive after the prediction, one at a time or as a table.

Labels are normalized to the schema's class names or numbers (`normalize_label`). A label dated
in the future is refused. `parse_label_table` keeps the rows that are fine and reports the rest.
A label finds its prediction by the prediction's id or by the identifier column.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from evertune.data.inference import match_class, parse_class_labels
from evertune.data.parsing import as_date, as_number, as_text, normalize_dtype, strip_cells
from evertune.data.schema import TableSchema
from evertune.data.validation import DataIssue, issue_for_cells, quote_list, truncate_cell
from evertune.messages import did_you_mean
from evertune.times import to_naive_timestamp

FUTURE_MESSAGE = "is in the future; a label cannot be known before it is so."
ParsedLabelColumn = tuple[pd.Series, pd.Series]


def normalize_label(raw: object, schema: TableSchema) -> str:
    """Return a label as the log keeps it: the name of its class, or its number.

    Raises
    ------
    ValueError
        Where it is no class or number of the schema; the message says what it could be.

    Examples
    --------
    >>> schema = TableSchema((), "churned", "binary", ("0", "1"))
    >>> normalize_label(1.0, schema), normalize_label(True, TableSchema((), "churned", "binary", ("no", "True")))
    ('1', 'True')
    >>> normalize_label("12.50", TableSchema((), "price", "regression"))
    '12.5'
    """
    if isinstance(raw, str) and raw in schema.classes:
        return raw
    cell = raw if isinstance(raw, float | bool) else str(raw)
    texts, bad = normalize_label_column(pd.Series([cell], dtype=object), schema)
    if bad[0] or pd.isna(texts[0]):
        raise ValueError(
            f"{schema.target!r} is {truncate_cell(ascii(raw))}; {describe_expected_label(raw, schema)}"
        )
    return str(texts[0])


def encode_label(raw: object, schema: TableSchema) -> float:
    """Return a label as its class code or value.

    Raises
    ------
    ValueError
        Where it is no class or number of the schema; the message says what it could be.

    Examples
    --------
    >>> encode_label("yes", TableSchema((), "churned", "binary", ("no", "yes")))
    1.0
    """
    text = normalize_label(raw, schema)
    return float(schema.classes.index(text)) if schema.classes else float(text)


def normalize_label_column(column: pd.Series, schema: TableSchema) -> ParsedLabelColumn:
    """Return labels as the log keeps them, and which cells are no label.

    Parameters
    ----------
    column : Series of n cells
    schema : TableSchema

    Returns
    -------
    Series of str, boolean Series
        NaN where a cell is blank or cannot be read.

    Examples
    --------
    >>> schema = TableSchema((), "churned", "binary", ("no", "yes"))
    >>> texts, bad = normalize_label_column(pd.Series(["YES", "", "?"]), schema)
    >>> texts.tolist(), bad.tolist()
    (['yes', nan, nan], [False, False, True])
    """
    return (
        _normalize_classes(column, schema) if schema.classes else _normalize_numbers(column, schema)
    )


def label_errors(
    raw: object, moment: datetime, *, schema: TableSchema, now: datetime
) -> tuple[str, ...]:
    """Return why a label is refused, a sentence each: no such class or number, or the future.

    Examples
    --------
    >>> from datetime import UTC
    >>> schema, now = TableSchema((), "y", "binary", ("no", "yes")), datetime(2024, 11, 1, tzinfo=UTC)
    >>> label_errors("no", datetime(2024, 11, 2, tzinfo=UTC), schema=schema, now=now)
    ('2024-11-02T00:00:00+00:00 is in the future; a label cannot be known before it is so.',)
    """
    faults = []
    try:
        normalize_label(raw, schema)
    except ValueError as error:
        faults.append(str(error))
    if moment > now:
        faults.append(f"{moment.isoformat()} {FUTURE_MESSAGE}")
    return tuple(faults)


def describe_expected_label(raw: object, schema: TableSchema) -> str:
    """Return what a label could have been, a clause."""
    if not schema.classes:
        return "expected a finite number."
    return f"expected one of {quote_list(schema.classes)}.{did_you_mean(str(raw), schema.classes)}"


def _normalize_classes(column: pd.Series, schema: TableSchema) -> ParsedLabelColumn:
    # missing values that the schema declares are no labels; other words may be names of classes
    cells = parse_class_labels(column, schema.missing_values)
    names = {text: match_class(text, schema.classes) for text in cells.dropna().unique()}
    texts = cells.map(names).astype("str")
    return texts, cells.notna() & texts.isna()


def _normalize_numbers(column: pd.Series, schema: TableSchema) -> ParsedLabelColumn:
    if normalize_dtype(column).dtype == bool:
        return pd.Series(np.nan, index=column.index, dtype="str"), column.notna()
    values, bad = as_number(column, missing=schema.missing_values, decimal=schema.decimal)
    bad |= np.isinf(values)
    return values.mask(bad).map(repr, na_action="ignore").astype("str"), bad


MAX_ID_LENGTH = 200


def id_error(identity: str) -> str | None:
    """Return why a text can be no id, None where it can.

    Examples
    --------
    >>> id_error("order-17"), id_error("")
    (None, 'is empty')
    """
    if not identity:
        return "is empty"
    if len(identity) > MAX_ID_LENGTH:
        return f"has {len(identity)} characters; expected at most {MAX_ID_LENGTH}"
    if not identity.isprintable():
        return "has characters that cannot be printed"
    return None


PREDICTION_ID_COLUMN = "prediction_id"
LABELLED_AT_COLUMN = "labelled_at"
FUTURE_KEY = "the future"


@dataclass(frozen=True, eq=False)
class ParsedLabels:
    """Labels that can be kept, and what was wrong with the others.

    Attributes
    ----------
    labels : DataFrame
        `key` (a prediction's id, or an identifier), `value` as `label_text` writes it, and
        `moment`, datetime64[us] in UTC, NaT where nobody says when.
    by_id : bool
        Whether `key` is the prediction's id.
    refused : int
    breaches : tuple of DataIssue
    """

    labels: pd.DataFrame
    by_id: bool
    refused: int
    breaches: tuple[DataIssue, ...]


def missing_column_issues(table: pd.DataFrame, schema: TableSchema) -> tuple[DataIssue, ...]:
    """Return a breach for each column that a table of labels needs and lacks.

    Examples
    --------
    >>> schema = TableSchema((), "churned", "binary", ("no", "yes"), identifier="customer")
    >>> [found.problem for found in missing_column_issues(pd.DataFrame({"customer": ["a"]}), schema)]
    ["expected a column 'churned' with the labels"]
    """
    names, breaches = [str(name) for name in table.columns], []
    keys = [PREDICTION_ID_COLUMN, *([schema.identifier] if schema.identifier else [])]
    if not set(keys) & set(names):
        problem = f"expected a column {' or '.join(repr(key) for key in keys)}"
        breaches.append(DataIssue(None, problem, remedy=did_you_mean(keys[-1], names).strip()))
    if schema.target not in names:
        problem = f"expected a column {schema.target!r} with the labels"
        breaches.append(DataIssue(None, problem, remedy=did_you_mean(schema.target, names).strip()))
    return tuple(breaches)


def parse_label_table(table: pd.DataFrame, schema: TableSchema, *, now: datetime) -> ParsedLabels:
    """Return the labels of a table; a row without one is left out.

    Parameters
    ----------
    table : DataFrame
        A row a label, with what `missing_column_issues` asks for, and perhaps `labelled_at`.
    schema : TableSchema
    now : datetime
        A label from after it is refused.

    Examples
    --------
    >>> from datetime import UTC
    >>> schema = TableSchema((), "churned", "binary", ("no", "yes"))
    >>> table = pd.DataFrame({"prediction_id": ["a", "b"], "churned": ["yes", "perhaps"]})
    >>> given = parse_label_table(table, schema, now=datetime(2024, 11, 1, tzinfo=UTC))
    >>> given.labels["key"].tolist(), given.breaches[0].problem
    (['a'], '1 of 2 cells are no labels')
    """
    table = table.reset_index(drop=True).set_axis(table.columns.map(str), axis="columns")
    key_name = (
        PREDICTION_ID_COLUMN if PREDICTION_ID_COLUMN in table.columns else str(schema.identifier)
    )
    keys = (
        _parse_ids(table[key_name])
        if key_name == PREDICTION_ID_COLUMN
        else as_text(table[key_name])
    )
    texts, no_label = normalize_label_column(table[schema.target], schema)
    moments, no_date = _parse_label_times(table)
    said = texts.notna()
    faulty = {
        key_name: said & (keys.isna() | keys.map(id_error, na_action="ignore").notna()),
        schema.target: no_label,
        LABELLED_AT_COLUMN: said & no_date,
        FUTURE_KEY: said & (moments > to_naive_timestamp(now)),
    }
    refused = pd.DataFrame(faulty).any(axis="columns")
    labels = pd.DataFrame({"key": keys, "value": texts, "moment": moments})[said & ~refused]
    return ParsedLabels(
        labels.reset_index(drop=True),
        by_id=key_name == PREDICTION_ID_COLUMN,
        refused=int(refused.sum()),
        breaches=tuple(_label_table_issues(table, faulty, schema)),
    )


def _label_table_issues(
    table: pd.DataFrame, faulty: dict[str, pd.Series], schema: TableSchema
) -> Iterator[DataIssue]:
    wrong = table.loc[faulty[schema.target], schema.target]
    words = {
        schema.target: (
            "cells are no labels",
            describe_expected_label(next(iter(wrong), ""), schema),
        ),
        LABELLED_AT_COLUMN: ("cells are no dates", "write 2024-12-31."),
        FUTURE_KEY: ("labels are from the future", "nothing is known before it is so."),
    }
    for name, rows in faulty.items():
        problem, remedy = words.get(name, ("cells name no prediction", "give the id it came with."))
        column = LABELLED_AT_COLUMN if name == FUTURE_KEY else name
        if rows.any():
            cells = table[column]
            yield from issue_for_cells(
                cells, rows, problem=problem, remedy=remedy[0].upper() + remedy[1:]
            )


def _parse_ids(column: pd.Series) -> pd.Series:
    column = normalize_dtype(column)
    return strip_cells(column.map(str, na_action="ignore").astype("str"))


def _parse_label_times(table: pd.DataFrame) -> ParsedLabelColumn:
    """Return when each label became so, NaT where nobody says, and which cells are no dates."""
    if LABELLED_AT_COLUMN in table.columns:
        return as_date(table[LABELLED_AT_COLUMN])
    nobody = pd.Series(pd.NaT, index=table.index, dtype="datetime64[us]")
    return nobody, pd.Series(False, index=table.index)
