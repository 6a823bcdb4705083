"""Metrics of many blends of predictions at once, for choosing between them.

A blend is a weighted mean of what several models say. What a metric looks at (errors, the
probability of the true class) is taken of each model once, where a mean of it is what it would be
of the mean; the metric is then asked of k blends of n rows, an array of shape (k, n), or of shape
(k, n, n_classes) where classes are compared. Of two classes the positive one's probability is all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pipelines.core import kernels
from pipelines.core.kernels import TWO_CLASSES, mean_of_defined, ratio
from pipelines.core.label_kernels import by_class, class_f1, class_precision, class_recall
from pipelines.core.metrics import REGRESSION, Metric
from pipelines.core.predictions import Floats, Predictions

Figure = Callable[[Floats, Floats], Floats]
Counted = Callable[[Floats, Floats, Floats], Floats]
Labels = NDArray[np.bool_]
Levels = NDArray[np.uint16]
Area = Callable[[Levels, Labels], Floats]
LABELS = ("accuracy", "balanced_accuracy", "precision", "recall", "f1")
LEAST = np.finfo(np.float64).eps
TWO_AXES = 2
N_LEVELS = 2**15 - 1
LARGEST_ODDS = np.float32(17)  # logarithm of the odds of the largest chance
SMALLEST_CHANCE = np.float32(6e-8)


@dataclass(frozen=True, eq=False)
class Scoring:
    """How blends are scored on some rows; greater is better.

    Attributes
    ----------
    view : callable
        From said, of shape (m, n) or (m, n, n_classes), to what blends are made of.
    score : callable
        From k blends to k scores, -inf where one is undefined.
    tie_break : callable, optional
        The same, asked where scores are equal.
    """

    view: Callable[[Floats], Floats]
    score: Callable[[Floats], Floats]
    tie_break: Callable[[Floats], Floats] | None = None


def scoring(metric: Metric, truth: Floats) -> Scoring:
    """Return how blends are scored by a metric on n rows.

    All rows are scored together, those of all folds, also by metrics that rank rows: a member
    whose fold models do not share a scale with each other does not share one on new rows either,
    and areas under short curves are the more uncertain.

    Parameters
    ----------
    metric : Metric
    truth : array of shape (n,)

    Examples
    --------
    >>> from pipelines.core.metrics import METRICS
    >>> how = scoring(METRICS["rmse"], np.array([1.0, 5.0]))
    >>> how.score(how.view(np.array([[1.0, 5.0], [1.0, 3.0]]))).round(3).tolist()
    [-0.0, -1.414]
    """
    sign = 1.0 if metric.greater_is_better else -1.0
    asked = (_as_said, partial(_asked, metric))
    view, figure = asked if is_own(metric) else FAST.get(metric.name, asked)

    def score(blends: Floats) -> Floats:
        figures = figure(blends, truth)
        return np.where(np.isfinite(figures), sign * figures, -np.inf)

    def nearer(blends: Floats) -> Floats:
        return -_log_loss(_chance_of_truth(blends, truth), truth)

    return Scoring(lambda said: view(said, truth), score, nearer if metric.name in LABELS else None)


def as_predictions(blend: Floats, *, classes: bool) -> Predictions:
    """Return one blend, of shape (n,) or (n, n_classes), as predictions.

    Examples
    --------
    >>> as_predictions(np.array([0.2, 0.7]), classes=True).values.tolist()
    [0.0, 1.0]
    """
    if not classes:
        return Predictions(blend)
    shares = np.column_stack([1 - blend, blend]) if blend.ndim == 1 else blend
    return Predictions(shares.argmax(axis=1).astype(np.float64), shares)


def is_own(metric: Metric) -> bool:
    """Return whether a metric is the user's own, which may have the name of a built-in one."""
    return getattr(metric.kernel, "func", None) is kernels.repeated


def _as_said(said: Floats, _: Floats) -> Floats:
    return said


def _errors(said: Floats, truth: Floats) -> Floats:
    return said - truth


def _chance_of_truth(said: Floats, truth: Floats) -> Floats:
    if said.ndim == TWO_AXES:
        return np.where(truth == 1, said, 1 - said)
    chances: Floats = said[:, np.arange(truth.size), truth.astype(np.int64)]
    return chances


def _rmse(errors: Floats, _: Floats) -> Floats:
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", errors, errors) / errors.shape[1]))


def _mae(errors: Floats, _: Floats) -> Floats:
    return np.asarray(np.abs(errors).mean(axis=1))


def _mape(errors: Floats, truth: Floats) -> Floats:
    return np.asarray(np.abs(ratio(errors, np.tile(truth, (len(errors), 1)))).mean(axis=1))


def _r2(errors: Floats, truth: Floats) -> Floats:
    spread = np.full(len(errors), np.sum((truth - truth.mean()) ** 2))
    return 1 - ratio(np.einsum("ij,ij->i", errors, errors), spread)


def _log_loss(chances: Floats, _: Floats) -> Floats:
    return np.asarray(-np.log(np.clip(chances, LEAST, 1.0)).mean(axis=1))


def _brier(blends: Floats, truth: Floats) -> Floats:
    if blends.ndim == TWO_AXES:
        return np.asarray(((blends - truth) ** 2).mean(axis=1))
    wrong = blends - np.eye(blends.shape[2])[truth.astype(np.int64)]
    return np.asarray(np.einsum("ijk,ijk->i", wrong, wrong) / blends.shape[1])


def _codes(blends: Floats) -> Floats:
    codes = blends > 0.5 if blends.ndim == TWO_AXES else blends.argmax(axis=2)  # noqa: PLR2004
    return np.asarray(codes, dtype=np.float64)


def _accuracy(blends: Floats, truth: Floats) -> Floats:
    return np.asarray((_codes(blends) == truth).mean(axis=1))


def _counted(figure: Counted, blends: Floats, truth: Floats) -> Floats:
    """Return a figure of the rows by class: right ones, true ones, and those said to be of it."""
    width = TWO_CLASSES if blends.ndim == TWO_AXES else blends.shape[2]
    codes, true = _codes(blends), (truth[:, None] == np.arange(width)).astype(np.float64)
    said = [codes == code for code in range(width)]
    hits = np.column_stack([said[code] @ true[:, code] for code in range(width)])
    n_said = np.column_stack([each.sum(axis=1, dtype=np.float64) for each in said])
    return figure(hits, np.tile(true.sum(axis=0), (len(blends), 1)), n_said)


def _balanced(hits: Floats, n_truth: Floats, _: Floats) -> Floats:
    return mean_of_defined(ratio(hits, n_truth))


def _one_against_rest(area: Area, blends: Floats, truth: Floats) -> Floats:
    if blends.ndim == TWO_AXES:
        return area(_levels(blends), truth == 1)
    classes = range(blends.shape[2])
    areas = [area(_levels(blends[:, :, code]), truth == code) for code in classes]
    return mean_of_defined(np.column_stack(areas))


def _levels(chances: Floats) -> Levels:
    """Return 15 bits that order chances; whole numbers of 16 bits sort ten times faster.

    They are cut from the logarithm of the odds, so that small chances keep apart.
    """
    inside = np.clip(chances.astype(np.float32), SMALLEST_CHANCE, 1 - SMALLEST_CHANCE)
    odds = np.log(inside) - np.log1p(-inside)
    return ((odds + LARGEST_ODDS) * (N_LEVELS / (2 * LARGEST_ODDS))).astype(np.uint16)


def _area_under_roc(levels: Levels, positive: Labels) -> Floats:
    """Return the area of k rows of levels; ties count half, as they come in both orders."""
    n_up, n_rows = float(positive.sum()), positive.size
    places = np.arange(n_rows, dtype=np.float64)
    last = (_sorted(levels, positive) & 1) @ places
    first = (1 - (_sorted(levels, ~positive) & 1)) @ places
    below = (last + first) / 2 - n_up * (n_up - 1) / 2
    return ratio(below, np.full(len(below), n_up * (n_rows - n_up)))


def _average_precision(levels: Levels, positive: Labels) -> Floats:
    """Return the average precision of k rows of levels; those of one level count together."""
    keys = _sorted(levels, positive)[:, ::-1]
    up = (keys & 1).astype(np.float64)
    places = np.arange(positive.size)
    ends = np.full(keys.shape, positive.size - 1)
    ends[:, :-1] = np.where(keys[:, 1:] >> 1 != keys[:, :-1] >> 1, places[:-1], positive.size - 1)
    ends = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
    found = np.take_along_axis(np.cumsum(up, axis=1), ends, axis=1) / (ends + 1)
    return ratio(np.einsum("ij,ij->i", up, found), up.sum(axis=1))


def _sorted(levels: Levels, last_bit: Labels) -> Levels:
    keys = np.bitwise_or(np.left_shift(levels, 1), last_bit, dtype=np.uint16)
    return np.sort(keys, axis=1, kind="stable")  # of 16 bits: by digits


def _asked(metric: Metric, blends: Floats, truth: Floats) -> Floats:
    """Ask a metric itself about one blend after the other."""
    classes = REGRESSION not in metric.tasks
    said = (as_predictions(blend, classes=classes) for blend in blends)
    return np.array([metric.figure(truth, each) for each in said], dtype=np.float64)


FAST: dict[str, tuple[Figure, Figure]] = {
    "rmse": (_errors, _rmse),
    "mae": (_errors, _mae),
    "pinball": (_errors, lambda errors, truth: _mae(errors, truth) / 2),
    "mape": (_errors, _mape),
    "r2": (_errors, _r2),
    "log_loss": (_chance_of_truth, _log_loss),
    "brier": (_as_said, _brier),
    "roc_auc": (_as_said, partial(_one_against_rest, _area_under_roc)),
    "pr_auc": (_as_said, partial(_one_against_rest, _average_precision)),
    "accuracy": (_as_said, _accuracy),
    "balanced_accuracy": (_as_said, partial(_counted, _balanced)),
    "precision": (_as_said, partial(_counted, partial(by_class, class_precision))),
    "recall": (_as_said, partial(_counted, partial(by_class, class_recall))),
    "f1": (_as_said, partial(_counted, partial(by_class, class_f1))),
}
