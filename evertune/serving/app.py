"""The HTTP scoring service: predictions, labels, health and metrics of one or more projects.

`create_app` builds it. A service answers under its project's name (`POST /churn/predict`); one
that is alone answers at `/predict` too. A request goes from here to `requests` (parse and check),
`service` (predict in batches) and the prediction log; then it is answered. Checked here: the caller
(`check_caller`), content type, size and the time that a body may take (`read_body`). Without a
token, a service on loopback answers only requests whose Host header names this machine, so that a
web page whose name resolves to 127.0.0.1 (DNS rebinding) cannot reach it.

FastAPI does routing and start-up. Bodies are not pydantic models: the row's fields change with the
champion, and a fault has to name its field without repeating what was sent.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from hmac import compare_digest

from fastapi import APIRouter, FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from evertune.serving.openapi import openapi_document
from evertune.serving.requests import (
    BAD_REQUEST,
    CONTENT_TOO_LARGE,
    ErrorResponse,
    FieldError,
    parse_json,
)
from evertune.serving.service import NOT_READY, OK, ModelService, Reply, error_reply

UNAUTHORIZED, FORBIDDEN, UNSUPPORTED_MEDIA_TYPE, TOO_MANY_REQUESTS = 401, 403, 415, 429
MAX_ACTIVE_REQUESTS = 128
BODY_TIMEOUT_SECONDS = 10.0
JSON_MEDIA_TYPE = "application/json"
PROMETHEUS_MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
RETRY_LATER = {"Retry-After": "2"}
RESPONSE_HEADERS = {
    UNAUTHORIZED: {"WWW-Authenticate": "Bearer"},
    TOO_MANY_REQUESTS: RETRY_LATER,
    NOT_READY: RETRY_LATER,
}


def create_app(services: Mapping[str, ModelService], *, host: str = "127.0.0.1") -> FastAPI:
    """Return the app of services; they are started and stopped with it.

    Parameters
    ----------
    services : mapping of str to ModelService
        By the path below which each answers, such as `churn`.
    host : str
        The address that the server listens on.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for service in services.values():
                stack.push_async_callback(service.stop)
                await service.start()
            yield

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None)
    by_prefix = {f"/{path}": service for path, service in services.items()}
    for prefix, service in by_prefix.items():
        app.include_router(_Endpoints(service, host).router(), prefix=prefix)
    if len(services) == 1:
        (service,) = services.values()
        app.include_router(_Endpoints(service, host).router())
        by_prefix = {"": service}
    else:
        _add_probes(app, [*services.values()])
    app.openapi = lambda: openapi_document(by_prefix)  # type: ignore[method-assign]
    return app


def check_caller(service: ModelService, request: Request, host: str) -> ErrorResponse | None:
    """Return why a caller is turned away, None where it is welcome."""
    if service.token is not None:
        shown = request.headers.get("authorization", "").encode()
        if not compare_digest(shown, b"Bearer " + service.token):
            return _error(UNAUTHORIZED, "authorization", "expected 'Bearer' and the token")
    elif host in LOOPBACK_HOSTS and _host_name(request) not in LOOPBACK_HOSTS:
        return _error(FORBIDDEN, "host", "expected this machine's own name, such as localhost")
    return None


async def read_body(service: ModelService, request: Request) -> bytes | ErrorResponse:
    """Return the body of a request, or why it is not taken."""
    refusal = _header_error(service, request)
    if refusal is not None:
        return refusal
    max_bytes = service.params.scoring.max_request_bytes
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > max_bytes:
                    return _too_large(max_bytes)
    except TimeoutError:
        problem = f"did not arrive within {BODY_TIMEOUT_SECONDS:.0f} s"
        return _error(BAD_REQUEST, "body", problem)
    except ClientDisconnect:
        return _error(BAD_REQUEST, "body", "is not complete")
    return bytes(body)


class _Endpoints:
    """The paths of one service."""

    def __init__(self, service: ModelService, host: str) -> None:
        self.service, self.host = service, host

    def router(self) -> APIRouter:
        router = APIRouter()
        router.add_route("/predict", self.predict, methods=["POST"])
        router.add_route("/label", self.label, methods=["POST"])
        router.add_route("/metrics", self.metrics, methods=["GET"])
        router.add_route("/health", self.health, methods=["GET"])
        router.add_route("/ready", self.ready, methods=["GET"])
        return router

    async def predict(self, request: Request) -> Response:
        with self.service.metrics.latency.time():
            return await self._answer(request, self.service.predict)

    async def label(self, request: Request) -> Response:
        return await self._answer(request, self.service.label)

    async def metrics(self, request: Request) -> Response:
        refusal = check_caller(self.service, request, self.host)
        if refusal is not None:
            return self._respond(error_reply(refusal))
        text = await self.service.render_metrics()
        if isinstance(text, Reply):
            return self._respond(text)
        return Response(text, media_type=PROMETHEUS_MEDIA_TYPE)

    async def health(self, _: Request) -> Response:
        return self._respond(self.service.health())

    async def ready(self, _: Request) -> Response:
        return self._respond(self.service.readiness())

    async def _answer(
        self, request: Request, work: Callable[[object], Awaitable[Reply]]
    ) -> Response:
        service = self.service
        refusal = check_caller(service, request, self.host)
        if refusal is not None:
            return self._respond(error_reply(refusal))
        service.active += 1
        try:
            body = await read_body(service, request)
            if isinstance(body, ErrorResponse):
                return self._respond(error_reply(body))
            try:
                content = parse_json(body)
            except ValueError as error:
                return self._respond(error_reply(_error(BAD_REQUEST, "body", str(error))))
            return self._respond(await work(content))
        finally:
            service.active -= 1

    def _respond(self, reply: Reply) -> Response:
        self.service.metrics.responses.labels(str(reply.status)).inc()
        return _response(reply)


def _add_probes(app: FastAPI, services: Sequence[ModelService]) -> None:
    """Add /health and /ready of several services: those of the first that is not well."""

    async def health(_: Request) -> Response:
        return _response(_worst([service.health() for service in services]))

    async def ready(_: Request) -> Response:
        return _response(_worst([service.readiness() for service in services]))

    app.add_route("/health", health, methods=["GET"])
    app.add_route("/ready", ready, methods=["GET"])


def _worst(replies: Sequence[Reply]) -> Reply:
    return next((reply for reply in replies if reply.status != OK), replies[0])


def _response(reply: Reply) -> Response:
    headers = RESPONSE_HEADERS.get(reply.status)
    return Response(reply.content, reply.status, headers=headers, media_type=JSON_MEDIA_TYPE)


def _error(status: int, field: str, problem: str) -> ErrorResponse:
    return ErrorResponse(status, (FieldError(field, problem),))


def _header_error(service: ModelService, request: Request) -> ErrorResponse | None:
    kind, *options = (part.strip() for part in request.headers.get("content-type", "").split(";"))
    if kind.lower() != JSON_MEDIA_TYPE or any(_is_other_charset(option) for option in options):
        expected = f"expected {JSON_MEDIA_TYPE} in UTF-8"
        return _error(UNSUPPORTED_MEDIA_TYPE, "content-type", expected)
    if service.active > MAX_ACTIVE_REQUESTS:
        problem = f"more than {MAX_ACTIVE_REQUESTS} at once; try again soon"
        return _error(TOO_MANY_REQUESTS, "requests", problem)
    max_bytes = service.params.scoring.max_request_bytes
    if int(request.headers.get("content-length") or 0) > max_bytes:
        return _too_large(max_bytes)
    return None


def _too_large(max_bytes: int) -> ErrorResponse:
    return _error(CONTENT_TOO_LARGE, "body", f"expected at most {max_bytes} bytes")


def _host_name(request: Request) -> str:
    host = request.headers.get("host", "")
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).strip("[]").lower()


def _is_other_charset(option: str) -> bool:
    name, _, value = option.partition("=")
    return name.strip().lower() == "charset" and value.strip(' "').lower() not in ("utf-8", "utf8")
