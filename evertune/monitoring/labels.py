"""Labels of predictions: append-only events, in any order, late, or more than once.

The effective label of a prediction is the one with the newest moment; of two with the same
moment, the one received last. The same event (id, moment and value) given again changes
nothing. `load_label_table` loads a table of late labels and counts each case (`LabelCounts`);
`append_labels` is what it and the service write through.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from pathlib import Path

import pandas as pd
from sqlalchemy import Connection, and_, distinct, func, select

from evertune.config.loader import load_params
from evertune.data.labels import ParsedLabels, missing_column_issues, parse_label_table
from evertune.data.schema import TableSchema
from evertune.data.validation import format_issues
from evertune.database import (
    LABELS,
    PREDICTIONS,
    ModelLog,
    closing_log,
    insert_if_absent,
    is_postgresql,
    read_transaction,
    select_in_batches,
    to_microseconds,
    write_transaction,
)
from evertune.errors import TableError
from evertune.registry.mlflow_client import open_tracking_store
from evertune.registry.versions import load_champion_schema
from evertune.times import to_utc_datetime

EffectiveLabels = dict[str, tuple[int, str] | None]


@dataclass(frozen=True)
class Label:
    """What turned out about a prediction.

    Attributes
    ----------
    id : str
        Of the prediction, which may come later.
    value : str
        As `label_text` writes it: the name of a class, or a number.
    moment : datetime
        When it became known.
    dated : bool
        False where nobody said when, and `moment` is when it was given. Such a label is kept only
        where it says something new, so that a table of all labels can be loaded every day.
    """

    id: str
    value: str
    moment: datetime
    dated: bool = True


@dataclass(frozen=True)
class LabelCounts:
    """What labels were, once they were compared with those that are there.

    Attributes
    ----------
    new : int
        The first of a prediction in the log.
    repeated : int
        The value that the prediction's effective label has anyway.
    corrected : int
        Another value than the effective label has; the newer of the two counts.
    early : int
        Of ids that have no prediction yet; such a label counts once the prediction comes.
    unknown : int
        Of identifiers that were never predicted; nothing could be kept.
    refused : int
        From the future, or no class or number; nothing was kept.
    faults : tuple of str
        Why labels were refused, a sentence each.
    """

    new: int = 0
    repeated: int = 0
    corrected: int = 0
    early: int = 0
    unknown: int = 0
    refused: int = 0
    faults: tuple[str, ...] = ()


def append_labels(log: ModelLog, labels: Sequence[Label], *, received: datetime) -> LabelCounts:
    """Return what the labels were; they are kept, all of them or none.

    Parameters
    ----------
    log : ModelLog
    labels : sequence of Label
        Checked by `label_faults`.
    received : datetime
        By the clock.
    """
    # in the order of their ids, as every writer; of one id they stay in the order given
    ordered = sorted(labels, key=attrgetter("id"))
    with write_transaction(log) as connection:
        if is_postgresql(log):
            # two loaders at once would both call the same label new
            connection.exec_driver_sql("LOCK TABLE labels IN SHARE ROW EXCLUSIVE MODE")
        cases = _classify_labels(
            ordered, _effective_labels(log, connection, {label.id for label in ordered})
        )
        kept = [label for label, case in cases if label.dated or case != "repeated"]
        if kept:
            rows = [_label_row(log, label, to_microseconds(received)) for label in kept]
            connection.execute(insert_if_absent(log, LABELS), rows)
    counts = Counter(case for _, case in cases)
    return LabelCounts(counts["new"], counts["repeated"], counts["corrected"], counts["early"])


def find_ids_by_identifier(log: ModelLog, identifiers: Iterable[str]) -> dict[str, str]:
    """Return the id of the latest prediction of each identifier that was predicted."""
    query = select(PREDICTIONS.c.identifier, PREDICTIONS.c.id).order_by(
        PREDICTIONS.c.moment, PREDICTIONS.c.received, PREDICTIONS.c.id
    )
    wanted = PREDICTIONS.c.identifier
    with read_transaction(log) as connection:
        return {
            row.identifier: row.id
            for part in select_in_batches(log, query, wanted, identifiers)
            for row in connection.execute(part)
        }


def count_labels_without_prediction(log: ModelLog) -> int:
    """Return how many ids have a label and no prediction: early, or unknown."""
    joined = and_(PREDICTIONS.c.model == LABELS.c.model, PREDICTIONS.c.id == LABELS.c.id)
    query = (
        select(func.count(distinct(LABELS.c.id)))
        .select_from(LABELS)
        .outerjoin(PREDICTIONS, joined)
        .where(LABELS.c.model == log.model, PREDICTIONS.c.id.is_(None))
    )
    with read_transaction(log) as connection:
        return int(connection.scalar(query) or 0)


def _effective_labels(
    log: ModelLog, connection: Connection, ids: Collection[str]
) -> EffectiveLabels:
    """Return moment and value of the effective label of each id; None: predicted, no label."""
    predicted = select(PREDICTIONS.c.id)
    labelled = select(LABELS.c.id, LABELS.c.moment, LABELS.c.value).order_by(
        LABELS.c.moment, LABELS.c.received, LABELS.c.number
    )
    standing: EffectiveLabels = {}
    for part in select_in_batches(log, predicted, PREDICTIONS.c.id, ids):
        standing |= dict.fromkeys(connection.scalars(part))
    for part in select_in_batches(log, labelled, LABELS.c.id, ids):
        standing |= {row.id: (row.moment, row.value) for row in connection.execute(part)}
    return standing


def _classify_labels(labels: Sequence[Label], standing: EffectiveLabels) -> list[tuple[Label, str]]:
    cases, effective = [], dict(standing)
    for label in labels:
        there, event = effective.get(label.id), (to_microseconds(label.moment), label.value)
        cases.append((label, _classify_label(label, effective)))
        if there is None or event[0] >= there[0]:
            effective[label.id] = event
    return cases


def _classify_label(label: Label, effective: EffectiveLabels) -> str:
    if label.id not in effective:
        return "early"
    there = effective[label.id]
    if there is None:
        return "new"
    return "repeated" if there[1] == label.value else "corrected"


def _label_row(log: ModelLog, label: Label, received: int) -> dict[str, object]:
    return {
        "model": log.model,
        "id": label.id,
        "moment": to_microseconds(label.moment),
        "value": label.value,
        "received": received,
    }


def load_label_table(root: Path, table: pd.DataFrame, *, now: datetime) -> LabelCounts:
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
    given = _parse_or_raise(table, load_champion_schema(open_tracking_store(state, name)), now)
    with closing_log(state, model=name, variable=params.scoring.log_variable) as log:
        return _append_in_batches(log, given, now, at_once=params.scoring.batch_rows)


def _parse_or_raise(table: pd.DataFrame, schema: TableSchema, now: datetime) -> ParsedLabels:
    missing = missing_column_issues(table, schema)
    if missing:
        raise TableError(f"The table of labels cannot be used.\n{format_issues(missing)}")
    given = parse_label_table(table, schema, now=now)
    if given.labels.empty and given.refused:
        raise TableError(f"No label of the table can be used.\n{format_issues(given.breaches)}")
    return given


def _append_in_batches(
    log: ModelLog, given: ParsedLabels, now: datetime, *, at_once: int
) -> LabelCounts:
    faults = tuple(format_issues(given.breaches).splitlines())
    counts = LabelCounts(refused=given.refused, faults=faults)
    for first in range(0, len(given.labels), at_once):
        some = given.labels.iloc[first : first + at_once]
        ids = dict(zip(some["key"], some["key"], strict=True))
        if not given.by_id:
            ids = find_ids_by_identifier(log, some["key"])
        labels = list(_iter_labels(some, ids, now))
        added = append_labels(log, labels, received=now)
        counts = _add_counts(counts, replace(added, unknown=len(some) - len(labels)))
    return counts


def _iter_labels(some: pd.DataFrame, ids: dict[str, str], now: datetime) -> Iterator[Label]:
    for key, value, moment in zip(some["key"], some["value"], some["moment"], strict=True):
        if key in ids:
            dated = not pd.isna(moment)
            yield Label(ids[key], value, to_utc_datetime(moment) if dated else now, dated=dated)


def _add_counts(one: LabelCounts, other: LabelCounts) -> LabelCounts:
    return LabelCounts(
        new=one.new + other.new,
        repeated=one.repeated + other.repeated,
        corrected=one.corrected + other.corrected,
        early=one.early + other.early,
        unknown=one.unknown + other.unknown,
        refused=one.refused + other.refused,
        faults=one.faults + other.faults,
    )
