"""Estimate performance without labels, from calibrated probabilities or predicted losses.

`estimated_findings` uses confidence-based estimation (CBPE; Garg and others, 2022; Kivimaki and
others, 2025) for classes and direct loss estimation (DLE) for regression. Both assume that the
relation of target and inputs is that of the hold-out (no concept drift); if it changed, they give
what the performance would have been. Where labels came, `estimate_error` is the realised loss
minus the estimated loss of the same rows.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from evertune.decisions import Finding
from evertune.metrics.losses import bounded_losses
from evertune.metrics.metrics import REGRESSION, Metric
from evertune.monitoring.log_frames import logged_predictions, rows_in_window, single_version
from evertune.monitoring.loss_estimators import expand_over_classes
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
    pred = logged_predictions(frame)
    expected = _expected_losses(pred, reference, n_classes=len(classes), features=features)
    if expected is None:
        return ()
    losses, variances = expected
    y_true = frame["truth"].to_numpy(dtype=np.float64)
    errors = bounded_losses(y_true, pred, task=task, scale=reference.scale) - losses
    found: list[Finding] = []
    for window in windows:
        rows = np.arange(len(frame))[rows_in_window(frame, window)]
        coverage = float(np.isfinite(y_true[rows]).mean()) if rows.size else None
        finding = Finding(
            "estimated_loss",
            "estimate",
            replace(window, n_rows=rows.size),
            None,
            coverage=coverage,
            version=single_version(frame),
            note=ASSUMPTION,
        )
        rows = rows[np.isfinite(losses[rows])]  # a row may lack probabilities
        if rows.size < least_rows:
            found.append(replace(finding, state="no data", note=f"{rows.size} predictions"))
            continue
        mean = float(losses[rows].mean())
        half = Z_SCORE_95 * math.sqrt(max(float(variances[rows].mean()), 0.0) / rows.size)
        low, high = max(mean - half, 0.0), min(mean + half, 1.0)
        found.append(replace(finding, value=mean, low=low, high=high))
        if task == REGRESSION or pred.probabilities is None:
            ratio = mean / reference.loss if reference.loss > 0 else 1.0
            names = [each.name for each in metrics if each.name in METRICS_SCALED_BY_LOSS]
            on_holdout = {name: reference.figures.get(name) for name in names}
            values = {name: v * ratio for name, v in on_holdout.items() if v is not None}
        else:
            step = -(-rows.size // max(1, MAX_CELLS // pred.probabilities.shape[1]))
            values = estimate_metrics(take_rows(pred, rows[::step]), reference, metrics)
        found += [
            replace(finding, signal=f"estimated_{name}", value=value)
            for name, value in values.items()
        ]
        known = errors[rows][np.isfinite(errors[rows])]
        if known.size >= least_rows:
            mean, half = float(known.mean()), Z_SCORE_95 * float(known.std()) / known.size**0.5
            found.append(
                replace(
                    finding,
                    signal="estimate_error",
                    value=mean,
                    low=mean - half,
                    high=mean + half,
                    note="realised loss minus estimated loss of the rows with a label",
                )
            )
    return tuple(found)


def estimate_metrics(
    pred: Predictions, reference: PerformanceReference, metrics: Sequence[Metric]
) -> dict[str, float]:
    """Return the expected metrics of classified rows, by name."""
    if pred.probabilities is None or reference.calibration is None:
        raise ValueError("Expected probabilities and their calibration, but got none.")
    proba = reference.calibration.calibrate(pred.probabilities)
    y_true, pred, weights = expand_over_classes(pred, proba)
    scores = {
        metric.name: metric.score(y_true, pred, weights)
        for metric in metrics
        if metric.name in ESTIMABLE_METRICS
    }
    return {name: value for name, value in scores.items() if math.isfinite(value)}


def _expected_losses(
    pred: Predictions,
    reference: PerformanceReference,
    *,
    n_classes: int,
    features: pd.DataFrame | None,
) -> tuple[FloatArray, FloatArray] | None:
    """Return the expected loss of each row, and the variance of the loss around it."""
    if reference.task == REGRESSION:
        model = reference.errors
        if model is None or (model.columns and features is None):
            return None
        losses = model.predict(features, pred.values)
        variance = reference.dispersion * reference.loss * (1 - reference.loss)
        return losses, np.full(losses.size, variance)
    if pred.probabilities is None or reference.calibration is None:
        return None
    proba, codes = reference.calibration.calibrate(pred.probabilities), range(n_classes)
    n_rows = len(pred.values)
    by_class = [
        bounded_losses(np.full(n_rows, float(code)), pred, task=reference.task) for code in codes
    ]
    costs = np.column_stack(by_class)
    losses = (proba * costs).sum(axis=1)
    return losses, (proba * costs**2).sum(axis=1) - losses**2
