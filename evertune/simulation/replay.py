"""Replay a table through the whole production loop with the real steps, faster than real time.

`replay` trains on the first three fifths of the table's time and plays the rest: at the end of
each window (`play_loop`) the current champion scores its rows, labels that are due are loaded,
monitoring decides once, and its decision is carried out before the next window starts. It works
in a project of its own under state/replay, with its own data, log and MLflow store; the real
project's model, log and data are not touched, and no server is started. Other policies can be
compared on the same windows.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from evertune.config.loader import load_params
from evertune.config.schema import Params
from evertune.data.schema import TableSchema
from evertune.decisions import REQUEST_ACTIONS, DecisionOutcome, MonitoringDecision
from evertune.errors import StageError, TableError
from evertune.files import project_lock, read_table, write_text
from evertune.metrics.losses import bounded_losses
from evertune.models.persistence import load_model
from evertune.monitoring.load_labels import load_label_table
from evertune.monitoring.log_frames import logged_predictions
from evertune.monitoring.monitor import monitor
from evertune.monitoring.prediction_log import open_prediction_log
from evertune.orchestration.carry_out_decision import follow_decision_locally
from evertune.project import registry_name
from evertune.registry.register import register
from evertune.serving.batch import score, score_with_shadow
from evertune.simulation.policies import compare_policies, regression_error_scale
from evertune.simulation.results import (
    POLICIES,
    ROW_NAME,
    ColumnRoles,
    PolicyName,
    PolicySummary,
    ReplayEvent,
    ReplayProject,
    ReplayResult,
    UnitCosts,
    WindowLoss,
    decision_events,
    format_event,
    outcome_event,
    render_replay_page,
    summarize_policies,
    summary_lines,
    window_lines,
)
from evertune.simulation.workspace import create_replay_project
from evertune.stages.runner import run_outdated_stages
from evertune.stages.snapshot import take_snapshot
from evertune.terminal import verdict_line
from evertune.times import TimeWindow, to_naive_timestamp

LABELLED_AT = "labelled_at"
ONE_MICROSECOND = timedelta(microseconds=1)
Reporter = Callable[[str], None]


@dataclass(frozen=True)
class ReplayWindows:
    """How a table is cut into windows, and how late its labels come."""

    windows: tuple[TimeWindow, ...]
    label_delay: timedelta


def equal_windows(rehearsal: ReplayProject, *, n_windows: int, label_delay: float) -> ReplayWindows:
    """Return equal windows from the first to the last row that is played."""
    end = rehearsal.end + ONE_MICROSECOND
    length = (end - rehearsal.start) / n_windows
    starts = [rehearsal.start + number * length for number in range(n_windows)]
    ends = [*starts[1:], end]
    windows = [_make_window(rehearsal, *span) for span in zip(starts, ends, strict=True)]
    return ReplayWindows(tuple(windows), timedelta(days=label_delay))


def play_loop(
    rehearsal: ReplayProject, pace: ReplayWindows, *, say: Reporter
) -> tuple[ReplayEvent, ...]:
    """Return what happened, each event told as it happens.

    Each window's rows are scored at its end with the model that is champion then, labels that are
    due are loaded, and one look decides; what it asks for is done before the next window begins.
    """
    events: list[ReplayEvent] = []
    before: MonitoringDecision | None = None
    for window in pace.windows:
        _score_window(rehearsal, window)
        _load_labels(rehearsal, pace, window.start, window.end)
        decision = monitor(rehearsal.root, now=window.end).decision
        for event in _follow_decision(rehearsal, decision, before):
            say(format_event(event))
            events.append(event)
        before = decision
    return tuple(events)


@contextmanager
def suppress_stdout() -> Iterator[None]:
    """Keep what stages print out of the timeline."""
    with redirect_stdout(StringIO()):
        yield


def window_losses(
    rehearsal: ReplayProject, pace: ReplayWindows, schema: TableSchema, *, scale: float | None
) -> tuple[WindowLoss, ...]:
    """Return the loss of every window of the log, once all labels are there."""
    params = load_params(rehearsal.root)
    last = pace.windows[-1].end
    _load_labels(rehearsal, pace, last, last + pace.label_delay + ONE_MICROSECOND)
    with open_prediction_log(params) as log:
        frame = log.read(classes=schema.classes)
    said = logged_predictions(frame)
    truth = frame["truth"].to_numpy(dtype=np.float64)
    losses = bounded_losses(truth, said, task=schema.task, scale=scale)
    return tuple(_window_loss(frame.assign(loss=losses), window) for window in pace.windows)


def _window_loss(frame: pd.DataFrame, window: TimeWindow) -> WindowLoss:
    inside = (frame["moment"] >= to_naive_timestamp(window.start)) & (
        frame["moment"] < to_naive_timestamp(window.end)
    )
    rows = frame[inside & frame["loss"].notna()]
    whole = replace(window, n_rows=len(rows))
    if rows.empty:
        return WindowLoss(whole, None)
    return WindowLoss(whole, float(rows["loss"].mean()), str(rows["version"].iloc[-1]))


def _follow_decision(
    rehearsal: ReplayProject, decision: MonitoringDecision, before: MonitoringDecision | None
) -> Iterator[ReplayEvent]:
    yield from decision_events(decision, before)
    if decision.action in REQUEST_ACTIONS:
        event = outcome_event(_execute_decision(rehearsal, decision))
        if event is not None:
            yield event


def _execute_decision(rehearsal: ReplayProject, decision: MonitoringDecision) -> DecisionOutcome:
    try:
        with suppress_stdout():
            return follow_decision_locally(
                rehearsal.root, decision.id, now=decision.moment, say=_ignore_progress
            )
    except (StageError, TableError) as error:
        return DecisionOutcome(decision.id, decision.moment, "failed", detail=str(error))


def _ignore_progress(_: str, __: str) -> None:
    """Say nothing: a replay tells decisions and outcomes, not steps."""


def _score_window(rehearsal: ReplayProject, window: TimeWindow) -> None:
    target = load_params(rehearsal.root).data.target
    rows = rehearsal.played[_rows_between(rehearsal, window.start, window.end)]
    if len(rows):
        table = rows.drop(columns=[target]).reset_index(drop=True)
        score(rehearsal.root, now=window.end, table=table)
        score_with_shadow(rehearsal.root, table, now=window.end)


def _load_labels(
    rehearsal: ReplayProject, pace: ReplayWindows, begin: datetime, now: datetime
) -> None:
    """Load the labels that came since a moment."""
    target = load_params(rehearsal.root).data.target
    came = _rows_between(rehearsal, begin - pace.label_delay, now - pace.label_delay)
    rows = rehearsal.played.loc[came, [ROW_NAME, target]]
    if len(rows):
        moments = rehearsal.moments[came] + pace.label_delay
        load_label_table(rehearsal.root, rows.assign(**{LABELLED_AT: moments}), now=now)


def _rows_between(rehearsal: ReplayProject, begin: datetime, end: datetime) -> pd.Series:
    return (rehearsal.moments >= to_naive_timestamp(begin)) & (
        rehearsal.moments < to_naive_timestamp(end)
    )


def _make_window(rehearsal: ReplayProject, start: datetime, end: datetime) -> TimeWindow:
    return TimeWindow(start, end, int(_rows_between(rehearsal, start, end).sum()))


WINDOW_DAYS = 7
MIN_WINDOWS = 2
TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"


@dataclass(frozen=True)
class ReplayRequest:
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
class ReplayReport:
    """What was played under each policy, in figures, and the page that draws it."""

    played: tuple[ReplayResult, ...]
    summaries: tuple[PolicySummary, ...]
    page: Path


def replay(root: Path, script: ReplayRequest, *, say: Reporter) -> ReplayReport:
    """Play a table through the loop and return what happened.

    The first three fifths of its time are learned from, the rest is played.

    Parameters
    ----------
    root : Path
        The project, whose params.yaml says how to search, monitor and decide.
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
    place, name = params.paths.state / "replay", _replay_name(params, script)
    place.mkdir(parents=True, exist_ok=True)
    with project_lock(place, "evertune replay"), _without_tracking_server():
        rehearsal = create_replay_project(
            root, place / name, file=script.file, roles=ColumnRoles(script.time, script.target)
        )
        pace = _default_windows(rehearsal, script)
        say(_opening_line(rehearsal, pace, name))
        trained = _train_first_model(rehearsal, say)
        played = _play_policies(rehearsal, pace, script, trained, say=say)
    prices = _unit_costs(params)
    found = summarize_policies(played, prices=prices)
    page = place / name / "replay.html"
    write_text(page, render_replay_page(played, found, title=name, prices=prices))
    for line in ("", *window_lines(played), "", *summary_lines(found), "", f"page: {page}"):
        say(line)
    return ReplayReport(played, found, page)


def _replay_name(params: Params, script: ReplayRequest) -> str:
    return params.registry.name if script.file is None else registry_name(str(script.file))


@contextmanager
def _without_tracking_server() -> Iterator[None]:
    """Keep the replay out of a tracking server that the project uses."""
    address = os.environ.pop(TRACKING_VARIABLE, None)
    try:
        yield
    finally:
        if address is not None:
            os.environ[TRACKING_VARIABLE] = address


def _default_windows(rehearsal: ReplayProject, script: ReplayRequest) -> ReplayWindows:
    days = (rehearsal.end - rehearsal.start).total_seconds() / 86_400
    weeks = max(MIN_WINDOWS, round(days / WINDOW_DAYS))
    return equal_windows(
        rehearsal, n_windows=script.windows or weeks, label_delay=script.label_delay
    )


def _opening_line(rehearsal: ReplayProject, pace: ReplayWindows, name: str) -> str:
    return (
        f"{name}: {len(rehearsal.learned)} rows before {rehearsal.start:%Y-%m-%d} are learned from,"
        f" {len(rehearsal.played)} rows until {rehearsal.end:%Y-%m-%d} are played in"
        f" {len(pace.windows)} windows"
    )


def _train_first_model(rehearsal: ReplayProject, say: Reporter) -> ReplayEvent:
    """Return the event of the first model, made by the real steps."""
    with suppress_stdout():
        take_snapshot(rehearsal.root)
        run_outdated_stages(rehearsal.root, lambda _, __: None)
        verdict = register(rehearsal.root)
    if not verdict.promoted:
        raise StageError(
            f"expected the first model to become champion, but {verdict_line(verdict)}; there is"
            " nothing to watch without one"
        )
    event = ReplayEvent(rehearsal.start, "trained", verdict.version, verdict_line(verdict))
    say(format_event(event))
    return event


def _play_policies(
    rehearsal: ReplayProject,
    pace: ReplayWindows,
    script: ReplayRequest,
    trained: ReplayEvent,
    *,
    say: Reporter,
) -> tuple[ReplayResult, ...]:
    wanted: tuple[PolicyName, ...] = POLICIES if script.policy == "all" else (script.policy,)
    paths = load_params(rehearsal.root).paths
    model = load_model(paths.model)
    scale = regression_error_scale(model, read_table(paths.holdout))
    delay = script.label_delay
    rivals = compare_policies(rehearsal, wanted, windows=pace.windows, label_delay=delay)
    if "loop" not in wanted:
        return rivals
    events = (trained, *play_loop(rehearsal, pace, say=say))
    losses = window_losses(rehearsal, pace, model.schema, scale=scale)
    return (ReplayResult("loop", losses, events), *rivals)


def _unit_costs(params: Params) -> UnitCosts:
    policy = params.monitoring.policy
    return UnitCosts(policy.cost or 1.0, policy.gain_per_row or 1.0)
