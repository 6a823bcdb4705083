"""Kill what a search leaves behind: two of Ray's helper processes can live on for a minute.

`orphan_reaper` starts this file as a separate process, `python ray_guardian.py MARKER FOLDER`,
with the standard library only. It waits for its standard input to close: the search closes it
once Ray has shut down, and the operating system does if the search was killed. `reap_orphans`
then kills every process that has the marker in its environment and removes Ray's temporary
folder. `ray stop` would end every Ray of the machine.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MAX_FOLDER_LENGTH = 40  # Ray adds some 60 characters, and the path of a socket may have 107
MAX_PASSES = 50
PASS_SECONDS = 0.1


def ray_temp_folder(state: Path) -> Path:
    """Return Ray's temporary folder of a project: short, and the same for every run."""
    name = "evertune-" + hashlib.sha256(str(state).encode()).hexdigest()[:8]
    usual = Path(tempfile.gettempdir())
    return (usual if len(str(usual)) + len(name) < MAX_FOLDER_LENGTH else Path("/tmp")) / name


@contextmanager
def orphan_reaper(marker: str, folder: Path) -> Iterator[None]:
    """Run a guardian until the block ends.

    Parameters
    ----------
    marker : str
        A text in the environment of every process that must not outlive this one.
    folder : Path
        Removed once they are gone.
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
    """Yield the ids of processes with the marker in their environment; none without /proc."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if marker.encode() in (process / "environ").read_bytes():
                yield int(process.name)
        except OSError:  # it has ended, or belongs to another user
            continue


def reap_orphans(marker: str, folder: str) -> None:
    """Wait for the search to end, then end the processes it left and remove its folder."""
    sys.stdin.buffer.read()
    for _ in range(MAX_PASSES):
        left = list(marked_processes(marker))
        if not left:
            break
        for process in left:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(PASS_SECONDS)  # one of them may have started another meanwhile
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    reap_orphans(*sys.argv[1:])
