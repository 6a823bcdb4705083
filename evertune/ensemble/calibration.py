"""Calibrate ensembles on out-of-fold predictions: temperature and threshold.

`fit_temperature` (Guo et al. 2017) and `fit_threshold` return a value only where it helps on
rows that did not choose it.
"""

from dataclasses import dataclass

import numpy as np

from evertune.data.folds import IntArray
from evertune.ensemble.blend_metrics import make_blend_scorer
from evertune.metrics.metrics import Metric
from evertune.metrics.weighted import TWO_CLASSES
from evertune.models.model import (
    MIN_PROBABILITY,
    apply_temperature,
)
from evertune.types import FloatArray, Predictions

PROBABILITY_METRICS = ("log_loss", "brier", "calibration_error")
THRESHOLD_METRICS = ("accuracy", "balanced_accuracy", "f1")
TEMPERATURES = np.geomspace(0.4, 2.5, 41)
N_THRESHOLDS = 101
DEFAULT_THRESHOLD = 0.5
N_RANDOM_PARTS = 5
MIN_STANDARD_ERRORS = 2.0  # standard errors by which a temperature must help


@dataclass(frozen=True, eq=False)
class OOFPredictions:
    """What a selection says of rows that neither its models nor its weights were fitted on.

    Attributes
    ----------
    rows, folds : arrays of int of shape (n,)
        Numbers of training rows, and the folds that validate them.
    truth : array of shape (n,)
    predictions : Predictions
    """

    rows: IntArray
    folds: IntArray
    truth: FloatArray
    predictions: Predictions


def fit_temperature(unseen: OOFPredictions, metric: Metric) -> float:
    """Return the temperature that improves the log loss clearly; 1 where none does.

    It is looked for only where the metric judges the size of probabilities. The gain is that of
    rows whose temperature other rows chose (Guo and others, 2017, choose it on rows of its own).

    Examples
    --------
    >>> halves = Predictions(np.zeros(4), np.full((4, 2), 0.5))
    >>> rows = np.arange(4)
    >>> from evertune.metrics.metrics import METRICS
    >>> fit_temperature(OOFPredictions(rows, rows % 2, np.zeros(4), halves), METRICS["log_loss"])
    1.0
    """
    if metric.name not in PROBABILITY_METRICS or unseen.predictions.probabilities is None:
        return 1.0
    shares, codes = unseen.predictions.probabilities, unseen.truth.astype(np.int64)

    def losses(temperature: float) -> FloatArray:
        chance = apply_temperature(shares, temperature)[np.arange(len(codes)), codes]
        return np.asarray(-np.log(np.clip(chance, MIN_PROBABILITY, 1.0)))

    table = np.stack([losses(temperature) for temperature in TEMPERATURES])
    as_it_is = losses(1.0)

    def best(rows: IntArray) -> int:
        return int(table[:, rows].mean(axis=1).argmin())

    gains = np.concatenate(
        [(as_it_is - table[best(others)])[part] for part, others in _cross_fit_rows(unseen)]
        or [[0.0]]
    )
    return float(TEMPERATURES[best(np.arange(len(codes)))]) if _is_clear_gain(gains) else 1.0


def fit_threshold(unseen: OOFPredictions, metric: Metric) -> float | None:
    """Return the threshold of the positive class that improves a metric of labels.

    It must do so on folds that did not choose it. None where it does not, where the metric does
    not judge labels, and for more than two classes.
    Of equal thresholds the one nearest to one half is taken.
    """
    shares = unseen.predictions.probabilities
    if metric.name not in THRESHOLD_METRICS or shares is None or shares.shape[1] != TWO_CLASSES:
        return None
    chances = shares[:, 1]
    cuts = _candidate_thresholds(chances)

    def scores(rows: IntArray, cuts: FloatArray) -> FloatArray:
        how = make_blend_scorer(metric, unseen.truth[rows])
        return how.score(chances[rows] - cuts[:, None] + DEFAULT_THRESHOLD)

    def best(rows: IntArray) -> float:
        return float(cuts[scores(rows, cuts).argmax()])

    gains = [
        np.diff(scores(part, np.array([DEFAULT_THRESHOLD, best(others)])))[0]
        for part, others in _cross_fit_rows(unseen)
    ]
    helps = bool(gains) and float(np.mean(gains)) > 0
    return best(np.arange(len(chances))) if helps else None


def _candidate_thresholds(chances: FloatArray) -> FloatArray:
    """Return the thresholds to try, the nearest to one half first."""
    inner = np.quantile(chances, np.linspace(0, 1, N_THRESHOLDS + 2)[1:-1])
    cuts = np.unique(np.concatenate([[DEFAULT_THRESHOLD], np.linspace(0.05, 0.95, 37), inner]))
    return np.asarray(cuts[np.argsort(np.abs(cuts - DEFAULT_THRESHOLD), kind="stable")])


def _cross_fit_rows(unseen: OOFPredictions) -> list[tuple[IntArray, IntArray]]:
    """Return the rows of each fold with all others; of a single fold random parts."""
    labels = unseen.folds
    if len(np.unique(labels)) == 1:
        labels = np.arange(len(labels)) % N_RANDOM_PARTS
    found = [labels == label for label in np.unique(labels)]
    return [(np.flatnonzero(part), np.flatnonzero(~part)) for part in found if not part.all()]


def _is_clear_gain(gains: FloatArray) -> bool:
    if len(gains) < 2 or not np.isfinite(gains).all():
        return False
    error = gains.std(ddof=1) / np.sqrt(len(gains))
    return bool(gains.mean() > MIN_STANDARD_ERRORS * error)
