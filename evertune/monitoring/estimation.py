"""Estimate performance without labels, from calibrated probabilities or predicted losses.

`estimated_findings` uses confidence-based estimation (CBPE; Garg and others, 2022; Kivimaki and
others, 2025) for classes and direct loss estimation (DLE) for regression. Both assume that the
relation of target and inputs is that of the hold-out (no concept drift); if it changed, they give
what the performance would have been. Where labels came, `estimate_error` is the realised loss
minus the estimated loss of the same rows.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evertune.decisions import Finding
from evertune.metrics.losses import bounded_losses
from evertune.metrics.metrics import REGRESSION, Metric
from evertune.monitoring.log_frames import logged_predictions, rows_in_window, single_version
from evertune.monitoring.loss_estimators import (
    calibrate_probabilities,
    expand_over_classes,
    expected_losses,
)
from evertune.monitoring.performance import PerformanceReference
from evertune.times import TimeWindow
from evertune.types import FloatArray, Predictions, Task, take_rows

ASSUMPTION = "assumes that the relation between inputs and target did not change"
ESTIMABLE_METRICS = (
    "roc_auc", "pr_auc", "log_loss", "brier", "accuracy", "balanced_accuracy", "precision",
    "recall", "f1",
)  # fmt: skip
METRICS_SCALED_BY_LOSS = ("rmse", "mae", "pinball")
MAX_CELLS = 2_000_000
Z_SCORE_95 = 1.96


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
    """Return `estimated_<metric>` and `estimated_loss` of each window, as far as possible.

    Classification: the probabilities are calibrated on the hold-out, and each metric is taken over
    all classes of each row, weighted by their probability. Regression: a boosted tree that learned
    the loss on the hold-out predicts it from columns and prediction; rmse, mae and pinball are the
    hold-out's, times expected loss / the hold-out's loss.

    Parameters
    ----------
    frame : DataFrame
        Logged frame of one version, ordered by moment.
    task, classes
        Of the model's schema.
    least_rows : int
        A window with fewer predictions has "no data".
    features : DataFrame, optional
        Clean columns of the frame's rows, in their order; regression needs those that the
        reference was made with.

    Returns
    -------
    tuple of Finding
        Empty if the reference cannot estimate: classes without probabilities.
    """
    if task != reference.task:
        raise ValueError(f"Expected a reference of {task=}, but got {reference.task=}.")
    expected = _expect_losses(frame, reference, n_classes=len(classes), features=features)
    if expected is None:
        return ()
    truth = frame["truth"].to_numpy(dtype=np.float64)
    losses = bounded_losses(truth, expected.predictions, task=task, scale=reference.scale)
    found: list[Finding] = []
    for window in windows:
        rows = np.arange(len(frame))[rows_in_window(frame, window)]
        n_labelled = int(np.isfinite(truth[rows]).sum())
        plain = Finding(
            "estimated_loss",
            "estimate",
            replace(window, n_rows=rows.size),
            None,
            coverage=n_labelled / rows.size if rows.size else None,
            version=single_version(frame),
            note=ASSUMPTION,
        )
        rows = rows[np.isfinite(expected.losses[rows])]  # a row may lack probabilities
        if rows.size < least_rows:
            found.append(replace(plain, state="no data", note=f"{rows.size} predictions"))
            continue
        found += _window_findings(plain, expected, rows, metrics, reference)
        gaps = losses[rows] - expected.losses[rows]
        gaps = gaps[np.isfinite(gaps)]
        if gaps.size >= least_rows:
            found.append(_estimate_error(plain, gaps))
    return tuple(found)


def estimate_metrics(
    predictions: Predictions, reference: PerformanceReference, metrics: Sequence[Metric]
) -> dict[str, float]:
    """Return the expected metrics of classified rows, by name."""
    if predictions.probabilities is None or reference.calibration is None:
        raise ValueError("Expected probabilities and their calibration, but got none.")
    proba = calibrate_probabilities(reference.calibration, predictions.probabilities)
    truth, pred, weights = expand_over_classes(predictions, proba)
    scores = {
        metric.name: metric.score(truth, pred, weights)
        for metric in metrics
        if metric.name in ESTIMABLE_METRICS
    }
    return {name: value for name, value in scores.items() if math.isfinite(value)}


@dataclass(frozen=True, eq=False)
class ExpectedLosses:
    """The expected losses of n rows; `variance` is that of each loss around its expectation."""

    predictions: Predictions
    losses: FloatArray
    variance: FloatArray


def _expect_losses(
    frame: pd.DataFrame,
    reference: PerformanceReference,
    *,
    n_classes: int,
    features: pd.DataFrame | None,
) -> ExpectedLosses | None:
    predictions = logged_predictions(frame)
    if reference.task == REGRESSION:
        if reference.errors is None or (reference.errors.columns and features is None):
            return None
        losses = expected_losses(reference.errors, features, predictions.values)
        variance = reference.dispersion * reference.loss * (1 - reference.loss)
        return ExpectedLosses(predictions, losses, np.full(losses.size, variance))
    if predictions.probabilities is None or reference.calibration is None:
        return None
    proba = calibrate_probabilities(reference.calibration, predictions.probabilities)
    costs = np.column_stack(
        [
            bounded_losses(np.full(len(frame), float(code)), predictions, task=reference.task)
            for code in range(n_classes)
        ]
    )
    losses = (proba * costs).sum(axis=1)
    return ExpectedLosses(predictions, losses, (proba * costs**2).sum(axis=1) - losses**2)


def _window_findings(
    plain: Finding,
    expected: ExpectedLosses,
    rows: NDArray[np.int64],
    metrics: Sequence[Metric],
    reference: PerformanceReference,
) -> Iterator[Finding]:
    mean = float(expected.losses[rows].mean())
    half = Z_SCORE_95 * math.sqrt(max(float(expected.variance[rows].mean()), 0.0) / rows.size)
    yield replace(plain, value=mean, low=max(mean - half, 0.0), high=min(mean + half, 1.0))
    proba = expected.predictions.probabilities
    if reference.task == REGRESSION or proba is None:
        ratio = mean / reference.loss if reference.loss > 0 else 1.0
        known = {metric.name: reference.figures.get(metric.name) for metric in metrics}
        values = {
            name: value * ratio
            for name, value in known.items()
            if value is not None and name in METRICS_SCALED_BY_LOSS
        }
    else:
        step = -(-rows.size // max(1, MAX_CELLS // proba.shape[1]))
        values = estimate_metrics(take_rows(expected.predictions, rows[::step]), reference, metrics)
    for name, value in values.items():
        yield replace(plain, signal=f"estimated_{name}", value=value)


def _estimate_error(plain: Finding, gaps: FloatArray) -> Finding:
    mean, half = float(gaps.mean()), Z_SCORE_95 * float(gaps.std()) / math.sqrt(gaps.size)
    note = "realised loss minus estimated loss of the rows with a label"
    return replace(
        plain, signal="estimate_error", value=mean, low=mean - half, high=mean + half, note=note
    )
