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

from joblib import Parallel, delayed  # type: ignore[import-untyped]
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from pipelines.core.pool import PoolEntry
from pipelines.core.rebuilding import (
    REBUILT,
    RECORDED,
    Recorded,
    Refit,
    replayed,
    with_members,
)
from pipelines.core.trials import FoldResult, Trial
from pipelines.library.searched import read_work
from pipelines.params import find_root
from pipelines.sections import MetricSection, Paths, SearchSection
from pipelines.stores.files import read_record, write_record
from pipelines.stores.models import load_model, model_origin, save_model, window_choice
from pipelines.stores.pool import drop_entries, keep_entry, kept_numbers
from pipelines.stores.trials import read_header, read_trials
from pipelines.tuning.families import form_of
from pipelines.tuning.work import FoldYield, Work, fold_yield

# A fit in chunks doubles them while it has time enough. Without any deadline there are no chunks,
# and solvers that start anew at each chunk would end elsewhere.
AMPLE_SECONDS = 1e9


def run(*, paths: Paths, metric: MetricSection, search: SearchSection) -> None:
    """Write the pool of the trials that a model was chosen among."""
    root = find_root(paths.trials.parent)
    work = read_work(paths, metric, root=root, seed=search.seed)
    recorded = read_record(root / RECORDED, Recorded)
    trials = replayed(read_trials(paths.trials), recorded.pool)
    seconds = None if read_header(paths.trials).budget_seconds is None else AMPLE_SECONDS
    drop_entries(paths.pool, kept_numbers(paths.pool))
    refits: list[Refit] = []
    for trial, yields in _fitted_again(work, trials, seconds=seconds):
        keep_entry(paths.pool, _entry(trial, yields))
        refits += _refits(trial, yields)
    write_record(root / REBUILT, tuple(refits))
    sys.stdout.write(f"{len(trials)} trials fitted again, {len(refits)} folds\n")


def settle(paths: Paths) -> None:
    """Leave out of the model what the registered one lacks: it was fitted in limited time."""
    recorded = read_record(find_root(paths.model.parent) / RECORDED, Recorded)
    model = load_model(paths.model)
    settled = with_members(model.fitted, recorded.members)
    if settled is not model.fitted:
        choice, origin = window_choice(paths.model), model_origin(paths.model)
        save_model(paths.model, replace(model, fitted=settled), choice, origin)


def _fitted_again(
    work: Work, trials: tuple[Trial, ...], *, seconds: float | None
) -> Iterator[tuple[Trial, list[FoldYield]]]:
    each = delayed(partial(_yields, work, seconds=seconds))
    found = Parallel(n_jobs=-1, return_as="generator")(each(trial) for trial in trials)
    yield from zip(trials, found, strict=True)


def _yields(work: Work, trial: Trial, *, seconds: float | None) -> list[FoldYield]:
    ample = None if trial.phase == "given" else seconds  # what a refit tries has no deadline
    with threadpool_limits(1):
        return [_fold(work, trial, fold, seconds=ample) for fold in trial.folds]


def _fold(work: Work, trial: Trial, fold: FoldResult, *, seconds: float | None) -> FoldYield:
    return fold_yield(
        work,
        trial.configuration,
        fold.fold,
        encodings={},
        iterations=fold.iterations,
        deadline=math.inf if seconds is None else time.monotonic() + seconds,
    )


def _entry(trial: Trial, yields: list[FoldYield]) -> PoolEntry:
    models = sorted((each.model for each in yields), key=lambda model: model.fold)
    form = form_of(trial.configuration)
    return PoolEntry(trial.number, trial.configuration, form, tuple(models))


def _refits(trial: Trial, yields: list[FoldYield]) -> Iterator[Refit]:
    family = trial.configuration.family
    for fold, found in zip(trial.folds, yields, strict=True):
        yield Refit(trial.number, fold.fold, family, fold.figures, found.result.figures)
