"""Out-of-fold predictions of the trials of a search, stacked on the same rows.

`TrialArtifacts` holds a trial's fold models and their predictions of validation rows.
`stack_oof` stacks several trials in an `OOFStack`, which blends and scores them; `OOFPredictions`
are those of one blend.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from evertune.data.folds import IntArray
from evertune.ensemble.blend_metrics import blend_to_predictions
from evertune.metrics.metrics import Metric
from evertune.models.families import configuration_encoding
from evertune.preprocessing.encoders import Encoding
from evertune.trials import Configuration
from evertune.types import FloatArray, Predictions

MIN_PART_ROWS = 20  # with fewer, scores of single folds are noise: the rows are one part
N_PARTS_OF_ONE_FOLD = 5
MAX_PARTS, N_GROUPS_OF_FOLDS = 10, 5  # of more folds than parts, groups are made


@dataclass(frozen=True, eq=False)
class FoldModel:
    """One configuration fitted on the training rows of one fold.

    Attributes
    ----------
    rows : array of int of shape (n,)
        The fold's validation rows, as indices of training rows.
    predictions : Predictions
        Of these rows, which the model never saw.
    kind : str
        The format of `data`, see `evertune.models.persistence`.
    data : bytes
        The fitted predictor; empty if only predictions were read.
    columns : tuple of int, optional
        The columns of the encoded rows that the predictor takes; None: all.
    iterations : int, optional
        Rounds, trees or epochs that the fit kept.
    whole : bool
        False if the deadline cut the fit short.
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
    """A trial's fold models in the order of the folds."""

    number: int
    configuration: Configuration
    folds: tuple[FoldModel, ...]

    @property
    def encoding(self) -> Encoding:
        """The encoding of the rows that the models take."""
        return configuration_encoding(self.configuration)

    def without_models(self) -> "TrialArtifacts":
        """Return the predictions alone."""
        return replace(self, folds=tuple(replace(model, data=b"") for model in self.folds))


@dataclass(frozen=True, eq=False)
class OOFPredictions:
    """Predictions for n rows that neither the models nor their weights were fitted on.

    Attributes
    ----------
    rows, folds : arrays of int of shape (n,)
        Indices of training rows, and the folds that validate them.
    """

    rows: IntArray
    folds: IntArray
    y_true: FloatArray
    predictions: Predictions

    def cross_fit_parts(self) -> list[tuple[IntArray, IntArray]]:
        """Return the rows of each fold with all others; of a single fold every fifth row.

        A temperature or a threshold is chosen on the other rows and scored on the part. The parts
        are the same every time; those of `OOFStack.cross_fit_parts` are drawn by a seed.
        """
        labels = self.folds
        if len(np.unique(labels)) == 1:
            labels = np.arange(len(labels)) % N_PARTS_OF_ONE_FOLD
        parts = [labels == label for label in np.unique(labels)]
        return [(np.flatnonzero(part), np.flatnonzero(~part)) for part in parts if not part.all()]


@dataclass(frozen=True, eq=False)
class OOFStack:
    """Predictions of m trials for n rows that none of their fold models saw.

    Attributes
    ----------
    values : array of shape (m, n) or (m, n, n_classes)
        Values, probabilities of the positive class, or of all classes.
    rows : array of int of shape (n,)
        Indices of training rows; a row stands once for each fold that validates it.
    classes : bool
        Whether the task is a classification.
    """

    values: FloatArray
    y_true: FloatArray
    rows: IntArray
    folds: IntArray
    classes: bool

    def take(self, index: IntArray) -> "OOFStack":
        """Return some rows."""
        return replace(
            self,
            values=self.values[:, index],
            y_true=self.y_true[index],
            rows=self.rows[index],
            folds=self.folds[index],
        )

    def subsample(self, most: int, *, seed: int) -> "OOFStack":
        """Return at most `most` rows in their order, fewer of many classes: cells decide time."""
        width = self.values.shape[2] if self.values.ndim > 2 else 1
        n_rows = max(most // width, most // 10)
        if len(self.y_true) <= n_rows:
            return self
        drawn = np.random.default_rng(seed).choice(len(self.y_true), n_rows, replace=False)
        return self.take(np.sort(drawn))

    def fold_indices(self) -> list[IntArray]:
        """Return the indices of each fold's rows; of all rows if a fold has too few."""
        parts = [np.flatnonzero(self.folds == fold) for fold in np.unique(self.folds)]
        if min(len(part) for part in parts) < MIN_PART_ROWS:
            return [np.arange(len(self.y_true))]
        return parts

    def cross_fit_parts(self, *, seed: int) -> list[IntArray]:
        """Return two to ten parts of the rows: folds, groups of folds, or random parts of one.

        Weights are chosen on the other parts than they are scored on.
        """
        numbers = np.unique(self.folds)
        if len(numbers) == 1:
            labels = np.random.default_rng(seed).integers(0, N_PARTS_OF_ONE_FOLD, len(self.y_true))
        else:
            labels = np.searchsorted(numbers, self.folds)
            labels = labels if len(numbers) <= MAX_PARTS else labels % N_GROUPS_OF_FOLDS
        parts = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        return parts if len(parts) > 1 else []

    def blend(self, weights: FloatArray, rows: IntArray | None = None) -> FloatArray:
        """Return the weighted mean over the trials, of all rows or of some."""
        values = self.values if rows is None else self.values[:, rows]
        return np.asarray(np.tensordot(weights, values, axes=1))

    def predictions(self, blend: FloatArray) -> Predictions:
        """Return a blend of all rows as predictions."""
        return blend_to_predictions(blend, classes=self.classes)

    def score(self, metric: Metric, blend: FloatArray) -> float | None:
        """Return the metric of a blend of all rows; None if it is undefined."""
        score = metric.score(self.y_true, self.predictions(blend))
        return score if math.isfinite(score) else None


def stack_oof(entries: Sequence[TrialArtifacts], y_true: FloatArray) -> OOFStack:
    """Return the predictions of m trials on the folds that all of them ran on.

    Parameters
    ----------
    y_true : array
        Of all training rows.

    Raises
    ------
    ValueError
        If two trials share no fold, or were validated on different rows.
    """
    first = entries[0]
    shared = set.intersection(*({model.fold for model in entry.folds} for entry in entries))
    if not shared:
        numbers = ", ".join(str(entry.number) for entry in entries)
        raise ValueError(f"Expected trials that ran on a common fold, but {numbers} did not.")
    models = [[model for model in entry.folds if model.fold in shared] for entry in entries]
    rows = np.concatenate([model.rows for model in models[0]])
    folds = np.concatenate([np.full(len(model.rows), model.fold) for model in models[0]])
    for entry, own in zip(entries, models, strict=True):
        if not np.array_equal(rows, np.concatenate([model.rows for model in own])):
            raise ValueError(
                f"Expected trials that were validated on the same rows, but trial {entry.number} "
                f"and trial {first.number} were not."
            )
    values = np.stack(
        [np.concatenate([positive_or_all(model.predictions) for model in own]) for own in models]
    )
    classes = first.folds[0].predictions.probabilities is not None
    return OOFStack(values, y_true[rows], rows, folds, classes)


def positive_or_all(predictions: Predictions) -> FloatArray:
    """Return values, the probabilities of the positive class, or those of all classes."""
    proba = predictions.probabilities
    if proba is None:
        return predictions.values
    return proba[:, 1] if proba.shape[1] == 2 else proba
