"""Fit again what a search has found, with the iterations that it found, and search nothing.

Stands in for `search` where a version is made again. Reads the trials file that the search wrote,
training rows, their folds, the schema and recorded.json. Writes the pool, and rebuilt.json: how
each fold does beside its record.
"""

import math
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

from evertune.config.loader import find_root
from evertune.config.schema import MetricSection, PathsSection, SearchSection
from evertune.ensemble.oof import TrialArtifacts
from evertune.files import read_record, write_record
from evertune.models.families import configuration_encoding
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
from evertune.trials import FoldResult, Trial

# A fit in chunks doubles them while it has time enough. Without any deadline there are no chunks,
# and solvers that start anew at each chunk would end elsewhere.
AMPLE_SECONDS = 1e9


def run(*, paths: PathsSection, metric: MetricSection, search: SearchSection) -> None:
    """Write the pool of the trials that a model was chosen among."""
    root = find_root(paths.trials.parent)
    work = read_objective(paths, metric, root=root, seed=search.seed)
    recorded = read_record(root / RECORDED_FILE, RecordedModel)
    trials = trials_to_refit(read_trials(paths.trials), recorded.pool)
    seconds = None if read_header(paths.trials).budget_seconds is None else AMPLE_SECONDS
    drop_entries(paths.pool, stored_numbers(paths.pool))
    refits: list[FoldRefit] = []
    for trial, yields in _refit_in_parallel(work, trials, seconds=seconds):
        save_entry(paths.pool, _pool_entry(trial, yields))
        refits += _fold_refits(trial, yields)
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


def _refit_in_parallel(
    work: Objective, trials: tuple[Trial, ...], *, seconds: float | None
) -> Iterator[tuple[Trial, list[FoldOutcome]]]:
    each = delayed(partial(_refit_trial, work, seconds=seconds))
    found = Parallel(n_jobs=-1, return_as="generator")(each(trial) for trial in trials)
    yield from zip(trials, found, strict=True)


def _refit_trial(work: Objective, trial: Trial, *, seconds: float | None) -> list[FoldOutcome]:
    ample = None if trial.phase == "given" else seconds  # what a refit tries has no deadline
    with threadpool_limits(1):
        return [_refit_fold(work, trial, fold, seconds=ample) for fold in trial.folds]


def _refit_fold(
    work: Objective, trial: Trial, fold: FoldResult, *, seconds: float | None
) -> FoldOutcome:
    return evaluate_fold(
        work,
        trial.configuration,
        fold.fold,
        encodings={},
        iterations=fold.iterations,
        deadline=math.inf if seconds is None else time.monotonic() + seconds,
    )


def _pool_entry(trial: Trial, yields: list[FoldOutcome]) -> TrialArtifacts:
    models = sorted((each.model for each in yields), key=lambda model: model.fold)
    form = configuration_encoding(trial.configuration)
    return TrialArtifacts(trial.number, trial.configuration, form, tuple(models))


def _fold_refits(trial: Trial, yields: list[FoldOutcome]) -> Iterator[FoldRefit]:
    family = trial.configuration.family
    for fold, found in zip(trial.folds, yields, strict=True):
        yield FoldRefit(trial.number, fold.fold, family, fold.figures, found.result.figures)
