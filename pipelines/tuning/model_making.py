"""The model that is made of what a search found, and how it came about."""

import time
from dataclasses import dataclass, replace

from pipelines.core.baselines import BaselineFigures
from pipelines.core.ensembling import Selection
from pipelines.core.made_notes import (
    WARM_START_NOTE,
    incomplete_note,
    left_out_note,
    selection_note,
    trial_note,
    zero_rule_note,
)
from pipelines.core.model import Ensemble, Fitted
from pipelines.core.origins import Origin
from pipelines.core.selection import all_failed, best_part, best_trial, zero_rule_for
from pipelines.core.trials import Configuration, FoldResult, Trial
from pipelines.core.window_fits import WindowChoice
from pipelines.tuning.making import (
    Found,
    ensemble_of,
    members_of,
    members_of_part,
    selected,
    taught,
)
from pipelines.tuning.originating import numbers_by_phase, phase_of, selection_origin
from pipelines.tuning.preferring import simpler_model
from pipelines.tuning.refitting import Wanted, fitted_on, iterations_for
from pipelines.tuning.window_members import Windows, best_of_windows, on_a_window


@dataclass(frozen=True, eq=False)
class Task:
    """What a model is made of.

    Attributes
    ----------
    found : Found
        What the search left.
    windows : Windows
        Which training windows are tried, where the plan names any.
    warm_starts : tuple of Configuration
        What was in use before.
    baselines : tuple of BaselineFigures
        Given where the simplest model is preferred that is not worse.
    """

    found: Found
    windows: Windows
    warm_starts: tuple[Configuration, ...] = ()
    baselines: tuple[BaselineFigures, ...] = ()


@dataclass(frozen=True, eq=False)
class Made:
    """What was made, of which configuration first of all, and how it came about."""

    fitted: Fitted | Ensemble
    configuration: Configuration
    origin: Origin
    choice: WindowChoice | None = None


def made_of(task: Task) -> Made:
    """Return the best model that there is, at least the zero rule.

    Where every trial failed it is the zero rule, whatever was in use before: that would fail too.

    Raises
    ------
    ValueError
        If no training window can be learned from, or a fit on all rows fails.
    """
    if all_failed(task.found.trials):
        return _of_zero_rule(task)
    selection = selected(task.found)
    made = _without_selection(task) if selection is None else _preferred(task, selection)
    if time.monotonic() >= task.found.end:  # counting takes seconds where trees are many
        return made
    values = numbers_by_phase(task.found, made.origin, made.fitted)
    return replace(made, origin=replace(made.origin, values=values))


def _preferred(task: Task, selection: Selection) -> Made:
    origin = selection_origin(task.found, selection)
    simpler = simpler_model(task.found, selection, origin, baselines=task.baselines)
    if simpler is None:
        return _of_selection(task, selection, origin)
    origin = replace(origin, made_of="simplest", phase=simpler.phase, notes=(simpler.note,))
    if simpler.selection is None:
        return _of_one(task, simpler.configuration, simpler.folds, origin)
    alone = replace(task, found=replace(task.found, mode="single"))
    return _of_selection(alone, simpler.selection, origin)


def _of_selection(task: Task, selection: Selection, origin: Origin) -> Made:
    found, choice = task.found, None
    if task.windows.windows and found.mode != "bag":
        ensemble, choice = on_a_window(found, task.windows, selection)
    else:
        ensemble, _ = ensemble_of(members_of(found, selection.weights))
    ensemble = taught(ensemble, selection, found)
    notes = [*origin.notes, selection_note(selection, ensemble, found.metric)]
    n_left_out = len(selection.weights) - len(ensemble.members)
    notes += [left_out_note(n_left_out)] if n_left_out > 0 else []
    origin = replace(origin, notes=tuple(notes))
    return Made(ensemble, ensemble.members[0].configuration, origin, choice)


def _without_selection(task: Task) -> Made:
    found = task.found
    by_name = {guard.name: bound for guard, bound in found.guards}
    metrics = (found.metric, *(guard for guard, _ in found.guards if guard != found.metric))
    best = best_trial(found.trials, metrics, by_name)
    if best is not None:
        phase, note = phase_of(best.configuration.family), trial_note(best, found.metric)
        origin = Origin("trial", phase, (note,), single=best.number)
        return _of_one(task, best.configuration, best.folds, origin)
    if task.warm_starts:
        first = task.warm_starts[0]
        origin = Origin("warm start", phase_of(first.family), (WARM_START_NOTE,))
        return _of_one(task, first, (), origin)
    part = best_part(found.trials, found.metric)
    return _of_zero_rule(task) if part is None else _of_part(task, part)


def _of_zero_rule(task: Task) -> Made:
    note = zero_rule_note(task.found.trials)
    origin = Origin("zero rule", "heuristic", (note,), values={"heuristic": 1})
    return _of_one(task, zero_rule_for(task.found.metric), (), origin)


def _of_one(
    task: Task, configuration: Configuration, folds: tuple[FoldResult, ...], origin: Origin
) -> Made:
    found, lesson = task.found, task.found.lesson
    wanted = Wanted(configuration, 1.0, folds, found.fold_rows)
    if task.windows.windows:
        fitted, choice, _ = best_of_windows(found, task.windows, wanted)
        return Made(fitted, configuration, origin, choice)
    n_rows = len(lesson.table)
    iterations = iterations_for(folds, fold_rows=found.fold_rows, n_rows=n_rows)
    fitted = fitted_on(configuration, lesson, iterations=iterations, end=found.end)
    return Made(fitted, configuration, origin)


def _of_part(task: Task, part: Trial) -> Made:
    """Fit a trial that did not run on every fold on all rows, or keep the models that it has."""
    found, family = task.found, part.configuration.family
    note = incomplete_note(found.trials, part)
    origin = Origin("part", phase_of(family), (note,), single=part.number)
    if task.windows.windows:
        return _of_one(task, part.configuration, part.folds, origin)
    members = members_of_part(found, part)
    if not members:
        return _of_one(task, part.configuration, part.folds, origin)
    ensemble, _ = ensemble_of(members)
    return Made(ensemble, part.configuration, origin)
