"""Keep projects running on one machine: Prefect, MLflow, scheduled flows, the scoring service.

`LocalStack` runs the committed state of each project in a checkout of its own. All programs
listen on this machine only, unless it is given another host: then each asks for a secret. They end
with the command however that ends, and are restarted if they end by themselves. Several projects
share one Prefect server, one runner of deployments and one scoring service, which answers under a
path for each model (`/churn/predict`; a single project also under `/predict`). The MLflow UI shows
the store of MLFLOW_TRACKING_URI, or without it that of the first project: each project keeps a
store of its own then.

`serve_mlflow_ui` shows the MLflow UI alone. `DecisionFeed` prints decisions and outcomes once.
"""

import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from subprocess import Popen

from evertune.access import (
    MLFLOW,
    PREFECT,
    SCORING,
    is_loopback,
    listen,
    local_url,
    make_secret,
    who_may_call,
)
from evertune.cli.errors import EXIT_CHAMPION_STAYS
from evertune.config.loader import load_params
from evertune.errors import BusyError, InputError, StageError
from evertune.files import is_project_locked, project_lock
from evertune.identity import PROJECT_FILE
from evertune.messages import strip_credentials
from evertune.monitoring.prediction_log import open_prediction_log
from evertune.orchestration.child_process import child_process
from evertune.orchestration.deployments import DEPLOYED_LINE
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
    SERVER_SECRET_VARIABLE,
    answers,
    prefect_api_url,
    server_log_path,
    server_on_socket,
    server_responds,
    wait_for_server,
)
from evertune.project import Project
from evertune.registry.decision_log import DecisionLog
from evertune.registry.mlflow_connection import mlflow_login, mlflow_ui_command
from evertune.serving.token import bearer_header, service_token
from evertune.simulation.traffic import project_traffic
from evertune.versioning.checkout import check_out, use_newest_clock
from evertune.versioning.git import git_is_dirty

UI_START_TIMEOUT_SECONDS = 120.0
READY_TIMEOUT_SECONDS = 180.0
TICK_SECONDS, FEED_SECONDS = 0.5, 3.0
MONITORING_DAYS, MIN_MONITORING_SECONDS = 3.0, 20.0
EXAMPLE_SOURCE = "example"
THIS_MACHINE = "127.0.0.1"
PREFECT_SETTINGS = {"PREFECT_RUNNER_POLL_FREQUENCY": "2"}
# A few rows are predicted fastest by one thread that leaves the processors to others meanwhile.
ONE_THREAD_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
PrintLine = Callable[[str], None]


class LocalStack:
    """Everything that keeps projects running on this machine.

    Parameters
    ----------
    projects : sequence of Project
        At least one.
    prefect_port, mlflow_port, scoring_port : int
        On the host.
    host : str, optional
        That everything listens on; None: the scoring service on `scoring.host` of the first
        project, all else on this machine.
    days_a_minute : float, optional
        How fast simulated customers are played; None: none are. For one project, on the example.
    say : callable
        Called with lines for a person.
    """

    def __init__(
        self,
        projects: Sequence[Project],
        *,
        prefect_port: int,
        mlflow_port: int,
        scoring_port: int,
        host: str | None = None,
        days_a_minute: float | None = None,
        say: PrintLine,
    ) -> None:
        self.projects = tuple(projects)
        self.prefect_port = prefect_port
        self.mlflow_port = mlflow_port
        self.scoring_port = scoring_port
        self.host = host or THIS_MACHINE
        self.scoring_host = host or self.projects[0].params.scoring.host
        self.days_a_minute = days_a_minute
        self.say = say
        self.state = self.projects[0].state
        self.checkouts: tuple[Path, ...] = ()

    def run(self) -> None:
        """Run everything until Ctrl-C or SIGTERM.

        Raises
        ------
        BusyError
            It runs already, or a port is taken.
        UnsafeError
            There is no commit to deploy.
        InputError
            Two models have one name, or simulated customers are asked for where there are none.
        StageError
            A program does not come up, or ends again and again.
        """
        self._check()
        with ExitStack() as held:
            for project in self.projects:
                held.enter_context(project_lock(project.state / "up", "evertune up"))
            self.checkouts = tuple(self._check_out(project) for project in self.projects)
            held.enter_context(self._child_environment())
            begin = held.enter_context(program_group(self.say))
            pages = [begin(program) for program in self._page_programs()]
            self._wait_for_prefect(pages)
            for project, checkout in zip(self.projects, self.checkouts, strict=True):
                if project.registry.champion() is None:
                    self._train_first_model(project, checkout)
            work = [begin(program) for program in self._work_programs()]
            self._wait_for_work(work)
            self.say("\n".join(self._address_lines()))
            self._supervise([*pages, *work], begin)

    @property
    def scoring_url(self) -> str:
        """The address of the scoring service."""
        return local_url(self.scoring_host, self.scoring_port)

    def _check(self) -> None:
        names = Counter(project.name for project in self.projects)
        doubled = [name for name, count in names.items() if count > 1]
        if doubled:
            raise InputError(
                f"several projects have the registry.name {' and '.join(doubled)}; the scoring"
                " service needs a different name for each. Change registry.name in params.yaml."
            )
        if self.days_a_minute is not None:
            if len(self.projects) > 1:
                raise InputError("--simulate works with one project; start the others without it.")
            source = self.projects[0].params.data.source
            if source != EXAMPLE_SOURCE:
                raise InputError(
                    f"--simulate needs data.source '{EXAMPLE_SOURCE}', but it is '{source}'. Start"
                    " without --simulate, or try it in a new project: `evertune init DIR`."
                )
        ports = {
            "--mlflow-port": (self.host, self.mlflow_port),
            "--port": (self.scoring_host, self.scoring_port),
        }
        if "PREFECT_API_URL" not in os.environ:
            ports |= {"--prefect-port": (self.host, self.prefect_port)}
        for option, (host, port) in ports.items():
            listen(host, port, advice=f"Choose another port with {option}.").close()

    def _check_out(self, project: Project) -> Path:
        identity = project.id  # made before the checkout, which is the same project
        with project_lock(project.state, "evertune up, checking out the commit"):
            checkout = check_out(project.root)
            if not (checkout / PROJECT_FILE).exists():
                (checkout / PROJECT_FILE).parent.mkdir(exist_ok=True)
                shutil.copy2(project.root / PROJECT_FILE, checkout / PROJECT_FILE)
            if self.days_a_minute is not None:
                use_newest_clock(checkout)
        is_dirty = git_is_dirty(project.root)
        note = "; uncommitted changes are not part of it" if is_dirty else ""
        self.say(f"{project.name} ({identity[:8]}) runs in {checkout}{note}.")
        return checkout

    @contextmanager
    def _child_environment(self) -> Iterator[None]:
        before = dict(os.environ)
        # Where a checkout holds the library itself, its code wins over an installed one.
        own = [
            str(each) for each in self.checkouts if (each / "evertune" / "__init__.py").is_file()
        ]
        places = [*own[:1], *filter(None, [before.get("PYTHONPATH")])]
        if places:
            os.environ["PYTHONPATH"] = os.pathsep.join(places)
        for name, value in PREFECT_SETTINGS.items():
            os.environ.setdefault(name, value)
        if "PREFECT_API_URL" not in os.environ:
            os.environ["PREFECT_API_URL"] = self._own_prefect
            if not is_loopback(self.host):
                os.environ["PREFECT_API_AUTH_STRING"] = make_secret(self.state, PREFECT)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)

    @property
    def _own_prefect(self) -> str:
        return prefect_api_url(self.prefect_port, self.host)

    @property
    def _own_pages(self) -> Iterator[str]:
        """The servers with pages that are not somebody else's."""
        if os.environ["PREFECT_API_URL"] == self._own_prefect:
            yield PREFECT
        if "MLFLOW_TRACKING_URI" not in os.environ:
            yield MLFLOW

    def _page_programs(self) -> Iterator[Program]:
        beyond, own = not is_loopback(self.host), [*self._own_pages]
        if PREFECT in own:
            log = server_log_path(self.state)
            login = {SERVER_SECRET_VARIABLE: make_secret(self.state, PREFECT)} if beyond else {}
            server = partial(_prefect_process, self.host, self.prefect_port, log, login)
            yield Program("Prefect server", server, log)
        if MLFLOW in own:
            yield _command_program(
                "MLflow UI",
                mlflow_ui_command(self.state, self.mlflow_port, self.host),
                self.state / "ui.log",
                settings=mlflow_login(self.state) if beyond else None,
            )

    def _work_programs(self) -> Iterator[Program]:
        logs, folders = self.state / "up", [str(checkout) for checkout in self.checkouts]
        every = []
        if self.days_a_minute is not None:
            every = ["--every", str(monitoring_interval_seconds(self.days_a_minute))]
        deploy = ["-m", "evertune.orchestration.deployments", *folders, *every]
        yield _command_program(
            "runner of deployments", [sys.executable, *deploy], logs / "runs.log"
        )
        place = ["--host", self.scoring_host, "--port", str(self.scoring_port)]
        serve = ["-m", "evertune.cli.app", "serve", *folders, *place]
        yield _command_program(
            "scoring service",
            [sys.executable, *serve],
            logs / "serve.log",
            settings=ONE_THREAD_ENVIRONMENT,
        )

    def _wait_for_prefect(self, pages: list[RunningProgram]) -> None:
        address = os.environ["PREFECT_API_URL"]
        shown = strip_credentials(address)
        if pages and pages[0].program.name == "Prefect server":
            wait_for_server(address, process=pages[0].process, log=pages[0].program.log)
        elif not server_responds(
            address, seconds=EXISTING_SERVER_TIMEOUT_SECONDS, alive=lambda: True
        ):
            raise BusyError(
                f"PREFECT_API_URL is {shown}, but no Prefect server answers there. Start it, or"
                " unset the variable."
            )

    def _train_first_model(self, project: Project, checkout: Path) -> None:
        self.say(f"{project.name} has no champion yet, so a model is trained first.")
        log = project.state / "up" / "train.log"
        command = [sys.executable, "-m", "evertune.cli.app", "train"]
        with child_process(command, environment=os.environ, log=log, folder=checkout) as process:
            for line in tail_log(log, process):
                self.say(f"  {line}")
        if process.returncode not in (0, EXIT_CHAMPION_STAYS):
            raise StageError(f"The first training failed: {last_log_line(log)} See {log}.")

    def _wait_for_work(self, work: list[RunningProgram]) -> None:
        runs, _ = work
        token = service_token(load_params(self.checkouts[0]), self.scoring_host)
        headers = bearer_header(token)
        for what, ready in {
            "The scoring service": lambda: answers(f"{self.scoring_url}/ready", headers=headers),
            "Deploying the flows": lambda: (
                DEPLOYED_LINE in runs.program.log.read_text(errors="replace").splitlines()
            ),
        }.items():
            wait_until_ready(ready, work, what=what, seconds=READY_TIMEOUT_SECONDS)

    def _address_lines(self) -> Iterator[str]:
        shared = os.environ.get("MLFLOW_TRACKING_URI")
        mlflow = shared or local_url(self.host, self.mlflow_port)
        prefect = strip_credentials(os.environ["PREFECT_API_URL"])
        yield f"Prefect:         {prefect.removesuffix('/api')}"
        for project in self.projects if shared else self.projects[:1]:
            owner = f" (runs of {project.name})" if len(self.projects) > 1 else ""
            yield f"MLflow:          {project.registry.experiment_page(mlflow)}{owner}"
        for project in self.projects:
            path = f"/{project.name}" if len(self.projects) > 1 else ""
            page = project.state / "monitoring" / "monitoring.html"
            yield f"scoring service: {self.scoring_url}{path}"
            yield f"monitoring page: {page.as_uri()} (after the first monitoring run)"
        for server in self._own_pages if not is_loopback(self.host) else ():
            yield who_may_call(server, self.host, self.state)
        for project in self.projects if not is_loopback(self.scoring_host) else ():
            if project.params.scoring.token_variable is None:
                yield who_may_call(SCORING, self.scoring_host, project.state)
        yield "Press Ctrl-C to stop."

    def _supervise(
        self, running: list[RunningProgram], begin: Callable[[Program], RunningProgram]
    ) -> None:
        traffic = None
        if self.days_a_minute is not None:
            traffic = project_traffic(self.checkouts[0], self.scoring_url, host=self.scoring_host)
        several = len(self.projects) > 1
        feeds = [
            DecisionFeed(checkout, prefix=f"{project.name}: " if several else "")
            for project, checkout in zip(self.projects, self.checkouts, strict=True)
        ]
        for feed in feeds:
            feed.new_lines()
        asked, last = 0.0, time.monotonic()
        while True:
            time.sleep(TICK_SECONDS)
            running = [restart_if_ended(each, begin, say=self.say) for each in running]
            now = time.monotonic()
            # While a model is trained the simulated clock stands still: minutes would be weeks.
            if traffic and self.days_a_minute and not is_project_locked(self.state):
                more = traffic.advance(now - last, self.days_a_minute, say=self.say)
                traffic = traffic if more else None
            last = now
            if now - asked > FEED_SECONDS:
                asked = now
                for line in (line for feed in feeds for line in feed.new_lines()):
                    self.say(line)


class DecisionFeed:
    """The decisions of a project and their outcomes, each of them once."""

    def __init__(self, root: Path, *, prefix: str = "") -> None:
        self.root = root
        self.prefix = prefix
        self._decisions: set[str] = set()
        self._n_outcomes = 0

    def new_lines(self) -> list[str]:
        """Return a line for each decision and outcome since the last call."""
        with open_prediction_log(load_params(self.root)) as log:
            decisions, outcomes = DecisionLog(log).decisions(), DecisionLog(log).outcomes()
        lines = []
        for made in decisions:
            if made.id not in self._decisions:
                asks = "; a person should look at it" if made.ask_a_person else ""
                lines.append(f"{made.moment:%Y-%m-%d} {made.action}: {made.reasons[0]}{asks}")
        for came in outcomes[self._n_outcomes :]:
            version = f" version {came.version}" if came.version else ""
            said = came.detail  # less what the words `promoted` and `refused` say already
            for words in (f"Version {came.version} is now the champion: ", "Not promoted: "):
                said = said.removeprefix(words)
            detail = f": {said.removeprefix('Not promoted, ')}" if said else ""
            lines.append(f"{came.moment:%Y-%m-%d} {came.kind}{version}{detail}")
        self._decisions |= {made.id for made in decisions}
        self._n_outcomes = len(outcomes)
        return [f"{self.prefix}{line}" for line in lines]


def serve_mlflow_ui(
    command: list[str],
    port: int,
    *,
    host: str = THIS_MACHINE,
    login: Mapping[str, str] | None = None,
    page: str,
    log: Path,
    say: PrintLine,
) -> None:
    """Serve the UI until Ctrl-C, and print the address of a page once it answers.

    Parameters
    ----------
    command : list of str
        Serves the UI on `host` and `port`.
    login : mapping, optional
        Variables of the command's environment, by which it asks for a password.
    page : str
        The one to begin with.
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
    advice = f"Choose another port, for example `evertune ui --port {port + 1}`."
    listen(host, port, advice=advice).close()
    address = local_url(host, port)
    try:
        with child_process(
            command, environment={**os.environ, **(login or {})}, log=log
        ) as process:
            if server_responds(
                address, seconds=UI_START_TIMEOUT_SECONDS, alive=lambda: process.poll() is None
            ):
                say(f"MLflow UI: {page} (press Ctrl-C to stop)")
                process.wait()
            raise StageError(
                f"The MLflow UI ended with code {process.poll()}: {last_log_line(log)}. See {log}."
            )
    except KeyboardInterrupt:
        say("The MLflow UI has stopped.")


def monitoring_interval_seconds(days_a_minute: float) -> float:
    """Return the seconds between looks at production that is played at a speed."""
    return max(MIN_MONITORING_SECONDS, 60.0 * MONITORING_DAYS / days_a_minute)


def tail_log(log: Path, process: Popen[bytes]) -> Iterator[str]:
    """Yield the lines of a program's log as they come, until the program has ended."""
    with log.open(errors="replace") as lines:
        ended, rest = False, ""
        while not ended:
            ended = process.poll() is not None
            *whole, rest = (rest + lines.read()).split("\n")
            yield from whole
            time.sleep(TICK_SECONDS)


@contextmanager
def _prefect_process(
    host: str, port: int, log: Path, login: dict[str, str]
) -> Iterator[Popen[bytes]]:
    with (
        listen(host, port, advice="") as listener,
        server_on_socket(listener, log=log, settings=login) as process,
    ):
        yield process


def _command_program(
    name: str, command: list[str], log: Path, *, settings: dict[str, str] | None = None
) -> Program:
    def start() -> AbstractContextManager[Popen[bytes]]:
        return child_process(command, environment={**(settings or {}), **os.environ}, log=log)

    return Program(name, start, log)
