"""Make ensemble members: reuse fold models, or fit configurations again on all training rows.

`fold_model_members` keeps the models of the folds and fits only their encoders again;
`refit_member` fits a whole configuration, if there is time for it, with more rounds in proportion
to the square root of the rows. `resolve_mode` chooses between the two.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

import numpy as np
import pandas as pd

from evertune.data.folds import Fold
from evertune.data.schema import TableSchema, fit_weights
from evertune.ensemble.oof import TrialArtifacts
from evertune.models.families import fit_encoded, fit_table
from evertune.models.fit_context import FitContext, FitResult
from evertune.models.fitted_model import EnsembleMember, FittedPipeline
from evertune.models.predictor_files import load_predictor
from evertune.preprocessing.encoders import Encoding, feature_frame, make_encoder
from evertune.trials import Configuration, FoldResult
from evertune.types import FloatArray

FitMode = Literal["bag", "refit", "single"]
ModeOption = Literal["auto", "bag", "refit", "single"]
MAX_FOLD_MODELS = 25  # of one member
ROUNDS_EXPONENT = 0.5  # more rows bear more rounds, but not in proportion
MIN_ROUNDS_SHARE = 0.5  # of the rounds that were chosen, for a fit that was cut short to count
MANY_CELLS = 1_000_000  # rows x columns, from which a fit has a thread for each processor
MARGIN_SHARE, MAX_MARGIN_SECONDS = 0.1, 2.0  # of the time that is left, before a deadline
CONSTANT_ENCODER_ROWS = 500  # for the encoder of a constant, which reads no column


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """The n rows that models are fitted on: features, target of shape (n,).

    Attributes
    ----------
    weights : array of shape (n,), optional
        How much each row counts by its age.
    """

    table: pd.DataFrame
    y: FloatArray
    schema: TableSchema
    seed: int
    weights: FloatArray | None = None

    @property
    def fit_weights(self) -> FloatArray | None:
        """How much each row counts in a fit: by its age, and by the column of weights."""
        own = fit_weights(self.table, self.schema)
        return own if self.weights is None else self.weights if own is None else own * self.weights


def resolve_mode(
    mode: ModeOption, folds: Sequence[Fold], *, n_rows: int, has_windows: bool
) -> FitMode:
    """Return how the model is made; `auto` keeps the fold models where that is sound.

    Fold models would leave rows out if at least half of the folds do not learn from them, such as
    the latest rows of time folds or those of the only fold: then the model is fitted
    again. So is a model of a training window, and one of more folds than a model should carry.

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
    n_learned = np.zeros(n_rows)
    for fold in folds:
        n_learned[fold.training] += 1
    complete = len(folds) > 1 and bool((n_learned * 2 >= len(folds)).all())
    return "bag" if complete and len(folds) <= MAX_FOLD_MODELS else "refit"


def fold_model_members(
    weights: Sequence[tuple[int, float]],
    artifacts: Sequence[TrialArtifacts],
    training: TrainingSet,
    *,
    folds: Sequence[Fold],
    end: float,
) -> dict[int, EnsembleMember]:
    """Return trials as members that keep their fold models, by trial number.

    Parameters
    ----------
    weights : sequence of (int, float)
        Trial numbers and weights, the heaviest first.
    artifacts : sequence of TrialArtifacts
        With models. Trials without artifacts are left out.
    training : TrainingSet
        The rows of the search.
    end : float
        Moment of the monotonic clock after which no encoder is fitted: members that lack one are
        left out, except the heaviest.
    """
    by_number = {entry.number: entry for entry in artifacts}
    cells = feature_frame(training.table, training.schema)
    encoders: dict[tuple[Encoding, int], Any] = {}
    members: dict[int, EnsembleMember] = {}
    for number, weight in weights:
        if number not in by_number:
            continue
        entry = by_number[number]
        missing = sorted({(entry.encoding, model.fold) for model in entry.folds} - set(encoders))
        if members and missing and time.monotonic() >= end:
            continue
        for encoding, fold in missing:
            rows = np.asarray(folds[fold].training)
            encoder = make_encoder(encoding, training.schema)
            encoders[encoding, fold] = encoder.fit(cells.iloc[rows], training.y[rows])
        fitted = tuple(
            FittedPipeline(
                encoders[entry.encoding, model.fold],
                load_predictor(model.kind, model.data),
                model.columns,
            )
            for model in entry.folds
        )
        iterations = tuple(model.iterations for model in entry.folds)
        members[number] = EnsembleMember(entry.configuration, weight, fitted, iterations)
    return members


def refit_member(
    configuration: Configuration,
    weight: float,
    training: TrainingSet,
    *,
    folds: Sequence[FoldResult],
    fold_rows: int,
    end: float,
) -> EnsembleMember | None:
    """Return a configuration fitted on all rows; None if there is no time for it.

    A fit whose family observes deadlines ends before `end` with what it has. That is a member if
    it has at least half of the rounds: fewer are another model than the one that was chosen.

    Parameters
    ----------
    folds : sequence of FoldResult
        Results of the search: they determine the number of rounds and the expected time.
    fold_rows : int
        Training rows of a fold.
    end : float
        Moment of the monotonic clock.
    """
    n_rows = len(training.table)
    longest = max((fold.fit_seconds for fold in folds), default=0.0)
    if time.monotonic() + longest * n_rows / fold_rows > end:
        return None
    iterations = iterations_for(folds, fold_rows=fold_rows, n_rows=n_rows)
    fitted, fit = fit_on_training_set(configuration, training, iterations=iterations, end=end)
    if not fit.whole and iterations is not None:
        if fit.iterations is None or fit.iterations < MIN_ROUNDS_SHARE * iterations:
            return None
        iterations = fit.iterations
    return EnsembleMember(configuration, weight, (fitted,), (iterations,))


def fit_on_training_set(
    configuration: Configuration, training: TrainingSet, *, iterations: int | None, end: float
) -> tuple[FittedPipeline, FitResult]:
    """Return one configuration fitted on all rows of a training set, and its fit.

    A deadline is kept with a margin: a round that has begun is not interrupted. Only a large table
    gets several threads: on a small one they gain little, and where another process has the
    processor of one, LightGBM takes two to ten times as long as with one thread, because threads of
    OpenMP wait for each other many times a round. What else the machine does must not decide it:
    sums of several threads differ in their last digits.
    """
    if configuration.family == "zero_rule":
        context = FitContext(
            training.schema.task,
            len(training.schema.classes),
            n_ordinal=0,
            seed=training.seed,
            n_jobs=1,
            weights=training.fit_weights,
        )
        blank = np.zeros((len(training.y), 1))
        fit = fit_encoded(configuration, blank, training.y, context)
        encoder = fit_sample_encoder(training, CONSTANT_ENCODER_ROWS)
        return FittedPipeline(encoder, fit.predictor), fit
    margin = min(MAX_MARGIN_SECONDS, MARGIN_SHARE * max(0.0, end - time.monotonic()))
    return fit_table(
        configuration,
        training.table,
        training.y,
        schema=training.schema,
        seed=training.seed,
        n_jobs=-1 if training.table.size >= MANY_CELLS else 1,
        weights=training.fit_weights,
        iterations=iterations,
        deadline=end - margin,
    )


def fit_sample_encoder(training: TrainingSet, n_rows: int) -> Any:
    """Return a plain encoder fitted on at most `n_rows` rows, spread evenly over the targets."""
    n_rows = min(len(training.table), n_rows)
    order = np.argsort(training.y, kind="stable")
    rows = order[np.linspace(0, len(order) - 1, n_rows).astype(np.int64)]
    cells = feature_frame(training.table.iloc[rows], training.schema)
    return make_encoder(Encoding(), training.schema).fit(cells, training.y[rows])


def iterations_for(folds: Sequence[FoldResult], *, fold_rows: int, n_rows: int) -> int | None:
    """Return the rounds for a fit on more rows than a fold has; None if no fold recorded any.

    It is the mean over the folds, times the square root of `n_rows / fold_rows`.

    Examples
    --------
    >>> folds = [FoldResult(0, {}, 1.0, 1.0, 80), FoldResult(1, {}, 1.0, 1.0, 120)]
    >>> iterations_for(folds, fold_rows=100, n_rows=121)
    110
    """
    known = [fold.iterations for fold in folds if fold.iterations is not None]
    if not known:
        return None
    return max(1, round(fmean(known) * math.pow(n_rows / fold_rows, ROUNDS_EXPONENT)))
