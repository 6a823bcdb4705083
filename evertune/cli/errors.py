"""What every command shares: loading its project, error messages and exit codes.

`error_boundary` turns an `EvertuneError`, Ctrl-C or SIGTERM into one message and an exit code.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from types import FrameType

import typer

from evertune.errors import EvertuneError
from evertune.messages import without_library_warnings
from evertune.orchestration.environment import set_defaults
from evertune.project import Project

EXIT_CHAMPION_STAYS = 3
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143
RESUME_MESSAGE = "Stopped. Finished work is kept; the same command continues from there."


def load_project() -> Project:
    """Return the project that the command was started in, its params.yaml checked."""
    project = Project.find(Path.cwd())
    set_defaults(project.state)
    return project


@contextmanager
def error_boundary() -> Iterator[None]:
    """Turn an EvertuneError, Ctrl-C and SIGTERM into one message and an exit code."""
    signal.signal(signal.SIGTERM, _exit_on_signal)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    try:
        with without_library_warnings():
            yield
    except EvertuneError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    except KeyboardInterrupt as error:
        typer.echo(f"\n{RESUME_MESSAGE}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from error
    except SystemExit as ending:
        if ending.code != signal.SIGTERM:
            raise
        typer.echo(f"\n{RESUME_MESSAGE}", err=True)
        raise typer.Exit(EXIT_TERMINATED) from ending


def _exit_on_signal(number: int, _: FrameType | None) -> None:
    # Ray puts a handler in place of this one that does the same.
    raise SystemExit(number)
