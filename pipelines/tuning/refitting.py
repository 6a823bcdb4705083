"""Members of a model, made in the time that is left: of fold models, or fitted on all rows."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import pandas as pd

from pipelines.core.assembling import Encoders, assembled, fold_encoders
from pipelines.core.folds import Fold
from pipelines.core.model import Ensemble, Fitted, Member
from pipelines.core.pool import PoolEntry
from pipelines.core.predictions import Floats
from pipelines.core.schema import Schema
from pipelines.core.trials import Configuration, FoldResult
from pipelines.tuning.families import fit_configuration

POWER_OF_ROWS = 0.5  # more rows bear more rounds, but not in proportion


@dataclass(frozen=True, eq=False)
class Lesson:
    """The rows that models are fitted on.

    Attributes
    ----------
    table : DataFrame of n rows
    truth : array of shape (n,)
    weights : array of shape (n,), optional
    """

    table: pd.DataFrame
    truth: Floats
    schema: Schema
    seed: int
    weights: Floats | None = None


@dataclass(frozen=True)
class Wanted:
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


def bagged(
    weights: Sequence[tuple[int, float]],
    entries: Sequence[PoolEntry],
    lesson: Lesson,
    *,
    folds: Sequence[Fold],
    end: float,
) -> Ensemble:
    """Return the fold models of entries, each with its encoder, which is fitted anew.

    Parameters
    ----------
    weights : sequence of (int, float)
        Numbers of entries and their weights, the heaviest first.
    entries : sequence of PoolEntry
        With their models.
    lesson : Lesson
        The rows of the search.
    folds : sequence of Fold
    end : float
        Moment of the monotonic clock after which no encoder is fitted; members that miss one are
        left out, the heaviest never is.
    """
    by_number = {entry.number: entry for entry in entries}
    encoders: Encoders = {}
    kept: list[tuple[int, float]] = []
    for number, weight in weights:
        entry = by_number[number]
        missing = {(entry.form, model.fold) for model in entry.folds} - set(encoders)
        if kept and missing and time.monotonic() >= end:
            continue
        made = fold_encoders(missing, lesson.table, lesson.truth, folds=folds, schema=lesson.schema)
        encoders = {**encoders, **made}
        kept.append((number, weight))
    return assembled(kept, entries, encoders)


def refitted(wanted: Sequence[Wanted], lesson: Lesson, *, end: float) -> tuple[Member, ...]:
    """Return configurations fitted on all rows, the heaviest first, as many as there is time for.

    A fit that looks at the clock ends at the end with what it has.

    Parameters
    ----------
    wanted : sequence of Wanted
        The heaviest first.
    lesson : Lesson
    end : float
        Moment of the monotonic clock.

    Returns
    -------
    tuple of Member
        With the weights that they were wanted with; empty where there is no time for any.
    """
    n_rows = len(lesson.table)
    return tuple(
        _member(each, lesson, end=end)
        for each in wanted
        if time.monotonic() + expected_seconds(each, n_rows) <= end
    )


def fitted_on(
    configuration: Configuration, lesson: Lesson, *, iterations: int | None, end: float
) -> Fitted:
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
    growth = math.pow(n_rows / fold_rows, POWER_OF_ROWS)
    return max(1, round(fmean(known) * growth))


def expected_seconds(wanted: Wanted, n_rows: int) -> float:
    """Return about how long a fit on so many rows takes, by its longest fold.

    Examples
    --------
    >>> fold = FoldResult(0, {}, 2.0, 0.1)
    >>> expected_seconds(Wanted(Configuration("linear"), 1.0, (fold,), 100), 150)
    3.0
    """
    longest = max((fold.fit_seconds for fold in wanted.folds), default=0.0)
    return longest * n_rows / wanted.fold_rows


def _member(wanted: Wanted, lesson: Lesson, *, end: float) -> Member:
    n_rows = len(lesson.table)
    iterations = iterations_for(wanted.folds, fold_rows=wanted.fold_rows, n_rows=n_rows)
    fitted = fitted_on(wanted.configuration, lesson, iterations=iterations, end=end)
    return Member(wanted.configuration, wanted.weight, (fitted,), (iterations,))
