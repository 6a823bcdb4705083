"""What every command shares: its project, failures as one message, and how it ends when stopped."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import typer

from flows.environment import set_defaults
from pipelines.errors import EvertuneError

if TYPE_CHECKING:
    from pipelines.sections import Params

CHAMPION_STAYS = 3
STOPPED = 130
TERMINATED = 143
GOES_ON = "Stopped. What was finished is kept; the same command goes on from there."


def project() -> "tuple[Path, Params]":
    """Return the folder and the values of the project that the command was started in."""
    from pipelines.params import find_root, load_params

    root = find_root(Path.cwd())
    params = load_params(root)
    set_defaults(params.paths.state)
    return root, params


@contextmanager
def told() -> Iterator[None]:
    """Turn a failure of ours, Ctrl-C and SIGTERM into one message and an exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    try:
        yield
    except EvertuneError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(error.exit_code) from error
    except KeyboardInterrupt as error:
        typer.echo(f"\n{GOES_ON}", err=True)
        raise typer.Exit(STOPPED) from error
    except SystemExit as ending:
        if ending.code != signal.SIGTERM:
            raise
        typer.echo(f"\n{GOES_ON}", err=True)
        raise typer.Exit(TERMINATED) from ending


def _terminate(number: int, _: FrameType | None) -> None:
    # Ray puts a handler in place of this one that does the same.
    raise SystemExit(number)
