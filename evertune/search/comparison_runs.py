"""Run one search of a comparison, with its own trials file, and measure the time of its searcher.

Nothing of the project's own search is read or written: its trials, its pool and its model stay as
they are, and the hold-out is not used.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from evertune.config.schema import SearchSection
from evertune.search.comparison import SearchRun, summarize_run
from evertune.search.objective import Job, Objective
from evertune.search.run import count_workers, run_search, runs_locally
from evertune.search.samplers import make_sampler
from evertune.search.study import Budget, Sampler, SearchConfig, Study
from evertune.search.trial_log import append_trial, open_trials
from evertune.trials import SearchHeader, Trial


class SearcherClock:
    """Measures the time inside a sampler from the moment it is made.

    Attributes
    ----------
    milliseconds : list of float
        For each suggestion: proposing it, and learning the results that came in before it.
    """

    def __init__(self, sampler: Sampler) -> None:
        self.milliseconds: list[float] = []
        self._learning_seconds = 0.0
        self._ask, self._tell = sampler.ask, sampler.tell
        # On the object itself: whatever else a sampler has stays as it is.
        vars(sampler).update(ask=self._timed_ask, tell=self._timed_tell)

    def _timed_ask(self, study: Study, *, killable: bool) -> Job | None:
        began = time.perf_counter()
        job = self._ask(study, killable=killable)
        if job is not None:
            seconds = time.perf_counter() - began + self._learning_seconds
            self.milliseconds.append(1000 * seconds)
            self._learning_seconds = 0.0
        return job

    def _timed_tell(self, study: Study, number: int, trial: Trial | None) -> None:
        began = time.perf_counter()
        self._tell(study, number, trial)
        self._learning_seconds += time.perf_counter() - began


def load_search_libraries(search: SearchSection) -> None:
    """Import Ray if the search needs it, so that the first run is as quick as the others."""
    config = SearchConfig.of(search)
    budget = Budget(time.monotonic(), search.budget_seconds, search.budget_trials)
    if not runs_locally(config, budget):
        import evertune.search.ray_tune  # noqa: F401


def run_one_search(
    objective: Objective,
    search: SearchSection,
    *,
    digest: str,
    trials_file: Path,
    root: Path,
    state: Path,
    on_trial: Callable[[Trial, int], None] = lambda *_: None,
) -> SearchRun:
    """Run a search from its start to its end.

    Parameters
    ----------
    search : SearchSection
        With the searcher, the scheduler, the seed and the budget of this run.
    digest : str
        Of all that the result depends on.
    trials_file : Path
        Is written anew.
    root, state : Path
        As `run_search` takes them.
    on_trial : callable
        Called with each trial that ended, and how many there are so far.

    Raises
    ------
    ConnectionError, ValueError
        As `run_search` does; and a sampler that cannot search the space.
    """
    objective, config = replace(objective, seed=search.seed), SearchConfig.of(search)
    metric = objective.metrics[0]
    sampler = make_sampler(objective, config)
    clock = SearcherClock(sampler)
    trials: list[Trial] = []
    trials_file.unlink(missing_ok=True)
    budget = Budget(time.monotonic(), seconds=search.budget_seconds, trials=search.budget_trials)
    header = SearchHeader(
        digest=digest,
        metric=metric.name,
        greater_is_better=metric.greater_is_better,
        n_folds=len(objective.folds),
        budget_seconds=search.budget_seconds,
        budget_trials=search.budget_trials,
        workers=count_workers(config, budget),
    )
    open_trials(trials_file, header)

    def record(trial: Trial, _: object) -> None:
        append_trial(trials_file, trial)
        trials.append(trial)
        on_trial(trial, len(trials))

    study = Study(objective, config, budget=budget, sampler=sampler, on_finished=record)
    run_search(study, root=root, state=state)
    return summarize_run(
        trials,
        searcher=search.searcher,
        scheduler=search.scheduler,
        seed=search.seed,
        digest=digest,
        greater_is_better=metric.greater_is_better,
        suggestion_milliseconds=clock.milliseconds,
        seconds=budget.elapsed(),
    )
