"""Make the model of what the search found: an ensemble of its trials, or the best one.

Reads the trials file, the pool, training rows and their folds, the rows that choose, the schema and
the plan. Writes the model's folder. The models of the folds are kept, or configurations are fitted
again on all rows. Where the plan names training windows, the best single configuration is fitted on
each; the rows that choose, which are in none, tell on which one all members are fitted.
"""

import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import cast

import pandas as pd

from pipelines.core.assembling import calibrated, resolved_mode
from pipelines.core.candidates import Guards
from pipelines.core.ensembling import Selection, alone, select
from pipelines.core.folds import Fold, folds_of
from pipelines.core.made_notes import (
    WARM_START_NOTE,
    ZERO_RULE_NOTE,
    incomplete_note,
    left_out_note,
    selection_note,
    trial_note,
)
from pipelines.core.metrics import Metric
from pipelines.core.model import Ensemble, Fitted, Member, Model, with_whole_weight
from pipelines.core.plans import Plan, TrainingWindow
from pipelines.core.schema import Schema
from pipelines.core.selection import best_part, best_trial
from pipelines.core.training_windows import event_moments, in_window
from pipelines.core.trials import Configuration, FoldResult, Trial
from pipelines.core.truths import truth_of
from pipelines.core.window_fits import WindowChoice, best_window, window_note
from pipelines.errors import StageError
from pipelines.params import find_root, run_stage
from pipelines.sections import FitSection, MetricSection, Paths
from pipelines.stores.files import read_record, read_table
from pipelines.stores.metrics import metrics_of
from pipelines.stores.models import save_model
from pipelines.stores.pool import read_entries
from pipelines.stores.trials import read_trials
from pipelines.tuning.refitting import (
    Lesson,
    Wanted,
    bagged,
    expected_seconds,
    fitted_on,
    iterations_for,
    refitted,
)
from pipelines.tuning.windows import lesson_of, tried, unusable

MEDIANS = ("mae", "mape", "pinball")  # the metrics for which the median is the best constant
EVERY = TrainingWindow("all")


@dataclass(frozen=True, eq=False)
class Task:
    """All that a model is made of, and until when.

    Attributes
    ----------
    pool : Path
    lesson : Lesson
        All training rows.
    choosing : DataFrame
        The rows that choose a window.
    end : float
        Moment of the monotonic clock.
    """

    pool: Path
    lesson: Lesson
    choosing: pd.DataFrame
    folds: tuple[Fold, ...]
    trials: tuple[Trial, ...]
    plan: Plan
    metrics: tuple[Metric, ...]
    bounds: Mapping[str, float]
    section: FitSection
    end: float

    @property
    def metric(self) -> Metric:
        """The one that is optimised."""
        return self.metrics[0]

    @cached_property
    def guards(self) -> Guards:
        """The metrics that have a bound, with their bounds."""
        return tuple(
            (each, self.bounds[each.name]) for each in self.metrics if each.name in self.bounds
        )

    @cached_property
    def moments(self) -> pd.Series:
        """When the training rows happened."""
        return event_moments(self.lesson.table, self.lesson.schema)

    @cached_property
    def fold_rows(self) -> int:
        """Training rows of the largest fold."""
        return max(len(fold.training) for fold in self.folds)


@dataclass(frozen=True, eq=False)
class Made:
    """What was made, of which configuration first of all, and what to say of it."""

    fitted: Fitted | Ensemble
    configuration: Configuration
    notes: tuple[str, ...]
    choice: WindowChoice | None = None


def run(*, paths: Paths, metric: MetricSection, fit: FitSection) -> None:
    """Write the model; the zero rule, as what it is, where the search found nothing."""
    end = time.monotonic() + (fit.budget_seconds or math.inf)
    task = _task(paths, metric, fit, end=end)
    made = _made(task)
    window = made.choice.chosen if made.choice else EVERY
    learned = task.lesson.table["row_key"][in_window(task.moments, window)]
    keys = (*learned, *task.choosing["row_key"])
    model = Model(task.lesson.schema, made.configuration, made.fitted, keys)
    save_model(paths.model, model, made.choice)
    sys.stdout.writelines(f"{note}\n" for note in made.notes)
    if made.choice is not None:
        sys.stdout.write(f"{window_note(made.choice, task.metric.name)}\n")


def _task(paths: Paths, metric: MetricSection, fit: FitSection, *, end: float) -> Task:
    schema, table = read_record(paths.table_schema, Schema), read_table(paths.training)
    metrics = metrics_of(metric, schema.task, find_root(paths.trials.parent))
    return Task(
        pool=paths.pool,
        lesson=Lesson(table, truth_of(table, schema), schema, fit.seed),
        choosing=read_table(paths.choosing),
        folds=folds_of(read_table(paths.folds)),
        trials=read_trials(paths.trials),
        plan=read_record(paths.plan, Plan),
        metrics=metrics,
        bounds=metric.guards,
        section=fit,
        end=end,
    )


def _made(task: Task) -> Made:
    selection = _selection(task)
    if selection is not None:
        return _of_selection(task, selection)
    best = best_trial(task.trials, task.metrics, task.bounds)
    if best is not None:
        return _of_one(task, best.configuration, best.folds, trial_note(best, task.metric))
    if task.plan.warm_starts:
        return _of_one(task, task.plan.warm_starts[0], (), WARM_START_NOTE)
    part = best_part(task.trials, task.metric)
    if part is not None:
        return _of_part(task, part)
    return _of_one(task, _zero_rule(task.metric), (), ZERO_RULE_NOTE)


def _selection(task: Task) -> Selection | None:
    entries = read_entries(task.pool, models=False)
    truth = task.lesson.truth
    found = select(
        entries,
        truth,
        task.metric,
        folds=task.folds,
        seed=task.section.seed,
        searched={trial.number for trial in task.trials if trial.phase == "search"},
        guards=task.guards,
    )
    return alone(found, entries, truth) if found and task.section.mode == "single" else found


def _of_selection(task: Task, selection: Selection) -> Made:
    mode = resolved_mode(
        task.section.mode,
        task.folds,
        n_rows=len(task.lesson.table),
        has_windows=bool(task.plan.windows),
    )
    choice = None
    if mode == "bag":
        ensemble = _of_folds(task, selection.weights)
    elif task.plan.windows:
        ensemble, choice = _on_a_window(task, selection)
    else:
        wanted = [_wanted(task, number, weight) for number, weight in selection.weights]
        anew = refitted(wanted, task.lesson, end=task.end)
        ensemble = with_whole_weight(anew) if anew else _of_folds(task, selection.weights[:1])
    ensemble = calibrated(ensemble, selection.unseen, task.metric, guards=task.guards)
    notes = [selection_note(selection, ensemble, task.metric)]
    n_left_out = len(selection.weights) - len(ensemble.members)
    notes += [left_out_note(n_left_out)] if n_left_out > 0 else []
    return Made(ensemble, ensemble.members[0].configuration, tuple(notes), choice)


def _of_folds(task: Task, weights: Sequence[tuple[int, float]]) -> Ensemble:
    entries = read_entries(task.pool, [number for number, _ in weights])
    return bagged(weights, entries, task.lesson, folds=task.folds, end=task.end)


def _wanted(task: Task, number: int, weight: float) -> Wanted:
    trial = next(trial for trial in task.trials if trial.number == number)
    return Wanted(trial.configuration, weight, trial.folds, task.fold_rows)


def _on_a_window(task: Task, selection: Selection) -> tuple[Ensemble, WindowChoice]:
    """Choose the window with the best single trial and fit the others on the same."""
    weights = dict(selection.weights)
    single = _wanted(task, selection.single, weights.pop(selection.single, 0.0))
    fitted, choice, iterations = _best_of_windows(task, single)
    lesson = lesson_of(task.lesson, task.moments, choice.chosen)
    wanted = [_wanted(task, number, weight) for number, weight in weights.items()]
    others = refitted(wanted, lesson, end=task.end)
    weight = single.weight if others else 1.0
    first = Member(single.configuration, weight, (fitted,), (iterations,))
    members = [first, *others] if weight else list(others)
    return with_whole_weight(sorted(members, key=lambda member: -member.weight)), choice


def _best_of_windows(task: Task, wanted: Wanted) -> tuple[Fitted, WindowChoice, int | None]:
    def learn(lesson: Lesson) -> Fitted:
        return fitted_on(wanted.configuration, lesson, iterations=rounds(lesson), end=task.end)

    def rounds(lesson: Lesson) -> int | None:
        n_rows = len(lesson.table)
        return iterations_for(wanted.folds, fold_rows=wanted.fold_rows, n_rows=n_rows)

    told = partial(tried, task.lesson, task.moments, task.choosing, learn=learn, metric=task.metric)
    found = [told(window=window) for window in task.plan.windows]
    fits = tuple(fit for _, fit in found)
    best = best_window(fits, task.metric)
    if best is None:
        raise StageError(unusable(fits))
    choice = WindowChoice(task.plan.windows[best], fits)
    lesson = lesson_of(task.lesson, task.moments, choice.chosen)
    return cast(Fitted, found[best][0]), choice, rounds(lesson)


def _of_one(
    task: Task, configuration: Configuration, folds: tuple[FoldResult, ...], note: str
) -> Made:
    wanted = Wanted(configuration, 1.0, folds, task.fold_rows)
    if task.plan.windows:
        fitted, choice, _ = _best_of_windows(task, wanted)
        return Made(fitted, configuration, (note,), choice)
    n_rows = len(task.lesson.table)
    iterations = iterations_for(folds, fold_rows=wanted.fold_rows, n_rows=n_rows)
    fitted = fitted_on(configuration, task.lesson, iterations=iterations, end=task.end)
    return Made(fitted, configuration, (note,))


def _of_part(task: Task, part: Trial) -> Made:
    """Fit a trial that did not run on every fold on all rows, or keep the models that it has."""
    note = incomplete_note(task.trials, part)
    wanted = Wanted(part.configuration, 1.0, part.folds, task.fold_rows)
    in_time = time.monotonic() + expected_seconds(wanted, len(task.lesson.table)) <= task.end
    kept = read_entries(task.pool, [part.number])
    if in_time or task.plan.windows or not kept:
        return _of_one(task, part.configuration, part.folds, note)
    return Made(_of_folds(task, [(part.number, 1.0)]), part.configuration, (note,))


def _zero_rule(metric: Metric) -> Configuration:
    return Configuration("zero_rule", {"statistic": "median" if metric.name in MEDIANS else "mean"})


if __name__ == "__main__":
    raise SystemExit(run_stage(run))
