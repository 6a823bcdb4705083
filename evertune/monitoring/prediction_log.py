"""The prediction log: predictions, shadow predictions and labels of one model.

`open_prediction_log(params)` opens it; all reading and writing is a method of `PredictionLog`:

    with open_prediction_log(params) as log:
        log.append_predictions(rows, version="3", received=now)
        frame = log.read(start, end, classes=("no", "yes"))

Predictions: an id that is in the log already stays as it is, so that a batch or a request can be
repeated. Every append is one transaction.

Labels are append-only events that may come in any order, late or more than once. The effective
label of a prediction is the one with the newest moment; of two with the same moment, the one
received last. A label without a date counts after those that are there, also where its machine's
clock is some minutes behind. The same event (id, moment and value) given again changes nothing.

`remove_older` drops predictions with their labels and shadows; rows that were snapshot for
training stay in their data versions. The log also keeps one record for each monitored window
(`save_window_record`), so that nothing is computed twice.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any, TypeVar

import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection, Select, Table, and_, delete, exists, func, select

from evertune.config.loader import load_params
from evertune.config.schema import Params
from evertune.data.labels import MAX_CLOCK_SKEW, id_error
from evertune.data.validation import truncate_cell
from evertune.database import (
    LABELS,
    PREDICTIONS,
    SHADOWS,
    WINDOWS,
    ModelLog,
    database_url,
    in_microseconds,
    open_log,
    read_record,
)
from evertune.errors import InputError
from evertune.failpoints import failpoint
from evertune.files import atomic_write
from evertune.monitoring.log_frames import LoggedPrediction, keep_effective_labels, make_log_frame
from evertune.registry.mlflow_registry import open_registry
from evertune.times import MICROSECOND, TimeWindow

T = TypeVar("T")
CHUNK_ROWS = 10_000
LOGGED_FIELDS = tuple(field.name for field in fields(LoggedPrediction))
PREDICTION_COLUMNS = [
    PREDICTIONS.c[name]
    for name in (
        "id",
        "request_id",
        "identifier",
        "moment",
        "received",
        "version",
        "value",
        "probabilities",
    )
]
SHADOW_COLUMNS = [
    PREDICTIONS.c.id,
    PREDICTIONS.c.moment,
    SHADOWS.c.value,
    SHADOWS.c.probabilities,
    PREDICTIONS.c.version,
    PREDICTIONS.c.value.label("value_c"),
    PREDICTIONS.c.probabilities.label("probabilities_c"),
]
LABEL_ORDER = (LABELS.c.moment, LABELS.c.received, LABELS.c.number)  # the effective one is last


@dataclass(frozen=True)
class ShadowPrediction:
    """The prediction of a version in shadow, about an id that another version answered."""

    id: str
    value: float
    probabilities: tuple[float, ...] | None


@dataclass(frozen=True)
class Label:
    """The true value of a prediction.

    Attributes
    ----------
    id : str
        Of the prediction, which may be logged later.
    value : str
        As `normalize_label` writes it: the name of a class, or a number.
    moment : datetime
        When it became known.
    dated : bool
        False if `moment` is only the time of loading. Such a label is kept only if its value is
        new, so that a table of all labels can be loaded every day.
    """

    id: str
    value: str
    moment: datetime
    dated: bool = True


@dataclass(frozen=True)
class LabelCounts:
    """The number of labels of each kind.

    Attributes
    ----------
    new : int
        First label of a prediction in the log.
    repeated : int
        Same value as the effective label, or an event that the log has already.
    corrected : int
        Another value than the effective label; the newer of the two counts.
    early : int
        Of ids without a prediction so far; such a label counts once the prediction comes.
    unknown : int
        Of identifiers that were never predicted; not kept.
    unknown_example : str
        One of the unknown or early ids, and the id of the log that it was probably meant to be.
    new_classes : dict
        Classes that the model does not know, each with its number of labels; these are among the
        labels above.
    refused : int
        Dated in the future, contradicting another label, or no class or number; not kept.
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
    unknown_example: str = ""
    new_classes: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: "LabelCounts") -> "LabelCounts":
        """Return the counts of both."""
        return LabelCounts(
            **{name: getattr(self, name) + getattr(other, name) for name in LABEL_CASES},
            faults=self.faults + other.faults,
            unknown_example=self.unknown_example or other.unknown_example,
            new_classes=Counter(self.new_classes) + Counter(other.new_classes),
        )


LABEL_CASES = tuple(field.name for field in fields(LabelCounts) if field.type is int)


def open_prediction_log(params: Params) -> "PredictionLog":
    """Return the project's prediction log, with its tables made; `with` closes it.

    Raises
    ------
    BusyError
        The database does not answer, or is locked.
    UnsafeError
        The file is no database, or cannot be written.
    ParamsError
        `scoring.log_variable` names a variable that is not set or holds no address.
    """
    address = database_url(params.scoring.log_variable)
    log = open_log(params.paths.state, model=params.registry.name, address=address)
    return PredictionLog(log.engine, log.model)


class PredictionLog(ModelLog):
    """The predictions and labels of one model; see the module's description."""

    def append_predictions(
        self, rows: Sequence[LoggedPrediction], *, version: str, received: datetime
    ) -> int:
        """Write predictions and return how many were new; all are written, or none.

        Parameters
        ----------
        version : str
            That made the predictions.
        received : datetime
            When they were requested, by the clock.

        Raises
        ------
        InputError
            An id is not valid.
        BusyError
            The database is locked or does not answer.
        """
        return self._append(PREDICTIONS, rows, version=version, received=received)

    def append_shadow(self, rows: Sequence[ShadowPrediction], *, version: str) -> int:
        """Write predictions of a version in shadow; return how many were new."""
        return self._append(SHADOWS, rows, version=version)

    def append_labels(self, labels: Sequence[Label], *, received: datetime) -> LabelCounts:
        """Write labels, all of them or none, and return how many there were of each kind."""
        # every writer orders by id; labels of one id and moment stay in the order given
        ordered = sorted(labels, key=attrgetter("id", "moment"))
        counts: Counter[str] = Counter()
        rows = []
        with self.write_transaction() as connection:
            if self.is_postgresql:
                # two loaders at once would both call the same label new
                connection.exec_driver_sql("LOCK TABLE labels IN SHARE ROW EXCLUSIVE MODE")
            ids = {label.id for label in ordered}
            events, effective = self._label_events(connection, ids)
            for given in ordered:
                current, label = effective.get(given.id), given
                if current is not None and _is_behind(given, current[0]):
                    label = replace(given, moment=current[0] + MICROSECOND)
                known = (label.id, label.moment, label.value)
                if current is not None:
                    is_same = known in events or current[1] == label.value
                    case = "repeated" if is_same else "corrected"
                else:
                    case = "new" if label.id in effective else "early"
                counts[case] += 1
                if known not in events and (label.dated or case != "repeated"):
                    row = {"model": self.model, "id": label.id, "moment": label.moment}
                    rows.append(row | {"value": label.value, "received": received})
                    events.add(known)
                if current is None or label.moment >= current[0]:
                    effective[label.id] = (label.moment, label.value)
            if rows:
                connection.execute(self.insert_if_absent(LABELS), rows)
        failpoint("log.labels_appended")
        return LabelCounts(counts["new"], counts["repeated"], counts["corrected"], counts["early"])

    def read(
        self,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        classes: Sequence[str],
        version: str | None = None,
        with_inputs: bool = False,
        known_at: datetime | None = None,
    ) -> pd.DataFrame:
        """Return the logged frame (see `log_frames`): one row for each answered prediction.

        Parameters
        ----------
        start, end : datetime, optional
            Only predictions whose moment is at or after `start` and before `end`.
        classes : sequence of str
            In the order of their codes; empty in regression.
        version : str, optional
            Only of this version.
        with_inputs : bool
            Adds the column `inputs`, for `read_inputs`.
        known_at : datetime, optional
            Only labels that were known by then.

        Returns
        -------
        DataFrame, ordered by moment and id
            `id`, `request_id`, `identifier`, `moment`, `received`, `version`, `value`, `p_0`, ...,
            `truth`, `labelled` and `inputs`.
        """
        query = self._labelled(
            PREDICTION_COLUMNS, start, end, known_at=known_at, with_inputs=with_inputs
        )
        if version is not None:
            query = query.where(PREDICTIONS.c.version == version)
        return self._frame(query, classes)

    def read_shadow(
        self,
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        version: str,
        classes: Sequence[str],
        known_at: datetime | None = None,
    ) -> pd.DataFrame:
        """Return the shadow predictions of a version beside the answers about the same ids.

        Returns
        -------
        DataFrame, ordered by moment and id
            `id`, `moment`, `value` and `p_0`, ... of the shadow; `version`, `value_c` and `p_c_0`,
            ... of the version that answered; `truth` and `labelled`.
        """
        same = and_(SHADOWS.c.model == PREDICTIONS.c.model, SHADOWS.c.id == PREDICTIONS.c.id)
        query = self._labelled(SHADOW_COLUMNS, start, end, known_at=known_at).join(SHADOWS, same)
        return self._frame(query.where(SHADOWS.c.version == version), classes)

    def read_label_arrivals(
        self, start: datetime, end: datetime, *, not_of: str, classes: Sequence[str]
    ) -> pd.DataFrame:
        """Return `moment` and `labelled` of the predictions of all versions but one."""
        query = self._labelled([PREDICTIONS.c.id, PREDICTIONS.c.moment], start, end, known_at=end)
        frame = self._frame(query.where(PREDICTIONS.c.version != not_of), classes)
        return frame[["moment", "labelled"]]

    def find(self, ids: Iterable[str]) -> dict[str, tuple[str, LoggedPrediction]]:
        """Return version and prediction of those ids that are in the log."""
        query = select(*(PREDICTIONS.c[name] for name in (*LOGGED_FIELDS, "version")))
        found = {}
        with self.read_transaction() as connection:
            for part in self.select_in_batches(query, PREDICTIONS.c.id, ids):
                for row in connection.execute(part):
                    values = {name: getattr(row, name) for name in LOGGED_FIELDS}
                    proba = row.probabilities and tuple(orjson.loads(row.probabilities))
                    values["probabilities"] = proba
                    found[row.id] = (row.version, LoggedPrediction(**values))
        return found

    def known_ids(self, ids: Iterable[str]) -> set[str]:
        """Return those ids that have a prediction."""
        query = select(PREDICTIONS.c.id)
        with self.read_transaction() as connection:
            return {
                each
                for part in self.select_in_batches(query, PREDICTIONS.c.id, ids)
                for each in connection.scalars(part)
            }

    def newest_ids(self, *, of_identifier: bool, most: int) -> list[str]:
        """Return the ids of the newest predictions, or the values of their identifier column."""
        column = PREDICTIONS.c.identifier if of_identifier else PREDICTIONS.c.id
        query = (
            select(column)
            .where(PREDICTIONS.c.model == self.model, column.is_not(None))
            .order_by(PREDICTIONS.c.moment.desc(), PREDICTIONS.c.id)
            .limit(most)
        )
        with self.read_transaction() as connection:
            return list(dict.fromkeys(connection.scalars(query)))

    def effective_labels(self, ids: Collection[str]) -> dict[str, str]:
        """Return the value of the effective label of those ids that have one."""
        with self.read_transaction() as connection:
            _, effective = self._label_events(connection, ids)
        return {each: label[1] for each, label in effective.items() if label is not None}

    def find_ids_by_identifier(self, identifiers: Iterable[str]) -> dict[str, str]:
        """Return the id of the latest prediction of each identifier that was predicted."""
        query = select(PREDICTIONS.c.identifier, PREDICTIONS.c.id).order_by(
            PREDICTIONS.c.moment, PREDICTIONS.c.received, PREDICTIONS.c.id
        )
        with self.read_transaction() as connection:
            return {
                row.identifier: row.id
                for part in self.select_in_batches(query, PREDICTIONS.c.identifier, identifiers)
                for row in connection.execute(part)
            }

    def newest_event(self) -> datetime | None:
        """Return the moment of the newest prediction or label, None in an empty log."""
        with self.read_transaction() as connection:
            newest = [
                connection.scalar(
                    select(func.max(table.c.moment)).where(table.c.model == self.model)
                )
                for table in (PREDICTIONS, LABELS)
            ]
        return max((moment for moment in newest if moment is not None), default=None)

    def oldest_event(self) -> datetime | None:
        """Return the moment of the oldest prediction, None in an empty log."""
        oldest = select(func.min(PREDICTIONS.c.moment)).where(PREDICTIONS.c.model == self.model)
        with self.read_transaction() as connection:
            moment: datetime | None = connection.scalar(oldest)
        return moment

    def remove_older(self, before: datetime) -> int:
        """Remove predictions older than a moment, with labels and shadows; return how many."""
        old = (
            select(PREDICTIONS.c.id)
            .where(PREDICTIONS.c.model == self.model, PREDICTIONS.c.moment < before)
            .order_by(PREDICTIONS.c.moment, PREDICTIONS.c.id)
            .limit(CHUNK_ROWS)
        )
        removed, last = 0, CHUNK_ROWS
        while last == CHUNK_ROWS:
            with self.write_transaction() as connection:
                for table in (LABELS, SHADOWS, PREDICTIONS):
                    own = delete(table).where(table.c.model == self.model, table.c.id.in_(old))
                    last = connection.execute(own).rowcount
            removed += last
        predicted = exists().where(
            PREDICTIONS.c.model == LABELS.c.model, PREDICTIONS.c.id == LABELS.c.id
        )
        orphans = delete(LABELS).where(
            LABELS.c.model == self.model, LABELS.c.moment < before, ~predicted
        )
        with self.write_transaction() as connection:
            connection.execute(orphans)
        return removed

    def export(
        self,
        path: Path,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        classes: Sequence[str],
    ) -> int:
        """Write what `read` returns with inputs to a Parquet file; return the number of rows."""
        query = self._labelled(PREDICTION_COLUMNS, start, end, with_inputs=True)
        n_rows = 0
        with self.read_transaction() as connection, atomic_write(path) as file:
            result = connection.execute(query, execution_options={"stream_results": True})
            names = list(result.keys())
            schema = pa.Schema.from_pandas(make_log_frame([], names, classes=classes))
            with pq.ParquetWriter(file, schema) as writer:
                for rows in _chunks_of_whole_ids(result):
                    frame = keep_effective_labels(make_log_frame(rows, names, classes=classes))
                    writer.write_table(pa.Table.from_pandas(frame, schema, preserve_index=False))
                    n_rows += len(frame)
        return n_rows

    def save_window_record(
        self, *, kind: str, version: str, window: TimeWindow, record: object
    ) -> None:
        """Keep a record about a window in place of an older one with the same start.

        Parameters
        ----------
        kind : str
            Such as `window` or `metrics`.
        version : str
            Of the model; "" for records that concern none.
        record : object
            A dataclass, or a dictionary.
        """
        row = {
            "model": self.model,
            "kind": kind,
            "version": version,
            "start": window.start,
            "end": window.end,
            "record": record,
        }
        with self.write_transaction() as connection:
            connection.execute(self.insert_or_replace(WINDOWS, ("end", "record")), row)

    def load_window_records(self, *, kind: str, version: str, type_: type[T]) -> dict[datetime, T]:
        """Return the records of a kind and version by the start of their window, oldest first.

        Raises
        ------
        StageError
            A record is not a `type_`.
        """
        query = select(WINDOWS.c.start, WINDOWS.c.record).where(
            WINDOWS.c.model == self.model, WINDOWS.c.kind == kind, WINDOWS.c.version == version
        )
        with self.read_transaction() as connection:
            rows = connection.execute(query.order_by(WINDOWS.c.start)).all()
        return {
            row.start: read_record(row.record, type_, name=f"the {kind} of {row.start}")
            for row in rows
        }

    def _append(
        self,
        table: Table,
        predictions: Sequence[LoggedPrediction] | Sequence[ShadowPrediction],
        **shared: object,
    ) -> int:
        for each in predictions:
            if fault := id_error(each.id):
                raise InputError(
                    f"The id {truncate_cell(ascii(each.id))} {fault}; give another one."
                )
        if not predictions:
            return 0
        rows = []
        for each in predictions:
            proba = each.probabilities
            text = None if proba is None else orjson.dumps(proba).decode()
            rows.append({"model": self.model} | shared | vars(each) | {"probabilities": text})
        # two writers that lock the same ids in different orders would wait for each other for ever
        rows.sort(key=itemgetter("id"))
        with self.write_transaction() as connection:
            n_new = connection.execute(self.insert_if_absent(table), rows).rowcount
        failpoint("log.predictions_appended")
        return n_new

    def _label_events(
        self, connection: Connection, ids: Collection[str]
    ) -> tuple[set[tuple[str, datetime, str]], dict[str, tuple[datetime, str] | None]]:
        """Return id, moment and value of each label, and moment and value of each effective one.

        An id that was predicted and has no label has None.
        """
        events: set[tuple[str, datetime, str]] = set()
        effective: dict[str, tuple[datetime, str] | None] = {}
        for part in self.select_in_batches(select(PREDICTIONS.c.id), PREDICTIONS.c.id, ids):
            effective |= dict.fromkeys(connection.scalars(part))
        labelled = select(LABELS.c.id, LABELS.c.moment, LABELS.c.value).order_by(*LABEL_ORDER)
        for part in self.select_in_batches(labelled, LABELS.c.id, ids):
            for row in connection.execute(part):
                events.add((row.id, row.moment, row.value))
                effective[row.id] = (row.moment, row.value)
        return events, effective

    def _labelled(
        self,
        columns: Sequence[Any],
        start: datetime | None,
        end: datetime | None,
        *,
        known_at: datetime | None = None,
        with_inputs: bool = False,
    ) -> Select[Any]:
        """Return the query for columns of predictions, each beside every label of it, if any."""
        joined = [LABELS.c.model == PREDICTIONS.c.model, LABELS.c.id == PREDICTIONS.c.id]
        if known_at is not None:
            joined.append(LABELS.c.moment <= known_at)
        label = (LABELS.c.value.label("label"), in_microseconds(LABELS.c.moment).label("labelled"))
        inputs = (PREDICTIONS.c.inputs,) if with_inputs else ()
        query = (
            select(*map(in_microseconds, columns), *label, *inputs)
            .select_from(PREDICTIONS)
            .outerjoin(LABELS, and_(*joined))
            .where(PREDICTIONS.c.model == self.model)
            .order_by(PREDICTIONS.c.moment, PREDICTIONS.c.id, *LABEL_ORDER)
        )
        if start is not None:
            query = query.where(PREDICTIONS.c.moment >= start)
        return query if end is None else query.where(PREDICTIONS.c.moment < end)

    def _frame(self, query: Select[Any], classes: Sequence[str]) -> pd.DataFrame:
        with self.read_transaction() as connection:
            result = connection.execute(query)
            frame = make_log_frame(result.all(), list(result.keys()), classes=classes)
        return keep_effective_labels(frame)


def _is_behind(label: Label, newest: datetime) -> bool:
    """Return whether an undated label is older than one before, by another machine's clock."""
    return not label.dated and label.moment < newest <= label.moment + MAX_CLOCK_SKEW


def _chunks_of_whole_ids(result: Any) -> Iterator[list[Any]]:
    """Yield rows in chunks that never part the rows of one id."""
    rest: list[Any] = []
    for some in result.partitions(CHUNK_ROWS):
        rows = [*rest, *some]
        cut = next((n for n in range(len(rows), 0, -1) if rows[n - 1].id != rows[-1].id), 0)
        rest = rows[cut:]
        yield rows[:cut]
    yield rest


def time_of_undated(log: PredictionLog, params: Params, *, now: datetime) -> datetime:
    """Return the moment of a row or label that names none: now, by the project's clock.

    Where the newest event counts as now, a row of today's time would be months ahead of all others,
    and make them old enough to be removed.
    """
    if params.monitoring.now == "real":
        return now
    return log.newest_event() or now


def apply_retention(root: Path, *, now: datetime) -> int:
    """Remove predictions older than `scoring.retention_days`, and return how many (null: none)."""
    params = load_params(root)
    days = params.scoring.retention_days
    if days is None:
        return 0
    with open_prediction_log(params) as log:
        return log.remove_older(now - timedelta(days=days))


def export_prediction_log(
    root: Path, path: Path, *, start: datetime | None = None, end: datetime | None = None
) -> int:
    """Write the project's predictions, inputs and labels to a Parquet file; return how many.

    Raises
    ------
    StageError
        There is no champion yet, whose classes name the columns.
    """
    params = load_params(root)
    classes = open_registry(params).champion_schema().classes
    with open_prediction_log(params) as log:
        return log.export(path, start=start, end=end, classes=classes)
