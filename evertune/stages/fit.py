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
    SearchResult,
    all_failed_note,
    build_model,
    count_complexity,
)
from evertune.fitting.choose_window import WindowCandidates, window_note
from evertune.fitting.refit import TrainingSet, resolve_mode
from evertune.models.fitted_model import Model
from evertune.models.persistence import save_model
from evertune.plan import Plan
from evertune.search.leaderboard import all_failed
from evertune.search.trial_log import read_entries, read_trials

ALL_ROWS = TrainingWindow("all")


def run(*, paths: PathsSection, metric: MetricSection, fit: FitSection) -> None:
    """Write the model; the zero rule, as what it is, if the search found nothing.

    Raises
    ------
    StageError
        If no model can be built; or if every trial of the search failed, with the reasons counted,
        once the zero rule is written.
    """
    deadline = time.monotonic() + (fit.budget_seconds or math.inf)
    schema, plan = read_record(paths.table_schema, TableSchema), read_record(paths.plan, Plan)
    table, choosing = read_table(paths.training), read_table(paths.selection)
    metrics = load_metrics(metric, schema.task, find_root(paths.trials.parent))
    folds = folds_from_table(read_table(paths.folds))
    search = SearchResult(
        training=TrainingSet(table, encode_target(table, schema), schema, fit.seed),
        folds=folds,
        trials=read_trials(paths.trials),
        entries=read_entries(paths.pool, models=False),
        read=partial(read_entries, paths.pool),
        metric=metrics[0],
        mode=resolve_mode(fit.mode, folds, n_rows=len(table), has_windows=bool(plan.windows)),
        guards=tuple((m, metric.guards[m.name]) for m in metrics if m.name in metric.guards),
        end=deadline,
    )
    windows = WindowCandidates(plan.windows, event_times(table, schema), choosing)
    baselines: tuple[BaselineResult, ...] = ()
    if fit.prefer == "simplest":
        baselines = read_record(paths.baselines / "baselines.json", tuple[BaselineResult, ...])
    try:
        built = build_model(
            search,
            windows=windows,
            warm_starts=plan.warm_starts,
            prefer_simplest=fit.prefer == "simplest",
            baselines=baselines,
        )
    except ValueError as error:
        raise StageError(f"No model can be built from the search: {error}.") from error
    built = count_complexity(search, built)
    choice = built.choice
    window = ALL_ROWS if choice is None else choice.chosen
    in_window = table["row_key"][is_in_window(windows.moments, window)]
    keys = (*in_window, *choosing["row_key"])
    model = Model(schema, built.configuration, built.fitted, keys)
    save_model(paths.model, model, choice, built.origin)
    sys.stdout.writelines(f"{note}\n" for note in built.origin.notes)
    if choice is not None:
        sys.stdout.write(f"{window_note(choice, search.metric.name)}\n")
    if all_failed(search.trials):
        raise StageError(all_failed_note(search.trials, paths.trials.name))
