"""Fit the trials of an earlier search again, with their iterations, where a version is rebuilt.

Stands in for the stage `search`. Reads the trials file, training rows, their folds, the schema and
recorded.json. Writes the pool, and rebuilt.json: the metrics of each fold, then and now.
"""

import math
import sys
import time
from dataclasses import replace
from functools import partial

from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

from evertune.config.loader import find_root
from evertune.config.schema import MetricSection, PathsSection, SearchSection
from evertune.ensemble.oof import TrialArtifacts
from evertune.files import read_record, write_record
from evertune.models.persistence import (
    load_model,
    load_model_origin,
    load_window_choice,
    save_model,
)
from evertune.registry.reproduce import (
    REBUILT_FILE,
    RECORDED_FILE,
    FoldRefit,
    RecordedModel,
    keep_recorded_members,
    trials_to_refit,
)
from evertune.search.objective import FoldOutcome, Objective, evaluate_fold, read_objective
from evertune.search.trial_log import (
    drop_entries,
    read_header,
    read_trials,
    save_entry,
    stored_numbers,
)
from evertune.trials import Trial

# A fit in chunks doubles them while it has time enough. Without any deadline there are no chunks,
# and solvers that start anew at each chunk would end elsewhere.
AMPLE_SECONDS = 1e9
# Other processes need seconds to start and to import what they fit with.
SECONDS_WITHOUT_PROCESSES = 10.0


def run(*, paths: PathsSection, metric: MetricSection, search: SearchSection) -> None:
    """Write the pool of the trials that a model was chosen among."""
    root = find_root(paths.trials.parent)
    objective = read_objective(paths, metric, root=root, seed=search.seed)
    recorded = read_record(root / RECORDED_FILE, RecordedModel)
    trials = trials_to_refit(read_trials(paths.trials), recorded.pool)
    seconds = None if read_header(paths.trials).budget_seconds is None else AMPLE_SECONDS
    drop_entries(paths.pool, stored_numbers(paths.pool))
    refit = delayed(partial(_refit_trial, objective, seconds=seconds))
    n_jobs = 1 if sum(trial.seconds for trial in trials) < SECONDS_WITHOUT_PROCESSES else -1
    outcomes = Parallel(n_jobs=n_jobs, return_as="generator")(refit(trial) for trial in trials)
    refits: list[FoldRefit] = []
    for trial, folds in zip(trials, outcomes, strict=True):
        configuration = trial.configuration
        models = sorted((fold.model for fold in folds), key=lambda model: model.fold)
        save_entry(paths.pool, TrialArtifacts(trial.number, configuration, tuple(models)))
        refits += [
            FoldRefit(trial.number, old.fold, configuration.family, old.figures, new.result.figures)
            for old, new in zip(trial.folds, folds, strict=True)
        ]
    write_record(root / REBUILT_FILE, tuple(refits))
    sys.stdout.write(f"{len(trials)} trials fitted again, {len(refits)} folds\n")


def drop_unrecorded_members(paths: PathsSection) -> None:
    """Leave out of the model what the registered one lacks: it was fitted in limited time."""
    recorded = read_record(find_root(paths.model.parent) / RECORDED_FILE, RecordedModel)
    model = load_model(paths.model)
    settled = keep_recorded_members(model.fitted, recorded.members)
    if settled is not model.fitted:
        choice, origin = load_window_choice(paths.model), load_model_origin(paths.model)
        save_model(paths.model, replace(model, fitted=settled), choice, origin)


def _refit_trial(objective: Objective, trial: Trial, *, seconds: float | None) -> list[FoldOutcome]:
    if trial.phase == "given":  # what a refit tries has no deadline
        seconds = None
    with threadpool_limits(1):
        return [
            evaluate_fold(
                objective,
                trial.configuration,
                fold.fold,
                encodings={},
                iterations=fold.iterations,
                deadline=math.inf if seconds is None else time.monotonic() + seconds,
            )
            for fold in trial.folds
        ]
