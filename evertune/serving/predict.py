"""Predict requests in batches: read, predict once, log once, and only then reply.

`answer_in_batch` queues a request in the event loop. `answer_batch` runs in the one worker
thread; requests that arrive while it works form the next batch. A repeated id gets the
prediction that the log has for it; the same id for another row is an error (409). The shadow
model predicts the same rows later, in a thread of its own and from a bounded queue, so that it
never delays a reply.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from evertune.data.schema import TableSchema
from evertune.data.validation import DataIssue
from evertune.errors import EvertuneError
from evertune.models.compiled import encode_rows
from evertune.models.compiled_rows import CellColumns, Row, read_rows
from evertune.monitoring.log_frames import LoggedPrediction
from evertune.monitoring.prediction_log import ShadowPrediction
from evertune.serving.model_holder import (
    LoadedModel,
    PendingRequest,
    Reply,
    ScoringService,
    ServedModels,
)
from evertune.serving.requests import (
    ID_TAKEN,
    MAX_ERRORS,
    UNPROCESSABLE,
    ErrorResponse,
    FieldError,
    PredictRequest,
    RequestRow,
    is_same_row,
    may_be_retry,
    request_errors,
    request_rows,
)
from evertune.types import Predictions

OK, CONFLICT, NOT_READY = 200, 409, 503
NOT_READY_ERROR = ErrorResponse(
    NOT_READY,
    (FieldError("champion", "there is none yet, or the log does not answer; try again soon"),),
)
PredictionsById = dict[str, tuple[str, LoggedPrediction]]


@dataclass(frozen=True, eq=False)
class BatchResult:
    """Replies in the order of the requests, and the rows that were predicted, by id."""

    replies: tuple[Reply, ...]
    rows: tuple[tuple[str, Row], ...] = ()


def answer_batch(service: ScoringService, batch: Sequence[PredictRequest]) -> BatchResult:
    """Return the replies to a batch of requests once all that they say is in the log."""
    champion = service.models.champion
    try:
        if champion is not None:
            return _predict_and_log(service, champion, batch)
    except EvertuneError as error:
        service.complain(error)
    return BatchResult(tuple(error_reply(NOT_READY_ERROR) for _ in batch))


def error_reply(refusal: ErrorResponse) -> Reply:
    """Return a refusal as it is sent."""
    detail = [{"field": fault.field, "problem": fault.problem} for fault in refusal.faults]
    return Reply(refusal.status, orjson.dumps({"detail": detail}))


def log_shadow_predictions(
    service: ScoringService, models: ServedModels, rows: Sequence[tuple[str, Row]]
) -> int:
    """Return how many predictions of the shadow were logged; rows that it cannot read have none."""
    if models.shadow is None:
        return 0
    fast, number = models.shadow.fast, models.shadow.version.number
    columns, unread = read_rows([row for _, row in rows], fast.reading)
    good = [place for place in range(len(rows)) if place not in unread]
    said = _predict_rows(models.shadow, columns, good)
    made = [
        ShadowPrediction(rows[place][0], *_prediction_at(said, n)) for n, place in enumerate(good)
    ]
    return service.log.append_shadow(made, version=number)


def _predict_and_log(
    service: ScoringService, champion: LoadedModel, batch: Sequence[PredictRequest]
) -> BatchResult:
    reading, schema, now = champion.fast.reading, champion.model.schema, service.clock()
    requests = [request_rows(asked, reading, now=now) for asked in batch]
    flat = [entry for entries in requests for entry in entries]
    columns, unread = read_rows([entry.row for entry in flat], reading)
    named = [asked for asked in batch if may_be_retry(asked)]
    asked_before = {
        e.id for a, es in zip(batch, requests, strict=True) if may_be_retry(a) for e in es
    }
    said: PredictionsById = service.log.find(asked_before) if named else {}
    faults = _batch_errors(batch, requests, unread, schema=schema, now=now, said=said)
    good = _new_row_indices(requests, faults, said)
    figures = _predict_rows(champion, columns, good)
    made = [_to_log_row(flat[place], *_prediction_at(figures, n)) for n, place in enumerate(good)]
    said |= _append_to_log(service, made, version=champion.version.number, now=now)
    replies = tuple(
        error_reply(_error_response(found)) if found else _predict_reply(entries, said, champion)
        for entries, found in zip(requests, faults, strict=True)
    )
    return BatchResult(replies, tuple((flat[place].id, flat[place].row) for place in good))


def _batch_errors(
    batch: Sequence[PredictRequest],
    requests: Sequence[Sequence[RequestRow]],
    unread: Mapping[int, Sequence[DataIssue]],
    *,
    schema: TableSchema,
    now: datetime,
    said: PredictionsById,
) -> list[tuple[FieldError, ...]]:
    """Return the faults of each request; of two that give one id to two rows the later has one."""
    taken: dict[str, RequestRow] = {}
    faults, start = [], 0
    for asked, entries in zip(batch, requests, strict=True):
        mine = {
            place: unread[start + place] for place in range(len(entries)) if start + place in unread
        }
        found = [*request_errors(asked, entries, mine, schema=schema, now=now)]
        found += _id_conflicts(asked, entries, said, taken, time=schema.time)
        faults.append(tuple(found[:MAX_ERRORS]))
        taken |= {} if found else {entry.id: entry for entry in entries}
        start += len(entries)
    return faults


def _error_response(faults: tuple[FieldError, ...]) -> ErrorResponse:
    taken = all(fault.problem == ID_TAKEN for fault in faults)
    return ErrorResponse(CONFLICT if taken else UNPROCESSABLE, faults)


def _id_conflicts(
    asked: PredictRequest,
    entries: Sequence[RequestRow],
    said: PredictionsById,
    taken: Mapping[str, RequestRow],
    *,
    time: str | None,
) -> Iterator[FieldError]:
    for place, entry in enumerate(entries):
        there = said.get(entry.id)
        other = taken.get(entry.id)
        same = there is None or is_same_row(entry, there[1], time)
        if not same or (other is not None and dict(other.row) != dict(entry.row)):
            yield FieldError(f"ids[{place}]" if asked.ids else "request_id", ID_TAKEN)


def _new_row_indices(
    requests: Sequence[Sequence[RequestRow]],
    faults: Sequence[tuple[FieldError, ...]],
    said: PredictionsById,
) -> list[int]:
    """Return the places of the rows that are to be predicted, each id once."""
    places: dict[str, int] = {}
    start = 0
    for entries, found in zip(requests, faults, strict=True):
        for place, entry in enumerate(entries, start):
            if not found and entry.id not in said:
                places.setdefault(entry.id, place)
        start += len(entries)
    return list(places.values())


def _predict_rows(
    used: LoadedModel, columns: CellColumns, good: Sequence[int]
) -> Predictions | None:
    if not good:
        return None
    chosen = {name: [values[place] for place in good] for name, values in columns.items()}
    return used.fast.score(encode_rows(chosen, len(good), used.fast))


def _prediction_at(said: Predictions | None, place: int) -> tuple[float, tuple[float, ...] | None]:
    assert said is not None
    shares = said.probabilities
    return float(said.values[place]), None if shares is None else tuple(shares[place].tolist())


def _to_log_row(
    entry: RequestRow, value: float, probabilities: tuple[float, ...] | None
) -> LoggedPrediction:
    return LoggedPrediction(
        id=entry.id,
        request_id=entry.request_id,
        identifier=entry.identifier,
        moment=entry.moment,
        inputs=orjson.dumps(entry.row).decode(),
        value=value,
        probabilities=probabilities,
    )


def _append_to_log(
    service: ScoringService, made: Sequence[LoggedPrediction], *, version: str, now: datetime
) -> PredictionsById:
    """Log predictions; return what the log says of their ids, also where another was faster."""
    if not made:
        return {}
    added = service.log.append_predictions(made, version=version, received=now)
    if added < len(made):
        return service.log.find([each.id for each in made])
    return {each.id: (version, each) for each in made}


def _predict_reply(
    entries: Sequence[RequestRow], said: PredictionsById, champion: LoadedModel
) -> Reply:
    classes = champion.model.schema.classes
    answers = [said[entry.id] for entry in entries]
    versions = {version for version, _ in answers}
    content = {
        "version": versions.pop() if len(versions) == 1 else champion.version.number,
        "request_id": entries[0].request_id,
        "ids": [entry.id for entry in entries],
        "predictions": [_prediction_json(version, logged, classes) for version, logged in answers],
    }
    return Reply(OK, orjson.dumps(content))


def _prediction_json(
    version: str, logged: LoggedPrediction, classes: Sequence[str]
) -> dict[str, object]:
    if not classes:
        return {"prediction": logged.value, "version": version}
    shares = logged.probabilities or ()
    return {
        "prediction": classes[int(logged.value)],
        "probabilities": dict(zip(classes, shares, strict=False)),
        "version": version,
    }


MAX_BATCH_ROWS = 256
SHADOW_WAIT_SECONDS = 0.2
SHADOW_BATCH_ROWS = 1000
MAX_SHADOW_QUEUE_ROWS = 50_000


async def answer_in_batch(service: ScoringService, asked: PredictRequest) -> Reply:
    """Return the reply to a request; when it comes, what it says is in the log."""
    loop = asyncio.get_running_loop()
    waiting = PendingRequest(asked, loop.create_future())
    service.waiting.append(waiting)
    if not service.busy:
        service.busy = True
        loop.call_later(service.params.scoring.batch_wait_ms / 1000, _start_batch, service)
    return await waiting.reply


def _start_batch(service: ScoringService) -> None:
    """Hand what waits to the worker; go on until nothing waits."""
    batch, service.waiting[:] = _next_batch(service.waiting)
    if not batch:
        service.busy = False
        return
    loop = asyncio.get_running_loop()
    work = loop.run_in_executor(
        service.worker, answer_batch, service, [waiting.asked for waiting in batch]
    )
    work.add_done_callback(lambda done: _deliver_replies(service, batch, done))


def _next_batch(
    waiting: Sequence[PendingRequest],
) -> tuple[list[PendingRequest], list[PendingRequest]]:
    """Return the requests of the next batch, at least one, and the others."""
    n_rows, n_taken = 0, 0
    for each in waiting:
        n_rows += len(each.asked.rows)
        if n_taken and n_rows > MAX_BATCH_ROWS:
            break
        n_taken += 1
    return list(waiting[:n_taken]), list(waiting[n_taken:])


def _deliver_replies(
    service: ScoringService, batch: Sequence[PendingRequest], done: "asyncio.Future[BatchResult]"
) -> None:
    _start_batch(service)
    error = done.exception()
    if error is not None:
        for waiting in batch:
            _fail_request(waiting, error)
        return
    result = done.result()
    for waiting, reply in zip(batch, result.replies, strict=True):
        if not waiting.reply.done():  # its caller may have gone
            waiting.reply.set_result(reply)
    service.figures.predictions.inc(len(result.rows))
    service.figures.batches.observe(sum(len(waiting.asked.rows) for waiting in batch))
    _queue_for_shadow(service, result.rows)


def _fail_request(waiting: PendingRequest, error: BaseException) -> None:
    if not waiting.reply.done():
        waiting.reply.set_exception(error)


def _queue_for_shadow(service: ScoringService, rows: Sequence[tuple[str, Row]]) -> None:
    if service.models.shadow is None or not rows:
        return
    space = max(0, MAX_SHADOW_QUEUE_ROWS - len(service.unshadowed))
    service.unshadowed.extend(rows[:space])
    service.figures.unshadowed.inc(max(0, len(rows) - space))
    if not service.shadowing:
        service.shadowing = True
        asyncio.get_running_loop().call_later(SHADOW_WAIT_SECONDS, _start_shadow_batch, service)


def _start_shadow_batch(service: ScoringService) -> None:
    rows = service.unshadowed[:SHADOW_BATCH_ROWS]
    del service.unshadowed[:SHADOW_BATCH_ROWS]
    if not rows:
        service.shadowing = False
        return
    loop = asyncio.get_running_loop()
    work = loop.run_in_executor(service.shadower, _predict_shadow_batch, service, rows)
    work.add_done_callback(
        lambda _: loop.call_later(SHADOW_WAIT_SECONDS, _start_shadow_batch, service)
    )


def _predict_shadow_batch(service: ScoringService, rows: Sequence[tuple[str, Row]]) -> None:
    try:
        service.figures.shadow.inc(log_shadow_predictions(service, service.models, rows))
    except EvertuneError as error:
        service.complain(error)
        service.figures.unshadowed.inc(len(rows))
