"""The time machine: a table is played through the whole loop with the real steps.

It runs faster than time, and works in a project of its own under state/replay, with data, log and
MLflow store of its own; the project's model, log and data stay as they are. No server is started.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flows.lines import verdict_line
from flows.playing import Pace, pace_of, play_loop, silently, window_losses
from flows.stages import bring_up_to_date
from pipelines.compare import compare, error_scale_of
from pipelines.core.rehearsals import Rehearsal, Roles
from pipelines.core.replay_page import replay_html
from pipelines.core.replaying import (
    POLICIES,
    Event,
    Played,
    Policy,
    Prices,
    Summary,
    event_line,
    summaries,
    summary_lines,
    window_lines,
)
from pipelines.errors import StageError
from pipelines.params import load_params
from pipelines.register import register
from pipelines.rehearse import rehearse
from pipelines.sections import Params
from pipelines.snapshot import take_snapshot
from pipelines.stores.files import project_lock, read_table, write_text
from pipelines.stores.models import load_model
from pipelines.use import registry_name

WINDOW_DAYS = 7
FEWEST_WINDOWS = 2
TRACKING = "MLFLOW_TRACKING_URI"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Script:
    """What is played, and how.

    Attributes
    ----------
    file : Path, optional
        A table in the order of time; None: the project's own source.
    time, target : str, optional
        Its columns; None: as params.yaml says.
    windows : int, optional
        How many equal stretches of time are played; None: as many as there are weeks.
    label_delay : float
        Days from a prediction to its label.
    policy : str
        `loop`, `never`, `scheduled`, `oracle`, or `all` to compare them.
    """

    file: Path | None = None
    time: str | None = None
    target: str | None = None
    windows: int | None = None
    label_delay: float = 0.0
    policy: Literal["loop", "never", "scheduled", "oracle", "all"] = "all"


@dataclass(frozen=True)
class Replay:
    """What was played under each policy, in figures, and the page that draws it."""

    played: tuple[Played, ...]
    summaries: tuple[Summary, ...]
    page: Path


def replay(root: Path, script: Script, *, say: Say) -> Replay:
    """Play a table through the loop and return what happened.

    The first three fifths of its time are learned from, the rest is played.

    Parameters
    ----------
    root : Path
        The project, whose params.yaml says how to search, monitor and decide.
    script : Script
    say : function
        Takes every line while it happens.

    Raises
    ------
    TableError
        The table has no time column with dates, or too few rows.
    StageError
        The first model does not pass the gate, so that there is nothing to watch.
    BusyError
        Another replay runs in this project.
    """
    params = load_params(root)
    place, name = params.paths.state / "replay", _name(params, script)
    place.mkdir(parents=True, exist_ok=True)
    with project_lock(place, "evertune replay"), _own_store():
        rehearsal = rehearse(
            root, place / name, file=script.file, roles=Roles(script.time, script.target)
        )
        pace = _pace(rehearsal, script)
        say(_opening(rehearsal, pace, name))
        trained = _trained(rehearsal, say)
        played = _played(rehearsal, pace, script, trained, say=say)
    prices = _prices(params)
    found = summaries(played, prices=prices)
    page = place / name / "replay.html"
    write_text(page, replay_html(played, found, title=name, prices=prices))
    for line in ("", *window_lines(played), "", *summary_lines(found), "", f"page: {page}"):
        say(line)
    return Replay(played, found, page)


def _name(params: Params, script: Script) -> str:
    return params.registry.name if script.file is None else registry_name(str(script.file))


@contextmanager
def _own_store() -> Iterator[None]:
    """Keep the replay out of a tracking server that the project uses."""
    address = os.environ.pop(TRACKING, None)
    try:
        yield
    finally:
        if address is not None:
            os.environ[TRACKING] = address


def _pace(rehearsal: Rehearsal, script: Script) -> Pace:
    days = (rehearsal.end - rehearsal.start).total_seconds() / 86_400
    weeks = max(FEWEST_WINDOWS, round(days / WINDOW_DAYS))
    return pace_of(rehearsal, n_windows=script.windows or weeks, label_delay=script.label_delay)


def _opening(rehearsal: Rehearsal, pace: Pace, name: str) -> str:
    return (
        f"{name}: {len(rehearsal.learned)} rows before {rehearsal.start:%Y-%m-%d} are learned from,"
        f" {len(rehearsal.played)} rows until {rehearsal.end:%Y-%m-%d} are played in"
        f" {len(pace.windows)} windows"
    )


def _trained(rehearsal: Rehearsal, say: Say) -> Event:
    """Return the event of the first model, made by the real steps."""
    with silently():
        take_snapshot(rehearsal.root)
        bring_up_to_date(rehearsal.root, lambda _, __: None)
        verdict = register(rehearsal.root)
    if not verdict.promoted:
        raise StageError(
            f"expected the first model to become champion, but {verdict_line(verdict)}; there is"
            " nothing to watch without one"
        )
    event = Event(rehearsal.start, "trained", verdict.version, verdict_line(verdict))
    say(event_line(event))
    return event


def _played(
    rehearsal: Rehearsal, pace: Pace, script: Script, trained: Event, *, say: Say
) -> tuple[Played, ...]:
    wanted: tuple[Policy, ...] = POLICIES if script.policy == "all" else (script.policy,)
    paths = load_params(rehearsal.root).paths
    model = load_model(paths.model)
    scale = error_scale_of(model, read_table(paths.holdout))
    delay = script.label_delay
    rivals = compare(rehearsal, wanted, windows=pace.windows, label_delay=delay)
    if "loop" not in wanted:
        return rivals
    events = (trained, *play_loop(rehearsal, pace, say=say))
    losses = window_losses(rehearsal, pace, model.schema, scale=scale)
    return (Played("loop", losses, events), *rivals)


def _prices(params: Params) -> Prices:
    policy = params.monitoring.policy
    return Prices(policy.cost or 1.0, policy.gain_per_row or 1.0)
