"""A configuration fitted on one training window after the other, judged by rows in none."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from pipelines.core.metrics import Metric, figures
from pipelines.core.model import Fitted, predict
from pipelines.core.plans import TrainingWindow
from pipelines.core.training_windows import in_window, row_weights
from pipelines.core.truths import truth_of
from pipelines.core.window_fits import WindowFit
from pipelines.tuning.refitting import Lesson

LEAST_ROWS = 50  # in a window, or it is not fitted

Learn = Callable[[Lesson], Fitted]


def lesson_of(lesson: Lesson, moments: pd.Series, window: TrainingWindow) -> Lesson:
    """Return the rows of a lesson that are in a window, with their weights.

    Parameters
    ----------
    lesson : Lesson
        Of n rows.
    moments : Series of n datetimes
    window : TrainingWindow
    """
    inside = in_window(moments, window)
    return Lesson(
        table=lesson.table[inside],
        truth=lesson.truth[inside],
        schema=lesson.schema,
        seed=lesson.seed,
        weights=row_weights(moments[inside], window),
    )


def tried(  # noqa: PLR0913
    lesson: Lesson,
    moments: pd.Series,
    choosing: pd.DataFrame,
    *,
    window: TrainingWindow,
    learn: Learn,
    metric: Metric,
) -> tuple[Fitted | None, WindowFit]:
    """Return what is learned from a window, None where it cannot be learned from, and how it does.

    Parameters
    ----------
    lesson : Lesson
        All training rows.
    moments : Series
        When they happened.
    choosing : DataFrame
        The rows that judge.
    window : TrainingWindow
    learn : callable
    metric : Metric
    """
    part = lesson_of(lesson, moments, window)
    obstacle = _obstacle(lesson, part)
    if obstacle is not None:
        return None, WindowFit(window, len(part.table), None, obstacle)
    fitted = learn(part)
    said = predict(fitted, choosing, lesson.schema)
    figure = figures((metric,), truth_of(choosing, lesson.schema), said)[metric.name]
    return fitted, WindowFit(window, len(part.table), figure)


def unusable(fits: Sequence[WindowFit]) -> str:
    """Return why no window could be learned from."""
    found = "; ".join(f"{fit.window.name}: {fit.reason}" for fit in fits)
    return (
        f"expected a training window that can be learned from, but {found};"
        " add `all` to monitoring.retune.windows"
    )


def _obstacle(lesson: Lesson, part: Lesson) -> str | None:
    if len(part.table) < LEAST_ROWS:
        return f"fewer than {LEAST_ROWS} rows"
    n_classes = len(np.unique(lesson.truth)) if lesson.schema.classes else 0
    if n_classes and len(np.unique(part.truth)) < n_classes:
        return "a class has no row"
    return None
