"""The MLflow UI of the project's own store, for as long as a person looks at it."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

from flows.keeper import kept
from flows.server import answers
from pipelines.errors import BusyError, StageError

STARTING_SECONDS = 120.0
PAGE = "/#/experiments?workflowType=machine_learning"  # without it the UI opens on traces


def browse(command: list[str], port: int, *, log: Path, say: Callable[[str], None]) -> None:
    """Serve the UI until Ctrl-C, and say its address once it answers.

    Parameters
    ----------
    command : list of str
        Serves the UI on 127.0.0.1 and `port`.
    port : int
    log : Path
        Where the output of the command goes.
    say : function
        Called with lines for a person.

    Raises
    ------
    BusyError
        The port is taken.
    StageError
        The UI does not come up, or ends by itself.
    """
    _check_free(port)
    address = f"http://127.0.0.1:{port}"
    try:
        with kept(command, environment=os.environ, log=log) as keeper:
            if answers(address, seconds=STARTING_SECONDS, alive=lambda: keeper.poll() is None):
                say(f"MLflow UI: {address}{PAGE} (Ctrl-C ends it)")
                keeper.wait()
            raise _ended(keeper, log)
    except KeyboardInterrupt:
        say("The MLflow UI has ended.")


def _check_free(port: int) -> None:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise BusyError(
            f"Port {port} of this machine cannot be used: {reason}. Choose another one, for example"
            f" `evertune ui --port {port + 1}`."
        ) from error


def _ended(keeper: Popen[bytes], log: Path) -> StageError:
    last = log.read_text(errors="replace").strip().splitlines()[-1:]
    reason = last[0] if last else "it said nothing"
    return StageError(f"The MLflow UI ended with code {keeper.poll()}: {reason}. See {log}.")
