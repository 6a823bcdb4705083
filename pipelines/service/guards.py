"""What every request passes before anything is done for it: its host, token, type and size."""

import asyncio
from hmac import compare_digest

from starlette.requests import ClientDisconnect, Request

from pipelines.core.requests import MALFORMED, TOO_LARGE, Fault, Refusal
from pipelines.service.standing import Service

UNKNOWN_CALLER, FOREIGN_HOST, NOT_JSON, TOO_MANY = 401, 403, 415, 429
MOST_ACTIVE = 128
BODY_SECONDS = 10.0
JSON = "application/json"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def guarded(service: Service, request: Request) -> Refusal | None:
    """Return why a caller is turned away, None where it is welcome.

    A service on loopback without a token answers only requests that name this machine: a page of
    the web that makes its own name point here cannot reach it.
    """
    if service.token is not None:
        shown = request.headers.get("authorization", "").encode()
        if not compare_digest(shown, b"Bearer " + service.token):
            return _refused(UNKNOWN_CALLER, "authorization", "expected 'Bearer' and the token")
        return None
    local = service.params.scoring.host in LOOPBACK
    if local and _name_of(request.headers.get("host", "")) not in LOOPBACK:
        return _refused(FOREIGN_HOST, "host", "expected this machine's own name")
    return None


def _name_of(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).strip("[]").lower()


async def body_of(service: Service, request: Request) -> bytes | Refusal:
    """Return the body of a request, or why it is not taken."""
    kind, *options = (part.strip() for part in request.headers.get("content-type", "").split(";"))
    if kind.lower() != JSON or any(_is_foreign(option) for option in options):
        return _refused(NOT_JSON, "content-type", f"expected {JSON} in UTF-8")
    if service.active > MOST_ACTIVE:
        return _refused(TOO_MANY, "requests", f"more than {MOST_ACTIVE} at once; try again soon")
    most = service.params.scoring.most_bytes
    if int(request.headers.get("content-length") or 0) > most:
        return _too_large(most)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _read(request, most)
    except TimeoutError:
        problem = f"did not come within {BODY_SECONDS:.0f} s"
        return _refused(MALFORMED, "body", problem)
    except ClientDisconnect:
        return _refused(MALFORMED, "body", "is not whole")


async def _read(request: Request, most: int) -> bytes | Refusal:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            return _too_large(most)
        parts.append(part)
    return b"".join(parts)


def _is_foreign(option: str) -> bool:
    name, _, value = option.partition("=")
    return name.strip().lower() == "charset" and value.strip(' "').lower() not in ("utf-8", "utf8")


def _too_large(most: int) -> Refusal:
    return _refused(TOO_LARGE, "body", f"expected at most {most} bytes")


def _refused(status: int, field: str, problem: str) -> Refusal:
    return Refusal(status, (Fault(field, problem),))
