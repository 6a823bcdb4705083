"""Everything on one machine: Prefect with its schedules and automation, pages, scoring.

What is committed runs in a checkout of its own (pipelines/checkout.py). All of it listens on this
machine only, ends with the command however that ends, and is started again if it ends by itself.
"""

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from subprocess import Popen
from urllib.error import HTTPError
from urllib.request import urlopen

from flows.browse import PAGE
from flows.happenings import News, news_since
from flows.keeper import kept
from flows.server import STANDING_SECONDS, address_of, address_once_up, answers, log_of, server_on
from flows.services import Running, Service, last_line, looked_after, together, wait_for
from flows.simulate import played_on, project_play
from flows.telling import CHAMPION_STAYS
from pipelines.checkout import check_out, use_newest_clock
from pipelines.errors import BusyError, InputError, StageError
from pipelines.params import load_params
from pipelines.sections import Params
from pipelines.stores.addresses import ui_command, without_secrets
from pipelines.stores.files import is_held, project_lock
from pipelines.stores.registry import champion
from pipelines.stores.tracking import open_store
from pipelines.stores.versions import git_is_dirty

EXAMPLE = "example"
EVERYWHERE = "0.0.0.0"
READY_SECONDS = 180.0
TICK_SECONDS, NEWS_SECONDS = 0.5, 3.0
LOOK_DAYS, LEAST_LOOK_SECONDS = 3.0, 20.0
DEPLOYED = "deployed"
SETTINGS = {"PREFECT_RUNNER_POLL_FREQUENCY": "2"}
# A few rows are predicted fastest by one thread that leaves the processors to others meanwhile.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
Say = Callable[[str], None]


@dataclass(frozen=True)
class Start:
    """What is started.

    Attributes
    ----------
    prefect_port, mlflow_port, scoring_port : int
        On this machine.
    days_a_minute : float, optional
        How fast simulated customers are played; None: none are.
    """

    prefect_port: int
    mlflow_port: int
    scoring_port: int
    days_a_minute: float | None = None


def up(root: Path, start: Start, *, say: Say) -> None:
    """Run everything until Ctrl-C or SIGTERM.

    Parameters
    ----------
    root : Path
        The project's folder.
    start : Start
    say : function
        Called with lines for a person.

    Raises
    ------
    BusyError
        It runs already, or a port is taken.
    UnsafeError
        There is no commit to deploy.
    InputError
        Simulated customers are asked for in a project with a table of its own.
    StageError
        A program of it does not come up, or ends again and again.
    """
    params = load_params(root)
    _check(params, start)
    with project_lock(params.paths.state / "up", "evertune up"):
        checkout = _checked_out(root, params, start, say=say)
        with _addresses_set(start, checkout), together(say) as begin:
            pages = [begin(service) for service in _pages(params, start)]
            _wait_for_prefect(pages)
            if champion(open_store(params.paths.state, params.registry.name)) is None:
                _train(checkout, params, say=say)
            work = [begin(service) for service in _work(checkout, params, start)]
            _wait_for_work(work, params, start)
            say("\n".join(_told_addresses(params, start)))
            _stay(checkout, [*pages, *work], start, begin=begin, say=say)


def _check(params: Params, start: Start) -> None:
    if start.days_a_minute is not None and params.data.source != EXAMPLE:
        raise InputError(
            f"expected data.source to be '{EXAMPLE}' where simulated customers are played, but it"
            f" is '{params.data.source}'; start without --simulate, or try it in a new clone"
        )
    ports = {"--mlflow-port": start.mlflow_port, "--port": start.scoring_port}
    if "PREFECT_API_URL" not in os.environ:
        ports |= {"--prefect-port": start.prefect_port}
    for option, port in ports.items():
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError as error:
            raise BusyError(
                f"Port {port} of this machine cannot be used: {os.strerror(error.errno or 0)}."
                f" Choose another one with {option}."
            ) from error


def _checked_out(root: Path, params: Params, start: Start, *, say: Say) -> Path:
    with project_lock(params.paths.state, "evertune up, laying out the commit"):
        checkout = check_out(root)
        if start.days_a_minute is not None:
            use_newest_clock(checkout)
    note = "; changes that are not committed are not part of it" if git_is_dirty(root) else ""
    say(f"Runs work in {checkout}{note}.")
    return checkout


@contextmanager
def _addresses_set(start: Start, checkout: Path) -> Iterator[None]:
    before = dict(os.environ)
    # The checkout's code wins over an installed one, in its children too.
    places = [str(checkout), *filter(None, [before.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(places)
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("PREFECT_API_URL", address_of(start.prefect_port))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _pages(params: Params, start: Start) -> Iterator[Service]:
    state = params.paths.state
    if os.environ["PREFECT_API_URL"] == address_of(start.prefect_port):
        listen = partial(_prefect, start.prefect_port, log_of(state))
        yield Service("Prefect server", listen, log_of(state))
    if "MLFLOW_TRACKING_URI" not in os.environ:
        command = ui_command(state, start.mlflow_port)
        yield _program("MLflow UI", command, state / "ui.log", folder=None)


@contextmanager
def _prefect(port: int, log: Path) -> Iterator[Popen[bytes]]:
    with (
        socket.create_server(("127.0.0.1", port)) as listener,
        server_on(listener, log=log, settings={}) as process,
    ):
        yield process


def _work(checkout: Path, params: Params, start: Start) -> Iterator[Service]:
    logs = params.paths.state / "up"
    every = [] if start.days_a_minute is None else [str(look_seconds(start.days_a_minute))]
    deploy = [sys.executable, "-m", "flows.deploy", str(checkout), *every]
    yield _program("runner of deployments", deploy, logs / "runs.log", folder=checkout)
    serve = [sys.executable, "-m", "flows.cli", "serve", "--port", str(start.scoring_port)]
    yield _program(
        "scoring service", serve, logs / "serve.log", folder=checkout, settings=ONE_THREAD
    )


def look_seconds(days_a_minute: float) -> float:
    """Return the seconds between looks at production that is played at a speed."""
    return max(LEAST_LOOK_SECONDS, 60.0 * LOOK_DAYS / days_a_minute)


def _program(
    name: str,
    command: list[str],
    log: Path,
    *,
    folder: Path | None,
    settings: Mapping[str, str] | None = None,
) -> Service:
    def opened() -> AbstractContextManager[Popen[bytes]]:
        return kept(command, environment={**(settings or {}), **os.environ}, log=log, folder=folder)

    return Service(name, opened, log)


def _wait_for_prefect(pages: list[Running]) -> None:
    address, own = os.environ["PREFECT_API_URL"], pages[0]
    if own.service.name == "Prefect server":
        address_once_up(address, process=own.process, log=own.service.log)
    elif not answers(address, seconds=STANDING_SECONDS, alive=lambda: True):
        raise BusyError(f"PREFECT_API_URL is {address}, but no Prefect server answers there.")


def _train(checkout: Path, params: Params, *, say: Say) -> None:
    say(f"{params.registry.name} has no champion yet, so that one is trained first.")
    log = params.paths.state / "up" / "train.log"
    command = [sys.executable, "-m", "flows.cli", "train"]
    with kept(command, environment=os.environ, log=log, folder=checkout) as process:
        for line in followed(log, process):
            say(f"  {line}")
    if process.returncode not in (0, CHAMPION_STAYS):
        raise StageError(f"The first training ended: {last_line(log)} See {log}.")


def followed(log: Path, process: Popen[bytes]) -> Iterator[str]:
    """Yield the lines of a program's log as they come, until the program has ended."""
    with log.open(errors="replace") as lines:
        ended, rest = False, ""
        while not ended:
            ended = process.poll() is not None
            *whole, rest = (rest + lines.read()).split("\n")
            yield from whole
            time.sleep(TICK_SECONDS)


def _scoring(params: Params, start: Start) -> str:
    host = params.scoring.host
    return f"http://{'127.0.0.1' if host == EVERYWHERE else host}:{start.scoring_port}"


def _wait_for_work(work: list[Running], params: Params, start: Start) -> None:
    runs, _ = work
    ready = f"{_scoring(params, start)}/ready"
    wait_for(lambda: _ok(ready), work, what="The scoring service", seconds=READY_SECONDS)
    log = runs.service.log
    deployed = partial(_says, log, DEPLOYED)
    wait_for(deployed, work, what="Deploying", seconds=READY_SECONDS)


def _ok(address: str) -> bool:
    try:
        with urlopen(address, timeout=READY_SECONDS):
            return True
    except (HTTPError, OSError):
        return False


def _says(log: Path, word: str) -> bool:
    return word in log.read_text(errors="replace").splitlines()


def _told_addresses(params: Params, start: Start) -> Iterator[str]:
    page = params.paths.state / "monitoring" / "monitoring.html"
    mlflow = os.environ.get("MLFLOW_TRACKING_URI")
    own = f"http://127.0.0.1:{start.mlflow_port}{PAGE}"
    yield f"Prefect:         {os.environ['PREFECT_API_URL'].removesuffix('/api')}"
    yield f"MLflow:          {without_secrets(mlflow) if mlflow else own}"
    yield f"scoring service: {_scoring(params, start)}"
    yield f"monitoring page: {page.as_uri()}, from the first look at production on"
    yield "Ctrl-C ends it all."


def _stay(
    checkout: Path,
    running: list[Running],
    start: Start,
    *,
    begin: Callable[[Service], Running],
    say: Say,
) -> None:
    play, params = None, load_params(checkout)
    if start.days_a_minute is not None:
        play = project_play(checkout, _scoring(params, start))
    news, asked, last = news_since(checkout, News()), 0.0, time.monotonic()
    while True:
        time.sleep(TICK_SECONDS)
        running = [looked_after(each, begin, say=say) for each in running]
        now = time.monotonic()
        # Who learns for minutes would learn for weeks of a clock that runs on meanwhile.
        if play and start.days_a_minute and not is_held(params.paths.state):
            play = played_on(play, now - last, start.days_a_minute, say=say)
        last = now
        if now - asked > NEWS_SECONDS:
            news, asked = news_since(checkout, news), now
            for line in news.lines:
                say(line)
