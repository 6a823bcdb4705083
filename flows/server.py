"""The Prefect server of a run: a standing one by its address, else one that ends with the run.

As a module (`python -m flows.server SOCKET`) it is that server, on an open socket.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from flows.keeper import kept
from pipelines.errors import BusyError

STANDING_SECONDS = 8.0
STARTING_SECONDS = 180.0
POLL_SECONDS = 0.05
ASKS_WHO = (401, 403)
HOSTS = ["127.0.0.1", "localhost"]
# What acts on schedules and automations belongs to a standing server.
WITHOUT_SERVICES = {
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
        Where the server's log goes, unless PREFECT_API_URL names a standing server.

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
        address = _standing(standing)
        yield lambda: address
        return
    with _own_server(state) as ready:
        yield ready


@contextmanager
def _own_server(state: Path) -> Iterator[Callable[[], str]]:
    log = log_of(state)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = address_of(listener.getsockname()[1])
        os.environ["PREFECT_API_URL"] = address
        with server_on(listener, log=log, settings=WITHOUT_SERVICES) as process:
            try:
                yield lambda: address_once_up(address, process=process, log=log)
            finally:
                del os.environ["PREFECT_API_URL"]


@contextmanager
def server_on(
    listener: socket.socket, *, log: Path, settings: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Have a Prefect server answer on an open socket, which it takes over, while the block runs.

    Parameters
    ----------
    listener : socket
        Of this machine; pages of other origins may not ask the server anything.
    log : Path
    settings : mapping
        Of Prefect, beside the environment's.

    Yields
    ------
    subprocess.Popen
        Its keeper.
    """
    port = listener.getsockname()[1]
    own = {
        "PREFECT_UI_API_URL": address_of(port),
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://127.0.0.1:{port},http://localhost:{port}",
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
    }
    command = [sys.executable, "-m", "flows.server", str(listener.fileno())]
    environment = {**os.environ, **own, **settings}
    with kept(command, environment=environment, log=log, sockets=(listener.fileno(),)) as process:
        listener.close()
        yield process


def address_of(port: int) -> str:
    """Return the address of Prefect's API on a port of this machine."""
    return f"http://127.0.0.1:{port}/api"


def log_of(state: Path) -> Path:
    """Return where the output of a project's Prefect server goes."""
    return state / "prefect" / "server.log"


def _standing(address: str) -> str:
    if not answers(address, seconds=STANDING_SECONDS, alive=lambda: True):
        raise BusyError(
            f"PREFECT_API_URL is {address}, but no Prefect server answers there within"
            f" {STANDING_SECONDS:.0f} s. Start it (`prefect server start`), or unset the variable"
            " to have one for the run."
        )
    return address.removesuffix("/api")


def address_once_up(address: str, *, process: subprocess.Popen[bytes], log: Path) -> str:
    """Return the address of a server's pages once it answers.

    Raises
    ------
    BusyError
        It ends, or does not come up in time.
    """
    if not answers(address, seconds=STARTING_SECONDS, alive=lambda: process.poll() is None):
        raise BusyError(
            f"The Prefect server did not come up within {STARTING_SECONDS:.0f} s (exit code"
            f" {process.poll()}). Its log is {log}; run again, or set PREFECT_API_URL to a"
            " standing server."
        )
    return address.removesuffix("/api")


def answers(address: str, *, seconds: float, alive: Callable[[], bool]) -> bool:
    """Whether a server answers at `address`/health within some seconds, while it is alive."""
    deadline = time.monotonic() + seconds
    while alive() and time.monotonic() < deadline:
        try:
            with urlopen(f"{address}/health", timeout=seconds):
                return True
        except HTTPError as error:
            return error.code in ASKS_WHO
        except OSError:
            time.sleep(POLL_SECONDS)
    return False


def serve(descriptor: int) -> None:
    """Serve Prefect's API and pages on an open socket until told to end."""
    import uvicorn
    from prefect.server.api.server import create_app
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    # A name that was made to point at this machine would let a foreign page in.
    app = TrustedHostMiddleware(create_app(), allowed_hosts=HOSTS)
    config = uvicorn.Config(app, log_level="error", lifespan="on")
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    serve(int(sys.argv[1]))
