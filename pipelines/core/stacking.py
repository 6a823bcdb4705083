"""Out-of-fold predictions of several trials, side by side on the same rows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipelines.core.blend_kernels import as_predictions
from pipelines.core.fold_parts import IntArray
from pipelines.core.kernels import TWO_CLASSES
from pipelines.core.metrics import Metric
from pipelines.core.pool import PoolEntry
from pipelines.core.predictions import Floats, Predictions

LEAST_ROWS_OF_A_PART = 20  # below, figures of single folds say nothing: the rows are one part
N_RANDOM_PARTS = 5
MOST_PARTS = 10


@dataclass(frozen=True, eq=False)
class Stack:
    """What m entries say of n rows, which none of their fold models saw.

    Attributes
    ----------
    said : array of shape (m, n) or (m, n, n_classes)
        Values, probabilities of the positive class, or of all classes.
    truth : array of shape (n,)
    rows : array of int of shape (n,)
        Numbers of the training rows; a row stands once for each fold that validates it.
    folds : array of int of shape (n,)
    classes : bool
    """

    said: Floats
    truth: Floats
    rows: IntArray
    folds: IntArray
    classes: bool


def stacked(entries: Sequence[PoolEntry], truth: Floats) -> Stack:
    """Return the predictions of entries that ran on the same folds.

    Parameters
    ----------
    entries : sequence of m PoolEntry
    truth : array
        Of all training rows.

    Raises
    ------
    ValueError
        If two entries were validated on different rows.
    """
    first = entries[0]
    rows = np.concatenate([model.rows for model in first.folds])
    folds = np.concatenate([np.full(len(model.rows), model.fold) for model in first.folds])
    for entry in entries:
        if not np.array_equal(rows, np.concatenate([model.rows for model in entry.folds])):
            raise ValueError(
                "Entries must be validated on the same rows, but those of "
                f"{entry.number=} are not those of entry {first.number}."
            )
    classes = first.folds[0].predictions.probabilities is not None
    said = np.stack([np.concatenate([_said(m.predictions) for m in e.folds]) for e in entries])
    return Stack(said, truth[rows], rows, folds, classes)


def part_of(stack: Stack, places: IntArray) -> Stack:
    """Return some rows of a stack."""
    return replace(
        stack,
        said=stack.said[:, places],
        truth=stack.truth[places],
        rows=stack.rows[places],
        folds=stack.folds[places],
    )


def entries_of(stack: Stack, places: IntArray) -> Stack:
    """Return some entries of a stack, in an order."""
    return replace(stack, said=stack.said[places])


def subsample(stack: Stack, *, most: int, seed: int) -> Stack:
    """Return at most so many rows, drawn at random; their order stays.

    A table of many classes counts its rows double and more: the cells are what takes time.
    """
    width = stack.said.shape[2] if stack.said.ndim > TWO_CLASSES else 1
    kept = max(most // width, most // 10)
    if len(stack.truth) <= kept:
        return stack
    drawn = np.random.default_rng(seed).choice(len(stack.truth), kept, replace=False)
    return part_of(stack, np.sort(drawn))


def fold_places(stack: Stack) -> list[IntArray]:
    """Return the places of each fold's rows; all of them where a fold has too few."""
    places = [np.flatnonzero(stack.folds == fold) for fold in np.unique(stack.folds)]
    if min(len(each) for each in places) < LEAST_ROWS_OF_A_PART:
        return [np.arange(len(stack.truth))]
    return places


def crossed_places(stack: Stack, *, seed: int) -> list[IntArray]:
    """Return parts of the rows for which weights can be chosen by the others: two to ten.

    They are the folds, or several of them together; of a single fold random parts.
    """
    numbers = np.unique(stack.folds)
    if len(numbers) == 1:
        labels = np.random.default_rng(seed).integers(0, N_RANDOM_PARTS, len(stack.truth))
    else:
        labels = np.searchsorted(numbers, stack.folds)
        labels = labels if len(numbers) <= MOST_PARTS else labels % N_RANDOM_PARTS
    parts = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return parts if len(parts) > 1 else []


def blended(stack: Stack, weights: Floats, places: IntArray | None = None) -> Floats:
    """Return the weighted mean of what the entries say of rows."""
    said = stack.said if places is None else stack.said[:, places]
    return np.asarray(np.tensordot(weights, said, axes=1))


def predictions_of(stack: Stack, blend: Floats) -> Predictions:
    """Return a blend of a stack as predictions."""
    return as_predictions(blend, classes=stack.classes)


def figure_of(stack: Stack, metric: Metric, blend: Floats) -> float | None:
    """Return what a metric itself says of a blend of all rows; None where it is undefined."""
    figure = metric.figure(stack.truth, predictions_of(stack, blend))
    return figure if math.isfinite(figure) else None


def _said(predictions: Predictions) -> Floats:
    shares = predictions.probabilities
    if shares is None:
        return predictions.values
    return shares[:, 1] if shares.shape[1] == TWO_CLASSES else shares
