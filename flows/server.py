"""The Prefect server of a run: a standing one by its address, else one that ends with the run.

As a module (`python -m flows.server SOCKET`) it is that server, on an open socket.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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
# What acts on schedules and automations belongs to a standing server.
ENVIRONMENT = {
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
    log = state / "prefect" / "server.log"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
        command = [sys.executable, "-m", "flows.server", str(listener.fileno())]
        environment = os.environ | ENVIRONMENT | {"PREFECT_UI_API_URL": address}
        server = kept(command, environment=environment, log=log, sockets=(listener.fileno(),))
        os.environ["PREFECT_API_URL"] = address
        with server as process:
            listener.close()
            try:
                yield lambda: _started(address, process=process, log=log)
            finally:
                del os.environ["PREFECT_API_URL"]


def _standing(address: str) -> str:
    if not answers(address, seconds=STANDING_SECONDS, alive=lambda: True):
        raise BusyError(
            f"PREFECT_API_URL is {address}, but no Prefect server answers there within"
            f" {STANDING_SECONDS:.0f} s. Start it (`prefect server start`), or unset the variable"
            " to have one for the run."
        )
    return address.removesuffix("/api")


def _started(address: str, *, process: subprocess.Popen[bytes], log: Path) -> str:
    if not answers(address, seconds=STARTING_SECONDS, alive=lambda: process.poll() is None):
        raise BusyError(
            f"The run's own Prefect server did not come up within {STARTING_SECONDS:.0f} s (exit"
            f" code {process.poll()}). Its log is {log}; run again, or set PREFECT_API_URL to a"
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

    config = uvicorn.Config(
        "prefect.server.api.server:create_app", factory=True, log_level="error", lifespan="on"
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    serve(int(sys.argv[1]))
