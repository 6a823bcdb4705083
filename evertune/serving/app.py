"""The HTTP scoring service: predictions, labels, health and metrics of one or more projects.

`create_app` builds it with FastAPI. A service answers under its project's name (`POST
/churn/predict`); one that is alone answers at `/predict` too. A request goes from here through
`requests` (its form) and `service` (batches of predictions) to `monitoring.prediction_log`; then it
is answered. `/openapi.json` is what FastAPI generates, for the columns of the champions of now:
when another champion reads other columns, the paths are built again. Only /health answers anybody.

Checked here, before FastAPI parses a body: the caller and how often it asks, content type, size,
the time that the body may take, and JSON that two readers could read in two ways. A service that
asks for no token, which is one that listens on this machine alone, answers only requests whose Host
header names this machine, so that a web page whose name resolves to 127.0.0.1 (DNS rebinding)
cannot reach it.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from hmac import compare_digest
from http import HTTPStatus
from time import monotonic, perf_counter
from typing import Any

from fastapi import APIRouter, FastAPI, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from evertune.access import is_loopback
from evertune.serving.requests import (
    BodyModels,
    Error,
    FieldError,
    LabelResponse,
    RequestError,
    Status,
    body_models,
    form_error,
    parse_json,
)
from evertune.serving.service import ModelService

MAX_ACTIVE_REQUESTS = 128
BODY_TIMEOUT_SECONDS = 10.0
JSON_MEDIA_TYPE = "application/json"
PROMETHEUS_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": Error, "description": description}
    for status, description in {
        HTTPStatus.BAD_REQUEST: "The body is not JSON, or holds no row.",
        HTTPStatus.UNAUTHORIZED: "The token is missing or wrong.",
        HTTPStatus.FORBIDDEN: "The host is not this machine.",
        HTTPStatus.CONFLICT: "An id was used before, for another row, or has two labels.",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Too large.",
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The content type is not JSON.",
        HTTPStatus.UNPROCESSABLE_ENTITY: "Fields cannot be used; each is named.",
        HTTPStatus.TOO_MANY_REQUESTS: "Too many requests at once, or of one caller in a second.",
        HTTPStatus.SERVICE_UNAVAILABLE: "There is no champion, or the log does not answer.",
    }.items()
}
ERRORS_WITHOUT_BODY: dict[int | str, dict[str, Any]] = {
    each: ERRORS[each]
    for each in ERRORS
    if each
    in (
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
    )
}


def create_app(services: Mapping[str, ModelService]) -> FastAPI:
    """Return the app of services; they are started and stopped with it.

    Parameters
    ----------
    services : mapping of str to ModelService
        By the path below which each answers, such as `churn`.
    """
    guards = {path: Guard([service]) for path, service in services.items()}
    shared_guard = Guard([*services.values()])

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for service in services.values():
                stack.push_async_callback(service.stop)
                await service.start(build_paths)
            build_paths()
            yield

    title = ", ".join(service.name for service in services.values())
    app = FastAPI(title=title, version="1", lifespan=lifespan, openapi_url=None)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi_document(request: Request) -> Response:
        shared_guard.check(request)
        return JSONResponse(app.openapi())

    n_fixed = len(app.router.routes)

    def build_paths() -> None:
        router, alone = APIRouter(), len(services) == 1
        for path, service in services.items():
            paths = _service_router(service, guards[path])
            router.include_router(paths, prefix=f"/{path}", include_in_schema=not alone)
            if alone:
                router.include_router(paths)
        if not alone:
            _add_probes(router, [*services.values()], shared_guard)
        app.router.routes[n_fixed:] = router.routes
        app.openapi_schema = None  # of the paths before

    return app


def _service_router(service: ModelService, guard: "Guard") -> APIRouter:
    """Return the paths of one service, for its champion of now."""
    params = service.params
    models = body_models(
        service.name,
        service.schema,
        ignored=params.data.ignore,
        max_rows=params.scoring.max_rows,
    )
    # declares the token; the guard asks for it, before the body is read
    token = [Security(HTTPBearer(auto_error=False))] if service.token is not None else []
    router = APIRouter(route_class=_route_class(service, guard, models))

    async def predict(body: models.predict_request) -> Response:  # type: ignore[name-defined]
        return Response(await service.predict(body), media_type=JSON_MEDIA_TYPE)

    async def label(body: models.label_request) -> LabelResponse:  # type: ignore[name-defined]
        return await service.label(body)

    async def metrics(request: Request) -> Response:
        guard.check(request)
        return Response(await service.render_metrics(), media_type=PROMETHEUS_MEDIA_TYPE)

    shared: dict[str, Any] = {"dependencies": token, "responses": ERRORS}
    router.post("/predict", response_model=models.predict_response, **shared)(predict)
    router.post("/label", **shared)(label)
    router.get(
        "/metrics",
        dependencies=token,
        responses=ERRORS_WITHOUT_BODY,
        response_class=PlainTextResponse,
    )(metrics)
    _add_probes(router, [service], guard)
    return router


def _add_probes(router: APIRouter, services: Sequence[ModelService], guard: "Guard") -> None:
    """Add /health and /ready, which fail where one of the services does; the first one answers."""

    async def health() -> dict[str, str]:
        statuses = [service.health() for service in services]
        return statuses[0]

    async def ready(request: Request) -> dict[str, str]:
        guard.check(request)
        statuses = [service.readiness() for service in services]
        return statuses[0]

    shared: dict[str, Any] = {"response_model": Status, "response_model_exclude_none": True}
    router.get(
        "/health",
        responses={HTTPStatus.SERVICE_UNAVAILABLE: ERRORS[HTTPStatus.SERVICE_UNAVAILABLE]},
        **shared,
    )(health)
    router.get("/ready", responses=ERRORS_WITHOUT_BODY, **shared)(ready)


class Guard:
    """Turns away who asks too often, has no token or, where none is asked for, is elsewhere.

    Parameters
    ----------
    services : sequence of ModelService
        The token of any of them is enough.
    """

    def __init__(self, services: Sequence[ModelService]) -> None:
        self._tokens = [service.token for service in services if service.token is not None]
        self._is_open = len(self._tokens) < len(services)
        self._limit = services[0].params.scoring.max_requests_a_second
        self._second, self._requests = 0, Counter[str]()

    def check(self, request: Request) -> None:
        """Raise RequestError where the request is not to be answered."""
        self._count(request.client.host if request.client else "")
        if self._is_open:
            if not is_loopback(_host_name(request)):
                problem = "expected this machine's own name, such as localhost"
                raise _error(HTTPStatus.FORBIDDEN, "host", problem)
            return
        shown = request.headers.get("authorization", "").encode()
        if not any(compare_digest(shown, b"Bearer " + token) for token in self._tokens):
            raise _error(
                HTTPStatus.UNAUTHORIZED, "authorization", "expected 'Bearer' and the token"
            )

    def _count(self, caller: str) -> None:
        second = int(monotonic())
        if second != self._second:
            self._second, self._requests = second, Counter()
        self._requests[caller] += 1
        if self._limit is not None and self._requests[caller] > self._limit:
            problem = f"more than {self._limit} of one caller in a second; try again soon"
            raise _error(HTTPStatus.TOO_MANY_REQUESTS, "requests", problem)


def _route_class(service: ModelService, guard: Guard, models: BodyModels) -> type[APIRoute]:
    """Return the kind of FastAPI's routes that a service has: guarded, and counted."""

    class GuardedRequest(Request):
        async def body(self) -> bytes:
            guard.check(self)
            body = await read_body(service, self)
            if service.models.champion is None:
                raise service.no_champion()
            try:
                self.content = parse_json(body)
            except ValueError as error:
                raise _error(HTTPStatus.BAD_REQUEST, "body", str(error)) from error
            return body

        async def json(self) -> object:
            return self.content

    class ServiceRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def handle_guarded(request: Request) -> Response:
                began = perf_counter()
                service.active += 1
                try:
                    response = await handle(GuardedRequest(request.scope, request.receive))
                except RequestError as error:
                    response = _error_response(error)
                except RequestValidationError as error:
                    response = _error_response(form_error(error.errors(), models.columns))
                finally:
                    service.active -= 1
                if self.path.endswith("/predict"):
                    service.metrics.latency.observe(perf_counter() - began)
                service.metrics.responses.labels(str(response.status_code)).inc()
                return response

            return handle_guarded

    return ServiceRoute


async def read_body(service: ModelService, request: Request) -> bytes:
    """Return the body of a request that is JSON, not too large, and arrives in time."""
    kind, *options = (part.strip() for part in request.headers.get("content-type", "").split(";"))
    if kind.lower() != JSON_MEDIA_TYPE or any(_is_other_charset(option) for option in options):
        expected = f"expected {JSON_MEDIA_TYPE} in UTF-8"
        raise _error(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "content-type", expected)
    if service.active > MAX_ACTIVE_REQUESTS:
        problem = f"more than {MAX_ACTIVE_REQUESTS} at once; try again soon"
        raise _error(HTTPStatus.TOO_MANY_REQUESTS, "requests", problem)
    max_bytes = service.params.scoring.max_request_bytes
    too_large = _error(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body", f"expected at most {max_bytes} bytes"
    )
    if int(request.headers.get("content-length") or 0) > max_bytes:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > max_bytes:
                    raise too_large
    except TimeoutError as error:
        problem = f"did not arrive within {BODY_TIMEOUT_SECONDS:.0f} s"
        raise _error(HTTPStatus.BAD_REQUEST, "body", problem) from error
    except ClientDisconnect as error:
        raise _error(HTTPStatus.BAD_REQUEST, "body", "is not complete") from error
    return bytes(body)


def _error(status: int, field: str, problem: str) -> RequestError:
    return RequestError(status, FieldError(field, problem))


def _error_response(error: RequestError) -> Response:
    return Response(error.to_json(), error.status_code, error.headers, media_type=JSON_MEDIA_TYPE)


def _host_name(request: Request) -> str:
    host = request.headers.get("host", "")
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).strip("[]").lower()


def _is_other_charset(option: str) -> bool:
    name, _, value = option.partition("=")
    return name.strip().lower() == "charset" and value.strip(' "').lower() not in ("utf-8", "utf8")
