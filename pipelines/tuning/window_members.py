"""A model whose members are all fitted on the training window that does best."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import pandas as pd

from pipelines.core.ensembling import Selection
from pipelines.core.model import Ensemble, Fitted, Member, with_whole_weight
from pipelines.core.plans import TrainingWindow
from pipelines.core.window_fits import WindowChoice, best_window
from pipelines.tuning.making import Found
from pipelines.tuning.refitting import Lesson, Wanted, fitted_on, iterations_for, refitted
from pipelines.tuning.windows import lesson_of, tried, unusable


@dataclass(frozen=True, eq=False)
class Windows:
    """The training windows that are tried, and what judges them.

    Attributes
    ----------
    windows : sequence of TrainingWindow
    moments : Series of n datetimes
        When the training rows happened.
    choosing : DataFrame
        Rows that are in no window.
    """

    windows: Sequence[TrainingWindow]
    moments: pd.Series
    choosing: pd.DataFrame


def best_of_windows(
    found: Found, windows: Windows, wanted: Wanted
) -> tuple[Fitted, WindowChoice, int | None]:
    """Return a configuration fitted on the best window, how all did, and for how many rounds.

    Raises
    ------
    ValueError
        If none of the windows can be learned from.
    """

    def learn(lesson: Lesson) -> Fitted:
        return fitted_on(
            wanted.configuration, lesson, iterations=_rounds(wanted, lesson), end=found.end
        )

    told = partial(
        tried, found.lesson, windows.moments, windows.choosing, learn=learn, metric=found.metric
    )
    made = [told(window=window) for window in windows.windows]
    fits = tuple(fit for _, fit in made)
    best = best_window(fits, found.metric)
    if best is None:
        raise ValueError(unusable(fits))
    choice = WindowChoice(windows.windows[best], fits)
    lesson = lesson_of(found.lesson, windows.moments, choice.chosen)
    return cast(Fitted, made[best][0]), choice, _rounds(wanted, lesson)


def on_a_window(
    found: Found, windows: Windows, selection: Selection
) -> tuple[Ensemble, WindowChoice]:
    """Choose the window with the best single trial and fit the others on the same.

    Raises
    ------
    ValueError
        If none of the windows can be learned from.
    """
    weights = dict(selection.weights)
    single = found.wanted(selection.single, weights.pop(selection.single, 0.0))
    fitted, choice, iterations = best_of_windows(found, windows, single)
    lesson = lesson_of(found.lesson, windows.moments, choice.chosen)
    wanted = [found.wanted(number, weight) for number, weight in weights.items()]
    others = refitted(wanted, lesson, end=found.end)
    weight = single.weight if others else 1.0
    first = Member(single.configuration, weight, (fitted,), (iterations,))
    members = [first, *others] if weight else list(others)
    return with_whole_weight(sorted(members, key=lambda member: -member.weight)), choice


def _rounds(wanted: Wanted, lesson: Lesson) -> int | None:
    n_rows = len(lesson.table)
    return iterations_for(wanted.folds, fold_rows=wanted.fold_rows, n_rows=n_rows)
