"""Keeps a command running for as long as the process that asked for it, and no longer.

Started as a script, it holds one end of a pipe. The other end is held by whoever wants the
command; when that process ends in whatever way, the kernel closes the pipe and the keeper ends
the command with all its children.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

GRACE_SECONDS = 3


@contextmanager
def child_process(
    command: list[str],
    *,
    environment: Mapping[str, str],
    log: Path,
    sockets: tuple[int, ...] = (),
    folder: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command until the block ends, or this process does.

    Parameters
    ----------
    environment : mapping
        The command's environment variables, all of them.
    log : Path
        Where its output goes; what was there before is replaced.
    sockets : tuple of int
        File descriptors that the command inherits.
    folder : Path, optional
        That it runs in; None: this process's.

    Yields
    ------
    subprocess.Popen
        The keeper; it ends when the command ends, with the command's exit code.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, *command],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            pass_fds=sockets,
            cwd=folder,
            start_new_session=True,
        )
    try:
        yield keeper
    finally:
        keeper.communicate()


def run_until_stdin_closes(command: list[str]) -> int:
    """Run a command until it ends or standard input does, and return its exit code."""
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, start_new_session=True, close_fds=False
    )
    threading.Thread(target=_end_when_stdin_closes, args=(child,), daemon=True).start()
    code = child.wait()
    _signal_group(child, signal.SIGKILL)
    return code


def _end_when_stdin_closes(child: subprocess.Popen[bytes]) -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    _signal_group(child, signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    _signal_group(child, signal.SIGKILL)


def _signal_group(child: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, number)


if __name__ == "__main__":
    raise SystemExit(run_until_stdin_closes(sys.argv[1:]))
