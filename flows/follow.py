"""Follows the trials file while a search writes to it, so that what a person watches moves.

The search itself knows only files. A thread beside it reads the new lines and hands them to the
terminal, to Prefect and to MLflow.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from time import monotonic

from flows.progress import SearchView
from pipelines.core.baselines import BaselineFigures
from pipelines.core.runs import kept_trials
from pipelines.core.trials import SearchHeader, Trial
from pipelines.stores.files import read_lines, read_record
from pipelines.stores.trials import HEADER, TRIAL

POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Found:
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


Teller = Callable[[Found, float], None]


@contextmanager
def following(path: Path, tellers: Sequence[Teller]) -> Iterator[None]:
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
        told = pool.submit(copy_context().run, _follow, path, before, ended, tellers)
        try:
            yield
        finally:
            ended.set()
    told.result()


def found(lines: list[str], before: list[str]) -> Found | None:
    """Return what the lines say, None where no line belongs to the search that was started.

    Parameters
    ----------
    lines, before : list of str
        Of the trials file, now and when the search was started.
    """
    if not lines or lines == before:
        return None
    n_old = len(before) - 1 if before and before[0] == lines[0] else 0
    trials = tuple(TRIAL.validate_json(line, strict=True) for line in lines[1:])
    return Found(HEADER.validate_json(lines[0], strict=True), trials, len(trials) - n_old)


def search_view(now: Found, seconds: float, *, baselines: Sequence[BaselineFigures]) -> SearchView:
    """Return how far a search is, beside the best baseline in its metric."""
    ranked = kept_trials(now.trials, greater_is_better=now.header.greater_is_better, most=1)
    best = next((trial for trial in ranked if trial.status == "complete"), None)
    rival = _best_baseline(now.header, baselines)
    return SearchView(now.header, now.trials, best, rival, seconds)


def read_baselines(folder: Path) -> tuple[BaselineFigures, ...]:
    """Return the baselines that the search has to beat."""
    return read_record(folder / "baselines.json", tuple[BaselineFigures, ...])


def _follow(path: Path, before: list[str], ended: Event, tellers: Sequence[Teller]) -> None:
    started, over = monotonic(), False
    while not over:
        over = ended.wait(POLL_SECONDS)
        now = found(read_lines(path), before)
        if now is not None:
            for tell in tellers:
                tell(now, _earlier_seconds(now) + monotonic() - started)


def _earlier_seconds(now: Found) -> float:
    old = now.trials[: len(now.trials) - now.n_new]
    return old[-1].elapsed_seconds if old else 0.0


def _best_baseline(
    header: SearchHeader, baselines: Sequence[BaselineFigures]
) -> tuple[str, float] | None:
    known = [(each.name, each.mean.get(header.metric)) for each in baselines]
    figures = {name: figure for name, figure in known if figure is not None}
    if not figures:
        return None
    pick = max if header.greater_is_better else min
    name = pick(figures, key=lambda name: figures[name])
    return name, figures[name]
