"""One project's model, in use: loaded champion and shadow, batches of requests, the log.

`ModelService.predict` queues a request in the event loop. Requests are answered in batches by one
worker thread, which predicts all rows at once, writes them to the log, and only then replies;
requests that arrive while it works form the next batch. An id that was predicted before gets the
prediction that the log has for it; the same id for another row is an error (409). The shadow model
predicts the same rows later, in a thread of its own and from a bounded queue, so that it never
delays a reply. `start` follows the registry's aliases: when a load fails, the models in use stay.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pandas as pd

from evertune.config.loader import load_params
from evertune.config.schema import Params
from evertune.data.labels import (
    FUTURE_MESSAGE,
    describe_expected_label,
    normalize_label_column,
)
from evertune.data.schema import TableSchema
from evertune.data.validation import DataIssue
from evertune.errors import EvertuneError, ParamsError
from evertune.models.compiled_rows import CellColumns, Row, read_rows
from evertune.monitoring.log_frames import LoggedPrediction
from evertune.monitoring.prediction_log import Label, ShadowPrediction, open_prediction_log
from evertune.registry.model_registry import open_registry
from evertune.serving.metrics import create_metrics, render_metrics
from evertune.serving.model_holder import LoadedModel, load_champion, load_shadow
from evertune.serving.requests import (
    ID_TAKEN,
    MAX_ERRORS,
    UNPROCESSABLE,
    ErrorResponse,
    FieldError,
    PredictRequest,
    RequestRow,
    SubmittedLabel,
    is_same_row,
    may_be_retry,
    parse_label_request,
    parse_predict_request,
    request_errors,
    request_rows,
)

LOGGER = logging.getLogger(__name__)
OK, CONFLICT, NOT_READY = 200, 409, 503
NO_CHAMPION = ErrorResponse(
    NOT_READY,
    (
        FieldError(
            "champion",
            "no model is in use yet: run `evertune train`, or `evertune promote VERSION`",
        ),
    ),
)
UNAVAILABLE = ErrorResponse(
    NOT_READY, (FieldError("log", "the prediction log does not answer; try again soon"),)
)
NOT_FOLLOWING = ErrorResponse(
    NOT_READY, (FieldError("registry", "is not read any more; start the service again"),)
)
RELOAD_SECONDS = 1.0
MAX_BATCH_ROWS = 256
SHADOW_WAIT_SECONDS = 0.2
SHADOW_BATCH_ROWS = 1000
MAX_SHADOW_QUEUE_ROWS = 50_000
LABEL_CASES = ("new", "repeated", "corrected", "early")

Clock = Callable[[], datetime]
PredictionsById = dict[str, tuple[str, LoggedPrediction]]


@dataclass(frozen=True)
class Reply:
    """The status and the JSON of a response."""

    status: int
    content: bytes


@dataclass(frozen=True, eq=False)
class ServedModels:
    """The versions in use at one moment; a batch sees either these or the next."""

    champion: LoadedModel | None = None
    shadow: LoadedModel | None = None


@dataclass(frozen=True, eq=False)
class _Waiting:
    request: PredictRequest
    reply: "asyncio.Future[Reply]"


def utc_now() -> datetime:
    """Return the time of day."""
    return datetime.now(UTC)


def error_reply(error: ErrorResponse) -> Reply:
    """Return an error as it is sent."""
    detail = [{"field": fault.field, "problem": fault.problem} for fault in error.faults]
    return Reply(error.status, orjson.dumps({"detail": detail}))


class ModelService:
    """The service of one project; use it in one event loop, between `start` and `stop`.

    Parameters
    ----------
    root : Path
        The project's folder.
    clock : callable
        Tells the time.

    Attributes
    ----------
    name : str
        `registry.name`.
    token : bytes or None
        That callers must show.
    models : ServedModels
        Replaced as a whole when an alias moves.
    active : int
        Requests that are being answered; the app counts them.

    Raises
    ------
    ParamsError
        params.yaml has faults, or a variable that it names is not set.
    BusyError, UnsafeError
        The log or the registry cannot be used.
    """

    def __init__(self, root: Path, *, clock: Clock = utc_now) -> None:
        self.params: Params = load_params(root)
        self.name = self.params.registry.name
        self.token = read_token(self.params.scoring.token_variable)
        self.clock = clock
        self.metrics = create_metrics()
        self.models = ServedModels()
        self.active = 0
        self._log = open_prediction_log(self.params)
        self._store = open_registry(self.params)
        # one thread each: batches are predicted and logged one after the other
        self._worker = ThreadPoolExecutor(1, "predict")
        self._shadower = ThreadPoolExecutor(1, "shadow")
        self._waiting: list[_Waiting] = []
        self._busy = False
        self._unshadowed: list[tuple[str, Row]] = []
        self._shadowing = False
        self._watcher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load the models, and follow the aliases from now on."""
        await asyncio.get_running_loop().run_in_executor(self._shadower, self._reload)
        self._watcher = asyncio.create_task(self._watch_aliases())

    async def stop(self) -> None:
        """Let the threads end what they do, and give back the log."""
        if self._watcher is not None:
            self._watcher.cancel()
            with suppress(asyncio.CancelledError):
                await self._watcher
        self._worker.shutdown(wait=True)
        self._shadower.shutdown(wait=True)
        self._log.close()

    def health(self) -> Reply:
        """Return 200 as long as new champions are noticed."""
        if self._watcher is not None and self._watcher.done():
            return error_reply(NOT_FOLLOWING)
        return Reply(OK, b'{"status":"alive"}')

    def readiness(self) -> Reply:
        """Return 200 and the version where there is a champion."""
        alive, champion = self.health(), self.models.champion
        if alive.status != OK:
            return alive
        if champion is None:
            return error_reply(NO_CHAMPION)
        return Reply(OK, f'{{"status":"ready","version":"{champion.version.number}"}}'.encode())

    async def predict(self, content: object) -> Reply:
        """Return the reply to the parsed body of a request; its predictions are in the log."""
        champion = self.models.champion
        if champion is None:
            return error_reply(NO_CHAMPION)
        columns = self.accepted_columns(champion.model.schema)
        request = parse_predict_request(
            content, columns=columns, most_rows=self.params.scoring.max_rows
        )
        if isinstance(request, ErrorResponse):
            return error_reply(request)
        loop = asyncio.get_running_loop()
        waiting = _Waiting(request, loop.create_future())
        self._waiting.append(waiting)
        if not self._busy:
            self._busy = True
            loop.call_later(self.params.scoring.batch_wait_ms / 1000, self._start_batch)
        return await waiting.reply

    async def label(self, content: object) -> Reply:
        """Return the reply to the parsed body of labels; all are in the log, or none."""
        request = parse_label_request(content, most=self.params.scoring.max_rows)
        if isinstance(request, ErrorResponse):
            return error_reply(request)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._worker, self._store_labels, request)

    async def render_metrics(self) -> bytes | Reply:
        """Return the metrics in Prometheus' text format, or why there are none."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(None, render_metrics, self.metrics, self._log)
        except EvertuneError as error:
            LOGGER.error("%s", error)
            return error_reply(UNAVAILABLE)

    def accepted_columns(self, schema: TableSchema) -> frozenset[str]:
        """Return what a row may hold: features, columns with a role, and those ignored."""
        roles = (schema.identifier, schema.time, schema.group, schema.human, schema.existing)
        names = {column.name for column in schema.features} | {name for name in roles if name}
        return frozenset(names | set(self.params.data.ignore)) - {schema.target}

    # The models in use

    async def _watch_aliases(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            await loop.run_in_executor(self._shadower, self._reload)

    def _reload(self) -> None:
        """Use the versions that the aliases name; if that fails those in use stay."""
        try:
            champion, shadow = load_champion(self._store, self.models.champion), None
            if champion is not None and self.params.scoring.shadow:
                shadow = load_shadow(
                    self._store,
                    self.models.shadow,
                    beside=champion.version,
                    now=self.clock(),
                    days=self.params.monitoring.policy.shadow_days,
                )
        except EvertuneError as error:
            LOGGER.error("%s", error)
            self.metrics.failed_loads.inc()
            return
        self.models = ServedModels(champion, shadow)
        self.metrics.model.clear()
        for alias, used in (("champion", champion), ("shadow", shadow)):
            if used is not None:
                self.metrics.model.labels(used.version.number, alias).set(1)

    # Batches of predictions

    def _start_batch(self) -> None:
        """Hand what waits to the worker, at least one request; go on until nothing waits."""
        n_rows = n_requests = 0
        for waiting in self._waiting:
            n_rows += len(waiting.request.rows)
            if n_requests and n_rows > MAX_BATCH_ROWS:
                break
            n_requests += 1
        batch = self._waiting[:n_requests]
        del self._waiting[:n_requests]
        if not batch:
            self._busy = False
            return
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(
            self._worker, self._answer, [waiting.request for waiting in batch]
        )
        work.add_done_callback(lambda done: self._deliver(batch, done))

    def _deliver(
        self,
        batch: Sequence[_Waiting],
        done: "asyncio.Future[tuple[list[Reply], list[tuple[str, Row]]]]",
    ) -> None:
        self._start_batch()
        open_replies = [waiting for waiting in batch if not waiting.reply.done()]  # callers may go
        error = done.exception()
        if error is not None:
            for waiting in open_replies:
                waiting.reply.set_exception(error)
            return
        replies, rows = done.result()
        for waiting, reply in zip(batch, replies, strict=True):
            if not waiting.reply.done():
                waiting.reply.set_result(reply)
        self.metrics.predictions.inc(len(rows))
        self.metrics.batches.observe(sum(len(waiting.request.rows) for waiting in batch))
        self._queue_for_shadow(rows)

    def _answer(self, batch: Sequence[PredictRequest]) -> tuple[list[Reply], list[tuple[str, Row]]]:
        """Return the replies to a batch once all is in the log, and the rows predicted, by id."""
        champion = self.models.champion
        try:
            if champion is not None:
                return self._predict_and_log(champion, batch)
        except EvertuneError as error:
            LOGGER.error("%s", error)
        failure = NO_CHAMPION if champion is None else UNAVAILABLE
        return [error_reply(failure) for _ in batch], []

    def _predict_and_log(
        self, champion: LoadedModel, batch: Sequence[PredictRequest]
    ) -> tuple[list[Reply], list[tuple[str, Row]]]:
        reader, schema, now = champion.fast.reading, champion.model.schema, self.clock()
        requests = [request_rows(request, reader, now=now) for request in batch]
        flat = [row for rows in requests for row in rows]
        columns, unread = read_rows([row.row for row in flat], reader)
        retried = {
            row.id
            for request, rows in zip(batch, requests, strict=True)
            if may_be_retry(request)
            for row in rows
        }
        known: PredictionsById = self._log.find(retried) if retried else {}
        faults = _batch_errors(batch, requests, unread, schema=schema, now=now, known=known)
        new = _new_row_indices(requests, faults, known)
        made = [
            LoggedPrediction(
                id=flat[index].id,
                request_id=flat[index].request_id,
                identifier=flat[index].identifier,
                moment=flat[index].moment,
                inputs=orjson.dumps(flat[index].row).decode(),
                value=value,
                probabilities=probabilities,
            )
            for index, (value, probabilities) in zip(
                new, _predict_rows(champion, columns, new), strict=True
            )
        ]
        if made:
            number = champion.version.number
            added = self._log.append_predictions(made, version=number, received=now)
            # where another process was faster, its predictions count
            by_id = {each.id: (number, each) for each in made}
            known |= by_id if added == len(made) else self._log.find(by_id)
        replies = [
            _faults_reply(found) if found else _predictions_reply(rows, known, champion)
            for rows, found in zip(requests, faults, strict=True)
        ]
        return replies, [(flat[index].id, flat[index].row) for index in new]

    # Shadow predictions

    def _queue_for_shadow(self, rows: Sequence[tuple[str, Row]]) -> None:
        if self.models.shadow is None or not rows:
            return
        space = max(0, MAX_SHADOW_QUEUE_ROWS - len(self._unshadowed))
        self._unshadowed.extend(rows[:space])
        self.metrics.unshadowed.inc(max(0, len(rows) - space))
        if not self._shadowing:
            self._shadowing = True
            asyncio.get_running_loop().call_later(SHADOW_WAIT_SECONDS, self._start_shadow_batch)

    def _start_shadow_batch(self) -> None:
        rows = self._unshadowed[:SHADOW_BATCH_ROWS]
        del self._unshadowed[:SHADOW_BATCH_ROWS]
        if not rows:
            self._shadowing = False
            return
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._shadower, self._predict_shadow, rows)
        work.add_done_callback(
            lambda _: loop.call_later(SHADOW_WAIT_SECONDS, self._start_shadow_batch)
        )

    def _predict_shadow(self, rows: Sequence[tuple[str, Row]]) -> None:
        """Log the shadow's predictions of rows, by id; rows that it cannot read have none."""
        shadow = self.models.shadow
        if shadow is None:
            return
        columns, unread = read_rows([row for _, row in rows], shadow.fast.reading)
        good = [index for index in range(len(rows)) if index not in unread]
        predictions = _predict_rows(shadow, columns, good)
        made = [
            ShadowPrediction(rows[index][0], *predicted)
            for index, predicted in zip(good, predictions, strict=True)
        ]
        try:
            self.metrics.shadow.inc(self._log.append_shadow(made, version=shadow.version.number))
        except EvertuneError as error:
            LOGGER.error("%s", error)
            self.metrics.unshadowed.inc(len(rows))

    # Labels

    def _store_labels(self, submitted: Sequence[SubmittedLabel]) -> Reply:
        champion = self.models.champion
        if champion is None:
            return error_reply(NO_CHAMPION)
        now, schema = self.clock(), champion.model.schema
        texts = labels_to_log([label.label for label in submitted], schema)
        faults = []
        for index, (label, text) in enumerate(zip(submitted, texts, strict=True)):
            if text is None:
                expected = describe_expected_label("", schema)
                faults.append(FieldError(f"labels[{index}].label", expected))
            if label.moment is not None and label.moment > now:
                faults.append(FieldError(f"labels[{index}].moment", FUTURE_MESSAGE))
        if faults:
            return error_reply(ErrorResponse(UNPROCESSABLE, tuple(faults[:MAX_ERRORS])))
        labels = [
            Label(label.id, str(text), label.moment or now, dated=label.moment is not None)
            for label, text in zip(submitted, texts, strict=True)
        ]
        try:
            counts = asdict(self._log.append_labels(labels, received=now))
        except EvertuneError as error:
            LOGGER.error("%s", error)
            return error_reply(UNAVAILABLE)
        for case in LABEL_CASES:
            self.metrics.labels.labels(case).inc(counts[case])
        return Reply(OK, orjson.dumps({case: counts[case] for case in LABEL_CASES}))


def read_token(variable: str | None) -> bytes | None:
    """Return the token that callers must show, None where none is asked for."""
    if variable is None:
        return None
    token = os.environ.get(variable, "")
    if not token:
        raise ParamsError(
            f"scoring.token_variable: the environment variable {variable} is not set; it has to"
            " hold the token that callers show. Set it, or write null to let everyone in."
        )
    return token.encode()


def labels_to_log(raw: Sequence[str | float | bool], schema: TableSchema) -> list[str | None]:
    """Return labels as the log keeps them, None where one is no label.

    Each distinct label is read once, and those of one type together.
    """
    known: dict[tuple[type, str | float | bool], str | None] = {}
    for kind in {type(label) for label in raw}:
        distinct = list(dict.fromkeys(label for label in raw if type(label) is kind))
        cells = distinct if kind in (str, float, bool) else [str(label) for label in distinct]
        column = pd.Series(cells, dtype="str" if kind in (str, int) else None)
        texts, bad = normalize_label_column(column, schema)
        good = ~bad & texts.notna()
        for label, text, fine in zip(distinct, texts, good, strict=True):
            known[kind, label] = str(text) if fine else None
    return [
        label if isinstance(label, str) and label in schema.classes else known[type(label), label]
        for label in raw
    ]


def _batch_errors(
    batch: Sequence[PredictRequest],
    requests: Sequence[Sequence[RequestRow]],
    unread: Mapping[int, Sequence[DataIssue]],
    *,
    schema: TableSchema,
    now: datetime,
    known: PredictionsById,
) -> list[tuple[FieldError, ...]]:
    """Return the faults of each request; of two that give one id to two rows the later has one."""
    taken: dict[str, RequestRow] = {}
    faults, start = [], 0
    for request, rows in zip(batch, requests, strict=True):
        issues = {
            index: unread[start + index] for index in range(len(rows)) if start + index in unread
        }
        found = [*request_errors(request, rows, issues, schema=schema, now=now)]
        found += _id_conflicts(request, rows, known, taken, time=schema.time)
        faults.append(tuple(found[:MAX_ERRORS]))
        taken |= {} if found else {row.id: row for row in rows}
        start += len(rows)
    return faults


def _id_conflicts(
    request: PredictRequest,
    rows: Sequence[RequestRow],
    known: PredictionsById,
    taken: Mapping[str, RequestRow],
    *,
    time: str | None,
) -> Iterator[FieldError]:
    for index, row in enumerate(rows):
        logged, other = known.get(row.id), taken.get(row.id)
        same = logged is None or is_same_row(row, logged[1], time)
        if not same or (other is not None and dict(other.row) != dict(row.row)):
            yield FieldError(f"ids[{index}]" if request.ids else "request_id", ID_TAKEN)


def _new_row_indices(
    requests: Sequence[Sequence[RequestRow]],
    faults: Sequence[tuple[FieldError, ...]],
    known: PredictionsById,
) -> list[int]:
    """Return the indices of the rows to predict, in the whole batch; each id once."""
    indices: dict[str, int] = {}
    start = 0
    for rows, found in zip(requests, faults, strict=True):
        for index, row in enumerate(rows, start):
            if not found and row.id not in known:
                indices.setdefault(row.id, index)
        start += len(rows)
    return list(indices.values())


def _predict_rows(
    used: LoadedModel, columns: CellColumns, indices: Sequence[int]
) -> list[tuple[float, tuple[float, ...] | None]]:
    """Return value and probabilities of the rows at some indices."""
    if not indices:
        return []
    chosen = {name: [cells[index] for index in indices] for name, cells in columns.items()}
    predictions = used.fast.predict(chosen, len(indices))
    values = predictions.values.tolist()
    if predictions.probabilities is None:
        return [(float(value), None) for value in values]
    rows = predictions.probabilities.tolist()
    return [(float(value), tuple(row)) for value, row in zip(values, rows, strict=True)]


def _faults_reply(faults: tuple[FieldError, ...]) -> Reply:
    taken = all(fault.problem == ID_TAKEN for fault in faults)
    return error_reply(ErrorResponse(CONFLICT if taken else UNPROCESSABLE, faults))


def _predictions_reply(
    rows: Sequence[RequestRow], known: PredictionsById, champion: LoadedModel
) -> Reply:
    classes = champion.model.schema.classes
    predictions: list[dict[str, object]] = []
    for version, logged in (known[row.id] for row in rows):
        if classes:
            predicted: dict[str, object] = {
                "prediction": classes[int(logged.value)],
                "probabilities": dict(zip(classes, logged.probabilities or (), strict=False)),
            }
        else:
            predicted = {"prediction": logged.value}
        predictions.append(predicted | {"version": version})
    versions = {known[row.id][0] for row in rows}
    content = {
        "version": versions.pop() if len(versions) == 1 else champion.version.number,
        "request_id": rows[0].request_id,
        "ids": [row.id for row in rows],
        "predictions": predictions,
    }
    return Reply(OK, orjson.dumps(content))
