"""What a person sees of a run in the terminal: one line a step, and a bar that moves in a search.

Where the output is no terminal (cron, a file) the bar becomes a plain line now and then.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from pipelines.core.trials import SearchHeader, Trial

PLAIN_SECONDS = 10.0
NAME_WIDTH = 10


@dataclass(frozen=True)
class SearchView:
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


Show = Callable[[str, float | None], None]


def fraction_done(view: SearchView) -> float:
    """Return the part of the budget that is used, 0 to 1: of seconds or trials, what is nearer."""
    seconds, trials = view.header.budget_seconds, view.header.budget_trials
    parts = [view.seconds / seconds if seconds else 0.0]
    parts.append(len(view.trials) / trials if trials else 0.0)
    return min(1.0, max(parts))


def seconds_left(view: SearchView) -> float | None:
    """Return the seconds until the budget is used; None before that can be told."""
    done = fraction_done(view)
    by_rate = view.seconds * (1 - done) / done if done else None
    if view.header.budget_seconds is None:
        return by_rate
    by_clock = max(0.0, view.header.budget_seconds - view.seconds)
    return by_clock if by_rate is None else min(by_clock, by_rate)


def search_line(view: SearchView) -> str:
    """Return trials done, the best so far and the best baseline, in one line."""
    return ", ".join(part for part in (_trials(view), _best(view), _rival(view)) if part)


def running_line(view: SearchView) -> str:
    """Return what `search_line` says and the time that is left."""
    left = seconds_left(view)
    return search_line(view) + ("" if left is None else f", {_clock(left)} left")


def say(name: str, text: str) -> None:
    """Print one line of a step."""
    Console().print(_line(name, text), soft_wrap=True, markup=False, highlight=False)


@contextmanager
def step_shown(name: str) -> Iterator[Show]:
    """Show a step as running while the block runs.

    Yields
    ------
    function
        Called with a text and the part that is done (0 to 1, None where it cannot be told).
    """
    if not Console().is_terminal:
        yield _plain(name)
        return
    columns = (TextColumn(_line(name, "")), BarColumn(10), TextColumn("{task.description}"))
    with Progress(*columns, SpinnerColumn(), transient=True) as bar:
        step = bar.add_task("running", total=None)
        yield lambda text, done: bar.update(
            step, description=text, completed=done or 0.0, total=None if done is None else 1.0
        )


def _plain(name: str) -> Show:
    said = time.monotonic()

    def show(text: str, _: float | None) -> None:
        nonlocal said
        if time.monotonic() - said >= PLAIN_SECONDS:
            said = time.monotonic()
            say(name, text)

    return show


def _line(name: str, text: str) -> str:
    return f"{name:<{NAME_WIDTH}} {text}"


def _trials(view: SearchView) -> str:
    failed = sum(trial.status == "failed" for trial in view.trials)
    noun = "trial" if len(view.trials) == 1 else "trials"
    return f"{len(view.trials)} {noun}" + (f" ({failed} failed)" if failed else "")


def _best(view: SearchView) -> str:
    if view.best is None or view.best.score is None:
        return f"no {view.header.metric} yet"
    return f"best {view.header.metric} {view.best.score:.4f} ({view.best.configuration.family})"


def _rival(view: SearchView) -> str:
    return f"best baseline {view.rival[1]:.4f} ({view.rival[0]})" if view.rival else ""


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
