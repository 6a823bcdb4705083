"""Out-of-fold predictions of the trials of a search, stacked on the same rows.

`TrialArtifacts` holds a trial's fold models and their predictions of validation rows.
`stack_oof` stacks several trials in an `OOFStack`; `blend_oof` averages them and `score_blend`
scores the mean. `cross_fit_parts` splits the rows so that weights can be chosen on other rows
than they are scored on.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from evertune.data.folds import IntArray
from evertune.ensemble.blend_metrics import blend_to_predictions
from evertune.metrics.metrics import Metric
from evertune.metrics.weighted import TWO_CLASSES
from evertune.preprocessing.encoders import EncodingName
from evertune.trials import Configuration
from evertune.types import FloatArray, Predictions


@dataclass(frozen=True, eq=False)
class FoldModel:
    """One configuration fitted on the training rows of one fold.

    Attributes
    ----------
    fold : int
    rows : array of int of shape (n,)
        The fold's validation rows, as numbers of training rows.
    predictions : Predictions
        Of these rows, which the model never saw.
    kind : str
        What `data` is, see `evertune.models.persistence`.
    data : bytes
        The fitted predictor; empty where only predictions were read.
    columns : tuple of int, optional
        The columns of the encoded rows that the predictor takes; None: all.
    iterations : int, optional
        Rounds, trees or epochs that the fit kept.
    whole : bool
        False where the deadline cut the fit short.
    """

    fold: int
    rows: IntArray
    predictions: Predictions
    kind: str
    data: bytes
    columns: tuple[int, ...] | None = None
    iterations: int | None = None
    whole: bool = True


@dataclass(frozen=True, eq=False)
class TrialArtifacts:
    """A trial's fold models, in the order of the folds.

    Attributes
    ----------
    number : int
        The trial's.
    form : str
        The form of the encoder, which is fitted anew where it is needed.
    """

    number: int
    configuration: Configuration
    form: EncodingName
    folds: tuple[FoldModel, ...]


def ran_on_all_folds(entry: TrialArtifacts, n_folds: int) -> bool:
    """Return whether an entry ran on every fold and no fit of it was cut short.

    Examples
    --------
    >>> ran_on_all_folds(TrialArtifacts(0, Configuration("linear"), "scaled", ()), 5)
    False
    """
    ran = sorted(model.fold for model in entry.folds)
    return ran == list(range(n_folds)) and all(model.whole for model in entry.folds)


MIN_PART_ROWS = 20  # below, figures of single folds say nothing: the rows are one part
N_RANDOM_PARTS = 5
MAX_PARTS = 10


@dataclass(frozen=True, eq=False)
class OOFStack:
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

    said: FloatArray
    truth: FloatArray
    rows: IntArray
    folds: IntArray
    classes: bool


def stack_oof(entries: Sequence[TrialArtifacts], truth: FloatArray) -> OOFStack:
    """Return the predictions of entries that ran on the same folds.

    Parameters
    ----------
    entries : sequence of m TrialArtifacts
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
    said = np.stack(
        [np.concatenate([_prediction_array(m.predictions) for m in e.folds]) for e in entries]
    )
    return OOFStack(said, truth[rows], rows, folds, classes)


def take_stack_rows(stack: OOFStack, places: IntArray) -> OOFStack:
    """Return some rows of a stack."""
    return replace(
        stack,
        said=stack.said[:, places],
        truth=stack.truth[places],
        rows=stack.rows[places],
        folds=stack.folds[places],
    )


def take_stack_trials(stack: OOFStack, places: IntArray) -> OOFStack:
    """Return some entries of a stack, in an order."""
    return replace(stack, said=stack.said[places])


def subsample_rows(stack: OOFStack, *, most: int, seed: int) -> OOFStack:
    """Return at most so many rows, drawn at random; their order stays.

    A table of many classes counts its rows double and more: the cells are what takes time.
    """
    width = stack.said.shape[2] if stack.said.ndim > TWO_CLASSES else 1
    kept = max(most // width, most // 10)
    if len(stack.truth) <= kept:
        return stack
    drawn = np.random.default_rng(seed).choice(len(stack.truth), kept, replace=False)
    return take_stack_rows(stack, np.sort(drawn))


def fold_row_indices(stack: OOFStack) -> list[IntArray]:
    """Return the places of each fold's rows; all of them where a fold has too few."""
    places = [np.flatnonzero(stack.folds == fold) for fold in np.unique(stack.folds)]
    if min(len(each) for each in places) < MIN_PART_ROWS:
        return [np.arange(len(stack.truth))]
    return places


def cross_fit_parts(stack: OOFStack, *, seed: int) -> list[IntArray]:
    """Return parts of the rows for which weights can be chosen by the others: two to ten.

    They are the folds, or several of them together; of a single fold random parts.
    """
    numbers = np.unique(stack.folds)
    if len(numbers) == 1:
        labels = np.random.default_rng(seed).integers(0, N_RANDOM_PARTS, len(stack.truth))
    else:
        labels = np.searchsorted(numbers, stack.folds)
        labels = labels if len(numbers) <= MAX_PARTS else labels % N_RANDOM_PARTS
    parts = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return parts if len(parts) > 1 else []


def blend_oof(stack: OOFStack, weights: FloatArray, places: IntArray | None = None) -> FloatArray:
    """Return the weighted mean of what the entries say of rows."""
    said = stack.said if places is None else stack.said[:, places]
    return np.asarray(np.tensordot(weights, said, axes=1))


def stack_predictions(stack: OOFStack, blend: FloatArray) -> Predictions:
    """Return a blend of a stack as predictions."""
    return blend_to_predictions(blend, classes=stack.classes)


def score_blend(stack: OOFStack, metric: Metric, blend: FloatArray) -> float | None:
    """Return what a metric itself says of a blend of all rows; None where it is undefined."""
    figure = metric.score(stack.truth, stack_predictions(stack, blend))
    return figure if math.isfinite(figure) else None


def _prediction_array(predictions: Predictions) -> FloatArray:
    shares = predictions.probabilities
    if shares is None:
        return predictions.values
    return shares[:, 1] if shares.shape[1] == TWO_CLASSES else shares
