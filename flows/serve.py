"""The scoring service as a process of its own: `evertune serve`."""

import errno
import os
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path

import uvicorn

from pipelines.errors import BusyError
from pipelines.params import load_params
from pipelines.service.connections import ImpatientProtocol
from pipelines.serving import create_app

KEEP_ALIVE_SECONDS = 30
GRACE_SECONDS = 10
WAITING = 512


def serve_project(root: Path, port: int) -> None:
    """Serve the project's champion until Ctrl-C or SIGTERM; requests under way are answered first.

    Parameters
    ----------
    root : Path
        The project's folder.
    port : int
        At the host of `scoring.host`.

    Raises
    ------
    BusyError
        The port is taken, or the log or the registry does not answer.
    EvertuneError
        What else keeps it from starting.
    """
    host = load_params(root).scoring.host
    with _listener(host, port) as listener:
        app = create_app(root, clock=lambda: datetime.now(UTC))
        config = uvicorn.Config(
            app,
            http=ImpatientProtocol,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        sys.stdout.write(f"The scoring service: http://{host}:{port} (Ctrl-C ends it)\n")
        sys.stdout.flush()
        uvicorn.Server(config).run(sockets=[listener])


def _listener(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=WAITING)
    except OSError as error:
        reason = os.strerror(error.errno or errno.EINVAL)
        raise BusyError(
            f"Port {port} of {host} cannot be used: {reason}. Choose another one, for example"
            f" `evertune serve --port {port + 1}`."
        ) from error
