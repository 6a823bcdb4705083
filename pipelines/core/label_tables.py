"""A table of labels that came late, read row by row."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from pipelines.core.breaches import Breach, cell_breach
from pipelines.core.cells import as_text, plain, stripped
from pipelines.core.dates import as_date
from pipelines.core.findings import naive
from pipelines.core.labels import Texts, expected_label, label_texts
from pipelines.core.row_ids import id_fault
from pipelines.core.schema import Schema
from pipelines.core.wording import did_you_mean

PREDICTION_ID = "prediction_id"
LABELLED_AT = "labelled_at"
FUTURE = "the future"


@dataclass(frozen=True, eq=False)
class Given:
    """Labels that can be kept, and what was wrong with the others.

    Attributes
    ----------
    labels : DataFrame
        `key` (a prediction's id, or an identifier), `value` as `label_text` writes it, and
        `moment`, datetime64[us] in UTC, NaT where nobody says when.
    by_id : bool
        Whether `key` is the prediction's id.
    refused : int
    breaches : tuple of Breach
    """

    labels: pd.DataFrame
    by_id: bool
    refused: int
    breaches: tuple[Breach, ...]


def missing_columns(table: pd.DataFrame, schema: Schema) -> tuple[Breach, ...]:
    """Return a breach for each column that a table of labels needs and lacks.

    Examples
    --------
    >>> schema = Schema((), "churned", "binary", ("no", "yes"), identifier="customer")
    >>> [found.problem for found in missing_columns(pd.DataFrame({"customer": ["a"]}), schema)]
    ["expected a column 'churned' with the labels"]
    """
    names, breaches = [str(name) for name in table.columns], []
    keys = [PREDICTION_ID, *([schema.identifier] if schema.identifier else [])]
    if not set(keys) & set(names):
        problem = f"expected a column {' or '.join(repr(key) for key in keys)}"
        breaches.append(Breach(None, problem, remedy=did_you_mean(keys[-1], names).strip()))
    if schema.target not in names:
        problem = f"expected a column {schema.target!r} with the labels"
        breaches.append(Breach(None, problem, remedy=did_you_mean(schema.target, names).strip()))
    return tuple(breaches)


def given_labels(table: pd.DataFrame, schema: Schema, *, now: datetime) -> Given:
    """Return the labels of a table; a row without one is left out.

    Parameters
    ----------
    table : DataFrame
        A row a label, with what `missing_columns` asks for, and perhaps `labelled_at`.
    schema : Schema
    now : datetime
        A label from after it is refused.

    Examples
    --------
    >>> from datetime import UTC
    >>> schema = Schema((), "churned", "binary", ("no", "yes"))
    >>> table = pd.DataFrame({"prediction_id": ["a", "b"], "churned": ["yes", "perhaps"]})
    >>> given = given_labels(table, schema, now=datetime(2024, 11, 1, tzinfo=UTC))
    >>> given.labels["key"].tolist(), given.breaches[0].problem
    (['a'], '1 of 2 cells are no labels')
    """
    table = table.reset_index(drop=True).set_axis(table.columns.map(str), axis="columns")
    key_name = PREDICTION_ID if PREDICTION_ID in table.columns else str(schema.identifier)
    keys = _ids(table[key_name]) if key_name == PREDICTION_ID else as_text(table[key_name])
    texts, no_label = label_texts(table[schema.target], schema)
    moments, no_date = _moments(table)
    said = texts.notna()
    faulty = {
        key_name: said & (keys.isna() | keys.map(id_fault, na_action="ignore").notna()),
        schema.target: no_label,
        LABELLED_AT: said & no_date,
        FUTURE: said & (moments > naive(now)),
    }
    refused = pd.DataFrame(faulty).any(axis="columns")
    labels = pd.DataFrame({"key": keys, "value": texts, "moment": moments})[said & ~refused]
    return Given(
        labels.reset_index(drop=True),
        by_id=key_name == PREDICTION_ID,
        refused=int(refused.sum()),
        breaches=tuple(_breaches(table, faulty, schema)),
    )


def _breaches(
    table: pd.DataFrame, faulty: dict[str, pd.Series], schema: Schema
) -> Iterator[Breach]:
    wrong = table.loc[faulty[schema.target], schema.target]
    words = {
        schema.target: ("cells are no labels", expected_label(next(iter(wrong), ""), schema)),
        LABELLED_AT: ("cells are no dates", "write 2024-12-31."),
        FUTURE: ("labels are from the future", "nothing is known before it is so."),
    }
    for name, rows in faulty.items():
        problem, remedy = words.get(name, ("cells name no prediction", "give the id it came with."))
        column = LABELLED_AT if name == FUTURE else name
        if rows.any():
            cells = table[column]
            yield from cell_breach(
                cells, rows, problem=problem, remedy=remedy[0].upper() + remedy[1:]
            )


def _ids(column: pd.Series) -> pd.Series:
    column = plain(column)
    return stripped(column.map(str, na_action="ignore").astype("str"))


def _moments(table: pd.DataFrame) -> Texts:
    """Return when each label became so, NaT where nobody says, and which cells are no dates."""
    if LABELLED_AT in table.columns:
        return as_date(table[LABELLED_AT])
    nobody = pd.Series(pd.NaT, index=table.index, dtype="datetime64[us]")
    return nobody, pd.Series(False, index=table.index)
