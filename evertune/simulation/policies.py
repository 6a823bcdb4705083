"""Retraining policies without a monitoring loop, over a stream of labelled rows.

`never_retrain` keeps the first model, `retrain_on_schedule` fits a new one before every window
without a gate, and `best_in_hindsight` takes in each window whichever model turns out best, a
bound that no real policy can know. A `LabelledStream` holds the rows in time order and a
function that fits a model on some of them; `evertune.simulation.replay` makes one from a table.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evertune.metrics.losses import bounded_losses
from evertune.metrics.metrics import Metric
from evertune.simulation.results import ReplayEvent, ReplayResult, WindowLoss
from evertune.times import TimeWindow, to_naive_timestamp
from evertune.types import FloatArray, Predictions, Task

RowIndices = NDArray[np.int64]
PredictFunction = Callable[[RowIndices], Predictions]
FitFunction = Callable[[RowIndices, FloatArray | None], PredictFunction]
ORACLE_LATEST_DAYS = (7.0, 30.0, 90.0)
MIN_ROWS_TO_FIT = 2


@dataclass(frozen=True, eq=False)
class LabelledStream:
    """Rows in the order of time, and a learner for them.

    Attributes
    ----------
    origin : datetime
        Day 0.
    days : array of shape (n,)
        When each row was, in days since `origin`, ascending.
    y_true : array of shape (n,)
        Class codes or values.
    fit : function
        Takes numbers of rows and weights (None: all the same), returns what predicts rows.
    metric : Metric
        That the gate compares in.
    scale : float, optional
        Of the losses in regression.
    shown : function, optional
        Takes true values and predictions, returns the losses that windows show; None: the bounded
        ones that the loop watches.
    first : function, optional
        The first model, where it stands already; None: it is fitted on all rows of before.
    """

    origin: datetime
    days: FloatArray
    y_true: FloatArray
    fit: FitFunction
    task: Task
    metric: Metric
    scale: float | None = None
    shown: Callable[[FloatArray, Predictions], FloatArray] | None = None
    first: PredictFunction | None = None


@dataclass(frozen=True)
class ReplayConfig:
    """What of a stream is played, and how.

    Attributes
    ----------
    start : float
        Day from which predictions count; what lies before is learned from.
    label_delay : float
        Days from a prediction to its label.
    spans : tuple of (float, float), optional
        Begin and end of every window; None: equal ones of `window_days`.
    """

    start: float
    window_days: float = 7.0
    label_delay: float = 0.0
    spans: tuple[tuple[float, float], ...] | None = None


def never_retrain(stream: LabelledStream, config: ReplayConfig) -> ReplayResult:
    """Return how it goes with the first model for good."""
    first = first_model(stream, config)
    spans = list(window_spans(stream, config))
    models = [first] * len(spans)
    return ReplayResult(
        "never", losses_by_window(stream, spans, models, versions=["1"] * len(spans))
    )


def retrain_on_schedule(
    stream: LabelledStream, config: ReplayConfig, *, latest_days: float | None
) -> ReplayResult:
    """Return how it goes with a model that is fitted anew before every window, without a gate."""
    first = first_model(stream, config)
    spans = list(window_spans(stream, config))
    models, events = [first], list[ReplayEvent]()
    for number, (begin, _) in enumerate(spans[1:], start=2):
        rows = labelled_rows(stream, begin, delay=config.label_delay, latest_days=latest_days)
        models.append(stream.fit(rows, None))
        moment = day_to_moment(stream, begin)
        events += [
            ReplayEvent(moment, "refitted", str(number)),
            ReplayEvent(moment, "promoted", str(number)),
        ]
    versions = [str(number) for number in range(1, len(spans) + 1)]
    return ReplayResult(
        "scheduled", losses_by_window(stream, spans, models, versions=versions), tuple(events)
    )


def best_in_hindsight(
    stream: LabelledStream,
    config: ReplayConfig,
    *,
    latest_days: Sequence[float] = ORACLE_LATEST_DAYS,
) -> ReplayResult:
    """Return how it goes when each window has whichever model turns out best in it.

    To choose from are the first model and, fitted at the window's start with labels that come
    without delay, one on all rows and one on the latest of each length. Nobody can know this.
    """
    first = first_model(stream, config)
    spans = list(window_spans(stream, config))
    losses, chosen, events = list[WindowLoss](), 0, list[ReplayEvent]()
    for number, span in enumerate(spans, start=1):
        models = [first]
        everything = labelled_rows(stream, span[0], delay=0.0)
        for days in (None, *latest_days):
            rows = labelled_rows(stream, span[0], delay=0.0, latest_days=days)
            models.append(stream.fit(rows if len(rows) >= MIN_ROWS_TO_FIT else everything, None))
        tried = [_window_loss(stream, span, model, str(number)) for model in models]
        best = min(range(len(tried)), key=lambda place: (tried[place].loss or 0.0, place))
        if best or best != chosen:
            events.append(ReplayEvent(day_to_moment(stream, span[0]), "promoted", str(number)))
        chosen = best
        losses.append(replace(tried[best], version=str(number) if best else "1"))
    return ReplayResult("oracle", tuple(losses), tuple(events))


def first_model(stream: LabelledStream, config: ReplayConfig) -> PredictFunction:
    """Return the model that stands when playing begins."""
    if stream.first is not None:
        return stream.first
    return stream.fit(labelled_rows(stream, config.start, delay=0.0), None)


def labelled_rows(
    stream: LabelledStream, day: float, *, delay: float, latest_days: float | None = None
) -> RowIndices:
    """Return the numbers of the rows whose labels are known by a day."""
    end = day - delay
    begin = -np.inf if latest_days is None else end - latest_days
    return np.flatnonzero((stream.days >= begin) & (stream.days < end)).astype(np.int64)


def window_spans(stream: LabelledStream, config: ReplayConfig) -> Iterator[tuple[float, float]]:
    """Yield the begin and the end of every window, in days; the last may end after the data."""
    if config.spans is not None:
        yield from config.spans
        return
    begin, last = config.start, float(stream.days[-1])
    while begin <= last:
        yield begin, begin + config.window_days
        begin += config.window_days


def losses_by_window(
    stream: LabelledStream,
    spans: Sequence[tuple[float, float]],
    models: Sequence[PredictFunction],
    *,
    versions: Sequence[str],
) -> tuple[WindowLoss, ...]:
    """Return the loss of every window under the model that it had."""
    cases = zip(spans, models, versions, strict=True)
    return tuple(_window_loss(stream, span, model, version) for span, model, version in cases)


def row_losses(stream: LabelledStream, rows: RowIndices, predictions: Predictions) -> FloatArray:
    """Return the bounded losses of predictions of some rows."""
    y_true = stream.y_true[rows]
    return bounded_losses(y_true, predictions, task=stream.task, scale=stream.scale)


def displayed_losses(
    stream: LabelledStream, rows: RowIndices, predictions: Predictions
) -> FloatArray:
    """Return the losses of predictions of some rows that windows show."""
    if stream.shown is None:
        return row_losses(stream, rows, predictions)
    return stream.shown(stream.y_true[rows], predictions)


def day_to_moment(stream: LabelledStream, day: float) -> datetime:
    """Return a day of a stream as a moment."""
    return stream.origin + timedelta(days=float(day))


def moment_to_day(stream: LabelledStream, moment: datetime) -> float:
    """Return a moment as days since a stream's origin."""
    return (moment - stream.origin) / timedelta(days=1)


def row_moments(stream: LabelledStream, rows: RowIndices) -> pd.Series:
    """Return when some rows were, as tables hold moments."""
    moments = to_naive_timestamp(stream.origin) + pd.to_timedelta(stream.days[rows], unit="D")
    return pd.Series(moments).astype("datetime64[us]")


def rows_between(stream: LabelledStream, begin: float, end: float) -> RowIndices:
    """Return the numbers of the rows from one day to before another."""
    return np.flatnonzero((stream.days >= begin) & (stream.days < end)).astype(np.int64)


def _window_loss(
    stream: LabelledStream, span: tuple[float, float], model: PredictFunction, version: str
) -> WindowLoss:
    rows = rows_between(stream, *span)
    window = TimeWindow(day_to_moment(stream, span[0]), day_to_moment(stream, span[1]), len(rows))
    if not len(rows):
        return WindowLoss(window, None, version)
    return WindowLoss(window, float(displayed_losses(stream, rows, model(rows)).mean()), version)
