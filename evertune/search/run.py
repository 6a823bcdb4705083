"""Run one search from its first trial to its deadline, in this process or with Ray Tune.

`run_search` starts Ray Tune unless Ray would only cost time: with a single worker and a budget
of trials, or with less than 20 seconds left, all jobs run in a thread of this process. Where
Ray is used and the budget is in seconds, quick jobs run here while Ray starts
(`background_evaluation`). Fits that cannot be given a deadline never run here, since a thread
cannot be killed. `run_configurations` evaluates given configurations and no others, to the end
whatever the budget (for a refit). Trials finished in an earlier run are never repeated.
"""

import math
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from threadpoolctl import threadpool_limits

from evertune.ensemble.oof import TrialArtifacts
from evertune.search.objective import EncodingCache, Job, JobUpdate, Objective, run_job
from evertune.search.portfolio import PortfolioSampler
from evertune.search.samplers import SamplerContext, SequentialSampler
from evertune.search.study import (
    Budget,
    OnTrialFinished,
    PastTrials,
    ProjectFolders,
    SearchConfig,
    Study,
    TimeBudget,
    TrialTracker,
)
from evertune.trials import Configuration, Trial

POLL_SECONDS = 0.05
GRACE_SECONDS = 0.5  # after the deadline, for a fit that ends by it


def evaluate_locally(work: Objective, agenda: Study, *, moment: float) -> None:
    """Evaluate units until there are no more, in a thread that is left alone if it gets stuck.

    Parameters
    ----------
    work : Objective
    agenda : Study
    moment : float
        Of the monotonic clock: what is not done then is not waited for.
    """
    failures: list[BaseException] = []
    thread = _start_thread(work, agenda, threading.Event(), failures)
    while thread.is_alive() and time.monotonic() < moment + GRACE_SECONDS:
        thread.join(POLL_SECONDS)
    _raise_first(failures)


@contextmanager
def background_evaluation(work: Objective, agenda: Study) -> Iterator[threading.Event]:
    """Evaluate quick units beside what the block does, until the event that it gives is set."""
    failures: list[BaseException] = []
    enough = threading.Event()
    _start_thread(work, agenda, enough, failures)
    try:
        yield enough
    finally:
        enough.set()
    _raise_first(failures)


def _start_thread(
    work: Objective, agenda: Study, enough: threading.Event, failures: list[BaseException]
) -> threading.Thread:
    def follow() -> None:
        try:
            _evaluate_jobs(work, agenda, enough)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=follow, daemon=True, name="evaluating")
    thread.start()
    return thread


def _evaluate_jobs(work: Objective, agenda: Study, enough: threading.Event) -> None:
    encodings: EncodingCache = {}
    with threadpool_limits(1):
        while not (enough.is_set() or agenda.ended):
            unit = agenda.next_unit(endable=False)
            if unit is None:
                time.sleep(POLL_SECONDS)
            else:
                _evaluate_job(work, agenda, unit, encodings)
                agenda.account.hand_over()


def _evaluate_job(work: Objective, agenda: Study, unit: Job, encodings: EncodingCache) -> None:
    step: JobUpdate | None = None
    for step in run_job(work, unit, encodings):
        outrun = agenda.took(unit, step) and not step.done
        if outrun:
            agenda.end(unit, step, outrun=True)
            return
    agenda.end(unit, step)


def _raise_first(failures: list[BaseException]) -> None:
    if failures:
        raise failures[0]


MIN_RAY_SECONDS = 20  # Ray alone takes as long to start and to end
SHUTDOWN_SECONDS = 3.5  # what the last results and Ray take to end
MIN_SEARCH_SECONDS = 0.2
SAMPLERS = {"portfolio": PortfolioSampler}


def run_search(
    work: Objective,
    strategy: SearchConfig,
    *,
    budget: Budget,
    finished: tuple[Trial, ...],
    places: ProjectFolders,
    on_finished: OnTrialFinished,
) -> None:
    """Search until the budget is used up; trials that were finished before are not run again.

    Parameters
    ----------
    work : Objective
    strategy : SearchConfig
    budget : Budget
    finished : tuple of Trial
        Of earlier runs of the same search.
    places : ProjectFolders
    on_finished : callable
        Called in this process with each trial as it ends, and with what the pool keeps of it.

    Raises
    ------
    ConnectionError
        If no cluster answers at RAY_ADDRESS.
    ValueError
        If the strategy names what there is not, or more workers than the cluster has processors.
    """
    n_trials = None if budget.trials is None else budget.trials - len(finished)
    if (n_trials is not None and n_trials <= 0) or _seconds_left(budget) < MIN_SEARCH_SECONDS:
        return
    account = TrialTracker(work, clock=budget.clock, on_finished=on_finished)
    history = PastTrials(work.metrics[0], len(work.folds), finished)
    here = _runs_without_ray(strategy, budget)
    clock = _time_budget(strategy, budget, here=here)
    start = SamplerContext(history, account, clock, n_trials)
    agenda = Study(
        SAMPLERS.get(strategy.searcher, SequentialSampler)(work, strategy, start),
        account,
        metric=work.metrics[0],
        races=strategy.scheduler == "racing",
        in_order=budget.seconds is None,
    )
    if here:
        evaluate_locally(work, agenda, moment=clock.moment)
    elif math.isinf(clock.seconds):
        _run_ray_tune(
            work, agenda, _RayRun(strategy, history, places, clock.moment, threading.Event())
        )
    else:
        with background_evaluation(work, agenda) as enough:
            _run_ray_tune(work, agenda, _RayRun(strategy, history, places, clock.moment, enough))
    account.close()


def count_workers(strategy: SearchConfig, budget: Budget) -> int | None:
    """Return how many trials a search runs at once; None where a cluster tells it."""
    if _runs_without_ray(strategy, budget):
        return 1
    if strategy.workers is not None or os.environ.get("RAY_ADDRESS"):
        return strategy.workers
    return os.cpu_count() or 1


@dataclass(frozen=True)
class _RayRun:
    """What a run of Tune is told; `begun` is set once a worker of its own runs."""

    strategy: SearchConfig
    history: PastTrials
    places: ProjectFolders
    moment: float
    begun: threading.Event


def _seconds_left(budget: Budget) -> float:
    return budget.deadline() - time.monotonic()


def _runs_without_ray(strategy: SearchConfig, budget: Budget) -> bool:
    """Return whether Ray would only cost time: it has no second worker, or hardly starts."""
    if os.environ.get("RAY_ADDRESS") or strategy.scheduler == "asha":
        return False
    alone = strategy.workers == 1 and budget.seconds is None
    return alone or _seconds_left(budget) < MIN_RAY_SECONDS


def _time_budget(strategy: SearchConfig, budget: Budget, *, here: bool) -> TimeBudget:
    moment = budget.deadline() - (0 if here else SHUTDOWN_SECONDS)
    workers = 1 if here else strategy.workers or os.cpu_count() or 1
    return TimeBudget(budget.seconds or math.inf, moment, workers)


def _run_ray_tune(work: Objective, agenda: Study, run: _RayRun) -> None:
    # Ray takes seconds to import: the first fits are begun by then
    from ray import tune

    from evertune.search.ray_tune import (
        CrossValidationTrainable,
        StudyCallback,
        StudySearcher,
        build_scheduler,
        ray_session,
    )

    control = StudyCallback(agenda, moment=run.moment, begun=run.begun)
    with (
        tempfile.TemporaryDirectory() as folder,
        ray_session(run.places.root, run.places.state, workers=run.strategy.workers) as workers,
    ):
        tune.Tuner(
            tune.with_parameters(CrossValidationTrainable, work=work),
            tune_config=tune.TuneConfig(
                num_samples=-1,
                reuse_actors=True,
                search_alg=StudySearcher(agenda),
                scheduler=build_scheduler(run.strategy.scheduler, run.history),
                max_concurrent_trials=workers,
            ),
            run_config=tune.RunConfig(
                name="search",
                storage_path=folder,
                callbacks=[control],
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                stop=control,
                verbose=0,
            ),
        ).fit()


def run_configurations(
    work: Objective,
    configurations: Sequence[Configuration],
    *,
    budget: Budget,
    finished: tuple[Trial, ...],
    on_finished: OnTrialFinished,
) -> None:
    """Evaluate configurations as they are on all folds; those finished before are not run again.

    They are run to their end whatever the budget says: nothing else could take their place.

    Parameters
    ----------
    work : Objective
    configurations : sequence of Configuration
    budget : Budget
        Its clock times the trials.
    finished : tuple of Trial
        Of earlier runs of the same search.
    on_finished : callable
        Called with each trial as it ends, and with what the pool keeps of it.
    """
    done = {trial.number for trial in finished}
    for number, configuration in enumerate(configurations):
        if number not in done:
            on_finished(*_evaluate_configuration(work, configuration, number=number, budget=budget))


def _evaluate_configuration(
    work: Objective, configuration: Configuration, *, number: int, budget: Budget
) -> tuple[Trial, TrialArtifacts | None]:
    account: list[tuple[Trial, TrialArtifacts | None]] = []
    unit = Job(number, configuration, tuple(range(len(work.folds))), "given")
    kept = TrialTracker(work, clock=budget.clock, on_finished=lambda *ended: account.append(ended))
    kept.begin(unit)
    last = None
    for last in run_job(work, unit, {}):
        kept.take(unit, last)
    kept.end(unit, last)
    kept.close()
    return account[0]
