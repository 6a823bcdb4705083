"""One project's model, in use: loaded champion and shadow, batches of requests, the log.

A request for predictions goes through four files: `app` (who may ask, the size of a body),
`requests` (its form), this one, and `monitoring.prediction_log`, which has each prediction before
it is answered.

`ModelService.predict` queues a request in the event loop. Requests are answered in batches by one
worker thread, which predicts all rows at once, writes them to the log, and only then replies;
requests that arrive while it works form the next batch. An id that was predicted before gets the
prediction that the log has for it; the same id for another row is an error (409). The shadow model
predicts the same rows later, in a thread of its own and from a bounded queue, so that it never
delays a reply. `start` follows the registry's aliases: when a load fails, the models in use stay.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import count
from pathlib import Path
from uuid import uuid4

import orjson
import pandas as pd

from evertune.config.loader import load_params
from evertune.data.labels import (
    FUTURE_MESSAGE,
    MAX_CLOCK_SKEW,
    describe_expected_label,
    id_error,
    read_labels,
)
from evertune.data.schema import TableSchema
from evertune.data.validation import DataIssue
from evertune.errors import EvertuneError
from evertune.messages import to_safe_json, ways_to_a_champion
from evertune.models.compiled_rows import CellColumns, Row, RowReader, event_time, read_rows
from evertune.monitoring.log_frames import LoggedPrediction
from evertune.monitoring.prediction_log import (
    Label,
    ShadowPrediction,
    open_prediction_log,
    time_of_undated,
)
from evertune.registry.mlflow_registry import open_registry
from evertune.serving.metrics import create_metrics, render_metrics
from evertune.serving.model_holder import LoadedModel, load_champion, load_shadow
from evertune.serving.requests import (
    FieldError,
    LabelRequest,
    LabelResponse,
    PredictRequest,
    RequestError,
    SubmittedLabel,
)
from evertune.serving.token import service_token

LOGGER = logging.getLogger(__name__)
RELOAD_SECONDS = 1.0
MAX_BATCH_ROWS = 256
SHADOW_WAIT_SECONDS = 0.2
SHADOW_BATCH_ROWS = 1000
MAX_SHADOW_QUEUE_ROWS = 50_000
EXPECTED_BY_KIND = {
    "boolean": "expected true, false or null",
    "date": "expected a date such as 2024-12-31, or null",
}
ID_TAKEN = "was given before, for another row"

Clock = Callable[[], datetime]
VersionedPredictions = dict[str, tuple[str, LoggedPrediction]]
IdentifiedRow = tuple[str, Row]


@dataclass(frozen=True, eq=False)
class ServedModels:
    """The versions in use at one moment; a batch sees either these or the next."""

    champion: LoadedModel | None = None
    shadow: LoadedModel | None = None
    # without a champion: what to do
    missing: str = ""


@dataclass(frozen=True, eq=False)
class _Waiting:
    request: PredictRequest
    reply: "asyncio.Future[bytes]"


@dataclass(frozen=True, eq=False)
class _RequestRow:
    """A row of a batch: `place` is its place in the batch, `field` its name in its request."""

    id: str
    request_id: str
    place: int
    field: str
    id_field: str
    cells: Row
    moment: datetime
    identifier: str | None


def utc_now() -> datetime:
    """Return the time of day."""
    return datetime.now(UTC)


def log_unavailable() -> RequestError:
    """Return the error of a service whose log does not answer."""
    problem = "the prediction log does not answer; try again soon"
    return RequestError(HTTPStatus.SERVICE_UNAVAILABLE, FieldError("log", problem))


class ModelService:
    """The service of one project; use it in one event loop, between `start` and `stop`.

    Parameters
    ----------
    host : str, optional
        That it is served on; None: `scoring.host`. Beyond this machine callers must show a token.

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

    def __init__(self, root: Path, *, host: str | None = None, clock: Clock = utc_now) -> None:
        self.params = load_params(root)
        self.name = self.params.registry.name
        self.token = service_token(self.params, host or self.params.scoring.host)
        self.clock = clock
        self.metrics = create_metrics()
        self.models = ServedModels()
        self.active = 0
        self._log = open_prediction_log(self.params)
        self._registry = open_registry(self.params)
        # one thread each: batches are predicted and logged one after the other
        self._worker = ThreadPoolExecutor(1, "predict")
        self._shadower = ThreadPoolExecutor(1, "shadow")
        self._waiting: deque[_Waiting] = deque()
        self._busy = False
        self._unshadowed: list[IdentifiedRow] = []
        self._shadowing = False
        self._watcher: asyncio.Task[None] | None = None

    @property
    def schema(self) -> TableSchema | None:
        """The table schema of the champion, None where there is none."""
        return None if self.models.champion is None else self.models.champion.model.schema

    async def start(self, on_new_schema: Callable[[], None]) -> None:
        """Load the models, and follow the aliases from now on.

        Parameters
        ----------
        on_new_schema : function
            Called in the event loop when another champion reads other columns.
        """
        await asyncio.get_running_loop().run_in_executor(self._shadower, self._reload)
        self._watcher = asyncio.create_task(self._watch_aliases(on_new_schema))

    async def stop(self) -> None:
        """Let the threads end what they do, and give back the log."""
        if self._watcher is not None:
            self._watcher.cancel()
            with suppress(asyncio.CancelledError):
                await self._watcher
        self._worker.shutdown(wait=True)
        self._shadower.shutdown(wait=True)
        self._log.close()

    def health(self) -> dict[str, str]:
        """Return that the service is alive; fail where new champions would not be noticed."""
        if self._watcher is not None and self._watcher.done():
            problem = "is not read any more; start the service again"
            raise RequestError(HTTPStatus.SERVICE_UNAVAILABLE, FieldError("registry", problem))
        return {"status": "alive"}

    def no_champion(self) -> RequestError:
        """Return the error of a service that has no model yet."""
        return RequestError(
            HTTPStatus.SERVICE_UNAVAILABLE, FieldError("champion", self.models.missing)
        )

    def readiness(self) -> dict[str, str]:
        """Return the version of the champion; fail where there is none."""
        self.health()
        if self.models.champion is None:
            raise self.no_champion()
        return {"status": "ready", "version": self.models.champion.version.number}

    async def predict(self, request: PredictRequest) -> bytes:
        """Return predictions as JSON, a `PredictResponse`, once they are in the log."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(request, loop.create_future())
        self._waiting.append(waiting)
        if not self._busy:
            self._busy = True
            loop.call_later(self.params.scoring.batch_wait_ms / 1000, self._start_batch)
        return await waiting.reply

    async def label(self, request: LabelRequest) -> LabelResponse:
        """Write labels to the log, all or none, and return how many were of each kind."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._worker, self._store_labels, request.labels)

    async def render_metrics(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(None, render_metrics, self.metrics, self._log)
        except EvertuneError as error:
            LOGGER.error("%s", error)
            raise log_unavailable() from error

    # The models in use

    async def _watch_aliases(self, on_new_schema: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            before = self.schema
            await loop.run_in_executor(self._shadower, self._reload)
            if self.schema != before:
                on_new_schema()

    def _reload(self) -> None:
        """Use the versions that the aliases name; if that fails those in use stay."""
        try:
            champion, shadow = load_champion(self._registry, self.models.champion), None
            missing = ""
            if champion is None:
                challenger = self._registry.aliases().get("challenger")
                missing = f"no model is in use yet: {ways_to_a_champion(challenger)}"
            if champion is not None and self.params.scoring.shadow:
                shadow = load_shadow(
                    self._registry,
                    self.models.shadow,
                    beside=champion.version,
                    now=self.clock(),
                    days=self.params.monitoring.policy.shadow_days,
                )
        except EvertuneError as error:
            LOGGER.error("%s", error)
            self.metrics.failed_loads.inc()
            failed = "the champion cannot be loaded; the service's own output says why"
            self.models = replace(self.models, missing=failed)
            return
        self.models = ServedModels(champion, shadow, missing)
        self.metrics.model.clear()
        for alias, used in (("champion", champion), ("shadow", shadow)):
            if used is not None:
                self.metrics.model.labels(used.version.number, alias).set(1)

    # Batches of predictions

    def _start_batch(self) -> None:
        """Hand what waits to the worker, at least one request; go on until nothing waits."""
        batch: list[_Waiting] = []
        n_rows = 0
        while self._waiting:
            n_rows += len(self._waiting[0].request.all_rows)
            if batch and n_rows > MAX_BATCH_ROWS:
                break
            batch.append(self._waiting.popleft())
        if not batch:
            self._busy = False
            return
        requests = [waiting.request for waiting in batch]
        work = asyncio.get_running_loop().run_in_executor(self._worker, self._answer, requests)
        work.add_done_callback(lambda done: self._deliver(batch, done))

    def _deliver(
        self,
        batch: Sequence[_Waiting],
        done: "asyncio.Future[tuple[list[bytes | RequestError], list[IdentifiedRow]]]",
    ) -> None:
        self._start_batch()
        error = done.exception()
        replies: Sequence[bytes | BaseException] = [error] * len(batch) if error else []
        rows: Sequence[IdentifiedRow] = []
        if error is None:
            replies, rows = done.result()
        for waiting, reply in zip(batch, replies, strict=True):
            if waiting.reply.done():  # the caller has gone
                continue
            if isinstance(reply, bytes):
                waiting.reply.set_result(reply)
            else:
                waiting.reply.set_exception(reply)
        if error is None:
            self.metrics.predictions.inc(len(rows))
            self.metrics.batches.observe(sum(len(each.request.all_rows) for each in batch))
            self._queue_for_shadow(rows)

    def _answer(
        self, batch: Sequence[PredictRequest]
    ) -> tuple[list[bytes | RequestError], list[IdentifiedRow]]:
        """Return the replies to a batch once all is in the log, and the rows predicted, by id."""
        champion = self.models.champion
        if champion is None:
            return [self.no_champion() for _ in batch], []
        try:
            return self._predict_and_log(champion, batch)
        except EvertuneError as error:
            LOGGER.error("%s", error)
            return [log_unavailable() for _ in batch], []

    def _predict_and_log(
        self, champion: LoadedModel, batch: Sequence[PredictRequest]
    ) -> tuple[list[bytes | RequestError], list[IdentifiedRow]]:
        schema, now = champion.model.schema, self.clock()
        places, default = count(), time_of_undated(self._log, self.params, now=now)
        requests = [
            _request_rows(request, champion.fast.reading, now=default, places=places)
            for request in batch
        ]
        columns, unread = read_rows(
            [row.cells for rows in requests for row in rows], champion.fast.reading
        )
        named = [
            row.id
            for request, rows in zip(batch, requests, strict=True)
            if request.ids is not None or request.request_id is not None  # maybe asked before
            for row in rows
        ]
        logged: VersionedPredictions = self._log.find(named) if named else {}
        errors: list[list[FieldError]] = []
        accepted: dict[str, _RequestRow] = {}
        for request, rows in zip(batch, requests, strict=True):
            found = [
                error
                for row in rows
                for error in (
                    *_cell_errors(row, unread.get(row.place, ()), schema),
                    *_id_conflicts(row, logged, accepted, time=schema.time),
                )
            ]
            if request.moment is not None and request.moment - now > MAX_CLOCK_SKEW:
                found.insert(0, FieldError("moment", "is in the future"))
            errors.append(found)
            if not found:
                accepted |= {row.id: row for row in rows}
        new = [row for row in accepted.values() if row.id not in logged]
        made = [
            LoggedPrediction(
                id=row.id,
                request_id=row.request_id,
                identifier=row.identifier,
                moment=row.moment,
                inputs=orjson.dumps(row.cells).decode(),
                value=value,
                probabilities=probabilities,
            )
            for row, (value, probabilities) in zip(
                new, _predict(champion, columns, [row.place for row in new]), strict=True
            )
        ]
        if made:
            number = champion.version.number
            added = self._log.append_predictions(made, version=number, received=now)
            # where another process was faster, its predictions count
            by_id = {each.id: (number, each) for each in made}
            logged |= by_id if added == len(made) else self._log.find(by_id)
        replies = [
            _error_reply(found) if found else _predictions_json(rows, logged, champion)
            for rows, found in zip(requests, errors, strict=True)
        ]
        return replies, [(row.id, row.cells) for row in new]

    # Shadow predictions

    def _queue_for_shadow(self, rows: Sequence[IdentifiedRow]) -> None:
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

    def _predict_shadow(self, rows: Sequence[IdentifiedRow]) -> None:
        """Log the shadow's predictions of rows, by id; rows that it cannot read have none."""
        shadow = self.models.shadow
        if shadow is None:
            return
        columns, unread = read_rows([row for _, row in rows], shadow.fast.reading)
        readable = [place for place in range(len(rows)) if place not in unread]
        made = [
            ShadowPrediction(rows[place][0], *predicted)
            for place, predicted in zip(readable, _predict(shadow, columns, readable), strict=True)
        ]
        try:
            self.metrics.shadow.inc(self._log.append_shadow(made, version=shadow.version.number))
        except EvertuneError as error:
            LOGGER.error("%s", error)
            self.metrics.unshadowed.inc(len(rows))

    # Labels

    def _store_labels(self, submitted: Sequence[SubmittedLabel]) -> LabelResponse:
        if self.schema is None:
            raise self.no_champion()
        schema, now = self.schema, self.clock()
        texts = labels_to_log([label.label for label in submitted], schema)
        errors: list[FieldError] = []
        conflicts: list[FieldError] = []
        known: dict[tuple[str, datetime | None], tuple[int, str | None]] = {}
        for place, (label, text) in enumerate(zip(submitted, texts, strict=True)):
            first, value = known.setdefault((label.id, label.moment), (place, text))
            if text is None:
                expected = describe_expected_label(label.label, schema)
                problem = f"got {to_safe_json(label.label)}; {expected}"
                errors.append(FieldError(f"labels[{place}].label", problem))
            elif value not in (text, None):
                problem = (
                    f"{text!r} contradicts {value!r} of labels[{first}], which has the same id;"
                    " keep the right one, or give each its moment"
                )
                conflicts.append(FieldError(f"labels[{place}].label", problem))
            if label.moment is not None and label.moment - now > MAX_CLOCK_SKEW:
                errors.append(FieldError(f"labels[{place}].moment", FUTURE_MESSAGE))
        self.metrics.labels.labels("refused").inc(len(errors) + len(conflicts))
        if errors or conflicts:
            raise RequestError(
                HTTPStatus.UNPROCESSABLE_ENTITY if errors else HTTPStatus.CONFLICT,
                *errors,
                *conflicts,
            )
        try:
            default = time_of_undated(self._log, self.params, now=now)
            labels = [
                Label(label.id, str(text), label.moment or default, dated=label.moment is not None)
                for label, text in zip(submitted, texts, strict=True)
            ]
            counts = self._log.append_labels(labels, received=now)
        except EvertuneError as error:
            LOGGER.error("%s", error)
            raise log_unavailable() from error
        new = Counter(str(text) for text in texts if schema.classes and text not in schema.classes)
        counts = replace(counts, new_classes=dict(new))
        response = LabelResponse.model_validate(counts, from_attributes=True)
        for case in ("new", "repeated", "corrected", "early"):
            self.metrics.labels.labels(case).inc(getattr(counts, case))
        return response


def labels_to_log(raw: Sequence[str | float | bool], schema: TableSchema) -> list[str | None]:
    """Return labels as the log keeps them, None where one is no label, by `read_labels`' rules.

    Each distinct label is read once, and those of one type together.
    """
    known: dict[tuple[type, str | float | bool], str | None] = {}
    for kind in {type(label) for label in raw}:
        distinct = list(dict.fromkeys(label for label in raw if type(label) is kind))
        cells = distinct if kind in (str, float, bool) else [str(label) for label in distinct]
        column = pd.Series(cells, dtype="str" if kind in (str, int) else None)
        texts, bad = read_labels(column, schema)
        good = ~bad & texts.notna()
        for label, text, fine in zip(distinct, texts, good, strict=True):
            known[kind, label] = str(text) if fine else None
    return [
        label if isinstance(label, str) and label in schema.classes else known[type(label), label]
        for label in raw
    ]


def _request_rows(
    request: PredictRequest, reader: RowReader, *, now: datetime, places: "count[int]"
) -> list[_RequestRow]:
    """Return the rows of a request, with ids and moments.

    A row without an id of its own has one that begins with the request's id, so that a request
    with an id can safely be sent again. A row without its time column has the request's moment.
    """
    request_id = request.request_id or uuid4().hex
    default = request.moment or now
    identifier, time = reader.schema.identifier, reader.time
    rows = []
    for number, cells in enumerate(request.all_rows):
        if request.ids:
            row_id = request.ids[number]
        else:
            row_id = f"{request_id}-{number}" if len(request.all_rows) > 1 else request_id
        name = cells.get(identifier) if identifier else None
        untimed = time is not None and time.kind == "date" and time.name not in cells
        rows.append(
            _RequestRow(
                id=row_id,
                request_id=request_id,
                place=next(places),
                field=f"rows[{number}]" if request.rows else "row",
                id_field=f"ids[{number}]" if request.ids else "request_id",
                cells={**cells, str(reader.schema.time): default.isoformat()} if untimed else cells,
                moment=event_time(cells, reader) or default,
                identifier=None if name is None else str(name).strip() or None,
            )
        )
    return rows


def _cell_errors(
    row: _RequestRow, issues: Sequence[DataIssue], schema: TableSchema
) -> list[FieldError]:
    """Return which cells of a row the model cannot read, and an identifier that is no id."""
    kinds = {column.name: column.kind for column in schema.features} if issues else {}
    errors = []
    for issue in issues:
        column = str(issue.column)
        kind, problem = kinds.get(column, "date" if column == schema.time else "text"), "is missing"
        if column in row.cells:
            cell = row.cells[column]
            expected = EXPECTED_BY_KIND.get(kind, "cannot be read")
            if kind == "number" and isinstance(cell, str):
                comma = schema.decimal == ","
                shown = "1,5 (with a comma)" if comma else "1.5 (with a point)"
                expected = f"expected a number such as {shown}, or null"
            elif kind == "number":
                expected = "expected a number of at most 3.4e38, or null"
            problem = f"{expected}; got {to_safe_json(cell)}"
        errors.append(FieldError(f"{row.field}.{column}", problem))
    fault = None if row.identifier is None else id_error(row.identifier)
    if fault:
        errors.append(FieldError(f"{row.field}.{schema.identifier}", fault))
    return errors


def _id_conflicts(
    row: _RequestRow,
    logged: VersionedPredictions,
    accepted: Mapping[str, _RequestRow],
    *,
    time: str | None,
) -> list[FieldError]:
    """Return an error where the id belongs to another row; times may have been left out before."""
    if row.id in logged:
        before = orjson.loads(logged[row.id][1].inputs)
        same = {**before, time: None} == {**row.cells, time: None} if time else before == row.cells
    else:
        same = row.id not in accepted or accepted[row.id].cells == row.cells
    return [] if same else [FieldError(row.id_field, ID_TAKEN)]


def _predict(
    used: LoadedModel, columns: CellColumns, places: Sequence[int]
) -> list[tuple[float, tuple[float, ...] | None]]:
    """Return value and probabilities of the rows at some places."""
    if not places:
        return []
    chosen = {name: [cells[place] for place in places] for name, cells in columns.items()}
    predictions = used.fast.predict(chosen, len(places))
    values = predictions.values.tolist()
    if predictions.probabilities is None:
        return [(float(value), None) for value in values]
    rows = predictions.probabilities.tolist()
    return [(float(value), tuple(row)) for value, row in zip(values, rows, strict=True)]


def _error_reply(errors: Sequence[FieldError]) -> RequestError:
    taken = all(error.problem == ID_TAKEN for error in errors)
    return RequestError(HTTPStatus.CONFLICT if taken else HTTPStatus.UNPROCESSABLE_ENTITY, *errors)


def _predictions_json(
    rows: Sequence[_RequestRow], logged: VersionedPredictions, champion: LoadedModel
) -> bytes:
    classes = champion.model.schema.classes
    predictions: list[dict[str, object]] = []
    for version, each in (logged[row.id] for row in rows):
        one: dict[str, object] = {"prediction": each.value}
        if classes:
            shares = dict(zip(classes, each.probabilities or (), strict=False))
            one = {"prediction": classes[int(each.value)], "probabilities": shares}
        predictions.append(one | {"version": version})
    versions = {logged[row.id][0] for row in rows}
    content = {
        "version": versions.pop() if len(versions) == 1 else champion.version.number,
        "request_id": rows[0].request_id,
        "ids": [row.id for row in rows],
        "predictions": predictions,
    }
    return orjson.dumps(content)
