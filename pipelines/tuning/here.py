"""Units that are evaluated in this process: all of a small search, and what fills Ray's start."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from pipelines.tuning.agenda import Agenda
from pipelines.tuning.units import Step, Unit, steps
from pipelines.tuning.work import Encodings, Work

POLL_SECONDS = 0.05
GRACE_SECONDS = 0.5  # after the deadline, for a fit that ends by it


def evaluate_here(work: Work, agenda: Agenda, *, moment: float) -> None:
    """Evaluate units until there are no more, in a thread that is left alone if it gets stuck.

    Parameters
    ----------
    work : Work
    agenda : Agenda
    moment : float
        Of the monotonic clock: what is not done then is not waited for.
    """
    failures: list[BaseException] = []
    thread = _started(work, agenda, threading.Event(), failures)
    while thread.is_alive() and time.monotonic() < moment + GRACE_SECONDS:
        thread.join(POLL_SECONDS)
    _raise_first(failures)


@contextmanager
def evaluating_meanwhile(work: Work, agenda: Agenda) -> Iterator[threading.Event]:
    """Evaluate quick units beside what the block does, until the event that it gives is set."""
    failures: list[BaseException] = []
    enough = threading.Event()
    _started(work, agenda, enough, failures)
    try:
        yield enough
    finally:
        enough.set()
    _raise_first(failures)


def _started(
    work: Work, agenda: Agenda, enough: threading.Event, failures: list[BaseException]
) -> threading.Thread:
    def follow() -> None:
        try:
            _evaluate(work, agenda, enough)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=follow, daemon=True, name="evaluating")
    thread.start()
    return thread


def _evaluate(work: Work, agenda: Agenda, enough: threading.Event) -> None:
    encodings: Encodings = {}
    with threadpool_limits(1):
        while not (enough.is_set() or agenda.ended):
            unit = agenda.next_unit(endable=False)
            if unit is None:
                time.sleep(POLL_SECONDS)
            else:
                _follow(work, agenda, unit, encodings)
                agenda.account.hand_over()


def _follow(work: Work, agenda: Agenda, unit: Unit, encodings: Encodings) -> None:
    step: Step | None = None
    for step in steps(work, unit, encodings):
        outrun = agenda.took(unit, step) and not step.done
        if outrun:
            agenda.end(unit, step, outrun=True)
            return
    agenda.end(unit, step)


def _raise_first(failures: list[BaseException]) -> None:
    if failures:
        raise failures[0]
