"""Programs that run side by side for as long as a command does; one that ends is started again."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import Popen

from pipelines.errors import InputError, StageError, UnsafeError

MOST_STARTS = 5
MEMORY_SECONDS = 600.0
# An ending with one of these would only come again.
FINAL: dict[int, type[InputError | UnsafeError]] = {2: InputError, 78: UnsafeError}


@dataclass(frozen=True)
class Service:
    """A program that is kept running.

    Attributes
    ----------
    name : str
        For a person.
    open : function
        Starts it; the context ends it.
    log : Path
        Where its output goes.
    """

    name: str
    open: Callable[[], AbstractContextManager[Popen[bytes]]]
    log: Path


@dataclass(frozen=True)
class Running:
    """A service, its process, and when it was started (seconds of a clock that never goes back)."""

    service: Service
    process: Popen[bytes]
    starts: tuple[float, ...]


@contextmanager
def together(say: Callable[[str], None]) -> "Iterator[Callable[[Service], Running]]":
    """Give what starts a service; all that were started are ended with the block, at once.

    Parameters
    ----------
    say : function
        Called with lines for a person.
    """
    with ExitStack() as stack:
        opened: list[Popen[bytes]] = []

        def start(service: Service) -> Running:
            process = stack.enter_context(service.open())
            opened.append(process)
            return Running(service, process, (time.monotonic(),))

        try:
            yield start
        finally:
            if any(process.poll() is None for process in opened):
                say("Stopping.")
            for process in opened:
                _let_go(process)


def looked_after(
    running: Running, start: Callable[[Service], Running], *, say: Callable[[str], None]
) -> Running:
    """Return the service as it runs; it is started again if it has ended.

    Raises
    ------
    InputError, UnsafeError
        It ended for what only a person can change.
    StageError
        It ended again and again.
    """
    code = running.process.poll()
    if code is None:
        return running
    reason = last_line(running.service.log)
    if code in FINAL:
        raise FINAL[code](reason)
    now = time.monotonic()
    starts = tuple(moment for moment in running.starts if now - moment < MEMORY_SECONDS)
    if len(starts) >= MOST_STARTS:
        raise StageError(
            f"The {running.service.name} ended {len(starts)} times within"
            f" {MEMORY_SECONDS / 60:.0f} minutes, the last time with code {code}: {reason}. See"
            f" {running.service.log}."
        )
    say(f"The {running.service.name} ended with code {code} ({reason}); it is started again.")
    again = start(running.service)
    return replace(again, starts=(*starts, *again.starts))


def last_line(log: Path) -> str:
    """Return the last line of a log, or words for none."""
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def wait_for(
    ready: Callable[[], bool], running: Sequence[Running], *, what: str, seconds: float
) -> None:
    """Return once something is ready.

    Raises
    ------
    InputError, UnsafeError, StageError
        A service has ended meanwhile, or it takes too long.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        for each in running:
            code = each.process.poll()
            if code is not None:
                kind = FINAL.get(code, StageError)
                raise kind(f"The {each.service.name} ended: {last_line(each.service.log)}")
        if time.monotonic() > deadline:
            raise StageError(
                f"{what} took longer than {seconds:.0f} s; see {running[-1].service.log}."
            )
        time.sleep(0.1)


def _let_go(process: Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
