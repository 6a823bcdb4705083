"""What a running service holds: its log, its models, and the requests that wait."""

import asyncio
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

from pipelines.core.fast_rows import Row
from pipelines.core.requests import Asked
from pipelines.errors import EvertuneError, ParamsError
from pipelines.sections import Params
from pipelines.service.figures import Figures, new_figures
from pipelines.stores.champions import InUse
from pipelines.stores.database import Log, close_log, log_address, open_log
from pipelines.stores.tracking import Store, open_store

LOGGER = logging.getLogger(__name__)
Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Reply:
    """What is sent back."""

    status: int
    content: bytes


@dataclass(frozen=True, eq=False)
class Waiting:
    """A request that waits for its batch, and where its reply goes."""

    asked: Asked
    reply: "asyncio.Future[Reply]"


@dataclass(frozen=True, eq=False)
class Models:
    """The versions in use at one moment; requests see either these or the next."""

    champion: InUse | None = None
    shadow: InUse | None = None


@dataclass(eq=False)
class Service:
    """A running service; `models` is replaced as a whole when an alias moves.

    Attributes
    ----------
    params : Params
    token : bytes, optional
        What callers must show.
    clock : callable
    store : Store
    log : Log
    figures : Figures
    worker, shadower : ThreadPoolExecutor
        One thread each: batches are predicted and logged one after the other.
    models : Models
    waiting : list of Waiting
    unshadowed : list of (ids, rows)
        What the shadow has not predicted yet.
    busy, shadowing : bool
        Whether a task works through them.
    active : int
        Requests that are being answered.
    lost : bool
        Whether nothing follows the aliases any more.
    """

    params: Params
    token: bytes | None
    clock: Clock
    store: Store
    log: Log
    figures: Figures
    worker: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "predict"))
    shadower: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "shadow"))
    models: Models = field(default_factory=Models)
    waiting: list[Waiting] = field(default_factory=list)
    unshadowed: list[tuple[str, Row]] = field(default_factory=list)
    busy: bool = False
    shadowing: bool = False
    active: int = 0
    lost: bool = False

    def complain(self, error: EvertuneError) -> None:
        """Tell the operator why requests are turned away."""
        LOGGER.error("%s", error)


def open_service(params: Params, *, clock: Clock) -> Service:
    """Return a service whose log and registry answer; it has no models yet.

    Raises
    ------
    ParamsError
        A variable that params.yaml names is not set.
    BusyError, UnsafeError
        The log or the registry cannot be used.
    """
    state, name, scoring = params.paths.state, params.registry.name, params.scoring
    token = token_of(scoring.token_variable)
    address = log_address(scoring.log_variable)
    log = open_log(state, model=name, address=address)
    return Service(params, token, clock, open_store(state, name), log, new_figures())


def close_service(service: Service) -> None:
    """Let the threads end what they do, and give back the log."""
    service.worker.shutdown(wait=True)
    service.shadower.shutdown(wait=True)
    close_log(service.log)


def token_of(variable: str | None) -> bytes | None:
    """Return the token that callers must show, None where none is asked for.

    Raises
    ------
    ParamsError
        The variable is named and not set.
    """
    if variable is None:
        return None
    token = os.environ.get(variable, "")
    if not token:
        raise ParamsError(
            f"scoring.token_variable: the environment variable {variable} is not set; it has to"
            " hold the token that callers show. Set it, or write null to let everyone in."
        )
    return token.encode()
