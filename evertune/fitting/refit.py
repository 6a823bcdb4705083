"""Make ensemble members: reuse fold models, or fit configurations again on all training rows.

`bag_fold_models` fits only the encoders again; `refit_members` fits whole configurations, as
many as the deadline allows, with more rounds in proportion to the square root of the rows.
`fit_window` fits on one training window. `calibrate_on_oof` adds temperature, threshold and
errors. `resolve_mode` chooses between fold models and a refit.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, Literal

import numpy as np
import pandas as pd

from evertune.data.folds import Fold
from evertune.data.schema import TableSchema, encode_target
from evertune.data.training_windows import TrainingWindow, is_in_window, row_weights
from evertune.ensemble.calibration import (
    OOFPredictions,
    fit_temperature,
    fit_threshold,
)
from evertune.ensemble.oof import FoldModel, TrialArtifacts
from evertune.ensemble.selection import EnsembleSelection, Guards, meets_guard
from evertune.metrics.metrics import Metric, compute_metrics
from evertune.models.families import fit_configuration
from evertune.models.model import (
    Ensemble,
    EnsembleMember,
    FittedPipeline,
    apply_threshold,
    normalized_ensemble,
    predict,
)
from evertune.models.origin import WindowFit
from evertune.models.persistence import load_predictor
from evertune.preprocessing.encoders import EncodingName, feature_frame, make_encoder
from evertune.trials import Configuration, FoldResult
from evertune.types import FloatArray, Predictions

ModeOption = Literal["auto", "bag", "refit", "single"]
EncodersByFold = Mapping[tuple[EncodingName, int], Any]
MAX_FOLD_MODELS = 25  # of one member


def resolve_mode(
    mode: ModeOption, folds: Sequence[Fold], *, n_rows: int, has_windows: bool
) -> Literal["bag", "refit", "single"]:
    """Return how a model is made where that is left to the project.

    Fold models are kept, unless that would leave rows out: rows that at least half of the folds
    do not learn from, such as the latest ones of time folds or those of a single hold-out part.
    A model that is fitted on a training window is always fitted anew, and so is one of more folds
    than a model should carry.

    Examples
    --------
    >>> halves = [Fold(np.array([0]), np.array([1])), Fold(np.array([1]), np.array([0]))]
    >>> resolve_mode("auto", halves, n_rows=2, has_windows=False)
    'bag'
    >>> resolve_mode("auto", halves[:1], n_rows=2, has_windows=False)
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
    return "bag" if whole and len(folds) <= MAX_FOLD_MODELS else "refit"


def fit_fold_encoders(
    places: Iterable[tuple[EncodingName, int]],
    table: pd.DataFrame,
    truth: FloatArray,
    *,
    folds: Sequence[Fold],
    schema: TableSchema,
) -> EncodersByFold:
    """Return the encoders of some forms and folds, fitted on the folds' training rows."""
    cells = feature_frame(table, schema)

    def fitted(form: EncodingName, fold: int) -> Any:
        rows = np.asarray(folds[fold].training)
        return make_encoder(form, schema).fit(cells.iloc[rows], truth[rows])

    return {place: fitted(*place) for place in sorted(set(places))}


def assemble_ensemble(
    weights: Iterable[tuple[int, float]] | EnsembleSelection,
    entries: Sequence[TrialArtifacts],
    encoders: EncodersByFold,
) -> Ensemble:
    """Return the ensemble of the fold models of entries.

    Parameters
    ----------
    weights : EnsembleSelection, or iterable of (int, float)
        Numbers of entries and their weights; they are made to sum to 1.
    entries : sequence of TrialArtifacts
        With their models.
    encoders : mapping from (form, fold) to encoder
    """
    named = weights.weights if isinstance(weights, EnsembleSelection) else weights
    by_number = {entry.number: entry for entry in entries}
    return normalized_ensemble(
        [_fold_model_member(by_number[number], weight, encoders) for number, weight in named]
    )


def calibrate_on_oof(
    ensemble: Ensemble, unseen: OOFPredictions, metric: Metric, *, guards: Guards = ()
) -> Ensemble:
    """Return an ensemble with what rows that it never saw teach about its predictions.

    Of a classifier a temperature and a threshold, where the metric asks for them and they help
    clearly. A threshold that breaks a bound is not taken.

    Parameters
    ----------
    ensemble : Ensemble
    unseen : OOFPredictions
        Of the selection that it was made of.
    metric : Metric
    guards : sequence of (Metric, float)
    """
    shares = unseen.predictions.probabilities
    if shares is None:
        return ensemble
    threshold = fit_threshold(unseen, metric)
    if threshold is not None:
        said = Predictions(apply_threshold(shares, threshold), shares)
        figures = [(guard, guard[0].score(unseen.truth, said)) for guard in guards]
        threshold = threshold if all(meets_guard(*each) for each in figures) else None
    return replace(ensemble, temperature=fit_temperature(unseen, metric), threshold=threshold)


def _fold_model_member(
    entry: TrialArtifacts, weight: float, encoders: EncodersByFold
) -> EnsembleMember:
    def fitted(model: FoldModel) -> FittedPipeline:
        predictor = load_predictor(model.kind, model.data)
        return FittedPipeline(encoders[entry.form, model.fold], predictor, model.columns)

    return EnsembleMember(
        configuration=entry.configuration,
        weight=weight,
        fitted=tuple(fitted(model) for model in entry.folds),
        iterations=tuple(model.iterations for model in entry.folds),
    )


ROUNDS_EXPONENT = 0.5  # more rows bear more rounds, but not in proportion


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """The rows that models are fitted on.

    Attributes
    ----------
    table : DataFrame of n rows
    truth : array of shape (n,)
    weights : array of shape (n,), optional
    """

    table: pd.DataFrame
    truth: FloatArray
    schema: TableSchema
    seed: int
    weights: FloatArray | None = None


@dataclass(frozen=True)
class RefitSpec:
    """A configuration that is to be fitted on all rows.

    Attributes
    ----------
    weight : float
    folds : tuple of FoldResult
        What the search saw of it; they tell for how many rounds, and how long that takes.
    fold_rows : int
        Training rows of a fold.
    """

    configuration: Configuration
    weight: float
    folds: tuple[FoldResult, ...]
    fold_rows: int


def bag_fold_models(
    weights: Sequence[tuple[int, float]],
    entries: Sequence[TrialArtifacts],
    lesson: TrainingSet,
    *,
    folds: Sequence[Fold],
    end: float,
) -> Ensemble:
    """Return the fold models of entries, each with its encoder, which is fitted anew.

    Parameters
    ----------
    weights : sequence of (int, float)
        Numbers of entries and their weights, the heaviest first.
    entries : sequence of TrialArtifacts
        With their models.
    lesson : TrainingSet
        The rows of the search.
    folds : sequence of Fold
    end : float
        Moment of the monotonic clock after which no encoder is fitted; members that miss one are
        left out, the heaviest never is.
    """
    by_number = {entry.number: entry for entry in entries}
    encoders: EncodersByFold = {}
    kept: list[tuple[int, float]] = []
    for number, weight in weights:
        entry = by_number[number]
        missing = {(entry.form, model.fold) for model in entry.folds} - set(encoders)
        if kept and missing and time.monotonic() >= end:
            continue
        made = fit_fold_encoders(
            missing, lesson.table, lesson.truth, folds=folds, schema=lesson.schema
        )
        encoders = {**encoders, **made}
        kept.append((number, weight))
    return assemble_ensemble(kept, entries, encoders)


def refit_members(
    wanted: Sequence[RefitSpec], lesson: TrainingSet, *, end: float
) -> tuple[EnsembleMember, ...]:
    """Return configurations fitted on all rows, the heaviest first, as many as there is time for.

    A fit that looks at the clock ends at the end with what it has.

    Parameters
    ----------
    wanted : sequence of RefitSpec
        The heaviest first.
    lesson : TrainingSet
    end : float
        Moment of the monotonic clock.

    Returns
    -------
    tuple of EnsembleMember
        With the weights that they were wanted with; empty where there is no time for any.
    """
    n_rows = len(lesson.table)
    return tuple(
        _refit_member(each, lesson, end=end)
        for each in wanted
        if time.monotonic() + expected_fit_seconds(each, n_rows) <= end
    )


def fit_on_training_set(
    configuration: Configuration, lesson: TrainingSet, *, iterations: int | None, end: float
) -> FittedPipeline:
    """Return one configuration fitted on all rows of a lesson."""
    return fit_configuration(
        configuration,
        lesson.table,
        lesson.truth,
        schema=lesson.schema,
        seed=lesson.seed,
        n_jobs=-1,
        weights=lesson.weights,
        iterations=iterations,
        deadline=end,
    )


def iterations_for(folds: Sequence[FoldResult], *, fold_rows: int, n_rows: int) -> int | None:
    """Return for how many rounds to fit on more rows than a fold has; None where none are known.

    It is the mean over the folds, times the square root of how many times as many rows there are.

    Examples
    --------
    >>> folds = [FoldResult(0, {}, 1.0, 1.0, 80), FoldResult(1, {}, 1.0, 1.0, 120)]
    >>> iterations_for(folds, fold_rows=100, n_rows=121)
    110
    """
    known = [fold.iterations for fold in folds if fold.iterations is not None]
    if not known:
        return None
    growth = math.pow(n_rows / fold_rows, ROUNDS_EXPONENT)
    return max(1, round(fmean(known) * growth))


def expected_fit_seconds(wanted: RefitSpec, n_rows: int) -> float:
    """Return about how long a fit on so many rows takes, by its longest fold.

    Examples
    --------
    >>> fold = FoldResult(0, {}, 2.0, 0.1)
    >>> expected_fit_seconds(RefitSpec(Configuration("linear"), 1.0, (fold,), 100), 150)
    3.0
    """
    longest = max((fold.fit_seconds for fold in wanted.folds), default=0.0)
    return longest * n_rows / wanted.fold_rows


def _refit_member(wanted: RefitSpec, lesson: TrainingSet, *, end: float) -> EnsembleMember:
    n_rows = len(lesson.table)
    iterations = iterations_for(wanted.folds, fold_rows=wanted.fold_rows, n_rows=n_rows)
    fitted = fit_on_training_set(wanted.configuration, lesson, iterations=iterations, end=end)
    return EnsembleMember(wanted.configuration, wanted.weight, (fitted,), (iterations,))


MIN_WINDOW_ROWS = 50  # in a window, or it is not fitted

WindowFitFunction = Callable[[TrainingSet], FittedPipeline]


def window_training_set(
    lesson: TrainingSet, moments: pd.Series, window: TrainingWindow
) -> TrainingSet:
    """Return the rows of a lesson that are in a window, with their weights.

    Parameters
    ----------
    lesson : TrainingSet
        Of n rows.
    moments : Series of n datetimes
    window : TrainingWindow
    """
    inside = is_in_window(moments, window)
    return TrainingSet(
        table=lesson.table[inside],
        truth=lesson.truth[inside],
        schema=lesson.schema,
        seed=lesson.seed,
        weights=row_weights(moments[inside], window),
    )


def fit_window(
    lesson: TrainingSet,
    moments: pd.Series,
    choosing: pd.DataFrame,
    *,
    window: TrainingWindow,
    learn: WindowFitFunction,
    metric: Metric,
) -> tuple[FittedPipeline | None, WindowFit]:
    """Return what is learned from a window, None where it cannot be learned from, and how it does.

    Parameters
    ----------
    lesson : TrainingSet
        All training rows.
    moments : Series
        When they happened.
    choosing : DataFrame
        The rows that judge.
    window : TrainingWindow
    learn : callable
    metric : Metric
    """
    part = window_training_set(lesson, moments, window)
    obstacle = _window_obstacle(lesson, part)
    if obstacle is not None:
        return None, WindowFit(window, len(part.table), None, obstacle)
    fitted = learn(part)
    said = predict(fitted, choosing, lesson.schema)
    figure = compute_metrics((metric,), encode_target(choosing, lesson.schema), said)[metric.name]
    return fitted, WindowFit(window, len(part.table), figure)


def unusable_windows_message(fits: Sequence[WindowFit]) -> str:
    """Return why no window could be learned from."""
    found = "; ".join(f"{fit.window.name}: {fit.reason}" for fit in fits)
    return (
        f"expected a training window that can be learned from, but {found};"
        " add `all` to monitoring.retune.windows"
    )


def _window_obstacle(lesson: TrainingSet, part: TrainingSet) -> str | None:
    if len(part.table) < MIN_WINDOW_ROWS:
        return f"fewer than {MIN_WINDOW_ROWS} rows"
    n_classes = len(np.unique(lesson.truth)) if lesson.schema.classes else 0
    if n_classes and len(np.unique(part.truth)) < n_classes:
        return "a class has no row"
    return None
