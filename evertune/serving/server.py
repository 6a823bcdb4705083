"""Run the scoring service under uvicorn: `evertune serve`.

`serve_projects` serves until Ctrl-C or SIGTERM and lets open requests finish. uvicorn limits
only the time between requests, so `HeaderTimeoutProtocol` also closes a connection whose
request headers do not arrive in time.
"""

import sys
from asyncio import TimerHandle, Transport
from collections.abc import Sequence
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from evertune.access import SCORING, is_loopback, listen, local_url, who_may_call
from evertune.errors import ParamsError
from evertune.serving.app import create_app
from evertune.serving.service import ModelService

if TYPE_CHECKING:
    from evertune.project import Project

HEADER_TIMEOUT_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 30
GRACE_SECONDS = 10


class HeaderTimeoutProtocol(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it; a connection whose request does not begin in time is closed.

    A request has begun when its headers are whole. How long the body may take is for those who
    read it.
    """

    header_seconds = HEADER_TIMEOUT_SECONDS
    _timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Begin to wait for the headers of the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take what came; wait on where it was not all of a request's headers."""
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._wait()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.header_seconds, self.timeout_keep_alive_handler)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def serve_projects(
    projects: Sequence["Project"], port: int | None = None, *, host: str | None = None
) -> None:
    """Serve the champions of projects until Ctrl-C or SIGTERM; open requests are answered first.

    Parameters
    ----------
    projects : sequence of Project
        Each answers below its name (`/churn/predict`); one that is alone at `/predict` too.
    port, host : optional
        Those of the first project's `scoring`, unless they are given.

    Raises
    ------
    ParamsError
        Two projects have the same name.
    BusyError
        The port is taken, or the log or the registry does not answer.
    EvertuneError
        What else keeps a project's service from starting.
    """
    names = [project.name for project in projects]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ParamsError(
            f"expected projects of different names, but more than one is called {twice[0]}; change"
            " registry.name in one of their params.yaml"
        )
    usual = projects[0].params.scoring
    host, port = host or usual.host, port or usual.port
    advice = f"Choose another one, for example `evertune serve --port {port + 1}`."
    with listen(host, port, advice=advice) as listener:
        services = {project.name: ModelService(project.root, host=host) for project in projects}
        config = uvicorn.Config(
            create_app(services),
            http=HeaderTimeoutProtocol,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        where = "" if len(names) == 1 else f", below /{', /'.join(names)}"
        lines = [f"The scoring service: {local_url(host, port)}{where} (Ctrl-C ends it)"]
        own = [each for each in projects if each.params.scoring.token_variable is None]
        if not is_loopback(host):
            lines += [who_may_call(SCORING, host, each.state) for each in own]
        sys.stdout.write("\n".join([*lines, ""]))
        sys.stdout.flush()
        uvicorn.Server(config).run(sockets=[listener])
