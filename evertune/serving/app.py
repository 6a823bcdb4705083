"""The HTTP scoring service: predictions, labels, health and metrics (FastAPI).

`create_app` builds it. It serves the champion of the registry and reloads it when the alias
moves. Every prediction is in the log before its reply is sent. Each request is checked first:
caller (`check_caller`), content type, size and time to arrive (`read_body`). Without a token, a
service on loopback answers only requests whose Host header names this machine, so that a web
page whose name resolves to 127.0.0.1 (DNS rebinding) cannot reach it. `store_labels` logs the
labels of a request, all or none. `openapi_document` describes the service for the model that is
served.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from hmac import compare_digest
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from evertune.config.loader import load_params
from evertune.config.schema import Params
from evertune.data.inference import MAX_ABSOLUTE_VALUE
from evertune.data.labels import (
    FUTURE_MESSAGE,
    MAX_ID_LENGTH,
    describe_expected_label,
    normalize_label_column,
)
from evertune.data.parsing import FALSE_WORDS, TRUE_WORDS
from evertune.data.schema import Column, TableSchema
from evertune.errors import EvertuneError
from evertune.models.compiled_rows import RowReader
from evertune.monitoring.prediction_log import Label, LabelCounts
from evertune.serving.metrics import render_metrics
from evertune.serving.model_holder import (
    Clock,
    Reply,
    ScoringService,
    close_service,
    open_service,
    reload_models,
    watch_aliases,
)
from evertune.serving.predict import NOT_READY_ERROR, OK, answer_in_batch, error_reply
from evertune.serving.requests import (
    BAD_REQUEST,
    CONTENT_TOO_LARGE,
    MAX_ERRORS,
    UNPROCESSABLE,
    ErrorResponse,
    FieldError,
    SubmittedLabel,
    parse_json,
    parse_label_request,
    parse_predict_request,
)

JSONSchema = dict[str, Any]

# not all that is read, but what is always read
NUMBER_PATTERN = r"^([+-]?[0-9]{1,15}(\.[0-9]{1,15})?([eE][+-]?1?[0-9])?)?$"
DAY_PATTERN = "(19|20)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])"
TIME_PATTERN = "T([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?(Z|[+-]0[0-9]:00)?"
OPTIONAL_DATE_PATTERN = f"^({DAY_PATTERN}({TIME_PATTERN})?)?$"
DATE_PATTERN = f"^{DAY_PATTERN}({TIME_PATTERN})?$"
PRINTABLE_PATTERN = r"^[ -~]+$"
SCALAR_SCHEMA: JSONSchema = {"type": ["string", "number", "boolean", "null"]}
ID_SCHEMA: JSONSchema = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_ID_LENGTH,
    "pattern": PRINTABLE_PATTERN,
}
TIMESTAMP_SCHEMA: JSONSchema = {"type": ["string", "null"], "pattern": DATE_PATTERN}
ERROR_DESCRIPTIONS = {
    "400": "No JSON, or nothing in it.",
    "401": "The token is missing or wrong.",
    "403": "The host is not this machine.",
    "409": "An id was given before, for another row.",
    "413": "Too large.",
    "415": "No JSON by its type.",
    "422": "Fields cannot be used; each is named.",
    "429": "Too many requests at once.",
    "503": "No champion yet.",
}


def openapi_document(
    schema: TableSchema | None,
    *,
    title: str,
    more_columns: Collection[str],
    most_rows: int,
    with_token: bool,
) -> JSONSchema:
    """Return the OpenAPI document of the service.

    Parameters
    ----------
    schema : TableSchema, optional
        Of the champion; None while there is none.
    title : str
    more_columns : collection of str
        What a row may hold beside what the schema names.
    most_rows : int
    with_token : bool
        Whether callers show a token.

    Examples
    --------
    >>> schema = TableSchema((Column("age", "number"),), "left", "binary", ("no", "yes"))
    >>> sorted(openapi_document(schema, title="churn", more_columns=(), most_rows=9, with_token=False))
    ['components', 'info', 'openapi', 'paths']
    """
    row = _row_schema(schema, more_columns)
    document: JSONSchema = {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "1"},
        "paths": {
            "/predict": {
                "post": _post_operation(
                    _predict_request_schema(row, most_rows), _predict_response_schema(schema)
                )
            },
            "/label": {
                "post": _post_operation(
                    _label_request_schema(schema, most_rows), _label_counts_schema()
                )
            },
            "/health": {"get": _probe_operation("200", "503")},
            "/ready": {"get": _probe_operation("200", "503")},
            "/metrics": {"get": _metrics_operation()},
        },
        "components": _components_section(with_token),
    }
    return document | ({"security": [{"token": []}]} if with_token else {})


def _components_section(with_token: bool) -> JSONSchema:
    refused: JSONSchema = {
        "type": "object",
        "required": ["detail"],
        "properties": {
            "detail": {
                "type": "array",
                "items": _fully_required_object(field=_text_schema(), problem=_text_schema()),
            }
        },
    }
    schemes = {"token": {"type": "http", "scheme": "bearer"}}
    components: JSONSchema = {"schemas": {"Refused": refused}}
    return components | ({"securitySchemes": schemes} if with_token else {})


def _post_operation(question: JSONSchema, answer: JSONSchema) -> JSONSchema:
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": question}}},
        "responses": {"200": _json_content("What was asked for.", answer)}
        | _error_responses(*ERROR_DESCRIPTIONS),
    }


def _probe_operation(*statuses: str) -> JSONSchema:
    said = {"type": "object", "required": ["status"], "properties": {"status": _text_schema()}}
    others = [status for status in statuses if status != "200"]
    return {
        "security": [],
        "responses": {"200": _json_content("It does.", said)} | _error_responses(*others),
    }


def _metrics_operation() -> JSONSchema:
    text = {"description": "Figures.", "content": {"text/plain": {"schema": _text_schema()}}}
    return {"responses": {"200": text} | _error_responses("401", "403", "503")}


def _error_responses(*statuses: str) -> JSONSchema:
    refused = {"$ref": "#/components/schemas/Refused"}
    return {status: _json_content(ERROR_DESCRIPTIONS[status], refused) for status in statuses}


def _json_content(words: str, schema: JSONSchema) -> JSONSchema:
    return {"description": words, "content": {"application/json": {"schema": schema}}}


def _predict_request_schema(row: JSONSchema, most_rows: int) -> JSONSchema:
    shared: JSONSchema = {
        "request_id": ID_SCHEMA | {"type": ["string", "null"]},
        "moment": TIMESTAMP_SCHEMA,
    }
    rows: JSONSchema = {"type": "array", "minItems": 1, "items": row, **_max_items_note(most_rows)}
    return {
        "oneOf": [
            _closed_object({"rows": rows, **shared}, required=["rows"]),
            _closed_object({"row": row, **shared}, required=["row"]),
        ]
    }


def _row_schema(schema: TableSchema | None, more_columns: Collection[str]) -> JSONSchema:
    if schema is None:
        return {"type": "object", "additionalProperties": SCALAR_SCHEMA}
    features = {column.name: _cell_schema(column) for column in schema.features}
    others = {name: SCALAR_SCHEMA for name in (schema.group, schema.human, schema.existing) if name}
    others |= dict.fromkeys(more_columns, SCALAR_SCHEMA)
    if schema.identifier:
        others[schema.identifier] = ID_SCHEMA
    if schema.time:
        others[schema.time] = _cell_schema(schema.time_column or Column(schema.time, "date"))
    counts = schema.time_column is not None and schema.time_column.kind == "number"
    required = [*features, *([str(schema.time)] if counts else [])]
    return _closed_object(others | features, required=required)


def _cell_schema(column: Column) -> JSONSchema:
    if column.kind == "number":
        kinds = ["number", "boolean", "null"]  # tables may hold truth values as numbers, too
        bounds: JSONSchema = {
            "type": kinds,
            "minimum": -MAX_ABSOLUTE_VALUE,
            "maximum": MAX_ABSOLUTE_VALUE,
        }
        return {"anyOf": [bounds, {"type": "string", "pattern": NUMBER_PATTERN}]}
    if column.kind == "boolean":
        words = sorted(TRUE_WORDS | FALSE_WORDS)
        return {"anyOf": [{"type": ["boolean", "null"]}, {"enum": [*words, 0, 1]}]}
    if column.kind == "date":
        return {"anyOf": [{"type": "null"}, {"type": "string", "pattern": OPTIONAL_DATE_PATTERN}]}
    return SCALAR_SCHEMA


def _predict_response_schema(schema: TableSchema | None) -> JSONSchema:
    classes = () if schema is None else schema.classes
    said: JSONSchema = {"prediction": {"type": ["string", "number"]}, "version": _text_schema()}
    shares: JSONSchema = {name: {"type": "number", "minimum": 0, "maximum": 1} for name in classes}
    required = ["prediction", "version"]
    if classes:
        said["probabilities"] = _closed_object(shares, required=list(classes))
        required.append("probabilities")
    one: JSONSchema = {"type": "object", "required": required, "properties": said}
    return _closed_object(
        {
            "version": _text_schema(),
            "request_id": _text_schema(),
            "ids": {"type": "array", "items": _text_schema()},
            "predictions": {"type": "array", "items": one},
        },
        required=["version", "request_id", "ids", "predictions"],
    )


def _label_request_schema(schema: TableSchema | None, most: int) -> JSONSchema:
    label: JSONSchema = {"type": ["string", "number", "boolean"]}
    if schema is not None:
        label = {"enum": list(schema.classes)} if schema.classes else {"type": "number"}
    one = _closed_object(
        {"id": ID_SCHEMA, "label": label, "moment": TIMESTAMP_SCHEMA}, required=["id", "label"]
    )
    labels: JSONSchema = {"type": "array", "minItems": 1, "items": one, **_max_items_note(most)}
    return _closed_object({"labels": labels}, required=["labels"])


def _max_items_note(number: int) -> JSONSchema:
    return {"description": f"At most {number:,}."}


def _label_counts_schema() -> JSONSchema:
    cases = ("new", "repeated", "corrected", "early")
    return _closed_object({case: {"type": "integer"} for case in cases}, required=list(cases))


def _closed_object(properties: JSONSchema, *, required: list[str]) -> JSONSchema:
    return {
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": False,
    }


def _fully_required_object(**properties: JSONSchema) -> JSONSchema:
    return _closed_object(dict(properties), required=list(properties))


def _text_schema() -> JSONSchema:
    return {"type": "string"}


UNAUTHORIZED, FORBIDDEN, UNSUPPORTED_MEDIA_TYPE, TOO_MANY_REQUESTS = 401, 403, 415, 429
MAX_ACTIVE_REQUESTS = 128
BODY_TIMEOUT_SECONDS = 10.0
JSON_MEDIA_TYPE = "application/json"
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


def check_caller(service: ScoringService, request: Request) -> ErrorResponse | None:
    """Return why a caller is turned away, None where it is welcome.

    A service on loopback without a token answers only requests that name this machine: a page of
    the web that makes its own name point here cannot reach it.
    """
    if service.token is not None:
        shown = request.headers.get("authorization", "").encode()
        if not compare_digest(shown, b"Bearer " + service.token):
            return _single_error(UNAUTHORIZED, "authorization", "expected 'Bearer' and the token")
        return None
    local = service.params.scoring.host in LOOPBACK_HOSTS
    if local and _host_name(request.headers.get("host", "")) not in LOOPBACK_HOSTS:
        return _single_error(FORBIDDEN, "host", "expected this machine's own name")
    return None


def _host_name(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).strip("[]").lower()


async def read_body(service: ScoringService, request: Request) -> bytes | ErrorResponse:
    """Return the body of a request, or why it is not taken."""
    kind, *options = (part.strip() for part in request.headers.get("content-type", "").split(";"))
    if kind.lower() != JSON_MEDIA_TYPE or any(_is_other_charset(option) for option in options):
        return _single_error(
            UNSUPPORTED_MEDIA_TYPE, "content-type", f"expected {JSON_MEDIA_TYPE} in UTF-8"
        )
    if service.active > MAX_ACTIVE_REQUESTS:
        return _single_error(
            TOO_MANY_REQUESTS,
            "requests",
            f"more than {MAX_ACTIVE_REQUESTS} at once; try again soon",
        )
    most = service.params.scoring.max_request_bytes
    if int(request.headers.get("content-length") or 0) > most:
        return _body_too_large(most)
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            return await _read_stream(request, most)
    except TimeoutError:
        problem = f"did not come within {BODY_TIMEOUT_SECONDS:.0f} s"
        return _single_error(BAD_REQUEST, "body", problem)
    except ClientDisconnect:
        return _single_error(BAD_REQUEST, "body", "is not whole")


async def _read_stream(request: Request, most: int) -> bytes | ErrorResponse:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            return _body_too_large(most)
        parts.append(part)
    return b"".join(parts)


def _is_other_charset(option: str) -> bool:
    name, _, value = option.partition("=")
    return name.strip().lower() == "charset" and value.strip(' "').lower() not in ("utf-8", "utf8")


def _body_too_large(most: int) -> ErrorResponse:
    return _single_error(CONTENT_TOO_LARGE, "body", f"expected at most {most} bytes")


def _single_error(status: int, field: str, problem: str) -> ErrorResponse:
    return ErrorResponse(status, (FieldError(field, problem),))


def store_labels(service: ScoringService, told: Sequence[SubmittedLabel]) -> Reply:
    """Return the reply to labels once they are in the log; with a fault in one, none is kept."""
    champion = service.models.champion
    if champion is None:
        return error_reply(NOT_READY_ERROR)
    now, schema = service.clock(), champion.model.schema
    texts = labels_to_log([each.label for each in told], schema)
    faults = _label_errors(told, texts, schema, now)
    if faults:
        return error_reply(ErrorResponse(UNPROCESSABLE, faults[:MAX_ERRORS]))
    labels = [
        Label(each.id, str(text), each.moment or now, dated=each.moment is not None)
        for each, text in zip(told, texts, strict=True)
    ]
    try:
        counts = service.log.append_labels(labels, received=now)
    except EvertuneError as error:
        service.complain(error)
        return error_reply(NOT_READY_ERROR)
    _count_labels(service, counts)
    return Reply(OK, orjson.dumps(_counts_by_case(counts)))


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


def _label_errors(
    told: Sequence[SubmittedLabel], texts: Sequence[str | None], schema: TableSchema, now: datetime
) -> tuple[FieldError, ...]:
    faults = []
    for place, (each, text) in enumerate(zip(told, texts, strict=True)):
        if text is None:
            faults.append(FieldError(f"labels[{place}].label", describe_expected_label("", schema)))
        if each.moment is not None and each.moment > now:
            faults.append(FieldError(f"labels[{place}].moment", FUTURE_MESSAGE))
    return tuple(faults)


def _counts_by_case(counts: LabelCounts) -> dict[str, int]:
    cases = ("new", "repeated", "corrected", "early")
    return {case: asdict(counts)[case] for case in cases}


def _count_labels(service: ScoringService, counts: LabelCounts) -> None:
    for case, number in _counts_by_case(counts).items():
        service.figures.labels.labels(case).inc(number)


RETRY_AFTER_SECONDS = "2"
PROMETHEUS_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
RESPONSE_HEADERS = {
    UNAUTHORIZED: {"WWW-Authenticate": "Bearer"},
    TOO_MANY_REQUESTS: {"Retry-After": RETRY_AFTER_SECONDS},
    NOT_READY_ERROR.status: {"Retry-After": RETRY_AFTER_SECONDS},
}
RequestHandler = Callable[[ScoringService, object], Awaitable[Reply]]


def utc_now() -> datetime:
    """Return the time of day."""
    return datetime.now(UTC)


def create_app(root: Path, *, clock: Clock = utc_now) -> FastAPI:
    """Return the scoring service of a project; it is ready once it has started and has a champion.

    Parameters
    ----------
    root : Path
        The project's folder.
    clock : callable
        What tells the time.

    Raises
    ------
    EvertuneError
        params.yaml has faults, or the log or the registry cannot be used.
    """
    params = load_params(root)
    service = open_service(params, clock=clock)
    app = FastAPI(lifespan=_lifespan(service), docs_url=None, redoc_url=None)
    _add_routes(app, service)
    return app


def _lifespan(service: ScoringService) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await asyncio.get_running_loop().run_in_executor(service.shadower, reload_models, service)
        following = asyncio.create_task(watch_aliases(service))
        following.add_done_callback(lambda _: _mark_reloader_failed(service))
        try:
            yield
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following
            close_service(service)

    return lifespan


def _mark_reloader_failed(service: ScoringService) -> None:
    """Have the service found ill: it would never see another champion."""
    service.lost = True


def _add_routes(app: FastAPI, service: ScoringService) -> None:
    async def predict(request: Request) -> Response:
        with service.figures.latency.time():
            return await _handle_post(service, request, _handle_predict)

    async def label(request: Request) -> Response:
        return await _handle_post(service, request, _handle_label)

    async def metrics(request: Request) -> Response:
        return await _handle_metrics(service, request)

    async def health(_: Request) -> Response:
        alive = Reply(OK, b'{"status":"alive"}')
        return _to_response(service, error_reply(NOT_READY_ERROR) if service.lost else alive)

    async def ready(_: Request) -> Response:
        return _to_response(service, _readiness_reply(service))

    app.add_route("/predict", predict, methods=["POST"])
    app.add_route("/label", label, methods=["POST"])
    app.add_route("/metrics", metrics, methods=["GET"])
    app.add_route("/health", health, methods=["GET"])
    app.add_route("/ready", ready, methods=["GET"])
    app.openapi = lambda: _service_openapi(service)  # type: ignore[method-assign]


async def _handle_post(service: ScoringService, request: Request, work: RequestHandler) -> Response:
    refusal = check_caller(service, request)
    if refusal is not None:
        return _to_response(service, error_reply(refusal))
    service.active += 1
    try:
        body = await read_body(service, request)
        content = body if isinstance(body, ErrorResponse) else _parse_body(body)
        if isinstance(content, ErrorResponse):
            return _to_response(service, error_reply(content))
        return _to_response(service, await work(service, content))
    finally:
        service.active -= 1


def _parse_body(body: bytes) -> object:
    try:
        return parse_json(body)
    except ValueError as error:
        return ErrorResponse(BAD_REQUEST, (FieldError("body", str(error)),))


async def _handle_predict(service: ScoringService, content: object) -> Reply:
    champion = service.models.champion
    if champion is None:
        return error_reply(NOT_READY_ERROR)
    columns = _accepted_columns(champion.fast.reading, service.params)
    request = parse_predict_request(
        content, columns=columns, most_rows=service.params.scoring.max_rows
    )
    return (
        error_reply(request)
        if isinstance(request, ErrorResponse)
        else await answer_in_batch(service, request)
    )


async def _handle_label(service: ScoringService, content: object) -> Reply:
    request = parse_label_request(content, most=service.params.scoring.max_rows)
    if isinstance(request, ErrorResponse):
        return error_reply(request)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(service.worker, store_labels, service, request)


async def _handle_metrics(service: ScoringService, request: Request) -> Response:
    refusal = check_caller(service, request)
    if refusal is not None:
        return _to_response(service, error_reply(refusal))
    loop = asyncio.get_running_loop()
    try:
        text = await loop.run_in_executor(None, render_metrics, service.figures, service.log)
    except EvertuneError as error:
        service.complain(error)
        return _to_response(service, error_reply(NOT_READY_ERROR))
    return Response(text, media_type=PROMETHEUS_MEDIA_TYPE)


def _readiness_reply(service: ScoringService) -> Reply:
    champion = service.models.champion
    if champion is None or service.lost:
        return error_reply(NOT_READY_ERROR)
    return Reply(OK, f'{{"status":"ready","version":"{champion.version.number}"}}'.encode())


def _accepted_columns(reading: RowReader, params: Params) -> frozenset[str]:
    """Return what a row may hold: features, columns with a role, and those that are ignored."""
    schema = reading.schema
    roles = (schema.identifier, schema.time, schema.group, schema.human, schema.existing)
    names = {column.name for column in schema.features} | {name for name in roles if name}
    return frozenset(names | set(params.data.ignore)) - {schema.target}


def _to_response(service: ScoringService, reply: Reply) -> Response:
    service.figures.responses.labels(str(reply.status)).inc()
    return Response(
        reply.content,
        reply.status,
        headers=RESPONSE_HEADERS.get(reply.status),
        media_type=JSON_MEDIA_TYPE,
    )


def _service_openapi(service: ScoringService) -> dict[str, Any]:
    champion = service.models.champion
    schema = None if champion is None else champion.model.schema
    return openapi_document(
        schema,
        title=service.params.registry.name,
        more_columns=service.params.data.ignore,
        most_rows=service.params.scoring.max_rows,
        with_token=service.token is not None,
    )
