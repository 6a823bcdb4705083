"""Entries of a pool, made from predictions of the rows."""

import numpy as np

from evertune.data.folds import Fold
from evertune.ensemble.oof import FoldModel, TrialArtifacts
from evertune.trials import Configuration
from evertune.types import Predictions


def folds_of_rows(n_rows, n_folds=4):
    parts = np.array_split(np.arange(n_rows), n_folds)
    return [Fold(np.setdiff1d(np.arange(n_rows), part), part) for part in parts]


def entry(number, predicted, folds, *, classes=False, family="linear", data=b""):
    """Return an entry that predicts every row: values, or the positive class's chance."""
    models = [
        FoldModel(
            place, fold.validation, _predictions(predicted[fold.validation], classes), "", data
        )
        for place, fold in enumerate(folds)
    ]
    return TrialArtifacts(number, Configuration(family, {"n": number}), tuple(models))


def _predictions(predicted, classes):
    if not classes:
        return Predictions(predicted)
    return Predictions((predicted > 0.5).astype(float), np.column_stack([1 - predicted, predicted]))
