"""Show a run while it works: lines and a progress bar in the terminal, Prefect and MLflow.

`print_step` and `step_progress` write to the terminal; without a terminal (cron, a file) the
bar becomes a plain line every ten seconds. `follow_search` reads the search's trials file in a
thread, since the search itself knows only files, and calls the listeners (`terminal_listener`,
`prefect_listener`, `mlflow_listener`). If MLflow stops answering, the search goes on;
registration adds the missing trials.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from evertune.evaluation.baselines import BaselineResult
from evertune.files import read_lines, read_record
from evertune.search.leaderboard import top_trials
from evertune.search.trial_log import parse_header, parse_trial
from evertune.trials import SearchHeader, Trial

PLAIN_LINE_SECONDS = 10.0
NAME_WIDTH = 10


@dataclass(frozen=True)
class SearchProgress:
    """How far a search is.

    Attributes
    ----------
    header : SearchHeader
    trials : tuple of Trial
        Those that have ended, those of an earlier start included.
    best : Trial, optional
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


ShowProgress = Callable[[str, float | None], None]


def fraction_done(view: SearchProgress) -> float:
    """Return the part of the budget that is used, 0 to 1: of seconds or trials, what is nearer."""
    seconds, trials = view.header.budget_seconds, view.header.budget_trials
    parts = [view.seconds / seconds if seconds else 0.0]
    parts.append(len(view.trials) / trials if trials else 0.0)
    return min(1.0, max(parts))


def seconds_left(view: SearchProgress) -> float | None:
    """Return the seconds until the budget is used; None before that can be told."""
    done = fraction_done(view)
    by_rate = view.seconds * (1 - done) / done if done else None
    if view.header.budget_seconds is None:
        return by_rate
    by_clock = max(0.0, view.header.budget_seconds - view.seconds)
    return by_clock if by_rate is None else min(by_clock, by_rate)


def search_line(view: SearchProgress) -> str:
    """Return trials done, the best so far and the best baseline, in one line."""
    return ", ".join(
        part
        for part in (_trials_text(view), _best_trial_text(view), _best_baseline_text(view))
        if part
    )


def search_line_with_time_left(view: SearchProgress) -> str:
    """Return what `search_line` says and the time that is left."""
    left = seconds_left(view)
    return search_line(view) + ("" if left is None else f", {_minutes_and_seconds(left)} left")


def print_step(name: str, text: str) -> None:
    """Print one line of a step."""
    Console().print(_step_line(name, text), soft_wrap=True, markup=False, highlight=False)


@contextmanager
def step_progress(name: str) -> Iterator[ShowProgress]:
    """Show a step as running while the block runs.

    Yields
    ------
    function
        Called with a text and the part that is done (0 to 1, None where it cannot be told).
    """
    if not Console().is_terminal:
        yield _plain_progress(name)
        return
    columns = (TextColumn(_step_line(name, "")), BarColumn(10), TextColumn("{task.description}"))
    with Progress(*columns, SpinnerColumn(), transient=True) as bar:
        step = bar.add_task("running", total=None)
        yield lambda text, done: bar.update(
            step, description=text, completed=done or 0.0, total=None if done is None else 1.0
        )


def _plain_progress(name: str) -> ShowProgress:
    said = time.monotonic()

    def show(text: str, _: float | None) -> None:
        nonlocal said
        if time.monotonic() - said >= PLAIN_LINE_SECONDS:
            said = time.monotonic()
            print_step(name, text)

    return show


def _step_line(name: str, text: str) -> str:
    return f"{name:<{NAME_WIDTH}} {text}"


def _trials_text(view: SearchProgress) -> str:
    failed = sum(trial.status == "failed" for trial in view.trials)
    noun = "trial" if len(view.trials) == 1 else "trials"
    return f"{len(view.trials)} {noun}" + (f" ({failed} failed)" if failed else "")


def _best_trial_text(view: SearchProgress) -> str:
    if view.best is None or view.best.score is None:
        return f"no {view.header.metric} yet"
    return f"best {view.header.metric} {view.best.score:.4f} ({view.best.configuration.family})"


def _best_baseline_text(view: SearchProgress) -> str:
    return f"best baseline {view.rival[1]:.4f} ({view.rival[0]})" if view.rival else ""


def _minutes_and_seconds(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


POLL_SECONDS = 0.5


@dataclass(frozen=True)
class TrialsSnapshot:
    """What the trials file holds now.

    Attributes
    ----------
    header : SearchHeader
    trials : tuple of Trial
    n_new : int
        How many of them, the last ones, were not there when the search was started.
    """

    header: SearchHeader
    trials: tuple[Trial, ...]
    n_new: int


ProgressListener = Callable[[TrialsSnapshot, float], None]


@contextmanager
def follow_search(path: Path, tellers: Sequence[ProgressListener]) -> Iterator[None]:
    """Tell what a search has found while the block runs, and once more when it has ended.

    Parameters
    ----------
    path : Path
        The trials file. Trials of another search that still stand in it are left out.
    tellers : sequence of functions
        Called in another thread with what was found and the search's clock in seconds. The
        first failure ends the following, and is raised when the block has ended well.
    """
    ended, before = Event(), read_lines(path)
    with ThreadPoolExecutor(1, thread_name_prefix="follow") as pool:
        told = pool.submit(copy_context().run, _notify_listeners, path, before, ended, tellers)
        try:
            yield
        finally:
            ended.set()
    told.result()


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


def search_progress(
    now: TrialsSnapshot, seconds: float, *, baselines: Sequence[BaselineResult]
) -> SearchProgress:
    """Return how far a search is, beside the best baseline in its metric."""
    ranked = top_trials(now.trials, greater_is_better=now.header.greater_is_better, most=1)
    best = next((trial for trial in ranked if trial.status == "complete"), None)
    rival = _best_baseline(now.header, baselines)
    return SearchProgress(now.header, now.trials, best, rival, seconds)


def read_baselines(folder: Path) -> tuple[BaselineResult, ...]:
    """Return the baselines that the search has to beat."""
    return read_record(folder / "baselines.json", tuple[BaselineResult, ...])


def _notify_listeners(
    path: Path, before: list[str], ended: Event, tellers: Sequence[ProgressListener]
) -> None:
    started, over = monotonic(), False
    while not over:
        over = ended.wait(POLL_SECONDS)
        now = parse_trial_lines(read_lines(path), before)
        if now is not None:
            for tell in tellers:
                tell(now, _earlier_seconds(now) + monotonic() - started)


def _earlier_seconds(now: TrialsSnapshot) -> float:
    old = now.trials[: len(now.trials) - now.n_new]
    return old[-1].elapsed_seconds if old else 0.0


def _best_baseline(
    header: SearchHeader, baselines: Sequence[BaselineResult]
) -> tuple[str, float] | None:
    known = [(each.name, each.mean.get(header.metric)) for each in baselines]
    figures = {name: figure for name, figure in known if figure is not None}
    if not figures:
        return None
    pick = max if header.greater_is_better else min
    name = pick(figures, key=lambda name: figures[name])
    return name, figures[name]
