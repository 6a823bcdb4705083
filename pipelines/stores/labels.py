"""Labels of predictions: events that are only ever added, in any order, late, or more than once.

The effective label of a prediction is the one with the newest moment; of two with the same moment,
the one that was received last. The same event (id, moment and value) given again changes nothing.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter

from sqlalchemy import Connection, and_, distinct, func, select

from pipelines.stores.database import Log, insert_new, is_postgresql, of_any, reading, writing
from pipelines.stores.log_tables import LABELS, PREDICTIONS, microseconds

Standing = dict[str, tuple[int, str] | None]


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


def append_labels(log: Log, labels: Sequence[Label], *, received: datetime) -> LabelCounts:
    """Return what the labels were; they are kept, all of them or none.

    Parameters
    ----------
    log : Log
    labels : sequence of Label
        Checked by `label_faults`.
    received : datetime
        By the clock.
    """
    # in the order of their ids, as every writer; of one id they stay in the order given
    ordered = sorted(labels, key=attrgetter("id"))
    with writing(log) as connection:
        if is_postgresql(log):
            # two loaders at once would both call the same label new
            connection.exec_driver_sql("LOCK TABLE labels IN SHARE ROW EXCLUSIVE MODE")
        cases = _cases(ordered, _standing(log, connection, {label.id for label in ordered}))
        kept = [label for label, case in cases if label.dated or case != "repeated"]
        if kept:
            rows = [_row(log, label, microseconds(received)) for label in kept]
            connection.execute(insert_new(log, LABELS), rows)
    counts = Counter(case for _, case in cases)
    return LabelCounts(counts["new"], counts["repeated"], counts["corrected"], counts["early"])


def ids_of_identifiers(log: Log, identifiers: Iterable[str]) -> dict[str, str]:
    """Return the id of the latest prediction of each identifier that was predicted."""
    query = select(PREDICTIONS.c.identifier, PREDICTIONS.c.id).order_by(
        PREDICTIONS.c.moment, PREDICTIONS.c.received, PREDICTIONS.c.id
    )
    wanted = PREDICTIONS.c.identifier
    with reading(log) as connection:
        return {
            row.identifier: row.id
            for part in of_any(log, query, wanted, identifiers)
            for row in connection.execute(part)
        }


def labels_without_prediction(log: Log) -> int:
    """Return how many ids have a label and no prediction: early, or unknown."""
    joined = and_(PREDICTIONS.c.model == LABELS.c.model, PREDICTIONS.c.id == LABELS.c.id)
    query = (
        select(func.count(distinct(LABELS.c.id)))
        .select_from(LABELS)
        .outerjoin(PREDICTIONS, joined)
        .where(LABELS.c.model == log.model, PREDICTIONS.c.id.is_(None))
    )
    with reading(log) as connection:
        return int(connection.scalar(query) or 0)


def _standing(log: Log, connection: Connection, ids: Collection[str]) -> Standing:
    """Return moment and value of the effective label of each id; None: predicted, no label."""
    predicted = select(PREDICTIONS.c.id)
    labelled = select(LABELS.c.id, LABELS.c.moment, LABELS.c.value).order_by(
        LABELS.c.moment, LABELS.c.received, LABELS.c.number
    )
    standing: Standing = {}
    for part in of_any(log, predicted, PREDICTIONS.c.id, ids):
        standing |= dict.fromkeys(connection.scalars(part))
    for part in of_any(log, labelled, LABELS.c.id, ids):
        standing |= {row.id: (row.moment, row.value) for row in connection.execute(part)}
    return standing


def _cases(labels: Sequence[Label], standing: Standing) -> list[tuple[Label, str]]:
    cases, effective = [], dict(standing)
    for label in labels:
        there, event = effective.get(label.id), (microseconds(label.moment), label.value)
        cases.append((label, _case(label, effective)))
        if there is None or event[0] >= there[0]:
            effective[label.id] = event
    return cases


def _case(label: Label, effective: Standing) -> str:
    if label.id not in effective:
        return "early"
    there = effective[label.id]
    if there is None:
        return "new"
    return "repeated" if there[1] == label.value else "corrected"


def _row(log: Log, label: Label, received: int) -> dict[str, object]:
    return {
        "model": log.model,
        "id": label.id,
        "moment": microseconds(label.moment),
        "value": label.value,
        "received": received,
    }
