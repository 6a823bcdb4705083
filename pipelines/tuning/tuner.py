"""One search, from its first trial to its deadline, as one run of Ray Tune."""

import tempfile
import time
from collections.abc import Callable

from ray import tune

from pipelines.core.trials import Trial
from pipelines.tuning.cluster import ray_running
from pipelines.tuning.schedulers import scheduler
from pipelines.tuning.searchers import searcher
from pipelines.tuning.strategies import Budget, History, Places, Strategy
from pipelines.tuning.trials import Account, Deadline, FoldTrainable
from pipelines.tuning.work import Work

LEAST_SECONDS = 3  # Ray alone takes longer to start
CLOSING_SECONDS = 1.5  # what Ray takes to end


def run_trials(  # noqa: PLR0913
    work: Work,
    strategy: Strategy,
    *,
    budget: Budget,
    finished: tuple[Trial, ...],
    places: Places,
    on_finished: Callable[[Trial], None],
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
        Called with each trial as it ends, in this process.
    """
    n_trials = None if budget.trials is None else budget.trials - len(finished)
    moment = budget.deadline() - CLOSING_SECONDS
    if (n_trials is not None and n_trials <= 0) or moment - time.monotonic() < LEAST_SECONDS:
        return
    history = History(work.metrics[0], len(work.folds), finished)
    account = Account(work, clock=budget.clock, on_finished=on_finished)
    search = {
        "search_alg": searcher(strategy, history, n_trials=n_trials),
        "scheduler": scheduler(strategy.scheduler, history),
    }
    with ray_running(places.root, places.state, workers=strategy.workers) as workers:
        search |= {"max_concurrent_trials": workers}
        _tune(work, tune.TuneConfig(num_samples=-1, reuse_actors=True, **search), account, moment)
    account.close_running()


def _tune(work: Work, config: tune.TuneConfig, account: Account, moment: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run_config = tune.RunConfig(
            name="search",
            storage_path=folder,
            callbacks=[account],
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            stop=Deadline(moment, account),
            verbose=0,
        )
        trainable = tune.with_parameters(FoldTrainable, work=work)
        tune.Tuner(trainable, tune_config=config, run_config=run_config).fit()
