"""Ensembles made of the pool's fold models."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from pipelines.core.calibrated import decided
from pipelines.core.candidates import Guards, is_kept
from pipelines.core.encoding import Form, encoder, matrix
from pipelines.core.ensembling import Selection
from pipelines.core.folds import Fold
from pipelines.core.metrics import Metric
from pipelines.core.model import Ensemble, Fitted, Member, with_whole_weight
from pipelines.core.pool import FoldModel, PoolEntry
from pipelines.core.predictions import Floats, Predictions
from pipelines.core.schema import Schema
from pipelines.core.serialised import loaded
from pipelines.core.unseen import Unseen, errors_of, temperature_of, threshold_of

Mode = Literal["auto", "bag", "refit", "single"]
Encoders = Mapping[tuple[Form, int], Any]
MOST_FOLD_MODELS = 25  # of one member


def resolved_mode(
    mode: Mode, folds: Sequence[Fold], *, n_rows: int, has_windows: bool
) -> Literal["bag", "refit", "single"]:
    """Return how a model is made where that is left to the project.

    Fold models are kept, unless that would leave rows out: rows that at least half of the folds
    do not learn from, such as the latest ones of time folds or those of a single hold-out part.
    A model that is fitted on a training window is always fitted anew, and so is one of more folds
    than a model should carry.

    Examples
    --------
    >>> halves = [Fold(np.array([0]), np.array([1])), Fold(np.array([1]), np.array([0]))]
    >>> resolved_mode("auto", halves, n_rows=2, has_windows=False)
    'bag'
    >>> resolved_mode("auto", halves[:1], n_rows=2, has_windows=False)
    'refit'
    """
    if mode == "single":
        return mode
    if has_windows:
        return "refit"
    if mode != "auto":
        return mode
    learned = np.zeros(n_rows)
    for fold in folds:
        learned[fold.training] += 1
    whole = len(folds) > 1 and bool((learned * 2 >= len(folds)).all())
    return "bag" if whole and len(folds) <= MOST_FOLD_MODELS else "refit"


def fold_encoders(
    places: Iterable[tuple[Form, int]],
    table: pd.DataFrame,
    truth: Floats,
    *,
    folds: Sequence[Fold],
    schema: Schema,
) -> Encoders:
    """Return the encoders of some forms and folds, fitted on the folds' training rows."""
    cells = matrix(table, schema)

    def fitted(form: Form, fold: int) -> Any:
        rows = np.asarray(folds[fold].training)
        return encoder(form, schema).fit(cells.iloc[rows], truth[rows])

    return {place: fitted(*place) for place in sorted(set(places))}


def assembled(
    weights: Iterable[tuple[int, float]] | Selection,
    entries: Sequence[PoolEntry],
    encoders: Encoders,
) -> Ensemble:
    """Return the ensemble of the fold models of entries.

    Parameters
    ----------
    weights : Selection, or iterable of (int, float)
        Numbers of entries and their weights; they are made to sum to 1.
    entries : sequence of PoolEntry
        With their models.
    encoders : mapping from (form, fold) to encoder
    """
    named = weights.weights if isinstance(weights, Selection) else weights
    by_number = {entry.number: entry for entry in entries}
    return with_whole_weight(
        [_member(by_number[number], weight, encoders) for number, weight in named]
    )


def calibrated(
    ensemble: Ensemble, unseen: Unseen, metric: Metric, *, guards: Guards = ()
) -> Ensemble:
    """Return an ensemble with what rows that it never saw teach about its predictions.

    In a regression the sizes of its errors; else a temperature and a threshold, where the metric
    asks for them and they help clearly. A threshold that breaks a bound is not taken.

    Parameters
    ----------
    ensemble : Ensemble
    unseen : Unseen
        Of the selection that it was made of.
    metric : Metric
    guards : sequence of (Metric, float)
    """
    shares = unseen.predictions.probabilities
    if shares is None:
        return replace(ensemble, errors=errors_of(unseen))
    threshold = threshold_of(unseen, metric)
    if threshold is not None:
        said = Predictions(decided(shares, threshold), shares)
        figures = [(guard, guard[0].figure(unseen.truth, said)) for guard in guards]
        threshold = threshold if all(is_kept(*each) for each in figures) else None
    return replace(ensemble, temperature=temperature_of(unseen, metric), threshold=threshold)


def _member(entry: PoolEntry, weight: float, encoders: Encoders) -> Member:
    def fitted(model: FoldModel) -> Fitted:
        predictor = loaded(model.kind, model.data)
        return Fitted(encoders[entry.form, model.fold], predictor, model.columns)

    return Member(
        configuration=entry.configuration,
        weight=weight,
        fitted=tuple(fitted(model) for model in entry.folds),
        iterations=tuple(model.iterations for model in entry.folds),
    )
