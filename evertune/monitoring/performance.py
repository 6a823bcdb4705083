"""Realised performance: metrics of windows and slices whose labels have matured.

`realised_findings` gives each metric and the mean bounded loss with intervals. A mature window
with too few labels is pooled with the next ones; one whose labels are still to come is
"immature" and has no value. `matured_loss_days` gives the loss by day that the sequential test
is fed with; days on which the labels stopped coming are left out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from evertune.decisions import Finding, FindingState
from evertune.metrics.losses import DailyLoss, bounded_losses, daily_losses
from evertune.metrics.metrics import REGRESSION, Metric
from evertune.monitoring.label_delay import (
    ArrivalCurve,
    has_expected_labels,
    is_mature,
    maturity_cutoff,
)
from evertune.monitoring.log_frames import logged_predictions, single_version
from evertune.monitoring.performance_reference import PerformanceReference, slice_rows
from evertune.stats.bootstrap import Estimate, bootstrap_interval
from evertune.times import TimeWindow, to_naive_timestamp
from evertune.types import FloatArray, Predictions, Task, take_rows


def window_row_indices(moments: pd.Series, window: TimeWindow) -> NDArray[np.int64]:
    """Return the places of the rows that lie in a window.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> day = TimeWindow(datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 5, 2, tzinfo=UTC))
    >>> window_row_indices(pd.Series(pd.to_datetime(["2024-05-01", "2024-05-02"])), day)
    array([0])
    """
    after, before = (
        moments >= to_naive_timestamp(window.start),
        moments < to_naive_timestamp(window.end),
    )
    return np.flatnonzero((after & before).to_numpy())


N_BOOTSTRAP_DRAWS = 200


@dataclass(frozen=True, eq=False)
class PerformanceRows:
    """Rows of a logged frame as arrays: what happened, what was said, and what that cost."""

    moments: pd.Series
    truth: FloatArray
    predictions: Predictions
    losses: FloatArray
    version: str | None
    slices: pd.DataFrame | None


@dataclass(frozen=True)
class PerformanceSettings:
    """How figures are made and judged: see `realised_findings`."""

    reference: PerformanceReference
    metrics: tuple[Metric, ...]
    confidence: float
    seed: int
    least_rows: int


def matured_loss_days(
    frame: pd.DataFrame,
    reference: PerformanceReference,
    *,
    classes: tuple[str, ...],
    curve: ArrivalCurve,
    now: datetime,
    coverage: float = 0.9,
    days: float = 1,
) -> tuple[DailyLoss, ...]:
    """Return the losses by day of the rows that are old enough to be judged: for `loss_process`.

    A day counts once it is over, its latest row is old enough and about as many labels came as
    are expected: the few labels of a day on which they stopped coming are not like the others.

    Parameters
    ----------
    frame : DataFrame
        Logged frame of one version.
    reference : PerformanceReference
    classes : tuple of str
    curve : ArrivalCurve
    now : datetime
    coverage : float
        Share of its expected labels that a day needs.
    days : float
        Length of a "day".
    """
    end = maturity_cutoff(curve, now=now, coverage=coverage)
    if end is None or frame.empty:
        return ()
    over = to_naive_timestamp(end).floor(pd.Timedelta(days=days))
    held = _performance_rows(frame[frame["moment"] < over], reference, classes=classes, slices=None)
    everyone = daily_losses(held.moments, np.zeros(held.truth.size), days=days)
    rows = {each.day: each.n for each in everyone}
    return tuple(
        each
        for each in daily_losses(held.moments, held.losses, days=days)
        if has_expected_labels(curve, n_rows=rows[each.day], n_labelled=each.n, coverage=coverage)
    )


def realised_findings(
    frame: pd.DataFrame,
    reference: PerformanceReference,
    windows: Sequence[TimeWindow],
    *,
    task: Task,
    classes: tuple[str, ...],
    metrics: Sequence[Metric],
    curve: ArrivalCurve,
    now: datetime,
    coverage: float = 0.9,
    confidence: float = 0.95,
    seed: int = 0,
    slices: pd.DataFrame | None = None,
    least_rows: int = 30,
) -> tuple[Finding, ...]:
    """Return every metric, `loss` and `main_metric` of each window, and of each slice of it.

    A mature window with fewer labels than `least_rows` is pooled with those after it until there
    are enough. A window that is not mature has findings without a value, `immature`; one without
    predictions, "no data".

    Parameters
    ----------
    frame : DataFrame
        Logged frame of one version.
    reference : PerformanceReference
    windows : sequence of TimeWindow
        Oldest first.
    task, classes
        Of the model's schema.
    metrics : sequence of Metric
        The metric that is optimised comes first.
    curve : ArrivalCurve
    now : datetime
    coverage : float
        Share of its expected labels that a window needs.
    confidence : float
        Of the intervals.
    seed : int
    slices : DataFrame, optional
        Of the frame's rows: columns whose values are judged on their own.
    least_rows : int
        Labelled rows that a figure needs.

    Raises
    ------
    ValueError
        If the reference is of another task.
    """
    if task != reference.task:
        raise ValueError(f"Expected a reference of {task=}, but got {reference.task=}.")
    held = _performance_rows(frame, reference, classes=classes, slices=slices)
    rules = PerformanceSettings(reference, tuple(metrics), confidence, seed, least_rows)
    ripe = [
        is_mature(
            curve,
            window,
            n_labelled=int(
                np.isfinite(held.losses[window_row_indices(held.moments, window)]).sum()
            ),
            now=now,
            coverage=coverage,
        )
        for window in windows
    ]
    found: list[Finding] = []
    for window, state in _pool_small_windows(held, windows, ripe, least_rows=least_rows):
        found.extend(_window_findings(held, window, state, rules))
    return tuple(found)


def _performance_rows(
    frame: pd.DataFrame,
    reference: PerformanceReference,
    *,
    classes: tuple[str, ...],
    slices: pd.DataFrame | None,
) -> PerformanceRows:
    predictions = logged_predictions(frame)
    truth = frame["truth"].to_numpy(dtype=np.float64)
    losses = bounded_losses(truth, predictions, task=reference.task, scale=reference.scale)
    moments = frame["moment"].reset_index(drop=True)
    return PerformanceRows(moments, truth, predictions, losses, single_version(frame), slices)


def _pool_small_windows(
    held: PerformanceRows, windows: Sequence[TimeWindow], ripe: Sequence[bool], *, least_rows: int
) -> Iterator[tuple[TimeWindow, FindingState]]:
    """Yield the windows that are judged, small ones joined, and those that are not."""
    waiting: list[TimeWindow] = []
    for window, is_ripe in zip(windows, ripe, strict=True):
        rows = window_row_indices(held.moments, window)
        if not rows.size:
            yield replace(window, n_rows=0), "no data"
        elif not is_ripe:
            yield replace(window, n_rows=rows.size), "immature"
        else:
            waiting.append(replace(window, n_rows=rows.size))
            pool = TimeWindow(waiting[0].start, window.end, sum(each.n_rows for each in waiting))
            if np.isfinite(held.losses[window_row_indices(held.moments, pool)]).sum() >= least_rows:
                yield pool, "ok"
                waiting = []
    for window in waiting:
        yield window, "no data"


def _window_findings(
    held: PerformanceRows, window: TimeWindow, state: FindingState, rules: PerformanceSettings
) -> Iterator[Finding]:
    rows = window_row_indices(held.moments, window)
    labelled = rows[np.isfinite(held.losses[rows])]
    coverage = labelled.size / rows.size if rows.size else None
    plain = Finding("loss", "performance", window, None, coverage=coverage, version=held.version)
    if state != "ok":
        note = _no_value_note(state, labelled.size, rules.least_rows)
        for signal in ("loss", "main_metric", *(metric.name for metric in rules.metrics)):
            yield replace(plain, signal=signal, state=state, note=note)
        return
    yield _loss_finding(plain, held, labelled, rules)
    figures = [_metric_finding(plain, metric, held, labelled, rules) for metric in rules.metrics]
    yield from (replace(each, signal="main_metric", note=each.signal) for each in figures[:1])
    yield from figures
    yield from _slice_findings(plain, held, rows, rules)


def _slice_findings(
    plain: Finding, held: PerformanceRows, rows: NDArray[np.int64], rules: PerformanceSettings
) -> Iterator[Finding]:
    if held.slices is None:
        return
    for part, places in slice_rows(held.slices.iloc[rows], fewest=rules.least_rows):
        inside = rows[places]
        labelled = inside[np.isfinite(held.losses[inside])]
        if labelled.size < rules.least_rows:
            continue
        of_part = replace(plain, part=part, coverage=labelled.size / inside.size)
        yield _loss_finding(of_part, held, labelled, rules)
        main = _metric_finding(of_part, rules.metrics[0], held, labelled, rules)
        yield replace(main, signal="main_metric", note=main.signal)


def _loss_finding(
    plain: Finding, held: PerformanceRows, rows: NDArray[np.int64], rules: PerformanceSettings
) -> Finding:
    """Return the mean loss, with the interval of a mean of independent rows."""
    losses = held.losses[rows]
    spread = max(float(losses.var()), 1 / losses.size * 0.25 / losses.size)
    half = float(stats.norm.ppf((1 + rules.confidence) / 2)) * float(np.sqrt(spread / losses.size))
    mean = float(losses.mean())
    return replace(
        plain,
        value=mean,
        low=max(mean - half, 0.0),
        high=min(mean + half, 1.0),
        note=_loss_note(held, rows, rules.reference),
    )


def _metric_finding(
    plain: Finding,
    metric: Metric,
    held: PerformanceRows,
    rows: NDArray[np.int64],
    rules: PerformanceSettings,
) -> Finding:
    truth, said = held.truth[rows], take_rows(held.predictions, rows)
    value = metric.score(truth, said)
    known = bool(np.isfinite(value))
    ends = Estimate(method="undefined")
    if known:
        ends = bootstrap_interval(
            metric,
            truth,
            said,
            draws=N_BOOTSTRAP_DRAWS,
            confidence=rules.confidence,
            seed=rules.seed,
        )
    return replace(
        plain,
        signal=metric.name,
        value=float(value) if known else None,
        low=ends.low,
        high=ends.high,
        state="ok" if known else "no data",
        note="" if known else "undefined on these rows",
    )


def _loss_note(
    held: PerformanceRows, rows: NDArray[np.int64], reference: PerformanceReference
) -> str:
    before = f"{reference.loss:.4g} on the reference"
    if reference.task == REGRESSION:
        return f"mean |error| / {reference.scale:.4g}, at most 1 a row; {before}"
    wrong = float((held.truth[rows] != held.predictions.values[rows]).mean())
    return f"mean squared distance of probabilities; {before}; {wrong:.1%} of the classes wrong"


def _no_value_note(state: str, n_labelled: int, least_rows: int) -> str:
    if state == "immature":
        return "too few of the labels that are expected have come"
    return f"{n_labelled} labelled rows, fewer than {least_rows}" if n_labelled else "no rows"
