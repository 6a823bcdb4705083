"""Run everything on one machine: Prefect, MLflow, scheduled flows, the scoring service.

`up` runs the committed code in a checkout of its own. All programs listen on this machine only,
end with the command however that ends, and are restarted if they end by themselves.
`serve_mlflow_ui` shows the MLflow UI alone. `read_new_decisions` gives the decisions and
outcomes that were not yet printed.
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

from evertune.cli.errors import EXIT_CHAMPION_STAYS
from evertune.config.loader import load_params
from evertune.config.schema import Params
from evertune.decisions import DecisionOutcome, MonitoringDecision
from evertune.errors import BusyError, InputError, StageError
from evertune.files import is_project_locked, project_lock
from evertune.messages import strip_credentials
from evertune.monitoring.prediction_log import open_prediction_log
from evertune.orchestration.child_process import child_process
from evertune.orchestration.processes import (
    Program,
    RunningProgram,
    last_log_line,
    program_group,
    restart_if_ended,
    wait_until_ready,
)
from evertune.orchestration.server import (
    EXISTING_SERVER_TIMEOUT_SECONDS,
    prefect_api_url,
    server_log_path,
    server_on_socket,
    server_responds,
    wait_for_server,
)
from evertune.registry.decision_log import read_decisions, read_outcomes
from evertune.registry.mlflow_client import mlflow_ui_command, open_tracking_store
from evertune.registry.versions import get_champion
from evertune.simulation.traffic import advance_traffic, project_traffic
from evertune.versioning.dvc import git_is_dirty
from evertune.versioning.git import check_out, use_newest_clock

UI_START_TIMEOUT_SECONDS = 120.0
MLFLOW_UI_PATH = "/#/experiments?workflowType=machine_learning"  # without it the UI opens on traces


def serve_mlflow_ui(
    command: list[str], port: int, *, log: Path, say: Callable[[str], None]
) -> None:
    """Serve the UI until Ctrl-C, and say its address once it answers.

    Parameters
    ----------
    command : list of str
        Serves the UI on 127.0.0.1 and `port`.
    port : int
    log : Path
        Where the output of the command goes.
    say : function
        Called with lines for a person.

    Raises
    ------
    BusyError
        The port is taken.
    StageError
        The UI does not come up, or ends by itself.
    """
    _check_port_free(port)
    address = f"http://127.0.0.1:{port}"
    try:
        with child_process(command, environment=os.environ, log=log) as keeper:
            if server_responds(
                address, seconds=UI_START_TIMEOUT_SECONDS, alive=lambda: keeper.poll() is None
            ):
                say(f"MLflow UI: {address}{MLFLOW_UI_PATH} (Ctrl-C ends it)")
                keeper.wait()
            raise _ui_ended_error(keeper, log)
    except KeyboardInterrupt:
        say("The MLflow UI has ended.")


def _check_port_free(port: int) -> None:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise BusyError(
            f"Port {port} of this machine cannot be used: {reason}. Choose another one, for example"
            f" `evertune ui --port {port + 1}`."
        ) from error


def _ui_ended_error(keeper: Popen[bytes], log: Path) -> StageError:
    last = log.read_text(errors="replace").strip().splitlines()[-1:]
    reason = last[0] if last else "it said nothing"
    return StageError(f"The MLflow UI ended with code {keeper.poll()}: {reason}. See {log}.")


@dataclass(frozen=True)
class DecisionFeed:
    """Which decisions were told, and how many outcomes; and the lines about what is new."""

    decisions: frozenset[str] = frozenset()
    n_outcomes: int = 0
    lines: tuple[str, ...] = ()


def read_new_decisions(root: Path, before: DecisionFeed) -> DecisionFeed:
    """Return what happened beyond what was told before."""
    with open_prediction_log(load_params(root)) as log:
        made, came = read_decisions(log), read_outcomes(log)
    new = [decision for decision in made if decision.id not in before.decisions]
    lines = [*map(dated_decision_line, new), *map(dated_outcome_line, came[before.n_outcomes :])]
    return DecisionFeed(frozenset(each.id for each in made), len(came), tuple(lines))


def dated_decision_line(decision: MonitoringDecision) -> str:
    """Return a decision and its first reason, in one line."""
    asks = "; a person is asked" if decision.ask_a_person else ""
    return f"{decision.moment:%Y-%m-%d} {decision.action}: {decision.reasons[0]}{asks}"


def dated_outcome_line(outcome: DecisionOutcome) -> str:
    """Return what came of a decision, in one line."""
    version = f" version {outcome.version}" if outcome.version else ""
    detail = f": {outcome.detail}" if outcome.detail else ""
    return f"{outcome.moment:%Y-%m-%d} {outcome.kind}{version}{detail}"


EXAMPLE_SOURCE = "example"
ANY_ADDRESS = "0.0.0.0"
READY_TIMEOUT_SECONDS = 180.0
TICK_SECONDS, FEED_SECONDS = 0.5, 3.0
MONITORING_DAYS, MIN_MONITORING_SECONDS = 3.0, 20.0
DEPLOYED_LINE = "deployed"
PREFECT_SETTINGS = {"PREFECT_RUNNER_POLL_FREQUENCY": "2"}
# A few rows are predicted fastest by one thread that leaves the processors to others meanwhile.
ONE_THREAD_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
PrintLine = Callable[[str], None]


@dataclass(frozen=True)
class UpOptions:
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


def up(root: Path, start: UpOptions, *, say: PrintLine) -> None:
    """Run everything until Ctrl-C or SIGTERM.

    Parameters
    ----------
    root : Path
        The project's folder.
    start : UpOptions
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
    _check_options(params, start)
    with project_lock(params.paths.state / "up", "evertune up"):
        checkout = _check_out_commit(root, params, start, say=say)
        with _child_environment(start, checkout), program_group(say) as begin:
            pages = [begin(service) for service in _ui_programs(params, start)]
            _wait_for_prefect(pages)
            if get_champion(open_tracking_store(params.paths.state, params.registry.name)) is None:
                _train_first_model(checkout, params, say=say)
            work = [begin(service) for service in _worker_programs(checkout, params, start)]
            _wait_for_workers(work, params, start)
            say("\n".join(_address_lines(params, start)))
            _supervise(checkout, [*pages, *work], start, begin=begin, say=say)


def _check_options(params: Params, start: UpOptions) -> None:
    if start.days_a_minute is not None and params.data.source != EXAMPLE_SOURCE:
        raise InputError(
            f"expected data.source to be '{EXAMPLE_SOURCE}' where simulated customers are played, but it"
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


def _check_out_commit(root: Path, params: Params, start: UpOptions, *, say: PrintLine) -> Path:
    with project_lock(params.paths.state, "evertune up, laying out the commit"):
        checkout = check_out(root)
        if start.days_a_minute is not None:
            use_newest_clock(checkout)
    note = "; changes that are not committed are not part of it" if git_is_dirty(root) else ""
    say(f"Runs work in {checkout}{note}.")
    return checkout


@contextmanager
def _child_environment(start: UpOptions, checkout: Path) -> Iterator[None]:
    before = dict(os.environ)
    # The checkout's code wins over an installed one, in its children too.
    places = [str(checkout), *filter(None, [before.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(places)
    for name, value in PREFECT_SETTINGS.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("PREFECT_API_URL", prefect_api_url(start.prefect_port))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _ui_programs(params: Params, start: UpOptions) -> Iterator[Program]:
    state = params.paths.state
    if os.environ["PREFECT_API_URL"] == prefect_api_url(start.prefect_port):
        listen = partial(_prefect_process, start.prefect_port, server_log_path(state))
        yield Program("Prefect server", listen, server_log_path(state))
    if "MLFLOW_TRACKING_URI" not in os.environ:
        command = mlflow_ui_command(state, start.mlflow_port)
        yield _command_program("MLflow UI", command, state / "ui.log", folder=None)


@contextmanager
def _prefect_process(port: int, log: Path) -> Iterator[Popen[bytes]]:
    with (
        socket.create_server(("127.0.0.1", port)) as listener,
        server_on_socket(listener, log=log, settings={}) as process,
    ):
        yield process


def _worker_programs(checkout: Path, params: Params, start: UpOptions) -> Iterator[Program]:
    logs = params.paths.state / "up"
    every = (
        []
        if start.days_a_minute is None
        else [str(monitoring_interval_seconds(start.days_a_minute))]
    )
    deploy = [sys.executable, "-m", "evertune.orchestration.deployments", str(checkout), *every]
    yield _command_program("runner of deployments", deploy, logs / "runs.log", folder=checkout)
    serve = [sys.executable, "-m", "evertune.cli.app", "serve", "--port", str(start.scoring_port)]
    yield _command_program(
        "scoring service",
        serve,
        logs / "serve.log",
        folder=checkout,
        settings=ONE_THREAD_ENVIRONMENT,
    )


def monitoring_interval_seconds(days_a_minute: float) -> float:
    """Return the seconds between looks at production that is played at a speed."""
    return max(MIN_MONITORING_SECONDS, 60.0 * MONITORING_DAYS / days_a_minute)


def _command_program(
    name: str,
    command: list[str],
    log: Path,
    *,
    folder: Path | None,
    settings: Mapping[str, str] | None = None,
) -> Program:
    def opened() -> AbstractContextManager[Popen[bytes]]:
        return child_process(
            command, environment={**(settings or {}), **os.environ}, log=log, folder=folder
        )

    return Program(name, opened, log)


def _wait_for_prefect(pages: list[RunningProgram]) -> None:
    address, own = os.environ["PREFECT_API_URL"], pages[0]
    if own.service.name == "Prefect server":
        wait_for_server(address, process=own.process, log=own.service.log)
    elif not server_responds(address, seconds=EXISTING_SERVER_TIMEOUT_SECONDS, alive=lambda: True):
        raise BusyError(f"PREFECT_API_URL is {address}, but no Prefect server answers there.")


def _train_first_model(checkout: Path, params: Params, *, say: PrintLine) -> None:
    say(f"{params.registry.name} has no champion yet, so that one is trained first.")
    log = params.paths.state / "up" / "train.log"
    command = [sys.executable, "-m", "evertune.cli.app", "train"]
    with child_process(command, environment=os.environ, log=log, folder=checkout) as process:
        for line in tail_log(log, process):
            say(f"  {line}")
    if process.returncode not in (0, EXIT_CHAMPION_STAYS):
        raise StageError(f"The first training ended: {last_log_line(log)} See {log}.")


def tail_log(log: Path, process: Popen[bytes]) -> Iterator[str]:
    """Yield the lines of a program's log as they come, until the program has ended."""
    with log.open(errors="replace") as lines:
        ended, rest = False, ""
        while not ended:
            ended = process.poll() is not None
            *whole, rest = (rest + lines.read()).split("\n")
            yield from whole
            time.sleep(TICK_SECONDS)


def _scoring_url(params: Params, start: UpOptions) -> str:
    host = params.scoring.host
    return f"http://{'127.0.0.1' if host == ANY_ADDRESS else host}:{start.scoring_port}"


def _wait_for_workers(work: list[RunningProgram], params: Params, start: UpOptions) -> None:
    runs, _ = work
    ready = f"{_scoring_url(params, start)}/ready"
    wait_until_ready(
        lambda: _responds(ready), work, what="The scoring service", seconds=READY_TIMEOUT_SECONDS
    )
    log = runs.service.log
    deployed = partial(_has_line, log, DEPLOYED_LINE)
    wait_until_ready(deployed, work, what="Deploying", seconds=READY_TIMEOUT_SECONDS)


def _responds(address: str) -> bool:
    try:
        with urlopen(address, timeout=READY_TIMEOUT_SECONDS):
            return True
    except (HTTPError, OSError):
        return False


def _has_line(log: Path, word: str) -> bool:
    return word in log.read_text(errors="replace").splitlines()


def _address_lines(params: Params, start: UpOptions) -> Iterator[str]:
    page = params.paths.state / "monitoring" / "monitoring.html"
    mlflow = os.environ.get("MLFLOW_TRACKING_URI")
    own = f"http://127.0.0.1:{start.mlflow_port}{MLFLOW_UI_PATH}"
    yield f"Prefect:         {os.environ['PREFECT_API_URL'].removesuffix('/api')}"
    yield f"MLflow:          {strip_credentials(mlflow) if mlflow else own}"
    yield f"scoring service: {_scoring_url(params, start)}"
    yield f"monitoring page: {page.as_uri()}, from the first look at production on"
    yield "Ctrl-C ends it all."


def _supervise(
    checkout: Path,
    running: list[RunningProgram],
    start: UpOptions,
    *,
    begin: Callable[[Program], RunningProgram],
    say: PrintLine,
) -> None:
    play, params = None, load_params(checkout)
    if start.days_a_minute is not None:
        play = project_traffic(checkout, _scoring_url(params, start))
    news, asked, last = read_new_decisions(checkout, DecisionFeed()), 0.0, time.monotonic()
    while True:
        time.sleep(TICK_SECONDS)
        running = [restart_if_ended(each, begin, say=say) for each in running]
        now = time.monotonic()
        # Who learns for minutes would learn for weeks of a clock that runs on meanwhile.
        if play and start.days_a_minute and not is_project_locked(params.paths.state):
            play = advance_traffic(play, now - last, start.days_a_minute, say=say)
        last = now
        if now - asked > FEED_SECONDS:
            news, asked = read_new_decisions(checkout, news), now
            for line in news.lines:
                say(line)
