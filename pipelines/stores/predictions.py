"""The prediction log: what was predicted by which version, and what other versions said.

A prediction is logged once: one whose id is there already is left as it is, so that a batch or a
request may be given again. Every append is one transaction.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from datetime import datetime
from operator import itemgetter
from typing import Any

import orjson
import pandas as pd
from sqlalchemy import ColumnElement, Select, Table, and_, delete, exists, func, select

from pipelines.core.breaches import shortened
from pipelines.core.log_frames import Logged, Shadow, effective, frame_of
from pipelines.core.row_ids import id_fault
from pipelines.errors import InputError
from pipelines.stores.database import Log, insert_new, of_any, reading, writing
from pipelines.stores.log_tables import LABELS, PREDICTIONS, SHADOWS, microseconds, moment_of

AT_ONCE = 10_000
FIELDS = tuple(field.name for field in fields(Logged))
ANSWER = [
    PREDICTIONS.c[name]
    for name in ("id", "request_id", "identifier", "moment", "received", "version", "value")
] + [PREDICTIONS.c.probabilities]
BESIDE = [
    PREDICTIONS.c.id,
    PREDICTIONS.c.moment,
    SHADOWS.c.value,
    SHADOWS.c.probabilities,
    PREDICTIONS.c.version,
    PREDICTIONS.c.value.label("value_c"),
    PREDICTIONS.c.probabilities.label("probabilities_c"),
]


def append_predictions(
    log: Log, rows: Sequence[Logged], *, version: str, received: datetime
) -> int:
    """Return how many predictions were logged that were not in the log before.

    Once it returns they are there for good, all of them; where it raises, none is.

    Parameters
    ----------
    log : Log
    rows : sequence of Logged
    version : str
        That made the predictions.
    received : datetime
        When they were asked for, by the clock.

    Raises
    ------
    InputError
        Where an id cannot be one.
    BusyError
        The database is locked or does not answer.
    """
    shared = {"model": log.model, "version": version, "received": microseconds(received)}
    added = [
        shared
        | vars(row)
        | {"moment": microseconds(row.moment), "probabilities": _json(row.probabilities)}
        for row in rows
    ]
    return _append(log, PREDICTIONS, added)


def append_shadow(log: Log, rows: Sequence[Shadow], *, version: str) -> int:
    """Return how many predictions of another version, about the same ids, are new in the log."""
    shared = {"model": log.model, "version": version}
    added = [shared | vars(row) | {"probabilities": _json(row.probabilities)} for row in rows]
    return _append(log, SHADOWS, added)


def read_log(  # noqa: PLR0913
    log: Log,
    start: datetime | None,
    end: datetime | None,
    *,
    classes: Sequence[str],
    version: str | None = None,
    with_inputs: bool = False,
    known_at: datetime | None = None,
) -> pd.DataFrame:
    """Return the logged frame: one row a prediction of the version that answered.

    Parameters
    ----------
    log : Log
    start, end : datetime, optional
        Only predictions whose moment is at or after `start` and before `end`.
    classes : sequence of str
        The classes in the order of their codes; none in regression.
    version : str, optional
        Only of this version.
    with_inputs : bool
        Whether `inputs` is there, for `read_inputs`.
    known_at : datetime, optional
        Only labels whose moment is not later.

    Returns
    -------
    DataFrame, ordered by moment and id
        `id`, `request_id`, `identifier`, `moment`, `received`, `version`, `value`, a probability
        `p_0`, `p_1`, ... for each class, `truth` (NaN while there is no label), `labelled` (since
        when its value is known) and `inputs`.
    """
    more = [PREDICTIONS.c.inputs] if with_inputs else []
    query = labelled_query(ANSWER, more, known_at=known_at).where(*within(log, start, end))
    if version is not None:
        query = query.where(PREDICTIONS.c.version == version)
    with reading(log) as connection:
        result = connection.execute(query)
        return effective(frame_of(result.all(), list(result.keys()), classes=classes))


def read_shadow(  # noqa: PLR0913
    log: Log,
    start: datetime | None,
    end: datetime | None,
    *,
    version: str,
    classes: Sequence[str],
    known_at: datetime | None = None,
) -> pd.DataFrame:
    """Return what a version said in shadow, beside what was answered about the same ids.

    Returns
    -------
    DataFrame, ordered by moment and id
        `id`, `moment`, `value` and `p_0`, ... of the shadow; `version`, `value_c` and `p_c_0`, ...
        of the one that answered; `truth` and `labelled`.
    """
    same = and_(SHADOWS.c.model == PREDICTIONS.c.model, SHADOWS.c.id == PREDICTIONS.c.id)
    query = labelled_query(BESIDE, known_at=known_at).join(SHADOWS, same)
    query = query.where(SHADOWS.c.version == version, *within(log, start, end))
    with reading(log) as connection:
        result = connection.execute(query)
        return effective(frame_of(result.all(), list(result.keys()), classes=classes))


def logged_before(log: Log, ids: Iterable[str]) -> dict[str, tuple[str, Logged]]:
    """Return version and prediction of those ids that are in the log."""
    query = select(*(PREDICTIONS.c[name] for name in (*FIELDS, "version")))
    with reading(log) as connection:
        found = [
            row
            for part in of_any(log, query, PREDICTIONS.c.id, ids)
            for row in connection.execute(part)
        ]
    return {row.id: (row.version, _logged(row)) for row in found}


def known_ids(log: Log, ids: Iterable[str]) -> set[str]:
    """Return those ids that have a prediction in the log."""
    query = select(PREDICTIONS.c.id)
    with reading(log) as connection:
        return {
            row.id
            for part in of_any(log, query, PREDICTIONS.c.id, ids)
            for row in connection.execute(part)
        }


def newest_event(log: Log) -> datetime | None:
    """Return the moment of the newest prediction or label, None in an empty log."""
    newest = [_extreme(log, func.max(table.c.moment), table) for table in (PREDICTIONS, LABELS)]
    return max((moment for moment in newest if moment is not None), default=None)


def oldest_event(log: Log) -> datetime | None:
    """Return the moment of the oldest prediction, None in an empty log."""
    return _extreme(log, func.min(PREDICTIONS.c.moment), PREDICTIONS)


def remove_older(log: Log, before: datetime) -> int:
    """Return how many predictions older than a moment were removed, with labels and shadows."""
    removed = last = _remove_oldest(log, before)
    while last == AT_ONCE:
        last = _remove_oldest(log, before)
        removed += last
    unjoined = ~exists().where(
        PREDICTIONS.c.model == LABELS.c.model, PREDICTIONS.c.id == LABELS.c.id
    )
    with writing(log) as connection:
        connection.execute(
            delete(LABELS).where(
                LABELS.c.model == log.model, LABELS.c.moment < microseconds(before), unjoined
            )
        )
    return removed


def _json(probabilities: tuple[float, ...] | None) -> str | None:
    return None if probabilities is None else orjson.dumps(probabilities).decode()


def _append(log: Log, table: Table, rows: list[dict[str, Any]]) -> int:
    faults = {row["id"]: id_fault(row["id"]) for row in rows}
    for identity, fault in faults.items():
        if fault:
            raise InputError(f"The id {shortened(ascii(identity))} {fault}; give another one.")
    if not rows:
        return 0
    # two writers that lock the same ids in different orders would wait for each other for ever
    rows = sorted(rows, key=itemgetter("id"))
    with writing(log) as connection:
        return connection.execute(insert_new(log, table), rows).rowcount


def labelled_query(
    columns: Sequence[ColumnElement[Any]],
    more: Sequence[ColumnElement[Any]] = (),
    *,
    known_at: datetime | None = None,
) -> Select[Any]:
    """Return the query for columns of predictions, each beside every label of it, if any."""
    joined = [LABELS.c.model == PREDICTIONS.c.model, LABELS.c.id == PREDICTIONS.c.id]
    if known_at is not None:
        joined.append(LABELS.c.moment <= microseconds(known_at))
    label = (LABELS.c.value.label("label"), LABELS.c.moment.label("labelled"))
    return (
        select(*columns, *label, *more)
        .select_from(PREDICTIONS)
        .outerjoin(LABELS, and_(*joined))
        .order_by(PREDICTIONS.c.moment, PREDICTIONS.c.id)
        .order_by(LABELS.c.moment, LABELS.c.received, LABELS.c.number)
    )


def within(log: Log, start: datetime | None, end: datetime | None) -> Iterator[ColumnElement[bool]]:
    """Yield what holds of the model's predictions from `start` to before `end`."""
    yield PREDICTIONS.c.model == log.model
    if start is not None:
        yield PREDICTIONS.c.moment >= microseconds(start)
    if end is not None:
        yield PREDICTIONS.c.moment < microseconds(end)


def _logged(row: Any) -> Logged:
    values = {name: getattr(row, name) for name in FIELDS}
    probabilities = row.probabilities and tuple(orjson.loads(row.probabilities))
    return Logged(**values | {"moment": moment_of(row.moment), "probabilities": probabilities})


def _extreme(log: Log, extreme: ColumnElement[int], table: Table) -> datetime | None:
    with reading(log) as connection:
        found = connection.scalar(select(extreme).where(table.c.model == log.model))
    return None if found is None else moment_of(found)


def _remove_oldest(log: Log, before: datetime) -> int:
    old = select(PREDICTIONS.c.id).where(*within(log, None, before))
    old = old.order_by(PREDICTIONS.c.moment, PREDICTIONS.c.id).limit(AT_ONCE)
    with writing(log) as connection:
        for table in (LABELS, SHADOWS):
            connection.execute(delete(table).where(table.c.model == log.model, table.c.id.in_(old)))
        found = delete(PREDICTIONS).where(
            PREDICTIONS.c.model == log.model, PREDICTIONS.c.id.in_(old)
        )
        return connection.execute(found).rowcount
