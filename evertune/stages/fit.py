"""The library's half of the stage `fit`: build the model from the search.

Reads the training rows, folds, schema, trials file and pool, and the baselines where the simplest
model is preferred; `pipelines/fit.py` writes the folder of the model.

The model is an ensemble of the search's trials or the best one. Either the fold models are kept,
or the chosen configurations are fitted again on all rows. If the plan names training windows, the
best single configuration is fitted on each, and rows that are in none of them choose the window
for all members. If every trial failed, the zero rule is the model.
"""

from functools import partial
from pathlib import Path

from evertune.config.custom_metrics import load_metrics
from evertune.config.loader import find_root
from evertune.config.schema import FitSection, MetricSection, PathsSection
from evertune.data.folds import folds_from_table
from evertune.data.schema import TableSchema, encode_target
from evertune.data.training_windows import TrainingWindow, is_in_window
from evertune.errors import StageError
from evertune.evaluation.baselines import BaselineResult
from evertune.files import read_record, read_table
from evertune.fitting.build import (
    BuiltModel,
    SearchResult,
    all_failed_note,
    build_model,
    count_complexity,
)
from evertune.fitting.choose_window import WindowCandidates, window_note
from evertune.fitting.refit import TrainingSet, resolve_mode
from evertune.models.fitted_model import Model
from evertune.plan import Plan
from evertune.search.leaderboard import all_failed
from evertune.search.trial_log import read_entries, read_header, read_trials
from evertune.trials import SearchHeader

ALL_ROWS = TrainingWindow("all")


def read_search_result(
    paths: PathsSection, metric: MetricSection, fit: FitSection, *, plan: Plan, deadline: float
) -> SearchResult:
    """Return the trials of the search, and the rows that their models are fitted on.

    Parameters
    ----------
    deadline : float
        When the model must be there, by `time.monotonic`.
    """
    schema, table = read_record(paths.table_schema, TableSchema), read_table(paths.training)
    metrics = load_metrics(metric, schema.task, find_root(paths.trials.parent))
    folds = folds_from_table(read_table(paths.folds))
    return SearchResult(
        training=TrainingSet(table, encode_target(table, schema), schema, fit.seed),
        folds=folds,
        trials=read_trials(paths.trials),
        entries=read_entries(paths.pool, models=False),
        read=partial(read_entries, paths.pool),
        metric=metrics[0],
        mode=resolve_mode(fit.mode, folds, n_rows=len(table), has_windows=bool(plan.windows)),
        guards=tuple((m, metric.guards[m.name]) for m in metrics if m.name in metric.guards),
        end=deadline,
        advice=budget_advice(read_header(paths.trials)),
    )


def budget_advice(header: SearchHeader) -> str:
    """Return which budget of the search to raise, a sentence.

    Examples
    --------
    >>> budget_advice(SearchHeader("digest", "mae", False, 5, 8.0, None))
    'Raise search.budget_seconds (now 8).'
    """
    budgets = {
        "search.budget_seconds": header.budget_seconds,
        "search.budget_trials": header.budget_trials,
    }
    given = [f"{name} (now {value:g})" for name, value in budgets.items() if value is not None]
    return f"Raise {' or '.join(given)}."


def build_from_search(
    search: SearchResult, windows: WindowCandidates, *, plan: Plan, baselines: Path | None
) -> BuiltModel:
    """Return the model, without the rows that it has learned from (`final_model`).

    Parameters
    ----------
    baselines : Path, optional
        The folder of the baselines, if the simplest model that does as well is preferred.

    Raises
    ------
    StageError
        No model can be built.
    """
    known: tuple[BaselineResult, ...] = ()
    if baselines is not None:
        known = read_record(baselines / "baselines.json", tuple[BaselineResult, ...])
    try:
        built = build_model(
            search,
            windows=windows,
            warm_starts=plan.warm_starts,
            prefer_simplest=baselines is not None,
            baselines=known,
        )
    except ValueError as error:
        raise StageError(f"No model can be built from the search: {error}.") from error
    return count_complexity(search, built)


def final_model(search: SearchResult, windows: WindowCandidates, built: BuiltModel) -> Model:
    """Return the model with the keys of the rows that it has learned from."""
    table, schema = search.training.table, search.training.schema
    window = ALL_ROWS if built.choice is None else built.choice.chosen
    in_window = table["row_key"][is_in_window(windows.moments, window)]
    keys = (*in_window, *windows.selection["row_key"])
    return Model(schema, built.configuration, built.fitted, keys)


def describe_model(search: SearchResult, built: BuiltModel) -> str:
    """Return how the model was made, as lines of text."""
    window = [] if built.choice is None else [window_note(built.choice, search.metric.name)]
    return "".join(f"{note}\n" for note in (*built.origin.notes, *window))


def check_trials(search: SearchResult, paths: PathsSection) -> None:
    """Raise StageError, with the reasons counted, if every trial of the search failed."""
    if all_failed(search.trials):
        raise StageError(all_failed_note(search.trials, paths.trials.name))
