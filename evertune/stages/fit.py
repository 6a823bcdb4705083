"""Stage `fit`: build the model from the search, an ensemble of its trials or the best one.

Reads the trial log, the pool, the training rows and folds, the rows that choose the training
window, the schema, the plan and, where the simplest model is preferred, the baselines. Writes
the model's folder, including how the model was made. Either the fold models are kept, or the
chosen configurations are fitted again on all rows. If the plan names training windows, the best
single configuration is fitted on each, and rows that are in none of them choose the window for
all members. If every trial failed, the zero rule is written as the model and the stage fails.
"""

import math
import sys
import time
from functools import partial

from evertune.config.custom_metrics import load_metrics
from evertune.config.loader import find_root
from evertune.config.schema import FitSection, MetricSection, PathsSection
from evertune.data.folds import folds_from_table
from evertune.data.schema import TableSchema, encode_target
from evertune.data.training_windows import TrainingWindow, event_times, is_in_window
from evertune.errors import StageError
from evertune.evaluation.baselines import BaselineResult
from evertune.files import read_record, read_table
from evertune.fitting.build import (
    BuildRequest,
    BuiltModel,
    SearchResult,
    WindowCandidates,
    build_model,
    window_note,
)
from evertune.fitting.notes import all_failed_note
from evertune.fitting.refit import TrainingSet, resolve_mode
from evertune.models.model import Model
from evertune.models.persistence import save_model
from evertune.plan import Plan
from evertune.search.leaderboard import all_failed
from evertune.search.trial_log import read_entries, read_trials

ALL_ROWS = TrainingWindow("all")


def run(*, paths: PathsSection, metric: MetricSection, fit: FitSection) -> None:
    """Write the model; the zero rule, as what it is, where the search found nothing.

    Raises
    ------
    StageError
        If no model can be made; or if every trial of the search failed, with the reasons counted,
        once the zero rule is written.
    """
    end = time.monotonic() + (fit.budget_seconds or math.inf)
    task = _build_request(paths, metric, fit, end=end)
    try:
        made = build_model(task)
    except ValueError as error:
        raise StageError(f"No model can be made of what the search found: {error}.") from error
    _save_built_model(paths, task, made)
    trials = task.found.trials
    if all_failed(trials):
        raise StageError(all_failed_note(trials, paths.trials.name))


def _build_request(
    paths: PathsSection, metric: MetricSection, fit: FitSection, *, end: float
) -> BuildRequest:
    schema, plan = read_record(paths.table_schema, TableSchema), read_record(paths.plan, Plan)
    table, choosing = read_table(paths.training), read_table(paths.choosing)
    metrics = load_metrics(metric, schema.task, find_root(paths.trials.parent))
    folds, windows = folds_from_table(read_table(paths.folds)), plan.windows
    found = SearchResult(
        lesson=TrainingSet(table, encode_target(table, schema), schema, fit.seed),
        folds=folds,
        trials=read_trials(paths.trials),
        entries=read_entries(paths.pool, models=False),
        read=partial(read_entries, paths.pool),
        metric=metrics[0],
        mode=resolve_mode(fit.mode, folds, n_rows=len(table), has_windows=bool(windows)),
        guards=tuple((m, metric.guards[m.name]) for m in metrics if m.name in metric.guards),
        end=end,
    )
    return BuildRequest(
        found=found,
        windows=WindowCandidates(windows, event_times(table, schema), choosing),
        warm_starts=plan.warm_starts,
        baselines=_read_baselines(paths) if fit.prefer == "simplest" else (),
    )


def _read_baselines(paths: PathsSection) -> tuple[BaselineResult, ...]:
    return read_record(paths.baselines / "baselines.json", tuple[BaselineResult, ...])


def _save_built_model(paths: PathsSection, task: BuildRequest, made: BuiltModel) -> None:
    lesson, windows = task.found.lesson, task.windows
    window = made.choice.chosen if made.choice else ALL_ROWS
    learned = lesson.table["row_key"][is_in_window(windows.moments, window)]
    keys = (*learned, *windows.choosing["row_key"])
    model = Model(lesson.schema, made.configuration, made.fitted, keys)
    save_model(paths.model, model, made.choice, made.origin)
    sys.stdout.writelines(f"{note}\n" for note in made.origin.notes)
    if made.choice is not None:
        sys.stdout.write(f"{window_note(made.choice, task.found.metric.name)}\n")
