"""Estimate performance without labels, from calibrated probabilities or predicted losses.

`estimated_findings` uses confidence-based estimation (CBPE; Garg and others, 2022; Kivimaki and
others, 2025) for classes and direct loss estimation (DLE) for regression. Both assume that the
relation of target and inputs is what it was on the hold-out (no concept drift); where it
changed, they give what the performance would have been. Where labels came, `estimate_error` is
the realised loss minus the estimated loss of the same rows.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evertune.decisions import Finding
from evertune.metrics.losses import bounded_losses
from evertune.metrics.metrics import REGRESSION, Metric
from evertune.monitoring.log_frames import logged_predictions, single_version
from evertune.monitoring.performance import window_row_indices
from evertune.monitoring.performance_reference import (
    PerformanceReference,
    calibrate_probabilities,
    expand_over_classes,
    expected_losses,
)
from evertune.times import TimeWindow
from evertune.types import FloatArray, Predictions, Task, take_rows

ASSUMPTION = "assumes that what follows from the inputs did not change"
ESTIMABLE_METRICS = (
    "roc_auc", "pr_auc", "log_loss", "brier", "accuracy", "balanced_accuracy", "precision",
    "recall", "f1",
)  # fmt: skip
METRICS_SCALED_BY_LOSS = ("rmse", "mae", "pinball")
MAX_CELLS = 2_000_000
Z_SCORE_95 = 1.96


@dataclass(frozen=True, eq=False)
class ExpectedLosses:
    """What n rows are expected to cost, before their truth is known.

    Attributes
    ----------
    predictions : Predictions
    chances : array of shape (n, n_classes), optional
        Calibrated; None in regression.
    losses : array of shape (n,)
    spread : array of shape (n,)
        Variance of each row's loss around what is expected.
    """

    predictions: Predictions
    chances: FloatArray | None
    losses: FloatArray
    spread: FloatArray


def estimated_findings(
    frame: pd.DataFrame,
    reference: PerformanceReference,
    windows: Sequence[TimeWindow],
    *,
    task: Task,
    classes: tuple[str, ...],
    metrics: Sequence[Metric],
    least_rows: int = 30,
    features: pd.DataFrame | None = None,
) -> tuple[Finding, ...]:
    """Return `estimated_<metric>` and `estimated_loss` of each window, as far as they can be told.

    Classification: the probabilities are calibrated on the hold-out, and each metric is taken over
    all classes of each row, weighted by their chances ("CBPE"). Regression: a boosted tree that
    learned the loss on the hold-out expects it from columns and prediction ("DLE"); rmse, mae and
    pinball are the hold-out's, times expected loss / the hold-out's. Where labels came,
    `estimate_error` is the realised loss minus the estimated one of the same rows.

    Parameters
    ----------
    frame : DataFrame
        Logged frame of one version.
    reference : PerformanceReference
    windows : sequence of TimeWindow
    task, classes
        Of the model's schema.
    metrics : sequence of Metric
    least_rows : int
        A window with fewer predictions has "no data".
    features : DataFrame, optional
        Clean columns of the frame's rows, in their order; regression needs those that the
        reference was made with.

    Returns
    -------
    tuple of Finding
        None at all where the reference cannot estimate: classes without probabilities.

    References
    ----------
    Garg and others (2022), Leveraging unlabeled data to predict out-of-distribution performance;
    Kivimaki and others (2025), Confidence-based estimators for predictive performance in model
    monitoring.
    """
    if task != reference.task:
        raise ValueError(f"Expected a reference of {task=}, but got {reference.task=}.")
    expected = _expect_losses(frame, reference, classes=classes, features=features)
    if expected is None:
        return ()
    truth = frame["truth"].to_numpy(dtype=np.float64)
    losses = bounded_losses(truth, expected.predictions, task=task, scale=reference.scale)
    found: list[Finding] = []
    for window in windows:
        rows = window_row_indices(frame["moment"], window)
        plain = _base_finding(frame, window, rows)
        if rows.size < least_rows:
            found.append(replace(plain, state="no data", note=f"{rows.size} predictions"))
            continue
        found.extend(_window_findings(plain, expected, rows, metrics, reference))
        found.extend(_estimate_error_findings(plain, expected, rows, losses, least_rows=least_rows))
    return tuple(found)


def estimate_metrics(
    predictions: Predictions, reference: PerformanceReference, metrics: Sequence[Metric]
) -> dict[str, float]:
    """Return the metrics that classified rows are expected to have, by name.

    Parameters
    ----------
    predictions : Predictions
        With probabilities.
    reference : PerformanceReference
        With a calibration.
    metrics : sequence of Metric
        Those that cannot be estimated are left out.

    Raises
    ------
    ValueError
        If either has no probabilities.

    Examples
    --------
    >>> from evertune.monitoring.performance_reference import IsotonicCalibration
    >>> from evertune.metrics.metrics import METRICS
    >>> same = IsotonicCalibration((0.0, 1.0), (0.0, 1.0))
    >>> reference = PerformanceReference(
    ...     "binary", "accuracy", 100, {}, 0.1, 1.0, calibration=same
    ... )
    >>> said = Predictions(np.array([1.0, 0.0]), np.array([[0.2, 0.8], [0.9, 0.1]]))
    >>> found = estimate_metrics(said, reference, [METRICS["accuracy"]])
    >>> round(found["accuracy"], 2)
    0.85
    """
    if predictions.probabilities is None or reference.calibration is None:
        raise ValueError("Expected probabilities and their calibration, but got none.")
    chances = calibrate_probabilities(reference.calibration, predictions.probabilities)
    truth, said, weights = expand_over_classes(predictions, chances)
    estimable = [metric for metric in metrics if metric.name in ESTIMABLE_METRICS]
    found = {metric.name: metric.score(truth, said, weights) for metric in estimable}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _expect_losses(
    frame: pd.DataFrame,
    reference: PerformanceReference,
    *,
    classes: tuple[str, ...],
    features: pd.DataFrame | None,
) -> ExpectedLosses | None:
    predictions = logged_predictions(frame)
    if reference.task == REGRESSION:
        if reference.errors is None or (reference.errors.columns and features is None):
            return None
        losses = expected_losses(reference.errors, features, predictions.values)
        return ExpectedLosses(
            predictions, None, losses, np.full(losses.size, _loss_variance(reference))
        )
    if predictions.probabilities is None or reference.calibration is None:
        return None
    chances = calibrate_probabilities(reference.calibration, predictions.probabilities)
    costs = np.column_stack(
        [
            bounded_losses(np.full(len(frame), float(code)), predictions, task=reference.task)
            for code in range(len(classes))
        ]
    )
    losses = (chances * costs).sum(axis=1)
    spread = (chances * costs**2).sum(axis=1) - losses**2
    return ExpectedLosses(predictions, chances, losses, spread)


def _window_findings(
    plain: Finding,
    expected: ExpectedLosses,
    rows: NDArray[np.int64],
    metrics: Sequence[Metric],
    reference: PerformanceReference,
) -> Iterator[Finding]:
    mean = float(expected.losses[rows].mean())
    half = Z_SCORE_95 * math.sqrt(max(float(expected.spread[rows].mean()), 0.0) / rows.size)
    low, high = max(mean - half, 0.0), min(mean + half, 1.0)
    yield replace(plain, value=mean, low=low, high=high)
    for name, value in _window_metrics(expected, rows, metrics, reference).items():
        yield replace(plain, signal=f"estimated_{name}", value=value)


def _window_metrics(
    expected: ExpectedLosses,
    rows: NDArray[np.int64],
    metrics: Sequence[Metric],
    reference: PerformanceReference,
) -> Mapping[str, float]:
    if expected.chances is None:
        return _scale_metrics_by_loss(float(expected.losses[rows].mean()), metrics, reference)
    at_most = max(1, MAX_CELLS // expected.chances.shape[1])
    step = -(-rows.size // at_most)
    return estimate_metrics(take_rows(expected.predictions, rows[::step]), reference, metrics)


def _scale_metrics_by_loss(
    loss: float, metrics: Sequence[Metric], reference: PerformanceReference
) -> dict[str, float]:
    ratio = loss / reference.loss if reference.loss > 0 else 1.0
    known = {metric.name: reference.figures.get(metric.name) for metric in metrics}
    return {
        name: value * ratio
        for name, value in known.items()
        if value is not None and name in METRICS_SCALED_BY_LOSS
    }


def _estimate_error_findings(
    plain: Finding,
    expected: ExpectedLosses,
    rows: NDArray[np.int64],
    losses: FloatArray,
    *,
    least_rows: int,
) -> Iterator[Finding]:
    labelled = rows[np.isfinite(losses[rows])]
    if labelled.size >= least_rows:
        gap = float((losses[labelled] - expected.losses[labelled]).mean())
        half = Z_SCORE_95 * float((losses[labelled] - expected.losses[labelled]).std())
        half /= math.sqrt(labelled.size)
        note = "realised loss minus estimated, on the rows that have a label"
        yield replace(
            plain, signal="estimate_error", value=gap, low=gap - half, high=gap + half, note=note
        )


def _base_finding(frame: pd.DataFrame, window: TimeWindow, rows: NDArray[np.int64]) -> Finding:
    labelled = int(frame["truth"].iloc[rows].notna().sum())
    return Finding(
        "estimated_loss",
        "estimate",
        replace(window, n_rows=int(rows.size)),
        None,
        coverage=labelled / rows.size if rows.size else None,
        version=single_version(frame),
        note=ASSUMPTION,
    )


def _loss_variance(reference: PerformanceReference) -> float:
    return reference.dispersion * reference.loss * (1 - reference.loss)
