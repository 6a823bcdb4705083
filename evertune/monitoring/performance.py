"""Performance of a model: on its hold-out (the reference), and in windows with matured labels.

`build_performance_reference` describes the hold-out: metrics, mean bounded loss, loss by day, and
the models that estimate losses without labels (`loss_estimators`).

`realised_findings` gives each metric and the mean bounded loss of windows and slices, with
intervals. A mature window with too few labels is pooled with the next ones; one whose labels are
still to come is "immature" and has no value. `matured_loss_days` gives the loss by day, the input
of the sequential test; days on which the labels stopped coming are left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from evertune.decisions import Finding, FindingState
from evertune.evaluation.slices import slice_by_columns, slice_edges
from evertune.messages import format_percent
from evertune.metrics.losses import DailyLoss, bounded_losses, daily_losses, error_scale
from evertune.metrics.metrics import REGRESSION, Metric, compute_metrics
from evertune.monitoring.label_delay import (
    ArrivalCurve,
    has_expected_labels,
    is_mature,
    maturity_cutoff,
)
from evertune.monitoring.log_frames import (
    has_new_class,
    logged_predictions,
    rows_in_window,
    single_version,
)
from evertune.monitoring.loss_estimators import (
    ErrorModel,
    IsotonicCalibration,
    fit_calibration,
    fit_error_model,
)
from evertune.stats.bootstrap import bootstrap_interval
from evertune.times import TimeWindow, to_naive_timestamp
from evertune.trials import MetricValues
from evertune.types import FloatArray, Predictions, Task, take_rows

N_BOOTSTRAP_DRAWS = 200
MAX_SLICES_PER_COLUMN = 50


@dataclass(frozen=True)
class PerformanceReference:
    """Performance of a model on its own hold-out.

    Attributes
    ----------
    metric : str
        The primary metric.
    n : int
        Rows.
    figures : dict
        Every metric by name.
    loss : float
        Mean bounded loss.
    dispersion : float
        Variance of the rows' losses over loss (1 - loss).
    days : tuple of DailyLoss
        Empty if the rows have no moments.
    scale : float, optional
        The error that counts as 1, in regression.
    calibration : IsotonicCalibration, optional
        Binary: of the positive class; multiclass: of the predicted class.
    errors : ErrorModel, optional
        In regression: predicts the loss of a row.
    slice_edges : dict
        Where numeric slice columns are cut into ranges, by column; empty in references of 0.1,
        whose slices are single values.
    """

    task: Task
    metric: str
    n: int
    figures: MetricValues
    loss: float
    dispersion: float
    days: tuple[DailyLoss, ...] = ()
    scale: float | None = None
    calibration: IsotonicCalibration | None = None
    errors: ErrorModel | None = None
    slice_edges: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


def build_performance_reference(
    y_true: FloatArray,
    predictions: Predictions,
    *,
    task: Task,
    metrics: Sequence[Metric],
    moments: pd.Series | None = None,
    slices: pd.DataFrame | None = None,
    features: pd.DataFrame | None = None,
    seed: int = 0,
) -> PerformanceReference:
    """Return the reference of a model from its hold-out.

    Parameters
    ----------
    metrics : sequence of Metric
        The primary metric comes first.
    moments : Series of datetime64, optional
        Of each row; without them nothing tells how days differ, and the test is slower.
    slices : DataFrame, optional
        Clean columns whose values or ranges are judged on their own.
    features : DataFrame, optional
        Clean columns from which the loss of a regression is predicted.

    Raises
    ------
    ValueError
        There are no rows.

    Examples
    --------
    >>> from evertune.metrics.metrics import METRICS
    >>> pred = Predictions(np.array([0.0, 1.0, 1.0, 0.0]))
    >>> reference = build_performance_reference(
    ...     np.array([0.0, 1.0, 0.0, 0.0]), pred, task="binary", metrics=[METRICS["accuracy"]]
    ... )
    >>> reference.figures, reference.loss, reference.dispersion
    ({'accuracy': 0.75}, 0.25, 1.0)
    """
    if not y_true.size:
        raise ValueError("Expected rows of the hold-out, but got none.")
    scale = error_scale(y_true, predictions) if task == REGRESSION else None
    losses = bounded_losses(y_true, predictions, task=task, scale=scale)
    known = np.isfinite(losses)
    mean = float(losses[known].mean())
    variance = mean * (1 - mean)
    errors = None
    if task == REGRESSION:
        rows = None if features is None else features[known]
        errors = fit_error_model(rows, predictions.values[known], losses[known], seed=seed)
    return PerformanceReference(
        task=task,
        metric=metrics[0].name,
        n=int(known.sum()),
        figures=compute_metrics(metrics, y_true, predictions),
        loss=mean,
        dispersion=float(losses[known].var()) / variance if variance > 0 else 1.0,
        days=() if moments is None else daily_losses(moments.reset_index(drop=True), losses),
        scale=scale,
        calibration=fit_calibration(y_true, predictions),
        errors=errors,
        slice_edges={} if slices is None else slice_edges(slices),
    )


def realised_findings(
    frame: pd.DataFrame,
    reference: PerformanceReference,
    windows: Sequence[TimeWindow],
    *,
    task: Task,
    metrics: Sequence[Metric],
    curve: ArrivalCurve,
    now: datetime,
    coverage: float = 0.9,
    confidence: float = 0.95,
    seed: int = 0,
    slices: pd.DataFrame | None = None,
    least_rows: int = 30,
) -> tuple[Finding, ...]:
    """Return every metric, `loss` and `main_metric` of each window, and the last two by slice.

    A mature window with fewer labels than `least_rows` is pooled with those after it until there
    are enough. A window that is not mature has findings without a value, `immature`; one without
    predictions, "no data".

    Parameters
    ----------
    frame : DataFrame
        Logged frame of one version, ordered by moment.
    windows : sequence of TimeWindow
        Oldest first.
    metrics : sequence of Metric
        The primary metric comes first.
    coverage : float
        Share of its expected labels that a window needs, 0 to 1.
    confidence : float
        Of the intervals, 0 to 1.
    slices : DataFrame, optional
        Of the frame's rows: columns whose values or ranges are judged on their own.
    least_rows : int
        Labelled rows that a value needs.

    Raises
    ------
    ValueError
        The reference is of another task.
    """
    if task != reference.task:
        raise ValueError(f"Expected a reference of {task=}, but got {reference.task=}.")
    rows = _LoggedRows(frame, reference, confidence=confidence, seed=seed)
    # a label of a class that the model does not know has come, although it cannot be judged
    n_labels = [
        rows.labelled(window).size + int(has_new_class(frame.iloc[rows.positions(window)]).sum())
        for window in windows
    ]
    mature = [
        is_mature(curve, window, n_labelled=n, now=now, coverage=coverage)
        for window, n in zip(windows, n_labels, strict=True)
    ]
    findings: list[Finding] = []
    for window, state in _pool_small_windows(rows, windows, mature, least_rows=least_rows):
        positions, labelled = rows.positions(window), rows.labelled(window)
        share = labelled.size / positions.size if positions.size else None
        plain = Finding(
            "loss", "performance", window, None, coverage=share, version=rows.version, state=state
        )
        if state != "ok":
            note = "too few of the expected labels have arrived"
            if state == "no data":
                few = f"{labelled.size} labelled rows, fewer than {least_rows}"
                note = few if labelled.size else "no rows"
            signals = ("loss", "main_metric", *(metric.name for metric in metrics))
            findings += [replace(plain, signal=signal, note=note) for signal in signals]
            continue
        main, *others = [rows.metric_finding(plain, metric, labelled) for metric in metrics]
        findings.append(rows.loss_finding(plain, labelled))
        findings += [replace(main, signal="main_metric", note=main.signal), main, *others]
        columns = pd.DataFrame() if slices is None else slices.iloc[positions]
        for name in columns:
            for part in slice_by_columns(
                columns[[name]],
                None,
                [str(name)],
                min_rows=least_rows,
                edges=reference.slice_edges,
            )[:MAX_SLICES_PER_COLUMN]:
                inside = positions[part.rows]
                labelled = inside[np.isfinite(rows.losses[inside])]
                if labelled.size < least_rows:
                    continue
                of_part = replace(
                    plain, part=f"{part.column}={part.value}", coverage=labelled.size / inside.size
                )
                findings.append(rows.loss_finding(of_part, labelled))
                main = rows.metric_finding(of_part, metrics[0], labelled)
                findings.append(replace(main, signal="main_metric", note=main.signal))
    return tuple(findings)


def matured_loss_days(
    frame: pd.DataFrame,
    reference: PerformanceReference,
    *,
    curve: ArrivalCurve,
    now: datetime,
    coverage: float = 0.9,
    days: float = 1,
) -> tuple[DailyLoss, ...]:
    """Return the losses by day of the rows that are old enough to be judged.

    A day counts once it is over, its latest row is old enough and about as many labels came as are
    expected: the few labels of a day on which they stopped coming are not like the others.

    Parameters
    ----------
    frame : DataFrame
        Logged frame of one version.
    coverage : float
        Share of its expected labels that a day needs, 0 to 1.
    days : float
        Length of a "day".
    """
    end = maturity_cutoff(curve, now=now, coverage=coverage)
    if end is None or frame.empty:
        return ()
    rows = frame[frame["moment"] < to_naive_timestamp(end).floor(pd.Timedelta(days=days))]
    rows = rows[~has_new_class(rows)]
    n_rows = {
        each.day: each.n for each in daily_losses(rows["moment"], np.zeros(len(rows)), days=days)
    }
    return tuple(
        each
        for each in daily_losses(rows["moment"], _losses(rows, reference), days=days)
        if has_expected_labels(curve, n_rows=n_rows[each.day], n_labelled=each.n, coverage=coverage)
    )


def paired_loss_days(
    shadow: pd.DataFrame, *, task: Task, scale: float | None
) -> tuple[tuple[DailyLoss, ...], tuple[DailyLoss, ...]]:
    """Return the daily losses of a champion and of a version in shadow, on the same rows.

    Parameters
    ----------
    shadow : DataFrame
        From `PredictionLog.read_shadow`.
    scale : float, optional
        The error that counts as 1, in regression: of the champion's reference.
    """
    y_true = shadow["truth"].to_numpy(dtype=float)
    of_champion, of_shadow = (
        bounded_losses(y_true, logged_predictions(shadow, suffix), task=task, scale=scale)
        for suffix in ("_c", "")
    )
    both = np.isfinite(of_champion) & np.isfinite(of_shadow)
    moments = shadow["moment"][both]
    return daily_losses(moments, of_champion[both]), daily_losses(moments, of_shadow[both])


def _losses(frame: pd.DataFrame, reference: PerformanceReference) -> FloatArray:
    y_true = frame["truth"].to_numpy(dtype=np.float64)
    pred = logged_predictions(frame)
    return bounded_losses(y_true, pred, task=reference.task, scale=reference.scale)


def _pool_small_windows(
    rows: "_LoggedRows",
    windows: Sequence[TimeWindow],
    mature: Sequence[bool],
    *,
    least_rows: int,
) -> Iterator[tuple[TimeWindow, FindingState]]:
    """Yield the windows that are judged, small ones joined, and those that are not."""
    waiting: list[TimeWindow] = []
    for window, is_ready in zip(windows, mature, strict=True):
        counted = replace(window, n_rows=rows.positions(window).size)
        if not counted.n_rows:
            yield counted, "no data"
        elif not is_ready:
            yield counted, "immature"
        else:
            waiting.append(counted)
            pool = TimeWindow(waiting[0].start, window.end, sum(each.n_rows for each in waiting))
            if rows.labelled(pool).size >= least_rows:
                yield pool, "ok"
                waiting = []
    for window in waiting:
        yield window, "no data"


class _LoggedRows:
    """The rows of a logged frame as arrays, and the findings of some of them."""

    def __init__(
        self,
        frame: pd.DataFrame,
        reference: PerformanceReference,
        *,
        confidence: float,
        seed: int,
    ) -> None:
        self.frame, self.reference = frame, reference
        self.confidence, self.seed = confidence, seed
        self.y_true = frame["truth"].to_numpy(dtype=np.float64)
        self.predictions = logged_predictions(frame)
        self.losses = _losses(frame, reference)
        self.version = single_version(frame)

    def positions(self, window: TimeWindow) -> NDArray[np.int64]:
        rows = rows_in_window(self.frame, window)
        return np.arange(rows.start, rows.stop, dtype=np.int64)

    def labelled(self, window: TimeWindow) -> NDArray[np.int64]:
        positions = self.positions(window)
        return positions[np.isfinite(self.losses[positions])]

    def loss_finding(self, plain: Finding, positions: NDArray[np.int64]) -> Finding:
        """Return the mean loss, with the interval of a mean of independent rows."""
        losses, reference = self.losses[positions], self.reference
        n_rows, mean = losses.size, float(losses.mean())
        variance = max(float(losses.var()), 0.25 / n_rows**2)
        half = float(stats.norm.ppf((1 + self.confidence) / 2)) * float(np.sqrt(variance / n_rows))
        before = f"{reference.loss:.4g} on the reference"
        if reference.task == REGRESSION:
            note = f"mean |error| / {reference.scale:.4g}, at most 1 a row; {before}"
        else:
            wrong = float((self.y_true[positions] != self.predictions.values[positions]).mean())
            note = (
                f"mean squared distance of probabilities; {before}; {format_percent(wrong)} of the"
                " classes wrong"
            )
        return replace(
            plain, value=mean, low=max(mean - half, 0.0), high=min(mean + half, 1.0), note=note
        )

    def metric_finding(
        self, plain: Finding, metric: Metric, positions: NDArray[np.int64]
    ) -> Finding:
        y_true, pred = self.y_true[positions], take_rows(self.predictions, positions)
        value = metric.score(y_true, pred)
        plain = replace(plain, signal=metric.name)
        if not np.isfinite(value):
            return replace(plain, state="no data", note="undefined on these rows")
        interval = bootstrap_interval(
            metric,
            y_true,
            pred,
            draws=N_BOOTSTRAP_DRAWS,
            confidence=self.confidence,
            seed=self.seed,
        )
        return replace(plain, value=float(value), low=interval.low, high=interval.high)
