"""One search, from its first trial to its deadline: quick fits here, then one run of Ray Tune."""

import math
import os
import tempfile
import threading
import time
from dataclasses import dataclass

from pipelines.core.trials import Trial
from pipelines.tuning.account import Account, Keep
from pipelines.tuning.agenda import Agenda
from pipelines.tuning.clocks import Clock
from pipelines.tuning.here import evaluate_here, evaluating_meanwhile
from pipelines.tuning.points import Points
from pipelines.tuning.portfolio import Portfolio
from pipelines.tuning.starts import Start
from pipelines.tuning.strategies import Budget, History, Places, Strategy
from pipelines.tuning.work import Work

SMALL_SECONDS = 20  # Ray alone takes as long to start and to end
CLOSING_SECONDS = 3.5  # what the last results and Ray take to end
LEAST_SECONDS = 0.2
PROPOSERS = {"portfolio": Portfolio}


def run_trials(  # noqa: PLR0913
    work: Work,
    strategy: Strategy,
    *,
    budget: Budget,
    finished: tuple[Trial, ...],
    places: Places,
    on_finished: Keep,
) -> None:
    """Search until the budget is used up; trials that were finished before are not run again.

    Parameters
    ----------
    work : Work
    strategy : Strategy
    budget : Budget
    finished : tuple of Trial
        Of earlier runs of the same search.
    places : Places
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
    if (n_trials is not None and n_trials <= 0) or _left(budget) < LEAST_SECONDS:
        return
    account = Account(work, clock=budget.clock, on_finished=on_finished)
    history = History(work.metrics[0], len(work.folds), finished)
    here = _is_small(strategy, budget)
    clock = _clock(strategy, budget, here=here)
    start = Start(history, account, clock, n_trials)
    agenda = Agenda(
        PROPOSERS.get(strategy.searcher, Points)(work, strategy, start),
        account,
        metric=work.metrics[0],
        races=strategy.scheduler == "racing",
        in_order=budget.seconds is None,
    )
    if here:
        evaluate_here(work, agenda, moment=clock.moment)
    elif math.isinf(clock.seconds):
        _tune(work, agenda, _Run(strategy, history, places, clock.moment, threading.Event()))
    else:
        with evaluating_meanwhile(work, agenda) as enough:
            _tune(work, agenda, _Run(strategy, history, places, clock.moment, enough))
    account.close()


def n_workers(strategy: Strategy, budget: Budget) -> int | None:
    """Return how many trials a search runs at once; None where a cluster tells it."""
    if _is_small(strategy, budget):
        return 1
    if strategy.workers is not None or os.environ.get("RAY_ADDRESS"):
        return strategy.workers
    return os.cpu_count() or 1


@dataclass(frozen=True)
class _Run:
    """What a run of Tune is told; `begun` is set once a worker of its own runs."""

    strategy: Strategy
    history: History
    places: Places
    moment: float
    begun: threading.Event


def _left(budget: Budget) -> float:
    return budget.deadline() - time.monotonic()


def _is_small(strategy: Strategy, budget: Budget) -> bool:
    """Return whether Ray would only cost time: it has no second worker, or hardly starts."""
    if os.environ.get("RAY_ADDRESS") or strategy.scheduler == "asha":
        return False
    alone = strategy.workers == 1 and budget.seconds is None
    return alone or _left(budget) < SMALL_SECONDS


def _clock(strategy: Strategy, budget: Budget, *, here: bool) -> Clock:
    moment = budget.deadline() - (0 if here else CLOSING_SECONDS)
    workers = 1 if here else strategy.workers or os.cpu_count() or 1
    return Clock(budget.seconds or math.inf, moment, workers)


def _tune(work: Work, agenda: Agenda, run: _Run) -> None:
    # Ray takes seconds to import: the first fits are begun by then
    from ray import tune

    from pipelines.tuning.cluster import ray_running
    from pipelines.tuning.schedulers import scheduler
    from pipelines.tuning.trials import Controller, FoldTrainable, UnitSearcher

    control = Controller(agenda, moment=run.moment, begun=run.begun)
    with (
        tempfile.TemporaryDirectory() as folder,
        ray_running(run.places.root, run.places.state, workers=run.strategy.workers) as workers,
    ):
        tune.Tuner(
            tune.with_parameters(FoldTrainable, work=work),
            tune_config=tune.TuneConfig(
                num_samples=-1,
                reuse_actors=True,
                search_alg=UnitSearcher(agenda),
                scheduler=scheduler(run.strategy.scheduler, run.history),
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
