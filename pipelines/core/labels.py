"""Labels as people and systems write them, read as the schema's classes or numbers."""

from datetime import datetime

import numpy as np
import pandas as pd

from pipelines.core.breaches import listed, shortened
from pipelines.core.cells import as_number, plain
from pipelines.core.schema import Schema
from pipelines.core.targets import labels, named_class
from pipelines.core.wording import did_you_mean

FUTURE = "is in the future; a label cannot be known before it is so."
Texts = tuple[pd.Series, pd.Series]


def label_text(raw: object, schema: Schema) -> str:
    """Return a label as the log keeps it: the name of its class, or its number.

    Raises
    ------
    ValueError
        Where it is no class or number of the schema; the message says what it could be.

    Examples
    --------
    >>> schema = Schema((), "churned", "binary", ("0", "1"))
    >>> label_text(1.0, schema), label_text(True, Schema((), "churned", "binary", ("no", "True")))
    ('1', 'True')
    >>> label_text("12.50", Schema((), "price", "regression"))
    '12.5'
    """
    if isinstance(raw, str) and raw in schema.classes:
        return raw
    cell = raw if isinstance(raw, float | bool) else str(raw)
    texts, bad = label_texts(pd.Series([cell], dtype=object), schema)
    if bad[0] or pd.isna(texts[0]):
        raise ValueError(
            f"{schema.target!r} is {shortened(ascii(raw))}; {expected_label(raw, schema)}"
        )
    return str(texts[0])


def read_label(raw: object, schema: Schema) -> float:
    """Return a label as its class code or value.

    Raises
    ------
    ValueError
        Where it is no class or number of the schema; the message says what it could be.

    Examples
    --------
    >>> read_label("yes", Schema((), "churned", "binary", ("no", "yes")))
    1.0
    """
    text = label_text(raw, schema)
    return float(schema.classes.index(text)) if schema.classes else float(text)


def label_texts(column: pd.Series, schema: Schema) -> Texts:
    """Return labels as the log keeps them, and which cells are no label.

    Parameters
    ----------
    column : Series of n cells
    schema : Schema

    Returns
    -------
    Series of str, boolean Series
        NaN where a cell is blank or cannot be read.

    Examples
    --------
    >>> schema = Schema((), "churned", "binary", ("no", "yes"))
    >>> texts, bad = label_texts(pd.Series(["YES", "", "?"]), schema)
    >>> texts.tolist(), bad.tolist()
    (['yes', nan, nan], [False, False, True])
    """
    return _class_texts(column, schema) if schema.classes else _number_texts(column, schema)


def label_faults(
    raw: object, moment: datetime, *, schema: Schema, now: datetime
) -> tuple[str, ...]:
    """Return why a label is refused, a sentence each: no such class or number, or the future.

    Examples
    --------
    >>> from datetime import UTC
    >>> schema, now = Schema((), "y", "binary", ("no", "yes")), datetime(2024, 11, 1, tzinfo=UTC)
    >>> label_faults("no", datetime(2024, 11, 2, tzinfo=UTC), schema=schema, now=now)
    ('2024-11-02T00:00:00+00:00 is in the future; a label cannot be known before it is so.',)
    """
    faults = []
    try:
        label_text(raw, schema)
    except ValueError as error:
        faults.append(str(error))
    if moment > now:
        faults.append(f"{moment.isoformat()} {FUTURE}")
    return tuple(faults)


def expected_label(raw: object, schema: Schema) -> str:
    """Return what a label could have been, a clause."""
    if not schema.classes:
        return "expected a finite number."
    return f"expected one of {listed(schema.classes)}.{did_you_mean(str(raw), schema.classes)}"


def _class_texts(column: pd.Series, schema: Schema) -> Texts:
    # missing values that the schema declares are no labels; other words may be names of classes
    cells = labels(column, schema.missing_values)
    names = {text: named_class(text, schema.classes) for text in cells.dropna().unique()}
    texts = cells.map(names).astype("str")
    return texts, cells.notna() & texts.isna()


def _number_texts(column: pd.Series, schema: Schema) -> Texts:
    if plain(column).dtype == bool:
        return pd.Series(np.nan, index=column.index, dtype="str"), column.notna()
    values, bad = as_number(column, missing=schema.missing_values, decimal=schema.decimal)
    bad |= np.isinf(values)
    return values.mask(bad).map(repr, na_action="ignore").astype("str"), bad
