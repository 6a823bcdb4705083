"""Real servers that can be killed, stopped and started again, for tests and drills of outages."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from evertune.orchestration.environment import DEFAULTS
from tests.support.projects import free_port

START_SECONDS = 180.0


class Server:
    """A web server on a port of its own.

    Parameters
    ----------
    command : sequence of str
        Starts it; ``{port}`` stands for the port.
    health : str
        The path that answers once it is up.
    """

    def __init__(self, folder: Path, command: Sequence[str], *, health: str) -> None:
        self.folder, self.health, port = folder, health, free_port()
        self.address = f"http://127.0.0.1:{port}"
        self._command = [part.replace("{port}", str(port)) for part in command]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return once it answers."""
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command, cwd=self.folder, env=os.environ | DEFAULTS,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                urlopen(f"{self.address}{self.health}", timeout=5).close()
            except (URLError, OSError):
                time.sleep(0.1)
            else:
                return
        raise RuntimeError(f"{self._command} did not come up: see {self.folder}/server.log")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it and to all its processes."""
        assert self.process is not None
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return
        if number == signal.SIGKILL:
            self.process.wait()


@contextmanager
def mlflow_server(folder: Path) -> Iterator[Server]:
    """Give a running `mlflow server` with a store in a folder."""
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", "{port}"),
        *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db"),
        *("--artifacts-destination", f"{folder}/artifacts"),
    ]
    server = Server(folder, command, health="/health")
    server.start()
    try:
        yield server
    finally:
        server.send(signal.SIGKILL)
