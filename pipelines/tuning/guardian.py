"""Ends what a search leaves behind: two of Ray's helpers can live on for a minute.

It runs as a process of its own, `python guardian.py MARKER FOLDER`, and waits for its input to
end: the search closes it when Ray has been shut down, and the system when the search was killed.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def guarded(marker: str, folder: Path) -> Iterator[None]:
    """Have a guardian until the block ends.

    Parameters
    ----------
    marker : str
        Stands in the environment of every process that must not outlive this one.
    folder : Path
        Removed when they are gone.
    """
    command = [sys.executable, "-I", "-S", __file__, marker, str(folder)]
    clean = {"PATH": os.environ.get("PATH", "")}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, start_new_session=True, env=clean
    ) as guardian:
        try:
            yield
        finally:
            guardian.communicate()


def marked(marker: str) -> Iterator[int]:
    """Yield the ids of processes with the marker in their environment; none where /proc is not."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if marker.encode() in (process / "environ").read_bytes():
                yield int(process.name)
        except OSError:  # it has ended, or is another user's
            continue


def main(marker: str, folder: str) -> None:
    """Wait for the search to end, then end the processes it left and remove its folder."""
    sys.stdin.buffer.read()
    for process in marked(marker):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
