"""Make the model of what the search found: an ensemble of its trials, or the best one.

Reads the trials file, the pool, training rows and their folds, the rows that choose, the schema,
the plan, and, where the simplest model is preferred, the baselines. Writes the model's folder, with
how the model came about. The models of the folds are kept, or configurations are fitted again on
all rows. Where the plan names training windows, the best single configuration is fitted on each;
the rows that choose, which are in none, tell on which one all members are fitted. Where every trial
failed, the model is the zero rule, and the stage ends in an error.
"""

import math
import sys
import time
from functools import partial

from pipelines.core.assembling import resolved_mode
from pipelines.core.baselines import BaselineFigures
from pipelines.core.folds import folds_of
from pipelines.core.made_notes import all_failed_note
from pipelines.core.model import Model
from pipelines.core.plans import Plan, TrainingWindow
from pipelines.core.schema import Schema
from pipelines.core.selection import all_failed
from pipelines.core.training_windows import event_moments, in_window
from pipelines.core.truths import truth_of
from pipelines.core.window_fits import window_note
from pipelines.errors import StageError
from pipelines.params import find_root, run_stage
from pipelines.sections import FitSection, MetricSection, Paths
from pipelines.stores.files import read_record, read_table
from pipelines.stores.metrics import metrics_of
from pipelines.stores.models import save_model
from pipelines.stores.pool import read_entries
from pipelines.stores.trials import read_trials
from pipelines.tuning.making import Found
from pipelines.tuning.model_making import Made, Task, made_of
from pipelines.tuning.refitting import Lesson
from pipelines.tuning.window_members import Windows

EVERY = TrainingWindow("all")


def run(*, paths: Paths, metric: MetricSection, fit: FitSection) -> None:
    """Write the model; the zero rule, as what it is, where the search found nothing.

    Raises
    ------
    StageError
        If no model can be made; or if every trial of the search failed, with the reasons counted,
        once the zero rule is written.
    """
    end = time.monotonic() + (fit.budget_seconds or math.inf)
    task = _task(paths, metric, fit, end=end)
    try:
        made = made_of(task)
    except ValueError as error:
        raise StageError(f"No model can be made of what the search found: {error}.") from error
    _save(paths, task, made)
    trials = task.found.trials
    if all_failed(trials):
        raise StageError(all_failed_note(trials, paths.trials.name))


def _task(paths: Paths, metric: MetricSection, fit: FitSection, *, end: float) -> Task:
    schema, plan = read_record(paths.table_schema, Schema), read_record(paths.plan, Plan)
    table, choosing = read_table(paths.training), read_table(paths.choosing)
    metrics = metrics_of(metric, schema.task, find_root(paths.trials.parent))
    folds, windows = folds_of(read_table(paths.folds)), plan.windows
    found = Found(
        lesson=Lesson(table, truth_of(table, schema), schema, fit.seed),
        folds=folds,
        trials=read_trials(paths.trials),
        entries=read_entries(paths.pool, models=False),
        read=partial(read_entries, paths.pool),
        metric=metrics[0],
        mode=resolved_mode(fit.mode, folds, n_rows=len(table), has_windows=bool(windows)),
        guards=tuple((m, metric.guards[m.name]) for m in metrics if m.name in metric.guards),
        end=end,
    )
    return Task(
        found=found,
        windows=Windows(windows, event_moments(table, schema), choosing),
        warm_starts=plan.warm_starts,
        baselines=_baselines(paths) if fit.prefer == "simplest" else (),
    )


def _baselines(paths: Paths) -> tuple[BaselineFigures, ...]:
    return read_record(paths.baselines / "baselines.json", tuple[BaselineFigures, ...])


def _save(paths: Paths, task: Task, made: Made) -> None:
    lesson, windows = task.found.lesson, task.windows
    window = made.choice.chosen if made.choice else EVERY
    learned = lesson.table["row_key"][in_window(windows.moments, window)]
    keys = (*learned, *windows.choosing["row_key"])
    model = Model(lesson.schema, made.configuration, made.fitted, keys)
    save_model(paths.model, model, made.choice, made.origin)
    sys.stdout.writelines(f"{note}\n" for note in made.origin.notes)
    if made.choice is not None:
        sys.stdout.write(f"{window_note(made.choice, task.found.metric.name)}\n")


if __name__ == "__main__":
    raise SystemExit(run_stage(run))
