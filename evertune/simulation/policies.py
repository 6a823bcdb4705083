"""Retraining policies without a monitoring loop, simulated over a stream of labelled rows.

`never_retrain` keeps the first model, `retrain_on_schedule` fits a new one before every window
without a gate, and `best_in_hindsight` takes in each window whichever model turns out best, a
bound that no real policy can know. A `LabelledStream` holds the rows in time order and a
function that fits a model on some of them. `compare_policies` runs these policies over a replay
project, with the first model and its configuration; it writes nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evertune.config.loader import load_params
from evertune.data.cleaning import conform_to_schema
from evertune.data.labels import normalize_label_column
from evertune.data.schema import encode_target
from evertune.files import read_table
from evertune.metrics.losses import bounded_losses, error_scale
from evertune.metrics.metrics import Metric, metrics_for
from evertune.models.families import fit_configuration
from evertune.models.fitted_model import Ensemble, FittedPipeline, Model, predict
from evertune.models.persistence import load_model
from evertune.simulation.results import (
    PolicyName,
    ReplayEvent,
    ReplayProject,
    ReplayResult,
    WindowLoss,
)
from evertune.times import TimeWindow, to_naive_timestamp
from evertune.types import FloatArray, Predictions, Task, encode_classes

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
    truth : array of shape (n,)
        Class codes or values.
    fit : function
        Takes numbers of rows and weights (None: all the same), returns what predicts rows.
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
    days: FloatArray
    truth: FloatArray
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


def never_retrain(stream: LabelledStream, course: ReplayConfig) -> ReplayResult:
    """Return how it goes with the first model for good."""
    first = first_model(stream, course)
    spans = list(window_spans(stream, course))
    models = [first] * len(spans)
    return ReplayResult(
        "never", losses_by_window(stream, spans, models, versions=["1"] * len(spans))
    )


def retrain_on_schedule(
    stream: LabelledStream, course: ReplayConfig, *, latest_days: float | None
) -> ReplayResult:
    """Return how it goes with a model that is fitted anew before every window, without a gate."""
    first = first_model(stream, course)
    spans = list(window_spans(stream, course))
    models, events = [first], list[ReplayEvent]()
    for number, (begin, _) in enumerate(spans[1:], start=2):
        rows = labelled_rows(stream, begin, delay=course.label_delay, latest_days=latest_days)
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
    course: ReplayConfig,
    *,
    latest_days: Sequence[float] = ORACLE_LATEST_DAYS,
) -> ReplayResult:
    """Return how it goes when each window has whichever model turns out best in it.

    To choose from are the first model and, fitted at the window's start with labels that come
    without delay, one on all rows and one on the latest of each length. Nobody can know this.
    """
    first = first_model(stream, course)
    spans = list(window_spans(stream, course))
    lengths = [None, *latest_days]
    found, chosen, events = list[WindowLoss](), 0, list[ReplayEvent]()
    for number, span in enumerate(spans, start=1):
        models = [first, *(_fit_latest(stream, span[0], days) for days in lengths)]
        tried = [_window_loss(stream, span, model, str(number)) for model in models]
        best = min(range(len(tried)), key=lambda place: (tried[place].loss or 0.0, place))
        if best or best != chosen:
            events.append(ReplayEvent(day_to_moment(stream, span[0]), "promoted", str(number)))
        chosen = best
        found.append(replace(tried[best], version=str(number) if best else "1"))
    return ReplayResult("oracle", tuple(found), tuple(events))


def first_model(stream: LabelledStream, course: ReplayConfig) -> PredictFunction:
    """Return the model that stands when playing begins."""
    if stream.first is not None:
        return stream.first
    return stream.fit(labelled_rows(stream, course.start, delay=0.0), None)


def labelled_rows(
    stream: LabelledStream, day: float, *, delay: float, latest_days: float | None = None
) -> RowIndices:
    """Return the numbers of the rows whose labels are known by a day."""
    end = day - delay
    begin = -np.inf if latest_days is None else end - latest_days
    return np.flatnonzero((stream.days >= begin) & (stream.days < end)).astype(np.int64)


def window_spans(stream: LabelledStream, course: ReplayConfig) -> Iterator[tuple[float, float]]:
    """Yield the begin and the end of every window, in days; the last may end after the data."""
    if course.spans is not None:
        yield from course.spans
        return
    begin, last = course.start, float(stream.days[-1])
    while begin <= last:
        yield begin, begin + course.window_days
        begin += course.window_days


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
    truth = stream.truth[rows]
    return bounded_losses(truth, predictions, task=stream.task, scale=stream.scale)


def displayed_losses(
    stream: LabelledStream, rows: RowIndices, predictions: Predictions
) -> FloatArray:
    """Return the losses of predictions of some rows that windows show."""
    if stream.shown is None:
        return row_losses(stream, rows, predictions)
    return stream.shown(stream.truth[rows], predictions)


def day_to_moment(stream: LabelledStream, day: float) -> datetime:
    """Return a day of a stream as a moment."""
    return stream.origin + timedelta(days=float(day))


def moment_to_day(stream: LabelledStream, moment: datetime) -> float:
    """Return a moment as days since a stream's origin."""
    return (moment - stream.origin) / timedelta(days=1)


def row_moments(stream: LabelledStream, rows: RowIndices) -> pd.Series:
    """Return when some rows were, as tables hold moments."""
    found = to_naive_timestamp(stream.origin) + pd.to_timedelta(stream.days[rows], unit="D")
    return pd.Series(found).astype("datetime64[us]")


def rows_between(stream: LabelledStream, begin: float, end: float) -> RowIndices:
    """Return the numbers of the rows from one day to before another."""
    return np.flatnonzero((stream.days >= begin) & (stream.days < end)).astype(np.int64)


def _fit_latest(stream: LabelledStream, day: float, latest_days: float | None) -> PredictFunction:
    rows = labelled_rows(stream, day, delay=0.0, latest_days=latest_days)
    if len(rows) < MIN_ROWS_TO_FIT:
        rows = labelled_rows(stream, day, delay=0.0)
    return stream.fit(rows, None)


def _window_loss(
    stream: LabelledStream, span: tuple[float, float], model: PredictFunction, version: str
) -> WindowLoss:
    rows = rows_between(stream, *span)
    window = TimeWindow(day_to_moment(stream, span[0]), day_to_moment(stream, span[1]), len(rows))
    if not len(rows):
        return WindowLoss(window, None, version)
    return WindowLoss(window, float(displayed_losses(stream, rows, model(rows)).mean()), version)


REPLAY_ORACLE_DAYS = (30.0,)


def compare_policies(
    rehearsal: ReplayProject,
    policies: Sequence[PolicyName],
    *,
    windows: Sequence[TimeWindow],
    label_delay: float,
) -> tuple[ReplayResult, ...]:
    """Return how the table goes under policies that need no loop.

    Each fit is of the first model's configuration; the first model itself is the one that stands
    in the project.

    Parameters
    ----------
    rehearsal : ReplayProject
        Its project has been trained.
    policies : sequence of str
        `never_retrain`, `retrain_on_schedule` (on the latest rows, as
        `monitoring.retune.latest_days` says) or
        `best_in_hindsight`; others are left out.
    label_delay : float
        Days until a label comes.
    """
    params = load_params(rehearsal.root)
    model = load_model(params.paths.model)
    stream = _build_stream(
        rehearsal, model, scale=regression_error_scale(model, read_table(params.paths.holdout))
    )
    spans = tuple(
        (moment_to_day(stream, each.start), moment_to_day(stream, each.end)) for each in windows
    )
    course = ReplayConfig(spans[0][0], label_delay=label_delay, spans=spans)
    latest = params.monitoring.retune.latest_days
    ways = {
        "never": partial(never_retrain, stream, course),
        "scheduled": partial(retrain_on_schedule, stream, course, latest_days=latest),
        "oracle": partial(best_in_hindsight, stream, course, latest_days=REPLAY_ORACLE_DAYS),
    }
    return tuple(ways[policy]() for policy in policies if policy in ways)


def regression_error_scale(model: Model, holdout: pd.DataFrame) -> float | None:
    """Return the error that counts as a loss of 1, None for classes."""
    if model.schema.task != "regression":
        return None
    said = predict(model.fitted, holdout, model.schema)
    return error_scale(encode_target(holdout, model.schema), said)


def _build_stream(rehearsal: ReplayProject, model: Model, *, scale: float | None) -> LabelledStream:
    raw = pd.concat([rehearsal.learned, rehearsal.played], ignore_index=True)
    moments = pd.concat([rehearsal.learned_moments, rehearsal.moments], ignore_index=True)
    truth = _true_values(raw, model)
    known = np.isfinite(truth)
    clean, _ = conform_to_schema(raw[known], model.schema)
    days = (moments[known] - to_naive_timestamp(rehearsal.start)) / pd.Timedelta(days=1)
    return LabelledStream(
        origin=rehearsal.start,
        days=np.asarray(days, dtype=np.float64),
        truth=truth[known],
        fit=partial(_fit_rows, clean, truth[known], model),
        task=model.schema.task,
        metric=metrics_for(model.schema.task)[0],
        scale=scale,
        first=partial(_predict_rows, clean, model, model.fitted),
    )


def _true_values(raw: pd.DataFrame, model: Model) -> FloatArray:
    """Return the truth of raw rows, NaN where it is missing or of no known class."""
    texts, _ = normalize_label_column(raw[model.schema.target], model.schema)
    if model.schema.task == "regression":
        return np.asarray(texts.astype("float64"))
    return encode_classes(texts, model.schema.classes)


def _fit_rows(
    clean: pd.DataFrame,
    truth: FloatArray,
    model: Model,
    rows: RowIndices,
    weights: FloatArray | None,
) -> PredictFunction:
    fitted = fit_configuration(
        model.configuration,
        clean.iloc[rows],
        truth[rows],
        schema=model.schema,
        seed=0,
        n_jobs=-1,
        weights=weights,
    )
    return partial(_predict_rows, clean, model, fitted)


def _predict_rows(
    clean: pd.DataFrame, model: Model, fitted: FittedPipeline | Ensemble, rows: RowIndices
) -> Predictions:
    return predict(fitted, clean.iloc[rows].reset_index(drop=True), model.schema)
