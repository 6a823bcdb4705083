"""What out-of-fold predictions teach: a temperature, a threshold, how large errors are."""

from dataclasses import dataclass

import numpy as np

from pipelines.core.blend_kernels import scoring
from pipelines.core.calibrated import SMALLEST, Errors, tempered
from pipelines.core.fold_parts import IntArray
from pipelines.core.kernels import TWO_CLASSES
from pipelines.core.metrics import Metric
from pipelines.core.predictions import Floats, Predictions

TEMPERED = ("log_loss", "brier", "calibration_error")
DECIDED = ("accuracy", "balanced_accuracy", "f1")
TEMPERATURES = np.geomspace(0.4, 2.5, 41)
N_THRESHOLDS = 101
HALF = 0.5
N_RANDOM_PARTS = 5
N_QUANTILES = 201
CLEAR = 2.0  # standard errors by which a temperature must help


@dataclass(frozen=True, eq=False)
class Unseen:
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
    truth: Floats
    predictions: Predictions


def temperature_of(unseen: Unseen, metric: Metric) -> float:
    """Return the temperature that improves the log loss clearly; 1 where none does.

    It is looked for only where the metric judges the size of probabilities. The gain is that of
    rows whose temperature other rows chose (Guo and others, 2017, choose it on rows of its own).

    Examples
    --------
    >>> halves = Predictions(np.zeros(4), np.full((4, 2), 0.5))
    >>> rows = np.arange(4)
    >>> from pipelines.core.metrics import METRICS
    >>> temperature_of(Unseen(rows, rows % 2, np.zeros(4), halves), METRICS["log_loss"])
    1.0
    """
    if metric.name not in TEMPERED or unseen.predictions.probabilities is None:
        return 1.0
    shares, codes = unseen.predictions.probabilities, unseen.truth.astype(np.int64)

    def losses(temperature: float) -> Floats:
        chance = tempered(shares, temperature)[np.arange(len(codes)), codes]
        return np.asarray(-np.log(np.clip(chance, SMALLEST, 1.0)))

    table = np.stack([losses(temperature) for temperature in TEMPERATURES])
    as_it_is = losses(1.0)

    def best(rows: IntArray) -> int:
        return int(table[:, rows].mean(axis=1).argmin())

    gains = np.concatenate(
        [(as_it_is - table[best(others)])[part] for part, others in _crossed(unseen)] or [[0.0]]
    )
    return float(TEMPERATURES[best(np.arange(len(codes)))]) if _is_clear(gains) else 1.0


def threshold_of(unseen: Unseen, metric: Metric) -> float | None:
    """Return the threshold of the positive class that improves a metric of labels.

    It must do so on folds that did not choose it. None where it does not, where the metric does
    not judge labels, and for more than two classes.
    Of equal thresholds the one nearest to one half is taken.
    """
    shares = unseen.predictions.probabilities
    if metric.name not in DECIDED or shares is None or shares.shape[1] != TWO_CLASSES:
        return None
    chances = shares[:, 1]
    cuts = _cuts(chances)

    def scores(rows: IntArray, cuts: Floats) -> Floats:
        how = scoring(metric, unseen.truth[rows])
        return how.score(chances[rows] - cuts[:, None] + HALF)

    def best(rows: IntArray) -> float:
        return float(cuts[scores(rows, cuts).argmax()])

    gains = [
        np.diff(scores(part, np.array([HALF, best(others)])))[0]
        for part, others in _crossed(unseen)
    ]
    helps = bool(gains) and float(np.mean(gains)) > 0
    return best(np.arange(len(chances))) if helps else None


def errors_of(unseen: Unseen) -> Errors:
    """Return the absolute errors of each fold, in regression.

    Examples
    --------
    >>> said = Predictions(np.array([1.0, 4.0]))
    >>> errors = errors_of(Unseen(np.arange(2), np.array([0, 1]), np.array([2.0, 2.0]), said))
    >>> errors.n_rows, errors.quantiles[1][0]
    ((1, 1), 2.0)
    """
    sizes = np.abs(unseen.truth - unseen.predictions.values)
    parts = [sizes[unseen.folds == fold] for fold in np.unique(unseen.folds)]
    shares = np.linspace(0, 1, N_QUANTILES)
    quantiles = [np.quantile(part, shares, method="higher") for part in parts]
    return Errors(
        n_rows=tuple(len(part) for part in parts),
        quantiles=tuple(tuple(float(size) for size in each) for each in quantiles),
    )


def _cuts(chances: Floats) -> Floats:
    """Return the thresholds to try, the nearest to one half first."""
    inner = np.quantile(chances, np.linspace(0, 1, N_THRESHOLDS + 2)[1:-1])
    cuts = np.unique(np.concatenate([[HALF], np.linspace(0.05, 0.95, 37), inner]))
    return np.asarray(cuts[np.argsort(np.abs(cuts - HALF), kind="stable")])


def _crossed(unseen: Unseen) -> list[tuple[IntArray, IntArray]]:
    """Return the rows of each fold with all others; of a single fold random parts."""
    labels = unseen.folds
    if len(np.unique(labels)) == 1:
        labels = np.arange(len(labels)) % N_RANDOM_PARTS
    found = [labels == label for label in np.unique(labels)]
    return [(np.flatnonzero(part), np.flatnonzero(~part)) for part in found if not part.all()]


def _is_clear(gains: Floats) -> bool:
    if len(gains) < 2 or not np.isfinite(gains).all():  # noqa: PLR2004
        return False
    error = gains.std(ddof=1) / np.sqrt(len(gains))
    return bool(gains.mean() > CLEAR * error)
