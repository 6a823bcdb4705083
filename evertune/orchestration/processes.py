"""Run child processes that end with this one, and restart those that end by themselves.

`child_process` runs a command under a small supervisor that holds one end of a pipe: when the
parent ends, however it ends, the kernel closes the pipe and the supervisor ends the command
with all its children. `program_group` starts several `Program`s side by side,
`restart_if_ended` restarts them, up to a number of times within ten minutes, and
`wait_until_ready` waits for them. Started as a script, this file is that supervisor
(`run_until_stdin_closes`).
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import Popen

from evertune.errors import InputError, StageError, UnsafeError

MAX_STARTS = 5
START_WINDOW_SECONDS = 600.0
# An ending with one of these would only come again.
FATAL_EXIT_CODES: dict[int, type[InputError | UnsafeError]] = {2: InputError, 78: UnsafeError}


@dataclass(frozen=True)
class Program:
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
class RunningProgram:
    """A service, its process, and when it was started (seconds of a clock that never goes back)."""

    service: Program
    process: Popen[bytes]
    starts: tuple[float, ...]


@contextmanager
def program_group(say: Callable[[str], None]) -> "Iterator[Callable[[Program], RunningProgram]]":
    """Give what starts a service; all that were started are ended with the block, at once.

    Parameters
    ----------
    say : function
        Called with lines for a person.
    """
    with ExitStack() as stack:
        opened: list[Popen[bytes]] = []

        def start(service: Program) -> RunningProgram:
            process = stack.enter_context(service.open())
            opened.append(process)
            return RunningProgram(service, process, (time.monotonic(),))

        try:
            yield start
        finally:
            if any(process.poll() is None for process in opened):
                say("Stopping.")
            for process in opened:
                _close_stdin(process)


def restart_if_ended(
    running: RunningProgram,
    start: Callable[[Program], RunningProgram],
    *,
    say: Callable[[str], None],
) -> RunningProgram:
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
    reason = last_log_line(running.service.log)
    if code in FATAL_EXIT_CODES:
        raise FATAL_EXIT_CODES[code](reason)
    now = time.monotonic()
    starts = tuple(moment for moment in running.starts if now - moment < START_WINDOW_SECONDS)
    if len(starts) >= MAX_STARTS:
        raise StageError(
            f"The {running.service.name} ended {len(starts)} times within"
            f" {START_WINDOW_SECONDS / 60:.0f} minutes, the last time with code {code}: {reason}."
            f" See {running.service.log}."
        )
    say(f"The {running.service.name} ended with code {code} ({reason}); restarting it.")
    again = start(running.service)
    return replace(again, starts=(*starts, *again.starts))


def last_log_line(log: Path) -> str:
    """Return the last line of a log, or words for none."""
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "its log is empty"


def wait_until_ready(
    ready: Callable[[], bool], running: Sequence[RunningProgram], *, what: str, seconds: float
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
                kind = FATAL_EXIT_CODES.get(code, StageError)
                raise kind(f"The {each.service.name} ended: {last_log_line(each.service.log)}")
        if time.monotonic() > deadline:
            raise StageError(
                f"{what} took longer than {seconds:.0f} s; see {running[-1].service.log}."
            )
        time.sleep(0.1)


def _close_stdin(process: Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
