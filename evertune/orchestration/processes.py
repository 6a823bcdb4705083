"""Run programs side by side that end with this process, and restart those that end by themselves.

`program_group` starts several `Program`s, `wait_until_ready` waits for them, and
`restart_if_ended` restarts them, up to a number of times within ten minutes. What ends them with
this process is `evertune.orchestration.child_process`.
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
    """A program to run: its name for messages, what starts and ends it, and its log."""

    name: str
    open: Callable[[], AbstractContextManager[Popen[bytes]]]
    log: Path


@dataclass(frozen=True)
class RunningProgram:
    """A program, its process, and its starts in seconds of the monotonic clock."""

    program: Program
    process: Popen[bytes]
    starts: tuple[float, ...]


@contextmanager
def program_group(say: Callable[[str], None]) -> "Iterator[Callable[[Program], RunningProgram]]":
    """Yield a function that starts a program; all programs end together with the block."""
    with ExitStack() as stack:
        opened: list[Popen[bytes]] = []

        def start(program: Program) -> RunningProgram:
            process = stack.enter_context(program.open())
            opened.append(process)
            return RunningProgram(program, process, (time.monotonic(),))

        try:
            yield start
        finally:
            if any(process.poll() is None for process in opened):
                say("Stopping.")
            for process in opened:  # all at once; each context then waits for its own
                if process.stdin is not None:
                    process.stdin.close()


def restart_if_ended(
    running: RunningProgram,
    start: Callable[[Program], RunningProgram],
    *,
    say: Callable[[str], None],
) -> RunningProgram:
    """Return the running program, restarted if it has ended.

    Raises
    ------
    InputError, UnsafeError
        It ended with an error that a restart cannot solve.
    StageError
        It ended too often.
    """
    code = running.process.poll()
    if code is None:
        return running
    reason = last_log_line(running.program.log)
    if code in FATAL_EXIT_CODES:
        raise FATAL_EXIT_CODES[code](reason)
    now = time.monotonic()
    starts = tuple(moment for moment in running.starts if now - moment < START_WINDOW_SECONDS)
    if len(starts) >= MAX_STARTS:
        raise StageError(
            f"The {running.program.name} ended {len(starts)} times within"
            f" {START_WINDOW_SECONDS / 60:.0f} minutes, the last time with code {code}: {reason}."
            f" See {running.program.log}."
        )
    say(f"The {running.program.name} ended with code {code} ({reason}); restarting it.")
    again = start(running.program)
    return replace(again, starts=(*starts, *again.starts))


def last_log_line(log: Path) -> str:
    """Return the last line of a log, or a note that it is empty."""
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "its log is empty"


def wait_until_ready(
    ready: Callable[[], bool], running: Sequence[RunningProgram], *, what: str, seconds: float
) -> None:
    """Return once something is ready; raise if a program ends meanwhile or it takes too long."""
    deadline = time.monotonic() + seconds
    while not ready():
        for each in running:
            code = each.process.poll()
            if code is not None:
                kind = FATAL_EXIT_CODES.get(code, StageError)
                raise kind(f"The {each.program.name} ended: {last_log_line(each.program.log)}")
        if time.monotonic() > deadline:
            raise StageError(
                f"{what} took longer than {seconds:.0f} s; see {running[-1].program.log}."
            )
        time.sleep(0.1)
