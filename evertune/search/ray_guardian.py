"""Kill what a search leaves behind: two of Ray's helper processes can live on for a minute.

`orphan_reaper` starts this file as a separate process, `python ray_guardian.py MARKER FOLDER`,
with the standard library only. It waits for its standard input to close: the search closes it
once Ray has shut down, and the operating system does if the search was killed. `reap_orphans`
then kills every process that has the marker in its environment and removes Ray's temporary
folder.
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
def orphan_reaper(marker: str, folder: Path) -> Iterator[None]:
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


def marked_processes(marker: str) -> Iterator[int]:
    """Yield the ids of processes with the marker in their environment; none where /proc is not."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if marker.encode() in (process / "environ").read_bytes():
                yield int(process.name)
        except OSError:  # it has ended, or is another user's
            continue


def reap_orphans(marker: str, folder: str) -> None:
    """Wait for the search to end, then end the processes it left and remove its folder."""
    sys.stdin.buffer.read()
    for process in marked_processes(marker):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    reap_orphans(*sys.argv[1:])
