"""Choose the training window of a model: fit on each, and score on rows that are in none."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from evertune.data.schema import encode_target
from evertune.data.training_windows import TrainingWindow, is_in_window, row_weights
from evertune.fitting.refit import TrainingSet, fit_on_training_set, iterations_for
from evertune.metrics.metrics import Metric, compute_metrics, is_better
from evertune.models.fitted_model import FittedPipeline, predict
from evertune.models.provenance import WindowChoice, WindowFit
from evertune.trials import Configuration, FoldResult

MIN_WINDOW_ROWS = 50  # a window with fewer is not fitted


@dataclass(frozen=True, eq=False)
class WindowCandidates:
    """The training windows to try, and the rows that choose one.

    Attributes
    ----------
    moments : Series of n datetimes
        Times of the training rows.
    selection : DataFrame
        Rows with their targets that are in no window, which select one.
    """

    windows: Sequence[TrainingWindow]
    moments: pd.Series
    selection: pd.DataFrame


@dataclass(frozen=True, eq=False)
class WindowResult:
    """The model of the best window, with the window's rows."""

    fitted: FittedPipeline
    iterations: int | None
    choice: WindowChoice
    training: TrainingSet


def fit_best_window(
    configuration: Configuration,
    training: TrainingSet,
    candidates: WindowCandidates,
    *,
    folds: Sequence[FoldResult],
    fold_rows: int,
    metric: Metric,
    end: float,
) -> WindowResult:
    """Return a configuration fitted on the window that scores best; of equal ones the earliest.

    Parameters
    ----------
    training : TrainingSet
        All training rows.
    folds : sequence of FoldResult
        Results of the search, which determine the number of rounds.
    end : float
        Moment of the monotonic clock.

    Raises
    ------
    ValueError
        If a model can be fitted on none of the windows.
    """
    schema, selection = training.schema, candidates.selection
    fits: list[WindowFit] = []
    best: tuple[TrainingWindow, FittedPipeline, int | None, TrainingSet] | None = None
    best_score: float | None = None
    for window in candidates.windows:
        part = _window_rows(training, candidates.moments, window)
        n_rows, reason = len(part.table), _reason_to_skip(training, part)
        if reason is not None:
            fits.append(WindowFit(window, n_rows, None, reason))
            continue
        iterations = iterations_for(folds, fold_rows=fold_rows, n_rows=n_rows)
        fitted, _ = fit_on_training_set(configuration, part, iterations=iterations, end=end)
        predictions = predict(fitted, selection, schema)
        score = compute_metrics((metric,), encode_target(selection, schema), predictions)
        fits.append(WindowFit(window, n_rows, score[metric.name]))
        if best is None or is_better(metric, score[metric.name], best_score):
            best_score = score[metric.name]
            best = window, fitted, iterations, part
    if best is None:
        reasons = "; ".join(f"{fit.window.name}: {fit.reason}" for fit in fits)
        raise ValueError(
            f"expected a training window that a model can be fitted on, but {reasons}; add `all` "
            "to monitoring.retune.windows"
        )
    window, fitted, iterations, part = best
    return WindowResult(fitted, iterations, WindowChoice(window, tuple(fits)), part)


def window_note(choice: WindowChoice, metric: str) -> str:
    """Return a sentence: the window that the model was fitted on, and the score of each.

    Examples
    --------
    >>> every = TrainingWindow("all")
    >>> window_note(WindowChoice(every, (WindowFit(every, 90, 0.8),)), "roc_auc")
    'The model was fitted on the window `all`; roc_auc on rows that chose it: all 0.8 (90 rows).'
    """
    scores = "; ".join(
        f"{fit.window.name} {'unknown' if fit.figure is None else format(fit.figure, '.4g')} "
        f"({fit.n_rows} rows)"
        for fit in choice.fits
    )
    name = choice.chosen.name
    return f"The model was fitted on the window `{name}`; {metric} on rows that chose it: {scores}."


def _window_rows(training: TrainingSet, moments: pd.Series, window: TrainingWindow) -> TrainingSet:
    inside = is_in_window(moments, window)
    return TrainingSet(
        training.table[inside],
        training.y[inside],
        training.schema,
        training.seed,
        row_weights(moments[inside], window),
    )


def _reason_to_skip(training: TrainingSet, part: TrainingSet) -> str | None:
    if len(part.table) < MIN_WINDOW_ROWS:
        return f"fewer than {MIN_WINDOW_ROWS} rows"
    if training.schema.classes and len(np.unique(part.y)) < len(np.unique(training.y)):
        return "a class has no row"
    return None
