"""Show a run while it works: lines and a progress bar in the terminal, Prefect and MLflow.

`print_step` and `step_progress` write to the terminal; without a terminal (cron, a file) the
bar becomes a plain line every five seconds. `follow_search` reads the search's trials file in a
thread, since the search itself knows only files, and calls the listeners (`terminal_listener`,
`prefect_listener`, `mlflow_listener`). Where MLflow stops answering the search goes on;
registering adds the missing trials.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, cast

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from evertune.errors import BusyError
from evertune.files import read_lines, read_record
from evertune.search.leaderboard import top_trials
from evertune.search.trial_log import parse_header, parse_trial
from evertune.trials import SearchHeader, Trial

if TYPE_CHECKING:
    from uuid import UUID

    from evertune.evaluation.baselines import BaselineResult
    from evertune.registry.mlflow_registry import ModelRegistry

PLAIN_LINE_SECONDS = 5.0  # between two steps nothing is printed, either
POLL_SECONDS = 0.5
ARTIFACT_SECONDS = 2.0
ARTIFACT_KEY = "search-progress"
NAME_WIDTH = 10

ShowProgress = Callable[[str, float | None], None]


def print_step(name: str, text: str, *, stderr: bool = False) -> None:
    """Print one line of a step."""
    console = Console(stderr=stderr)
    console.print(_step_line(name, text), soft_wrap=True, markup=False, highlight=False)


@contextmanager
def step_progress(name: str, *, stderr: bool = False) -> Iterator[ShowProgress]:
    """Show a step as running while the block runs, and for how long.

    Yields
    ------
    function
        Called with a text and the part that is done (0 to 1, None where that is not known). It
        need not be called: without a terminal the line then says how long the step has run.
    """
    console = Console(stderr=stderr)
    if not console.is_terminal:
        with _plain_progress(name, stderr=stderr) as show:
            yield show
        return
    columns = (TextColumn(_step_line(name, "")), BarColumn(10), TextColumn("{task.description}"))
    moving = (TimeElapsedColumn(), SpinnerColumn())
    with Progress(*columns, *moving, console=console, transient=True) as bar:
        step = bar.add_task("running", total=None)
        yield lambda text, done: bar.update(
            step, description=text, completed=done or 0.0, total=None if done is None else 1.0
        )


@dataclass(frozen=True)
class TrialsSnapshot:
    """What the trials file holds now.

    Attributes
    ----------
    n_new : int
        How many of them, the last ones, were not there when the search was started.
    """

    header: SearchHeader
    trials: tuple[Trial, ...]
    n_new: int


ProgressListener = Callable[[TrialsSnapshot, float], None]


@dataclass(frozen=True)
class SearchProgress:
    """How far a search is.

    Attributes
    ----------
    trials : tuple of Trial
        Those that have ended, those of an earlier start included.
    rival : tuple of (str, float), optional
        Name and figure of the best baseline in the metric that is optimised.
    seconds : float
        The search's clock, counted over restarts.
    """

    header: SearchHeader
    trials: tuple[Trial, ...]
    best: Trial | None
    rival: tuple[str, float] | None
    seconds: float

    @property
    def fraction_done(self) -> float:
        """The part of the budget that is used, 0 to 1: of seconds or trials, what is nearer."""
        seconds, trials = self.header.budget_seconds, self.header.budget_trials
        of_seconds = self.seconds / seconds if seconds else 0.0
        of_trials = len(self.trials) / trials if trials else 0.0
        return min(1.0, max(of_seconds, of_trials))

    @property
    def seconds_left(self) -> float | None:
        """The seconds until the budget is used; None before that is known."""
        done = self.fraction_done
        by_rate = self.seconds * (1 - done) / done if done else None
        if self.header.budget_seconds is None:
            return by_rate
        by_clock = max(0.0, self.header.budget_seconds - self.seconds)
        return by_clock if by_rate is None else min(by_clock, by_rate)

    @property
    def line(self) -> str:
        """Trials done, the best so far and the best baseline."""
        failed = sum(trial.status == "failed" for trial in self.trials)
        noun = "trial" if len(self.trials) == 1 else "trials"
        parts = [f"{len(self.trials)} {noun}" + (f" ({failed} failed)" if failed else "")]
        metric, best = self.header.metric, self.best
        if best is None or best.score is None:
            parts.append(f"no {metric} yet")
        else:
            parts.append(f"best {metric} {best.score:.4f} ({best.configuration.family})")
        if self.rival:
            parts.append(f"best baseline {self.rival[1]:.4f} ({self.rival[0]})")
        return ", ".join(parts)

    @property
    def line_with_time_left(self) -> str:
        """The line and the time that is left."""
        left = self.seconds_left
        clock = "" if left is None else f", {int(left) // 60}:{int(left) % 60:02} left"
        return self.line + clock


def search_progress(
    now: TrialsSnapshot, seconds: float, *, baselines: "Sequence[BaselineResult]"
) -> SearchProgress:
    """Return how far a search is, beside the best baseline in its metric."""
    header = now.header
    ranked = top_trials(now.trials, greater_is_better=header.greater_is_better, most=1)
    best = next((trial for trial in ranked if trial.status == "complete"), None)
    means = [(each.name, each.mean.get(header.metric)) for each in baselines]
    known = [(name, mean) for name, mean in means if mean is not None]
    pick = max if header.greater_is_better else min
    rival = pick(known, key=lambda pair: pair[1]) if known else None
    return SearchProgress(header, now.trials, best, rival, seconds)


@contextmanager
def follow_search(path: Path, listeners: Sequence[ProgressListener]) -> Iterator[None]:
    """Tell listeners what a search has found while the block runs, and once when it has ended.

    Parameters
    ----------
    path : Path
        The trials file. Trials of another search that still stand in it are left out.
    listeners : sequence of functions
        Called in another thread with what was found and the search's clock in seconds. The
        first failure ends the following, and is raised when the block has ended well.
    """
    ended, before = Event(), read_lines(path)
    with ThreadPoolExecutor(1, thread_name_prefix="follow") as pool:
        notified = pool.submit(
            copy_context().run, _notify_listeners, path, before, ended, listeners
        )
        try:
            yield
        finally:
            ended.set()
    notified.result()


def parse_trial_lines(lines: list[str], before: list[str]) -> TrialsSnapshot | None:
    """Return what the lines say, None where no line belongs to the search that was started.

    Parameters
    ----------
    lines, before : list of str
        Of the trials file, now and when the search was started.
    """
    if not lines or lines == before:
        return None
    n_old = len(before) - 1 if before and before[0] == lines[0] else 0
    trials = tuple(map(parse_trial, lines[1:]))
    return TrialsSnapshot(parse_header(lines[0]), trials, len(trials) - n_old)


def read_baselines(folder: Path) -> "tuple[BaselineResult, ...]":
    """Return the baselines that the search has to beat."""
    from evertune.evaluation.baselines import BaselineResult

    return read_record(folder / "baselines.json", tuple[BaselineResult, ...])


def terminal_listener(
    show: ShowProgress, baselines: "Sequence[BaselineResult]"
) -> ProgressListener:
    """Return what shows a search in the terminal."""

    def tell(now: TrialsSnapshot, seconds: float) -> None:
        view = search_progress(now, seconds, baselines=baselines)
        show(view.line_with_time_left, view.fraction_done)

    return tell


def prefect_listener(baselines: "Sequence[BaselineResult]") -> ProgressListener:
    """Return what shows a search as a progress artifact of the task that is running."""
    from prefect.artifacts import create_progress_artifact, update_progress_artifact

    artifact: UUID | None = None
    updated = 0.0

    def tell(now: TrialsSnapshot, seconds: float) -> None:
        nonlocal artifact, updated
        view = search_progress(now, seconds, baselines=baselines)
        percent, line = 100 * view.fraction_done, view.line_with_time_left
        is_early = artifact is not None and monotonic() - updated < ARTIFACT_SECONDS
        if is_early and percent < 100:
            return
        updated = monotonic()
        if artifact is None:
            made = create_progress_artifact(percent, key=ARTIFACT_KEY, description=line)
            artifact = cast("UUID", made)
        else:
            update_progress_artifact(artifact, progress=percent, description=line)

    return tell


def mlflow_listener(store: "ModelRegistry", *, title: str, most: int) -> ProgressListener:
    """Return what gives a search its run at its first new trial, and trials theirs.

    Parameters
    ----------
    title : str
        Of the run.
    most : int
        How many trials have a run of their own.

    Notes
    -----
    Where MLflow stops answering the search goes on; registering adds what is missing.
    """
    run_id, n_logged, answers = "", 0, True

    def log(now: TrialsSnapshot) -> None:
        nonlocal run_id, n_logged
        run_id = run_id or store.open_run(now.header.digest, title=title)
        better = now.header.greater_is_better
        store.log_trials(run_id, now.trials, greater_is_better=better, most=most)
        n_logged = len(now.trials)

    def tell(now: TrialsSnapshot, _: float) -> None:
        nonlocal answers
        if not answers or now.n_new == 0 or len(now.trials) == n_logged:
            return
        try:
            log(now)
        except BusyError as error:
            answers = False
            print_step(
                "search", f"continues without MLflow; registering will add the trials: {error}"
            )

    return tell


@contextmanager
def _plain_progress(name: str, *, stderr: bool) -> Iterator[ShowProgress]:
    latest, started, ended = "", monotonic(), Event()

    def show(text: str, _: float | None) -> None:
        nonlocal latest
        latest = text

    def print_lines() -> None:
        while not ended.wait(PLAIN_LINE_SECONDS):
            running = f"running for {monotonic() - started:.0f} s"
            print_step(name, latest or running, stderr=stderr)

    lines = Thread(target=print_lines, name="progress", daemon=True)
    lines.start()
    try:
        yield show
    finally:
        ended.set()
        lines.join()


def _step_line(name: str, text: str) -> str:
    return f"{name:<{NAME_WIDTH}} {text}"


def _notify_listeners(
    path: Path, before: list[str], ended: Event, listeners: Sequence[ProgressListener]
) -> None:
    started, over = monotonic(), False
    while not over:
        over = ended.wait(POLL_SECONDS)
        now = parse_trial_lines(read_lines(path), before)
        if now is not None:
            old = now.trials[: len(now.trials) - now.n_new]
            earlier = old[-1].elapsed_seconds if old else 0.0
            for tell in listeners:
                tell(now, earlier + monotonic() - started)
