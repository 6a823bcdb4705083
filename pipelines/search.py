"""Search for the best configurations until the budget is used up.

Reads training rows, their folds, the schema and the plan. Writes the trials file: a line for the
search, then a line for each trial as soon as it has ended; and the pool: what each trial said of
rows that it never saw, with its fold models. Killed and started again, it runs only what is
missing. A plan may have a budget of its own; one to refit tries what it gives alone.
"""

import hashlib
import os
import sys
import time
from functools import partial
from pathlib import Path

from pipelines.core.plans import Plan
from pipelines.core.pool import PoolEntry
from pipelines.core.runs import kept_trials
from pipelines.core.search_story import endings
from pipelines.core.selection import all_failed
from pipelines.core.trials import SearchHeader, Trial
from pipelines.errors import BusyError, ParamsError
from pipelines.library.searched import read_work
from pipelines.params import find_root, run_stage
from pipelines.sections import MetricSection, Paths, SearchSection
from pipelines.stores.files import digest_of, read_record
from pipelines.stores.pool import drop_entries, keep_entry, kept_numbers, pool_megabytes
from pipelines.stores.trials import append_trial, open_trials, read_header, read_trials
from pipelines.tuning.account import Keep
from pipelines.tuning.given import run_given
from pipelines.tuning.strategies import Budget, Places, Strategy
from pipelines.tuning.tuner import n_workers, run_trials
from pipelines.tuning.work import Work

CODE = ("core", "tuning", "search.py")
SHOWN = 3  # failures that are printed


def run(*, paths: Paths, metric: MetricSection, search: SearchSection) -> None:
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
    work = read_work(paths, metric, root=root, seed=search.seed)
    plan = read_record(paths.plan, Plan)
    search = _with_budget(search, plan)
    strategy, digest = _strategy(search, plan), _digest(paths, metric, search=search, root=root)
    whole = _budget(search, (), started=started)
    workers = 1 if plan.mode == "refit" else n_workers(strategy, whole)
    finished = _opened(paths.trials, _header(work, search, digest=digest, workers=workers))
    budget = _budget(search, finished, started=started)
    keep = partial(_keep, paths, search.pool_megabytes)
    _drop_what_is_unknown(paths.pool, finished)
    if plan.mode == "refit":
        run_given(work, plan.warm_starts, budget=budget, finished=finished, on_finished=keep)
    else:
        places = Places(root, paths.state)
        _run_tune(work, strategy, budget=budget, finished=finished, places=places, keep=keep)
    sys.stdout.writelines(f"{line}\n" for line in _summary(read_trials(paths.trials)))


def _opened(path: Path, header: SearchHeader) -> tuple[Trial, ...]:
    """Return the trials to go on from; where all of them failed, the search begins anew."""
    finished = open_trials(path, header)
    if not all_failed(finished):
        return finished
    path.unlink()
    return open_trials(path, header)


def _run_tune(  # noqa: PLR0913
    work: Work,
    strategy: Strategy,
    *,
    budget: Budget,
    finished: tuple[Trial, ...],
    places: Places,
    keep: Keep,
) -> None:
    try:
        run_trials(
            work, strategy, budget=budget, finished=finished, places=places, on_finished=keep
        )
    except ConnectionError as error:
        raise BusyError(str(error)) from error
    except ValueError as error:
        raise ParamsError(str(error)) from error


def _keep(paths: Paths, most_megabytes: float, trial: Trial, entry: PoolEntry | None) -> None:
    """Write what the pool keeps of a trial first: a trial in the file has its models."""
    if entry is not None:
        keep_entry(paths.pool, entry)
    append_trial(paths.trials, trial)
    if entry is not None and pool_megabytes(paths.pool) > most_megabytes:
        _make_room(paths, most_megabytes)


def _make_room(paths: Paths, most_megabytes: float) -> None:
    """Drop the models of the worst trials, until the pool is as small as it must be."""
    header, kept = read_header(paths.trials), kept_numbers(paths.pool)
    ranked = kept_trials(
        read_trials(paths.trials), greater_is_better=header.greater_is_better, most=len(kept)
    )
    order = [trial.number for trial in ranked if trial.number in kept]
    while len(order) > 1 and pool_megabytes(paths.pool) > most_megabytes:
        drop_entries(paths.pool, [order.pop()])


def _drop_what_is_unknown(pool: Path, finished: tuple[Trial, ...]) -> None:
    pool.mkdir(parents=True, exist_ok=True)
    drop_entries(pool, set(kept_numbers(pool)) - {trial.number for trial in finished})


def _check_workers(search: SearchSection) -> None:
    processors = os.cpu_count() or 1
    if search.workers == "auto" or os.environ.get("RAY_ADDRESS") or search.workers <= processors:
        return
    raise ParamsError(
        f"search.workers must not be more than the {processors} processors of this machine, but got"
        f" {search.workers}; lower it, write auto, or name a cluster in RAY_ADDRESS."
    )


def _with_budget(search: SearchSection, plan: Plan) -> SearchSection:
    if plan.budget_seconds is None and plan.budget_trials is None:
        return search
    budget = {"budget_seconds": plan.budget_seconds, "budget_trials": plan.budget_trials}
    return search.model_copy(update=budget)


def _header(work: Work, search: SearchSection, *, digest: str, workers: int | None) -> SearchHeader:
    return SearchHeader(
        digest=digest,
        metric=work.metrics[0].name,
        greater_is_better=work.metrics[0].greater_is_better,
        n_folds=len(work.folds),
        budget_seconds=search.budget_seconds,
        budget_trials=search.budget_trials,
        workers=workers,
    )


def _digest(paths: Paths, metric: MetricSection, *, search: SearchSection, root: Path) -> str:
    package = Path(__file__).parent
    pins = root / "infra" / "constraints.txt"
    parts = [
        digest_of([paths.training, paths.folds, paths.table_schema, paths.plan]),
        digest_of([package / name for name in CODE]),
        digest_of([pins]) if pins.exists() else "",
        metric.model_dump_json(),
        search.model_dump_json(),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _strategy(search: SearchSection, plan: Plan) -> Strategy:
    return Strategy(
        families=search.families,
        searcher=search.searcher,
        scheduler=search.scheduler,
        space={str(family): changes for family, changes in search.space.items()},
        warm_starts=plan.warm_starts,
        workers=None if search.workers == "auto" else search.workers,
        seed=search.seed,
    )


def _budget(search: SearchSection, finished: tuple[Trial, ...], *, started: float) -> Budget:
    return Budget(
        started=started,
        seconds=search.budget_seconds,
        trials=search.budget_trials,
        spent_seconds=max((trial.elapsed_seconds for trial in finished), default=0.0),
    )


def _summary(trials: tuple[Trial, ...]) -> list[str]:
    failed = sum(trial.status == "failed" for trial in trials)
    complete = sum(trial.status == "complete" for trial in trials)
    lines = [f"{len(trials)} trials, {complete} of them on every fold, {failed} failed"]
    reasons = [each for each in endings(trials) if each.status == "failed"]
    return lines + [f"{each.trials} failed: {each.reason}" for each in reasons[:SHOWN]]


if __name__ == "__main__":
    raise SystemExit(run_stage(run))
