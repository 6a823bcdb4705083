"""Load labels that came late.

Reads a table. Writes to the prediction log, where labels join their predictions.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pandas as pd

from pipelines.core.breaches import breach_text
from pipelines.core.findings import aware
from pipelines.core.label_tables import Given, given_labels, missing_columns
from pipelines.core.schema import Schema
from pipelines.errors import TableError
from pipelines.params import load_params
from pipelines.stores.database import Log, opened_log
from pipelines.stores.labels import Label, LabelCounts, append_labels, ids_of_identifiers
from pipelines.stores.schemas import champion_schema
from pipelines.stores.tracking import open_store


def label_table(root: Path, table: pd.DataFrame, *, now: datetime) -> LabelCounts:
    """Return what the labels of a table were, each case counted.

    Parameters
    ----------
    root : Path
        The project's folder.
    table : DataFrame
        A row a label: `prediction_id` or the identifier column, the target column, and
        `labelled_at` where it is known when the label became so. A row without label is left out.
    now : datetime
        A label from after it is refused.

    Raises
    ------
    TableError
        Where columns are missing, or no label of the table can be used.
    """
    params = load_params(root)
    state, name = params.paths.state, params.registry.name
    given = _usable(table, champion_schema(open_store(state, name)), now)
    with opened_log(state, model=name, variable=params.scoring.log_variable) as log:
        return _loaded(log, given, now, at_once=params.scoring.batch_rows)


def _usable(table: pd.DataFrame, schema: Schema, now: datetime) -> Given:
    missing = missing_columns(table, schema)
    if missing:
        raise TableError(f"The table of labels cannot be used.\n{breach_text(missing)}")
    given = given_labels(table, schema, now=now)
    if given.labels.empty and given.refused:
        raise TableError(f"No label of the table can be used.\n{breach_text(given.breaches)}")
    return given


def _loaded(log: Log, given: Given, now: datetime, *, at_once: int) -> LabelCounts:
    faults = tuple(breach_text(given.breaches).splitlines())
    counts = LabelCounts(refused=given.refused, faults=faults)
    for first in range(0, len(given.labels), at_once):
        some = given.labels.iloc[first : first + at_once]
        ids = dict(zip(some["key"], some["key"], strict=True))
        if not given.by_id:
            ids = ids_of_identifiers(log, some["key"])
        labels = list(_labels(some, ids, now))
        added = append_labels(log, labels, received=now)
        counts = _sum(counts, replace(added, unknown=len(some) - len(labels)))
    return counts


def _labels(some: pd.DataFrame, ids: dict[str, str], now: datetime) -> Iterator[Label]:
    for key, value, moment in zip(some["key"], some["value"], some["moment"], strict=True):
        if key in ids:
            dated = not pd.isna(moment)
            yield Label(ids[key], value, aware(moment) if dated else now, dated=dated)


def _sum(one: LabelCounts, other: LabelCounts) -> LabelCounts:
    return LabelCounts(
        new=one.new + other.new,
        repeated=one.repeated + other.repeated,
        corrected=one.corrected + other.corrected,
        early=one.early + other.early,
        unknown=one.unknown + other.unknown,
        refused=one.refused + other.refused,
        faults=one.faults + other.faults,
    )
