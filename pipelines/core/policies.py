"""Policies that need no loop, played over a stream with one learner: never, scheduled, oracle."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.core.findings import Window, naive
from pipelines.core.losses import bounded_losses
from pipelines.core.metrics import Metric
from pipelines.core.predictions import Floats, Predictions, Task
from pipelines.core.replaying import Event, Played, WindowLoss

Rows = NDArray[np.int64]
Predict = Callable[[Rows], Predictions]
Fit = Callable[[Rows, Floats | None], Predict]
LATEST_DAYS = (7.0, 30.0, 90.0)
FEWEST_ROWS = 2


@dataclass(frozen=True, eq=False)
class Stream:
    """Rows in the order of time, and a learner for them.

    Attributes
    ----------
    origin : datetime
        Day 0.
    days : array of shape (n,)
        When each row was, in days since `origin`, ascending.
    truth : array of shape (n,)
        Class codes or values.
    fit : function
        Takes numbers of rows and weights (None: all the same), returns what predicts rows.
    task : str
    metric : Metric
        That the gate compares in.
    scale : float, optional
        Of the losses in regression.
    shown : function, optional
        Takes truth and predictions, returns the losses that windows show; None: the bounded ones
        that the loop watches.
    first : function, optional
        The first model, where it stands already; None: it is fitted on all rows of before.
    """

    origin: datetime
    days: Floats
    truth: Floats
    fit: Fit
    task: Task
    metric: Metric
    scale: float | None = None
    shown: Callable[[Floats, Predictions], Floats] | None = None
    first: Predict | None = None


@dataclass(frozen=True)
class Course:
    """What of a stream is played, and how.

    Attributes
    ----------
    start : float
        Day from which predictions count; what lies before is learned from.
    window_days : float
    label_delay : float
        Days from a prediction to its label.
    spans : tuple of (float, float), optional
        Begin and end of every window; None: equal ones of `window_days`.
    """

    start: float
    window_days: float = 7.0
    label_delay: float = 0.0
    spans: tuple[tuple[float, float], ...] | None = None


def never(stream: Stream, course: Course) -> Played:
    """Return how it goes with the first model for good."""
    first = first_model(stream, course)
    spans = list(spans_of(stream, course))
    models = [first] * len(spans)
    return Played("never", losses_of(stream, spans, models, versions=["1"] * len(spans)))


def scheduled(stream: Stream, course: Course, *, latest_days: float | None) -> Played:
    """Return how it goes with a model that is fitted anew before every window, without a gate.

    Parameters
    ----------
    stream : Stream
    course : Course
    latest_days : float, optional
        The rows of so many days, up to the latest label, are learned from; None: all.
    """
    first = first_model(stream, course)
    spans = list(spans_of(stream, course))
    models, events = [first], list[Event]()
    for number, (begin, _) in enumerate(spans[1:], start=2):
        rows = known_rows(stream, begin, delay=course.label_delay, latest_days=latest_days)
        models.append(stream.fit(rows, None))
        moment = moment_of(stream, begin)
        events += [Event(moment, "refitted", str(number)), Event(moment, "promoted", str(number))]
    versions = [str(number) for number in range(1, len(spans) + 1)]
    return Played("scheduled", losses_of(stream, spans, models, versions=versions), tuple(events))


def oracle(stream: Stream, course: Course, *, latest_days: Sequence[float] = LATEST_DAYS) -> Played:
    """Return how it goes when each window has whichever model turns out best in it.

    To choose from are the first model and, fitted at the window's start with labels that come
    without delay, one on all rows and one on the latest of each length. Nobody can know this.
    """
    first = first_model(stream, course)
    spans = list(spans_of(stream, course))
    lengths = [None, *latest_days]
    found, chosen, events = list[WindowLoss](), 0, list[Event]()
    for number, span in enumerate(spans, start=1):
        models = [first, *(_fresh(stream, span[0], days) for days in lengths)]
        tried = [_loss_of(stream, span, model, str(number)) for model in models]
        best = min(range(len(tried)), key=lambda place: (tried[place].loss or 0.0, place))
        if best or best != chosen:
            events.append(Event(moment_of(stream, span[0]), "promoted", str(number)))
        chosen = best
        found.append(replace(tried[best], version=str(number) if best else "1"))
    return Played("oracle", tuple(found), tuple(events))


def first_model(stream: Stream, course: Course) -> Predict:
    """Return the model that stands when playing begins."""
    if stream.first is not None:
        return stream.first
    return stream.fit(known_rows(stream, course.start, delay=0.0), None)


def known_rows(
    stream: Stream, day: float, *, delay: float, latest_days: float | None = None
) -> Rows:
    """Return the numbers of the rows whose labels are known by a day.

    Parameters
    ----------
    stream : Stream
    day : float
    delay : float
        Days from a row to its label.
    latest_days : float, optional
        Only so many days before the latest label.
    """
    end = day - delay
    begin = -np.inf if latest_days is None else end - latest_days
    return np.flatnonzero((stream.days >= begin) & (stream.days < end)).astype(np.int64)


def spans_of(stream: Stream, course: Course) -> Iterator[tuple[float, float]]:
    """Yield the begin and the end of every window, in days; the last may end after the data."""
    if course.spans is not None:
        yield from course.spans
        return
    begin, last = course.start, float(stream.days[-1])
    while begin <= last:
        yield begin, begin + course.window_days
        begin += course.window_days


def losses_of(
    stream: Stream,
    spans: Sequence[tuple[float, float]],
    models: Sequence[Predict],
    *,
    versions: Sequence[str],
) -> tuple[WindowLoss, ...]:
    """Return the loss of every window under the model that it had."""
    cases = zip(spans, models, versions, strict=True)
    return tuple(_loss_of(stream, span, model, version) for span, model, version in cases)


def row_losses(stream: Stream, rows: Rows, predictions: Predictions) -> Floats:
    """Return the bounded losses of predictions of some rows."""
    truth = stream.truth[rows]
    return bounded_losses(truth, predictions, task=stream.task, scale=stream.scale)


def shown_losses(stream: Stream, rows: Rows, predictions: Predictions) -> Floats:
    """Return the losses of predictions of some rows that windows show."""
    if stream.shown is None:
        return row_losses(stream, rows, predictions)
    return stream.shown(stream.truth[rows], predictions)


def moment_of(stream: Stream, day: float) -> datetime:
    """Return a day of a stream as a moment."""
    return stream.origin + timedelta(days=float(day))


def day_of(stream: Stream, moment: datetime) -> float:
    """Return a moment as days since a stream's origin."""
    return (moment - stream.origin) / timedelta(days=1)


def moments_of(stream: Stream, rows: Rows) -> pd.Series:
    """Return when some rows were, as tables hold moments."""
    found = naive(stream.origin) + pd.to_timedelta(stream.days[rows], unit="D")
    return pd.Series(found).astype("datetime64[us]")


def rows_between(stream: Stream, begin: float, end: float) -> Rows:
    """Return the numbers of the rows from one day to before another."""
    return np.flatnonzero((stream.days >= begin) & (stream.days < end)).astype(np.int64)


def _fresh(stream: Stream, day: float, latest_days: float | None) -> Predict:
    rows = known_rows(stream, day, delay=0.0, latest_days=latest_days)
    if len(rows) < FEWEST_ROWS:
        rows = known_rows(stream, day, delay=0.0)
    return stream.fit(rows, None)


def _loss_of(stream: Stream, span: tuple[float, float], model: Predict, version: str) -> WindowLoss:
    rows = rows_between(stream, *span)
    window = Window(moment_of(stream, span[0]), moment_of(stream, span[1]), len(rows))
    if not len(rows):
        return WindowLoss(window, None, version)
    return WindowLoss(window, float(shown_losses(stream, rows, model(rows)).mean()), version)
