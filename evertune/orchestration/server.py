"""The Prefect server of a run: an existing one, or a temporary one that ends with the run.

`prefect_server` uses the server of PREFECT_API_URL if that is set, else it starts one; enter it
before Prefect is imported. Started as a module with a socket's file descriptor, this file is
that server. On this machine alone it answers only requests that name this machine, so that no
foreign web page gets in; elsewhere only those that show PREFECT_SERVER_API_AUTH_STRING. Schedules
and automations work only on a server that stays up.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hmac import compare_digest
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from evertune.access import basic_authorization, is_loopback, local_url
from evertune.errors import BusyError
from evertune.messages import strip_credentials
from evertune.orchestration.child_process import child_process

EXISTING_SERVER_TIMEOUT_SECONDS = 8.0
SERVER_START_TIMEOUT_SECONDS = 180.0
POLL_SECONDS = 0.05
AUTH_STATUS_CODES = (401, 403)
SERVER_SECRET_VARIABLE = "PREFECT_SERVER_API_AUTH_STRING"
# The last is what Starlette reads of any IPv6 address, for which no name can stand.
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "["]
# What acts on schedules and automations belongs to a running server.
NO_BACKGROUND_SERVICES = {
    "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_FOREMAN_ENABLED": "false",
}


@contextmanager
def prefect_server(state: Path) -> Iterator[Callable[[], str]]:
    """Have a Prefect server while the block runs; enter it before Prefect is imported.

    Parameters
    ----------
    state : Path
        Where the server's log goes, unless PREFECT_API_URL names a running server.

    Yields
    ------
    function
        Waits until the server answers and returns the address of its pages; it raises BusyError
        where it does not come up. Whatever takes time is best done before it is called.

    Raises
    ------
    BusyError
        The standing server does not answer.
    """
    standing = os.environ.get("PREFECT_API_URL")
    if standing:
        address = _check_existing_server(standing)
        yield lambda: address
        return
    with _temporary_server(state) as ready:
        yield ready


@contextmanager
def _temporary_server(state: Path) -> Iterator[Callable[[], str]]:
    log = server_log_path(state)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = prefect_api_url(listener.getsockname()[1])
        os.environ["PREFECT_API_URL"] = address
        with server_on_socket(listener, log=log, settings=NO_BACKGROUND_SERVICES) as process:
            try:
                yield lambda: wait_for_server(address, process=process, log=log)
            finally:
                del os.environ["PREFECT_API_URL"]


@contextmanager
def server_on_socket(
    listener: socket.socket, *, log: Path, settings: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Have a Prefect server answer on an open socket, which it takes over, while the block runs.

    Parameters
    ----------
    listener : socket
        Pages of other origins may not ask the server anything.
    settings : mapping
        Of Prefect, beside the environment's; where others than this machine reach the socket, with
        PREFECT_SERVER_API_AUTH_STRING.

    Yields
    ------
    subprocess.Popen
        Its keeper.
    """
    host, port = listener.getsockname()[:2]
    own = {
        # Elsewhere, pages ask the server by the name that they were loaded by.
        "PREFECT_UI_API_URL": prefect_api_url(port) if is_loopback(host) else "/api",
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://127.0.0.1:{port},http://localhost:{port}",
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
    }
    command = [sys.executable, "-m", "evertune.orchestration.server", str(listener.fileno())]
    environment = {**os.environ, **own, **settings}
    with child_process(
        command, environment=environment, log=log, sockets=(listener.fileno(),)
    ) as process:
        listener.close()
        yield process


def prefect_api_url(port: int, host: str = "127.0.0.1") -> str:
    """Return the address of Prefect's API for programs of this machine."""
    return f"{local_url(host, port)}/api"


def server_log_path(state: Path) -> Path:
    """Return where the output of a project's Prefect server goes."""
    return state / "prefect" / "server.log"


def _check_existing_server(address: str) -> str:
    shown = strip_credentials(address)
    if not server_responds(address, seconds=EXISTING_SERVER_TIMEOUT_SECONDS, alive=lambda: True):
        raise BusyError(
            f"PREFECT_API_URL is {shown}, but no Prefect server answers there within"
            f" {EXISTING_SERVER_TIMEOUT_SECONDS:.0f} s. Start it (`prefect server start`), or unset"
            " the variable to have one for the run."
        )
    return shown.removesuffix("/api")


def wait_for_server(address: str, *, process: subprocess.Popen[bytes], log: Path) -> str:
    """Return the address of a server's pages once it answers.

    Raises
    ------
    BusyError
        It ends, or does not come up in time.
    """
    if not server_responds(
        address, seconds=SERVER_START_TIMEOUT_SECONDS, alive=lambda: process.poll() is None
    ):
        raise BusyError(
            f"The Prefect server did not come up within {SERVER_START_TIMEOUT_SECONDS:.0f} s"
            f" (exit code {process.poll()}). Its log is {log}; run again, or set PREFECT_API_URL"
            " to a running server."
        )
    return address.removesuffix("/api")


def server_responds(address: str, *, seconds: float, alive: Callable[[], bool]) -> bool:
    """Whether a server answers at `address`/health within some seconds, while it is alive."""
    deadline = time.monotonic() + seconds
    while alive() and time.monotonic() < deadline:
        try:
            with urlopen(f"{strip_credentials(address)}/health", timeout=seconds):
                return True
        except HTTPError as error:
            return error.code in AUTH_STATUS_CODES
        except OSError:
            time.sleep(POLL_SECONDS)
    return False


def answers(
    address: str,
    *,
    headers: Mapping[str, str] | None = None,
    seconds: float = EXISTING_SERVER_TIMEOUT_SECONDS,
) -> bool:
    """Return whether a web server answers a request for an address well within some seconds."""
    try:
        with urlopen(Request(address, headers=dict(headers or {})), timeout=seconds):
            return True
    except OSError:
        return False


class BasicAuth:
    """An ASGI app that lets only those in who show a user and a password; the health is open.

    Prefect itself guards its API only, not its pages. It also guards the websockets, which ask for
    the same secret in their first message.
    """

    def __init__(self, app: Any, user_and_password: str) -> None:
        self.app = app
        self.expected = basic_authorization(user_and_password).encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer 401 to a request without the right header."""
        shown = dict(scope.get("headers", ())).get(b"authorization", b"")
        is_open = scope["type"] != "http" or scope["path"] == "/api/health"
        if is_open or compare_digest(shown, self.expected):
            await self.app(scope, receive, send)
        else:
            headers = [(b"www-authenticate", b'Basic realm="Prefect"'), (b"content-length", b"0")]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send({"type": "http.response.body"})


def serve_prefect(descriptor: int) -> None:
    """Serve Prefect's API and pages on an open socket until told to end."""
    import uvicorn
    from prefect.server.api.server import create_app
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    listener, secret = socket.socket(fileno=descriptor), os.environ.get(SERVER_SECRET_VARIABLE)
    host = listener.getsockname()[0]
    app: Any = create_app()
    if is_loopback(host):
        # A name that was made to point at this machine would let a foreign page in.
        app = TrustedHostMiddleware(app, allowed_hosts=ALLOWED_HOSTS)
    elif not secret:
        raise SystemExit(f"Beyond this machine, {SERVER_SECRET_VARIABLE} must be set for {host}.")
    if secret:
        app = BasicAuth(app, secret)
    config = uvicorn.Config(app, log_level="error", lifespan="on")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    serve_prefect(int(sys.argv[1]))
