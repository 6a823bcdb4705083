"""Stage `search`: find the best configurations until the budget is used up.

Reads the training rows, their folds, the schema and the plan. Writes the trial log (a header,
then a line for each trial as soon as it has ended) and the pool (out-of-fold predictions and
fold models of each trial). If it is killed and started again, it runs only what is missing; if
all earlier trials failed, it starts anew. A plan may carry its own budget. If the plan is a
refit, only its given configurations are evaluated.
"""

import hashlib
import os
import sys
import time
from functools import partial
from pathlib import Path

from evertune.config.loader import find_root
from evertune.config.schema import MetricSection, PathsSection, SearchSection
from evertune.ensemble.oof import TrialArtifacts
from evertune.errors import BusyError, ParamsError
from evertune.files import digest_files, read_record
from evertune.fingerprint import stage_fingerprints
from evertune.plan import Plan
from evertune.search.leaderboard import all_failed, top_trials
from evertune.search.objective import Objective, read_objective
from evertune.search.run import count_workers, run_configurations, run_search
from evertune.search.study import Budget, OnTrialFinished, ProjectFolders, SearchConfig
from evertune.search.summary import count_endings
from evertune.search.trial_log import (
    append_trial,
    drop_entries,
    open_trials,
    pool_megabytes,
    read_header,
    read_trials,
    save_entry,
    stored_numbers,
)
from evertune.trials import SearchHeader, Trial

MAX_FAILURES_SHOWN = 3  # failures that are printed


def run(*, paths: PathsSection, metric: MetricSection, search: SearchSection) -> None:
    """Write the trials file.

    Raises
    ------
    ParamsError
        If more workers are asked for than there are processors, or the space names what is not.
    BusyError
        If the Ray cluster that RAY_ADDRESS names does not answer.
    """
    started = time.monotonic()
    _check_workers(search)
    root = find_root(paths.trials.parent)
    work = read_objective(paths, metric, root=root, seed=search.seed)
    plan = read_record(paths.plan, Plan)
    search = _apply_plan_budget(search, plan)
    strategy, digest = (
        _search_config(search, plan),
        _search_digest(paths, metric, search=search, root=root),
    )
    whole = _search_budget(search, (), started=started)
    workers = 1 if plan.mode == "refit" else count_workers(strategy, whole)
    finished = _open_trial_log(
        paths.trials, _search_header(work, search, digest=digest, workers=workers)
    )
    budget = _search_budget(search, finished, started=started)
    keep = partial(_record_trial, paths, search.pool_megabytes)
    _drop_unknown_entries(paths.pool, finished)
    if plan.mode == "refit":
        run_configurations(
            work, plan.warm_starts, budget=budget, finished=finished, on_finished=keep
        )
    else:
        places = ProjectFolders(root, paths.state)
        _run_search(work, strategy, budget=budget, finished=finished, places=places, keep=keep)
    sys.stdout.writelines(f"{line}\n" for line in _summary_lines(read_trials(paths.trials)))


def _open_trial_log(path: Path, header: SearchHeader) -> tuple[Trial, ...]:
    """Return the trials to go on from; where all of them failed, the search begins anew."""
    finished = open_trials(path, header)
    if not all_failed(finished):
        return finished
    path.unlink()
    return open_trials(path, header)


def _run_search(
    work: Objective,
    strategy: SearchConfig,
    *,
    budget: Budget,
    finished: tuple[Trial, ...],
    places: ProjectFolders,
    keep: OnTrialFinished,
) -> None:
    try:
        run_search(
            work, strategy, budget=budget, finished=finished, places=places, on_finished=keep
        )
    except ConnectionError as error:
        raise BusyError(str(error)) from error
    except ValueError as error:
        raise ParamsError(str(error)) from error


def _record_trial(
    paths: PathsSection, most_megabytes: float, trial: Trial, entry: TrialArtifacts | None
) -> None:
    """Write what the pool keeps of a trial first: a trial in the file has its models."""
    if entry is not None:
        save_entry(paths.pool, entry)
    append_trial(paths.trials, trial)
    if entry is not None and pool_megabytes(paths.pool) > most_megabytes:
        _shrink_pool(paths, most_megabytes)


def _shrink_pool(paths: PathsSection, most_megabytes: float) -> None:
    """Drop the models of the worst trials, until the pool is as small as it must be."""
    header, kept = read_header(paths.trials), stored_numbers(paths.pool)
    ranked = top_trials(
        read_trials(paths.trials), greater_is_better=header.greater_is_better, most=len(kept)
    )
    order = [trial.number for trial in ranked if trial.number in kept]
    while len(order) > 1 and pool_megabytes(paths.pool) > most_megabytes:
        drop_entries(paths.pool, [order.pop()])


def _drop_unknown_entries(pool: Path, finished: tuple[Trial, ...]) -> None:
    pool.mkdir(parents=True, exist_ok=True)
    drop_entries(pool, set(stored_numbers(pool)) - {trial.number for trial in finished})


def _check_workers(search: SearchSection) -> None:
    processors = os.cpu_count() or 1
    if search.workers == "auto" or os.environ.get("RAY_ADDRESS") or search.workers <= processors:
        return
    raise ParamsError(
        f"search.workers must not be more than the {processors} processors of this machine, but got"
        f" {search.workers}; lower it, write auto, or name a cluster in RAY_ADDRESS."
    )


def _apply_plan_budget(search: SearchSection, plan: Plan) -> SearchSection:
    if plan.budget_seconds is None and plan.budget_trials is None:
        return search
    budget = {"budget_seconds": plan.budget_seconds, "budget_trials": plan.budget_trials}
    return search.model_copy(update=budget)


def _search_header(
    work: Objective, search: SearchSection, *, digest: str, workers: int | None
) -> SearchHeader:
    return SearchHeader(
        digest=digest,
        metric=work.metrics[0].name,
        greater_is_better=work.metrics[0].greater_is_better,
        n_folds=len(work.folds),
        budget_seconds=search.budget_seconds,
        budget_trials=search.budget_trials,
        workers=workers,
    )


def _search_digest(
    paths: PathsSection, metric: MetricSection, *, search: SearchSection, root: Path
) -> str:
    parts = [
        digest_files([paths.training, paths.folds, paths.table_schema, paths.plan]),
        stage_fingerprints(root)["search"],
        metric.model_dump_json(),
        search.model_dump_json(),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _search_config(search: SearchSection, plan: Plan) -> SearchConfig:
    return SearchConfig(
        families=search.families,
        searcher=search.searcher,
        scheduler=search.scheduler,
        space={str(family): changes for family, changes in search.space.items()},
        warm_starts=plan.warm_starts,
        workers=None if search.workers == "auto" else search.workers,
        seed=search.seed,
    )


def _search_budget(search: SearchSection, finished: tuple[Trial, ...], *, started: float) -> Budget:
    return Budget(
        started=started,
        seconds=search.budget_seconds,
        trials=search.budget_trials,
        spent_seconds=max((trial.elapsed_seconds for trial in finished), default=0.0),
    )


def _summary_lines(trials: tuple[Trial, ...]) -> list[str]:
    failed = sum(trial.status == "failed" for trial in trials)
    complete = sum(trial.status == "complete" for trial in trials)
    lines = [f"{len(trials)} trials, {complete} of them on every fold, {failed} failed"]
    reasons = [each for each in count_endings(trials) if each.status == "failed"]
    return lines + [f"{each.trials} failed: {each.reason}" for each in reasons[:MAX_FAILURES_SHOWN]]
