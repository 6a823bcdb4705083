"""Performance that matured labels show, by window and slice, with intervals."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from pipelines.core.findings import Finding, State, Window, naive
from pipelines.core.intervals import Interval, bootstrap_interval
from pipelines.core.logged import logged_predictions, rows_of, version_of
from pipelines.core.losses import LossDay, bounded_losses, loss_days
from pipelines.core.maturity import ArrivalCurve, came_as_expected, is_mature, matured_before
from pipelines.core.metrics import REGRESSION, Metric
from pipelines.core.performance_reference import PerformanceReference, parts_of
from pipelines.core.predictions import Floats, Predictions, Task
from pipelines.core.truths import taken

DRAWS = 200


@dataclass(frozen=True, eq=False)
class Labelled:
    """Rows of a logged frame as arrays: what happened, what was said, and what that cost."""

    moments: pd.Series
    truth: Floats
    predictions: Predictions
    losses: Floats
    version: str | None
    slices: pd.DataFrame | None


@dataclass(frozen=True)
class Rules:
    """How figures are made and judged: see `realised_findings`."""

    reference: PerformanceReference
    metrics: tuple[Metric, ...]
    confidence: float
    seed: int
    least_rows: int


def matured_days(  # noqa: PLR0913
    frame: pd.DataFrame,
    reference: PerformanceReference,
    *,
    classes: tuple[str, ...],
    curve: ArrivalCurve,
    now: datetime,
    coverage: float = 0.9,
    days: float = 1,
) -> tuple[LossDay, ...]:
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
    end = matured_before(curve, now=now, coverage=coverage)
    if end is None or frame.empty:
        return ()
    over = naive(end).floor(pd.Timedelta(days=days))
    held = _labelled(frame[frame["moment"] < over], reference, classes=classes, slices=None)
    everyone = loss_days(held.moments, np.zeros(held.truth.size), days=days)
    rows = {each.day: each.n for each in everyone}
    return tuple(
        each
        for each in loss_days(held.moments, held.losses, days=days)
        if came_as_expected(curve, n_rows=rows[each.day], n_labelled=each.n, coverage=coverage)
    )


def realised_findings(  # noqa: PLR0913
    frame: pd.DataFrame,
    reference: PerformanceReference,
    windows: Sequence[Window],
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
    windows : sequence of Window
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
    held = _labelled(frame, reference, classes=classes, slices=slices)
    rules = Rules(reference, tuple(metrics), confidence, seed, least_rows)
    ripe = [
        is_mature(
            curve,
            window,
            n_labelled=int(np.isfinite(held.losses[rows_of(held.moments, window)]).sum()),
            now=now,
            coverage=coverage,
        )
        for window in windows
    ]
    found: list[Finding] = []
    for window, state in _pooled(held, windows, ripe, least_rows=least_rows):
        found.extend(_of_window(held, window, state, rules))
    return tuple(found)


def _labelled(
    frame: pd.DataFrame,
    reference: PerformanceReference,
    *,
    classes: tuple[str, ...],
    slices: pd.DataFrame | None,
) -> Labelled:
    predictions = logged_predictions(frame, classes=classes)
    truth = frame["truth"].to_numpy(dtype=np.float64)
    losses = bounded_losses(truth, predictions, task=reference.task, scale=reference.scale)
    moments = frame["moment"].reset_index(drop=True)
    return Labelled(moments, truth, predictions, losses, version_of(frame), slices)


def _pooled(
    held: Labelled, windows: Sequence[Window], ripe: Sequence[bool], *, least_rows: int
) -> Iterator[tuple[Window, State]]:
    """Yield the windows that are judged, small ones joined, and those that are not."""
    waiting: list[Window] = []
    for window, is_ripe in zip(windows, ripe, strict=True):
        rows = rows_of(held.moments, window)
        if not rows.size:
            yield replace(window, n_rows=0), "no data"
        elif not is_ripe:
            yield replace(window, n_rows=rows.size), "immature"
        else:
            waiting.append(replace(window, n_rows=rows.size))
            pool = Window(waiting[0].start, window.end, sum(each.n_rows for each in waiting))
            if np.isfinite(held.losses[rows_of(held.moments, pool)]).sum() >= least_rows:
                yield pool, "ok"
                waiting = []
    for window in waiting:
        yield window, "no data"


def _of_window(held: Labelled, window: Window, state: State, rules: Rules) -> Iterator[Finding]:
    rows = rows_of(held.moments, window)
    labelled = rows[np.isfinite(held.losses[rows])]
    coverage = labelled.size / rows.size if rows.size else None
    plain = Finding("loss", "performance", window, None, coverage=coverage, version=held.version)
    if state != "ok":
        note = _why_not(state, labelled.size, rules.least_rows)
        for signal in ("loss", "main_metric", *(metric.name for metric in rules.metrics)):
            yield replace(plain, signal=signal, state=state, note=note)
        return
    yield _loss(plain, held, labelled, rules)
    figures = [_figure(plain, metric, held, labelled, rules) for metric in rules.metrics]
    yield from (replace(each, signal="main_metric", note=each.signal) for each in figures[:1])
    yield from figures
    yield from _of_slices(plain, held, rows, rules)


def _of_slices(
    plain: Finding, held: Labelled, rows: NDArray[np.int64], rules: Rules
) -> Iterator[Finding]:
    if held.slices is None:
        return
    for part, places in parts_of(held.slices.iloc[rows], fewest=rules.least_rows):
        inside = rows[places]
        labelled = inside[np.isfinite(held.losses[inside])]
        if labelled.size < rules.least_rows:
            continue
        of_part = replace(plain, part=part, coverage=labelled.size / inside.size)
        yield _loss(of_part, held, labelled, rules)
        main = _figure(of_part, rules.metrics[0], held, labelled, rules)
        yield replace(main, signal="main_metric", note=main.signal)


def _loss(plain: Finding, held: Labelled, rows: NDArray[np.int64], rules: Rules) -> Finding:
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
        note=_meaning(held, rows, rules.reference),
    )


def _figure(
    plain: Finding, metric: Metric, held: Labelled, rows: NDArray[np.int64], rules: Rules
) -> Finding:
    truth, said = held.truth[rows], taken(held.predictions, rows)
    value = metric.figure(truth, said)
    known = bool(np.isfinite(value))
    ends = Interval(None, None, "undefined")
    if known:
        ends = bootstrap_interval(
            metric, truth, said, draws=DRAWS, confidence=rules.confidence, seed=rules.seed
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


def _meaning(held: Labelled, rows: NDArray[np.int64], reference: PerformanceReference) -> str:
    before = f"{reference.loss:.4g} on the reference"
    if reference.task == REGRESSION:
        return f"mean |error| / {reference.scale:.4g}, at most 1 a row; {before}"
    wrong = float((held.truth[rows] != held.predictions.values[rows]).mean())
    return f"mean squared distance of probabilities; {before}; {wrong:.1%} of the classes wrong"


def _why_not(state: str, n_labelled: int, least_rows: int) -> str:
    if state == "immature":
        return "too few of the labels that are expected have come"
    return f"{n_labelled} labelled rows, fewer than {least_rows}" if n_labelled else "no rows"
