"""The scoring service: predictions, labels, health and figures over HTTP.

Reads the champion from MLflow, and again whenever its alias moves. Writes every prediction to the
log before it is acknowledged, and labels.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from pipelines.core.descriptions import description
from pipelines.core.fast_rows import RowReader
from pipelines.core.json_bodies import parsed
from pipelines.core.requests import MALFORMED, Fault, Refusal, asked, told
from pipelines.errors import EvertuneError
from pipelines.params import load_params
from pipelines.sections import Params
from pipelines.service.answers import OK, UNREADY, refusing
from pipelines.service.batching import answer
from pipelines.service.figures import exposition
from pipelines.service.guards import JSON, TOO_MANY, UNKNOWN_CALLER, body_of, guarded
from pipelines.service.labelling import labelled
from pipelines.service.standing import Clock, Reply, Service, close_service, open_service
from pipelines.service.watching import follow, look

RETRY_SECONDS = "2"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
HEADERS = {
    UNKNOWN_CALLER: {"WWW-Authenticate": "Bearer"},
    TOO_MANY: {"Retry-After": RETRY_SECONDS},
    UNREADY.status: {"Retry-After": RETRY_SECONDS},
}
Work = Callable[[Service, object], Awaitable[Reply]]


def real_time() -> datetime:
    """Return the time of day."""
    return datetime.now(UTC)


def create_app(root: Path, *, clock: Clock = real_time) -> FastAPI:
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


def _lifespan(service: Service) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await asyncio.get_running_loop().run_in_executor(service.shadower, look, service)
        following = asyncio.create_task(follow(service))
        following.add_done_callback(lambda _: _lose(service))
        try:
            yield
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following
            close_service(service)

    return lifespan


def _lose(service: Service) -> None:
    """Have the service found ill: it would never see another champion."""
    service.lost = True


def _add_routes(app: FastAPI, service: Service) -> None:
    async def predict(request: Request) -> Response:
        with service.figures.latency.time():
            return await _worked(service, request, _predict)

    async def label(request: Request) -> Response:
        return await _worked(service, request, _label)

    async def metrics(request: Request) -> Response:
        return await _metrics(service, request)

    async def health(_: Request) -> Response:
        alive = Reply(OK, b'{"status":"alive"}')
        return _sent(service, refusing(UNREADY) if service.lost else alive)

    async def ready(_: Request) -> Response:
        return _sent(service, _ready(service))

    app.add_route("/predict", predict, methods=["POST"])
    app.add_route("/label", label, methods=["POST"])
    app.add_route("/metrics", metrics, methods=["GET"])
    app.add_route("/health", health, methods=["GET"])
    app.add_route("/ready", ready, methods=["GET"])
    app.openapi = lambda: _description(service)  # type: ignore[method-assign]


async def _worked(service: Service, request: Request, work: Work) -> Response:
    refusal = guarded(service, request)
    if refusal is not None:
        return _sent(service, refusing(refusal))
    service.active += 1
    try:
        body = await body_of(service, request)
        content = body if isinstance(body, Refusal) else _parsed(body)
        if isinstance(content, Refusal):
            return _sent(service, refusing(content))
        return _sent(service, await work(service, content))
    finally:
        service.active -= 1


def _parsed(body: bytes) -> object:
    try:
        return parsed(body)
    except ValueError as error:
        return Refusal(MALFORMED, (Fault("body", str(error)),))


async def _predict(service: Service, content: object) -> Reply:
    champion = service.models.champion
    if champion is None:
        return refusing(UNREADY)
    columns = _columns(champion.fast.reading, service.params)
    request = asked(content, columns=columns, most_rows=service.params.scoring.most_rows)
    return refusing(request) if isinstance(request, Refusal) else await answer(service, request)


async def _label(service: Service, content: object) -> Reply:
    request = told(content, most=service.params.scoring.most_rows)
    if isinstance(request, Refusal):
        return refusing(request)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(service.worker, labelled, service, request)


async def _metrics(service: Service, request: Request) -> Response:
    refusal = guarded(service, request)
    if refusal is not None:
        return _sent(service, refusing(refusal))
    loop = asyncio.get_running_loop()
    try:
        text = await loop.run_in_executor(None, exposition, service.figures, service.log)
    except EvertuneError as error:
        service.complain(error)
        return _sent(service, refusing(UNREADY))
    return Response(text, media_type=PROMETHEUS)


def _ready(service: Service) -> Reply:
    champion = service.models.champion
    if champion is None or service.lost:
        return refusing(UNREADY)
    return Reply(OK, f'{{"status":"ready","version":"{champion.version.number}"}}'.encode())


def _columns(reading: RowReader, params: Params) -> frozenset[str]:
    """Return what a row may hold: features, columns with a role, and those that are ignored."""
    schema = reading.schema
    roles = (schema.identifier, schema.time, schema.group, schema.human, schema.existing)
    names = {column.name for column in schema.features} | {name for name in roles if name}
    return frozenset(names | set(params.data.ignore)) - {schema.target}


def _sent(service: Service, reply: Reply) -> Response:
    service.figures.responses.labels(str(reply.status)).inc()
    return Response(reply.content, reply.status, headers=HEADERS.get(reply.status), media_type=JSON)


def _description(service: Service) -> dict[str, Any]:
    champion = service.models.champion
    schema = None if champion is None else champion.model.schema
    return description(
        schema,
        title=service.params.registry.name,
        more_columns=service.params.data.ignore,
        most_rows=service.params.scoring.most_rows,
        with_token=service.token is not None,
    )
