"""Look, decide and do what was decided, in this process: no Prefect server is needed."""

from datetime import UTC, datetime
from pathlib import Path

from flows.monitor_lines import decision_line
from flows.retuning import retune_project
from flows.stages import Say
from pipelines.core.findings import Outcome
from pipelines.core.monitored import Monitored
from pipelines.core.standing import REQUESTS
from pipelines.errors import InputError
from pipelines.forget import forget
from pipelines.monitor import clock_of, monitor, newest_of
from pipelines.show import show

NEWEST = "newest"


def look(root: Path, *, now: datetime, say: Say) -> Monitored:
    """Return what was found and decided, once it is recorded and shown on the page."""
    found = monitor(root, now=now, at=datetime.now(UTC))
    say("monitor", decision_line(found))
    for note in found.notes:
        say("monitor", note)
    say("page", str(show(root, found)))
    removed = forget(root, now=now)
    if removed:
        say("log", f"{removed} predictions are older than scoring.retention_days and were removed")
    return found


def look_and_act(root: Path, *, now: datetime, say: Say) -> tuple[Monitored, Outcome | None]:
    """Return what was decided and what came of it; None where nothing was to be done.

    Parameters
    ----------
    root : Path
        The project's folder; its lock is taken where something is done.
    now : datetime
    say : function
        Called with the name of a step and a line about it.

    Raises
    ------
    EvertuneError
        Whatever a step raises; the outcome `failed` is recorded before.
    """
    found = look(root, now=now, say=say)
    if found.decision.action not in REQUESTS:
        return found, None
    return found, retune_project(root, found.decision.id, now=now, say=say)


def moment_of(root: Path, now: str | None, *, real: datetime | None = None) -> datetime:
    """Return what counts as now.

    Parameters
    ----------
    root : Path
    now : str, optional
        An ISO moment, in UTC where it names no zone, or `newest` for the newest event in the log;
        None: what `monitoring.clock` says.
    real : datetime, optional
        The time of day; None: the machine's.

    Raises
    ------
    InputError
        It is neither.
    """
    real = real or datetime.now(UTC)
    if now is None:
        return clock_of(root, real=real)
    if now == NEWEST:
        return newest_of(root) or real
    try:
        moment = datetime.fromisoformat(now)
    except ValueError as error:
        raise InputError(
            f"expected an ISO moment such as 2024-11-01T06:00, or {NEWEST}, but got {now!r}"
        ) from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
