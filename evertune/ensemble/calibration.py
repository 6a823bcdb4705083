"""Calibrate ensembles on out-of-fold predictions: temperature and threshold.

`fit_temperature` (Guo et al. 2017) and `fit_threshold` return a value only if it helps on rows
that did not choose it. `calibrate_on_oof` applies both to an ensemble.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from evertune.data.folds import IntArray
from evertune.ensemble.blend_metrics import make_blend_scorer
from evertune.ensemble.oof import OOFPredictions
from evertune.metrics.metrics import Metric, keeps_bound
from evertune.models.fitted_model import (
    MIN_PROBABILITY,
    Ensemble,
    apply_temperature,
    apply_threshold,
)
from evertune.types import FloatArray, Predictions

Guards = Sequence[tuple[Metric, float]]  # metrics, and the bounds that they must keep

PROBABILITY_METRICS = ("log_loss", "brier", "calibration_error")
THRESHOLD_METRICS = ("accuracy", "balanced_accuracy", "f1")
TEMPERATURES = np.geomspace(0.4, 2.5, 41)
N_THRESHOLDS = 101
DEFAULT_THRESHOLD = 0.5
MIN_STANDARD_ERRORS = 2.0  # standard errors by which a temperature must help


def calibrate_on_oof(
    ensemble: Ensemble, oof: OOFPredictions, metric: Metric, *, guards: Guards = ()
) -> Ensemble:
    """Return a classification ensemble with a temperature and a threshold where they help.

    A threshold that violates a guard is not taken.
    """
    proba = oof.predictions.probabilities
    if proba is None:
        return ensemble
    threshold = fit_threshold(oof, metric)
    if threshold is not None:
        predictions = Predictions(apply_threshold(proba, threshold), proba)
        if not all(
            keeps_bound(guard, guard.score(oof.y_true, predictions), bound)
            for guard, bound in guards
        ):
            threshold = None
    return replace(ensemble, temperature=fit_temperature(oof, metric), threshold=threshold)


def fit_temperature(oof: OOFPredictions, metric: Metric) -> float:
    """Return the temperature that clearly improves the log loss; 1 if none does.

    Only metrics that judge the size of probabilities use one. The gain is measured on rows whose
    temperature was chosen on other rows.
    """
    proba = oof.predictions.probabilities
    if metric.name not in PROBABILITY_METRICS or proba is None:
        return 1.0
    index = np.arange(len(oof.y_true)), oof.y_true.astype(np.int64)

    def losses(temperature: float) -> FloatArray:
        true_class = apply_temperature(proba, temperature)[index]
        return np.asarray(-np.log(np.clip(true_class, MIN_PROBABILITY, 1.0)))

    table = np.stack([losses(temperature) for temperature in TEMPERATURES])
    unchanged = losses(1.0)
    gains = np.concatenate(
        [
            (unchanged - table[table[:, others].mean(axis=1).argmin()])[part]
            for part, others in oof.cross_fit_parts()
        ]
        or [[0.0]]
    )
    if len(gains) < 2 or not np.isfinite(gains).all():
        return 1.0
    standard_error = gains.std(ddof=1) / np.sqrt(len(gains))
    if gains.mean() <= MIN_STANDARD_ERRORS * standard_error:
        return 1.0
    return float(TEMPERATURES[table.mean(axis=1).argmin()])


def fit_threshold(oof: OOFPredictions, metric: Metric) -> float | None:
    """Return the threshold of the positive class that improves a metric of labels, if any.

    It must do so on folds that did not choose it. None for metrics that do not judge labels, and
    for more than two classes. Of equal thresholds the one nearest to 0.5 is taken.
    """
    proba = oof.predictions.probabilities
    if metric.name not in THRESHOLD_METRICS or proba is None or proba.shape[1] != 2:
        return None
    positive = proba[:, 1]
    quantiles = np.quantile(positive, np.linspace(0, 1, N_THRESHOLDS + 2)[1:-1])
    grid = np.unique(np.concatenate([[DEFAULT_THRESHOLD], np.linspace(0.05, 0.95, 37), quantiles]))
    grid = grid[np.argsort(np.abs(grid - DEFAULT_THRESHOLD), kind="stable")]

    def scores(rows: IntArray, thresholds: FloatArray) -> FloatArray:
        scorer = make_blend_scorer(metric, oof.y_true[rows])
        return scorer.score(positive[rows] - thresholds[:, None] + DEFAULT_THRESHOLD)

    def best(rows: IntArray) -> float:
        return float(grid[scores(rows, grid).argmax()])

    gains = [
        np.diff(scores(part, np.array([DEFAULT_THRESHOLD, best(others)])))[0]
        for part, others in oof.cross_fit_parts()
    ]
    helps = bool(gains) and float(np.mean(gains)) > 0
    return best(np.arange(len(positive))) if helps else None
