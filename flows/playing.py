"""The loop with the real steps over a table, window by window: score, label, look, act."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from io import StringIO

import numpy as np
import pandas as pd

from flows.retuning import retune_project
from pipelines.core.findings import Decision, Outcome, Window, naive
from pipelines.core.logged import logged_predictions
from pipelines.core.losses import bounded_losses
from pipelines.core.rehearsals import NAME, Rehearsal
from pipelines.core.replay_events import decision_events, outcome_event
from pipelines.core.replaying import Event, WindowLoss, event_line
from pipelines.core.schema import Schema
from pipelines.core.standing import REQUESTS
from pipelines.errors import StageError, TableError
from pipelines.label import label_table
from pipelines.monitor import monitor
from pipelines.params import load_params
from pipelines.score import score
from pipelines.shadow import shadow
from pipelines.stores.database import opened_log
from pipelines.stores.predictions import read_log

LABELLED_AT = "labelled_at"
LITTLE = timedelta(microseconds=1)
Say = Callable[[str], None]


@dataclass(frozen=True)
class Pace:
    """How a table is cut into windows, and how late its labels come."""

    windows: tuple[Window, ...]
    label_delay: timedelta


def pace_of(rehearsal: Rehearsal, *, n_windows: int, label_delay: float) -> Pace:
    """Return equal windows from the first to the last row that is played."""
    end = rehearsal.end + LITTLE
    length = (end - rehearsal.start) / n_windows
    starts = [rehearsal.start + number * length for number in range(n_windows)]
    ends = [*starts[1:], end]
    windows = [_window(rehearsal, *span) for span in zip(starts, ends, strict=True)]
    return Pace(tuple(windows), timedelta(days=label_delay))


def play_loop(rehearsal: Rehearsal, pace: Pace, *, say: Say) -> tuple[Event, ...]:
    """Return what happened, each event told as it happens.

    Each window's rows are scored at its end with the model that is champion then, labels that are
    due are loaded, and one look decides; what it asks for is done before the next window begins.
    """
    events: list[Event] = []
    before: Decision | None = None
    for window in pace.windows:
        _score(rehearsal, window)
        _label(rehearsal, pace, window.start, window.end)
        decision = monitor(rehearsal.root, now=window.end).decision
        for event in _events(rehearsal, decision, before):
            say(event_line(event))
            events.append(event)
        before = decision
    return tuple(events)


@contextmanager
def silently() -> Iterator[None]:
    """Keep what stages print out of the timeline."""
    with redirect_stdout(StringIO()):
        yield


def window_losses(
    rehearsal: Rehearsal, pace: Pace, schema: Schema, *, scale: float | None
) -> tuple[WindowLoss, ...]:
    """Return the loss of every window of the log, once all labels are there."""
    params = load_params(rehearsal.root)
    last = pace.windows[-1].end
    _label(rehearsal, pace, last, last + pace.label_delay + LITTLE)
    state, variable = params.paths.state, params.scoring.log_variable
    with opened_log(state, model=params.registry.name, variable=variable) as log:
        frame = read_log(log, None, None, classes=schema.classes)
    said = logged_predictions(frame, classes=schema.classes)
    truth = frame["truth"].to_numpy(dtype=np.float64)
    losses = bounded_losses(truth, said, task=schema.task, scale=scale)
    return tuple(_loss(frame.assign(loss=losses), window) for window in pace.windows)


def _loss(frame: pd.DataFrame, window: Window) -> WindowLoss:
    inside = (frame["moment"] >= naive(window.start)) & (frame["moment"] < naive(window.end))
    rows = frame[inside & frame["loss"].notna()]
    whole = replace(window, n_rows=len(rows))
    if rows.empty:
        return WindowLoss(whole, None)
    return WindowLoss(whole, float(rows["loss"].mean()), str(rows["version"].iloc[-1]))


def _events(rehearsal: Rehearsal, decision: Decision, before: Decision | None) -> Iterator[Event]:
    yield from decision_events(decision, before)
    if decision.action in REQUESTS:
        event = outcome_event(_followed(rehearsal, decision))
        if event is not None:
            yield event


def _followed(rehearsal: Rehearsal, decision: Decision) -> Outcome:
    try:
        with silently():
            return retune_project(rehearsal.root, decision.id, now=decision.moment, say=_nothing)
    except (StageError, TableError) as error:
        return Outcome(decision.id, decision.moment, "failed", detail=str(error))


def _nothing(_: str, __: str) -> None:
    """Say nothing: a replay tells decisions and outcomes, not steps."""


def _score(rehearsal: Rehearsal, window: Window) -> None:
    target = load_params(rehearsal.root).data.target
    rows = rehearsal.played[_inside(rehearsal, window.start, window.end)]
    if len(rows):
        table = rows.drop(columns=[target]).reset_index(drop=True)
        score(rehearsal.root, now=window.end, table=table)
        shadow(rehearsal.root, table, now=window.end)


def _label(rehearsal: Rehearsal, pace: Pace, begin: datetime, now: datetime) -> None:
    """Load the labels that came since a moment."""
    target = load_params(rehearsal.root).data.target
    came = _inside(rehearsal, begin - pace.label_delay, now - pace.label_delay)
    rows = rehearsal.played.loc[came, [NAME, target]]
    if len(rows):
        moments = rehearsal.moments[came] + pace.label_delay
        label_table(rehearsal.root, rows.assign(**{LABELLED_AT: moments}), now=now)


def _inside(rehearsal: Rehearsal, begin: datetime, end: datetime) -> pd.Series:
    return (rehearsal.moments >= naive(begin)) & (rehearsal.moments < naive(end))


def _window(rehearsal: Rehearsal, start: datetime, end: datetime) -> Window:
    return Window(start, end, int(_inside(rehearsal, start, end).sum()))
