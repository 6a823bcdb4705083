"""One search: its settings and budget, its trials so far, and what to evaluate next.

`Study` owns the state of a search. Whoever evaluates (`run`: Ray's workers, or a thread of this
process) asks it for a `Job`, reports folds as they finish, and tells it when the job has ended:

    job = study.ask()
    for update in run_job(study.objective, job, encodings):
        if study.report(job, update) and not update.done:
            break    # pruned
    study.tell(job, update, pruned=not update.done)
    study.flush()

A `Sampler` proposes the configurations. All methods may be called by several threads.

If the budget is a number of trials, jobs are proposed in batches of four, unless the scheduler
pauses trials. The sampler, and the
decision which trials are pruned, learn of the results once the whole batch has ended, in the order
of the numbers: what is tried depends neither on timing nor on the number of workers.
"""

import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from evertune.config.schema import SearchSection
from evertune.config.search_rules import PAUSING_SCHEDULERS, search_conflicts
from evertune.ensemble.oof import TrialArtifacts
from evertune.ensemble.selection import (
    can_choose_by_first_fold,
    first_fold_weights,
    select_ensemble,
)
from evertune.search.objective import (
    OUT_OF_BUDGET,
    FoldOutcome,
    Job,
    JobUpdate,
    Objective,
    maximized_score,
    mean_score,
)
from evertune.search.pruning import FoldScores, should_prune
from evertune.search.rungs import make_rungs
from evertune.trials import Configuration, FoldResult, ParameterValue, Trial, TrialSource

CONFIGURATION_TIME_SHARE = 0.2  # of the workers' time: what one configuration may take in all
FIRST_FOLD_TIME_SHARE = 0.08  # of the workers' time: what the first fold of a default may take
# In a budget of trials: jobs that are proposed before the sampler learns of any result.
BATCH_SIZE = 4
EXPLORATION_WEIGHT = 0.01  # of a family that the ensemble does not use
REWEIGHT_AFTER_TRIALS = 3  # that must finish before the ensemble is selected again
PRUNED = "others were better on the same folds"
WORKER_DIED = "the worker process ended"

SpaceOverrides = Mapping[str, Mapping[str, tuple[ParameterValue, ...]]]
OnTrialFinished = Callable[[Trial, TrialArtifacts | None], None]


@dataclass(frozen=True)
class SearchConfig:
    """The settings of a search.

    Attributes
    ----------
    searcher : str
        One of `evertune.search.samplers.SEARCHERS`.
    scheduler : str
        `racing` (see `pruning`), `none`, or one of Tune's (see `ray_schedulers`).
    rung : str
        Where Tune's schedulers compare trials: `folds`, `rows` or `rounds` (see `rungs`).
    space : mapping from family to mapping from parameter to values
        Overrides of the default ranges: two bounds, or some choices.
    warm_starts : tuple of Configuration
        Tried before the families' defaults.
    workers : int, optional
        Jobs at once; None is one for each processor.
    gpus_per_trial : float
        That Ray reserves for each trial.
    storage : str, optional
        Folder or address of Tune's checkpoints, which all nodes of a cluster must reach.
    strategy : str
        `joint`, `sequence` or `alternating`: how the axes of a configuration are searched.
    configurations : tuple of Configuration
        What the searcher `manual` evaluates.
    objectives : tuple of str
        Metrics beside the first one, for the searcher `nsga2`.
    guards : mapping from metric to float
        Bounds that `nsga2` takes for constraints.
    """

    families: tuple[str, ...]
    searcher: str = "portfolio"
    scheduler: str = "racing"
    rung: str = "folds"
    space: SpaceOverrides = field(default_factory=dict)
    warm_starts: tuple[Configuration, ...] = ()
    workers: int | None = None
    gpus_per_trial: float = 0.0
    storage: str | None = None
    seed: int = 0
    strategy: str = "joint"
    configurations: tuple[Configuration, ...] = ()
    objectives: tuple[str, ...] = ()
    guards: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        search: SearchSection,
        *,
        warm_starts: tuple[Configuration, ...] = (),
        guards: Mapping[str, float] | None = None,
    ) -> "SearchConfig":
        """Return the settings of a section of params.yaml; guards are those of `metric`."""
        return cls(
            families=search.families,
            searcher=search.searcher,
            scheduler=search.scheduler,
            rung=search.rung,
            space={str(family): ranges for family, ranges in search.space.items()},
            warm_starts=warm_starts,
            workers=None if search.workers == "auto" else search.workers,
            gpus_per_trial=search.gpus_per_trial,
            storage=search.storage,
            seed=search.seed,
            strategy=search.strategy,
            configurations=tuple(
                Configuration(
                    str(given["family"]), {k: v for k, v in given.items() if k != "family"}
                )
                for given in search.configurations
            ),
            objectives=search.objectives,
            guards=guards or {},
        )

    @property
    def one_by_one(self) -> bool:
        """Whether each fold is reported alone: a named searcher's trials are compared by folds."""
        return self.searcher != "portfolio"

    def check(self) -> None:
        """Refuse settings that do not go together.

        Raises
        ------
        ValueError
            The message has all faults, see `evertune.config.search_rules`.
        """
        faults = search_conflicts(
            searcher=self.searcher,
            strategy=self.strategy,
            scheduler=self.scheduler,
            rung=self.rung,
            families=self.families,
            space=self.space,
            configurations=self.configurations,
            objectives=self.objectives,
        )
        text = " ".join(f"search.{key}: {fault}." for key, fault in faults)
        if text:
            raise ValueError(text)


@dataclass(frozen=True)
class Budget:
    """What a search may use, over all its runs.

    Attributes
    ----------
    started : float
        Moment of the monotonic clock from which this run's seconds count.
    seconds, trials : optional
        Limits; None is no limit.
    spent_seconds : float
        Used by earlier runs, which were killed.
    """

    started: float
    seconds: float | None
    trials: int | None
    spent_seconds: float = 0.0

    def elapsed(self) -> float:
        """Return the seconds that the search has used, over all its runs."""
        return self.spent_seconds + time.monotonic() - self.started

    def deadline(self) -> float:
        """Return the moment of the monotonic clock at which the search must have ended."""
        if self.seconds is None:
            return math.inf
        return self.started + self.seconds - self.spent_seconds


@dataclass(frozen=True, eq=False)
class RunningTrial:
    """How far a trial is.

    Attributes
    ----------
    busy : frozenset of int
        Folds that a worker has now.
    iterations : int, optional
        What the other folds get exactly, if the first one was cut short.
    rung_results : tuple of FoldResult
        Of its last rung, at which folds had the share `fidelity` of their rows or rounds.
    member : str, optional
        See `Trial`.
    """

    configuration: Configuration
    phase: TrialSource
    outcomes: tuple[FoldOutcome, ...] = ()
    busy: frozenset[int] = frozenset()
    iterations: int | None = None
    rung_results: tuple[FoldResult, ...] = ()
    fidelity: float = 1.0
    member: str | None = None

    @property
    def results(self) -> tuple[FoldResult, ...]:
        """The results so far, in the order of the folds; if no fold is whole, of the last rung."""
        whole = [each.result for each in self.outcomes]
        return tuple(sorted(whole or self.rung_results, key=lambda each: each.fold))

    @property
    def seconds(self) -> float:
        """The time of its folds so far."""
        return sum(each.fit_seconds + each.predict_seconds for each in self.results)

    def artifacts(self, number: int) -> TrialArtifacts:
        """Return the fold models so far, in the order of the folds."""
        models = sorted((each.model for each in self.outcomes), key=lambda each: each.fold)
        return TrialArtifacts(number, self.configuration, tuple(models))


class Sampler(ABC):
    """Proposes jobs to one study, which calls it under its lock.

    The same seed, trials and order of calls give the same proposals.
    """

    @property
    def exhausted(self) -> bool:
        """Whether there is nothing left to propose, whatever the budget."""
        return False

    @abstractmethod
    def ask(self, study: "Study", *, killable: bool) -> Job | None:
        """Return a job made by `study.new_job`, or None if there is none now.

        If the worker is not `killable`, its family must be able to end a fit by a deadline.
        """

    def tell(self, study: "Study", number: int, trial: Trial | None) -> None:  # noqa: B027
        """Learn how the trial of a job went; None if it goes on, or ended before the job did."""


class Study:
    """The state of a search.

    Parameters
    ----------
    on_finished : callable
        Called by `flush`, one thread at a time, with each trial and, if it ran on every fold, with
        its fold models.
    past_trials : tuple of Trial
        Of earlier runs of the same search; they are not evaluated again.

    Attributes
    ----------
    trials : list of Trial
        Of this run, as far as the sampler may know of them: in the order in which they ended, or
        batch by batch.
    running : dict
        Trials that have not ended, by number.
    artifacts : dict
        Out-of-fold predictions of trials that ended, without the fitted models, by number: of all
        folds, or of those that the budget allowed.
    workers : int
        Jobs at once, for planning; set once it is known.
    stop_at : float
        Moment of the monotonic clock at which jobs end; before the budget's deadline if the
        workers take time to stop.
    next_number : int
        Of the next trial.
    rungs : Rungs
        Where its scheduler compares trials.
    read_models : callable
        Returns a trial's artifacts with the fitted models, if workers stored them elsewhere.
    """

    def __init__(
        self,
        objective: Objective,
        config: SearchConfig,
        *,
        budget: Budget,
        sampler: Sampler,
        on_finished: OnTrialFinished,
        past_trials: tuple[Trial, ...] = (),
    ) -> None:
        config.check()
        self.objective, self.config, self.budget = objective, config, budget
        self.metric, self.n_folds = objective.metrics[0], len(objective.folds)
        self.rungs = make_rungs(
            config.scheduler, config.rung, objective.folds, one_by_one=config.one_by_one
        )
        self.past_trials = past_trials
        self.seed = config.seed + len(past_trials)
        self.trials: list[Trial] = []
        self.running: dict[int, RunningTrial] = {}
        self.artifacts: dict[int, TrialArtifacts] = {}
        self.workers = config.workers or 1
        self.read_models: Callable[[TrialArtifacts], TrialArtifacts] = lambda artifacts: artifacts
        self.stop_at = budget.deadline()
        self.next_number = 1 + max((trial.number for trial in past_trials), default=-1)
        self._trials_left = None if budget.trials is None else budget.trials - len(past_trials)
        self._on_finished = on_finished
        # A scheduler that pauses trials decides itself which results it waits for.
        self._in_batches = budget.seconds is None and config.scheduler not in PAUSING_SCHEDULERS
        self._batch: dict[int, bool] = {}  # by trial number, whether its job has ended
        self._batch_is_full = False
        self._ended: dict[int, Trial | None] = {}  # what the sampler does not know yet
        self._artifacts: dict[int, TrialArtifacts] = {}  # likewise
        self._unflushed: list[tuple[Trial, TrialArtifacts | None]] = []
        self._weights: dict[int, float] = {}
        self._n_weighted = 0
        self._lock, self._flush_lock = threading.RLock(), threading.Lock()
        self.sampler = sampler

    @property
    def is_timed(self) -> bool:
        """Whether the budget is in seconds, not in trials alone."""
        return self.budget.seconds is not None

    @property
    def all_trials(self) -> tuple[Trial, ...]:
        """The trials of earlier runs, then those of this run in the order of their numbers."""
        return (*self.past_trials, *sorted(self.trials, key=lambda trial: trial.number))

    @property
    def exhausted(self) -> bool:
        """Whether no job will come any more."""
        with self._lock:
            used_up = self._trials_left is not None and self._trials_left <= 0
            return used_up or self.seconds_left() <= 0 or self.sampler.exhausted

    @property
    def is_waiting(self) -> bool:
        """Whether trials are running, or have results that the sampler does not know yet."""
        return bool(self.running or self._batch)

    def seconds_left(self) -> float:
        """Return the seconds until jobs end."""
        return self.stop_at - time.monotonic()

    def used_share(self) -> float:
        """Return the share of the budget's seconds that is used; 0 if only trials are counted."""
        seconds = self.budget.seconds
        return 0.0 if seconds is None else 1 - self.seconds_left() / seconds

    def ask(self, *, killable: bool = True) -> Job | None:
        """Return the next job, or None if there is none now.

        `killable` says whether the worker can be killed at the deadline. Families whose fits
        cannot be given one are proposed to such workers alone.
        """
        with self._lock:
            if self.exhausted or self._batch_is_full:
                return None
            job = self.sampler.ask(self, killable=killable)
            if job is None:
                if not (self._in_batches and self._batch):
                    return None
                self._batch_is_full = True  # what comes next depends on its results
                return self.ask(killable=killable) if self._learn_results() else None
            self._batch[job.number] = False
            self._batch_is_full = self._in_batches and len(self._batch) >= BATCH_SIZE
            trial = self.running.get(job.number)
            if trial is None:
                trial = RunningTrial(job.configuration, job.phase, member=job.member)
            self.running[job.number] = replace(trial, busy=trial.busy | set(job.folds))
            return job

    def new_job(
        self,
        configuration: Configuration,
        phase: TrialSource,
        *,
        n_folds: int | None = None,
        number: int | None = None,
    ) -> Job:
        """Return the first job of a new trial, on all folds by default; for samplers."""
        number = self.next_number if number is None else number
        self.next_number = number + 1
        if self._trials_left is not None:
            self._trials_left -= 1
        return self.limit(Job(number, configuration, tuple(range(n_folds or self.n_folds)), phase))

    def withdraw(self, job: Job) -> None:
        """Take back the latest job that `new_job` returned; for samplers that don't want it."""
        self.next_number = job.number
        if self._trials_left is not None:
            self._trials_left += 1

    def limit(self, job: Job) -> Job:
        """Return a job with its share of the time; unchanged if only trials are counted."""
        seconds = self.budget.seconds
        if seconds is None:
            return job
        share = CONFIGURATION_TIME_SHARE / self.n_folds
        if job.folds == (0,) and job.phase == "portfolio":  # it can be a member by that fold alone
            share = max(share, FIRST_FOLD_TIME_SHARE)
        share *= self.workers * seconds
        return replace(job, fold_seconds=share, deadline=time.time() + self.seconds_left())

    def report(self, job: Job, update: JobUpdate) -> bool:
        """Record some folds of a job, and return whether its trial is to be pruned."""
        with self._lock:
            trial = self.running.get(job.number)
            if trial is None:  # another job of the trial has ended it
                return False
            # A trial that lost its worker repeats what it did after its last checkpoint.
            known = {each.result.fold for each in trial.outcomes}
            outcomes = [each for each in update.outcomes if each.result.fold not in known]
            cut = [each.result.iterations for each in outcomes if not each.completed]
            trial = self.running[job.number] = replace(
                trial,
                configuration=job.configuration,  # population based training changes it
                outcomes=(*trial.outcomes, *outcomes),
                iterations=cut[0] if cut else trial.iterations,
            )
            if update.rung_results:
                trial = self.running[job.number] = replace(
                    trial, rung_results=update.rung_results, fidelity=update.fidelity
                )
            if self.config.scheduler != "racing" or job.phase != "search":
                return False
            rivals = [
                self._fold_scores(other.folds)
                for other in self.trials
                if other.configuration.family == job.configuration.family
            ]
            return should_prune(self._fold_scores(trial.results), rivals)

    def tell(self, job: Job, update: JobUpdate | None, *, pruned: bool = False) -> None:
        """Record that a job has ended; `update` is its last one, None if the worker died."""
        with self._lock:
            self._ended[job.number] = self._end_job(job, update, pruned=pruned)
            self._batch[job.number] = True
            self._batch_is_full = self._batch_is_full or (self._in_batches and self.exhausted)
            self._learn_results()

    def flush(self) -> None:
        """Pass the trials that have ended to `on_finished`."""
        with self._flush_lock:
            while True:
                with self._lock:
                    if not self._unflushed:
                        return
                    trial, artifacts = self._unflushed.pop(0)
                self._on_finished(trial, artifacts and self.read_models(artifacts))

    def close(self) -> None:
        """End what the budget cut short; later reports of stuck fits are ignored."""
        with self._lock:
            for number, trial in sorted(self.running.items()):
                if trial.results:
                    self._ended[number] = self._end_trial(number, "stopped", OUT_OF_BUDGET)
            self.running.clear()
            self._learn_results(closing=True)
        self.flush()

    def family_weights(self) -> dict[str, float]:
        """Return the weight of each tried family in the ensemble of the trials so far.

        Families without weight in it get a small one, for exploration. Until a trial of this run
        has finished, the families of earlier runs' complete trials count alike.
        """
        if not self.artifacts:
            complete = [
                t for t in self.past_trials if t.status == "complete" and t.score is not None
            ]
            return dict.fromkeys((t.configuration.family for t in complete), EXPLORATION_WEIGHT)
        weights = self.trial_weights()
        families = {trial.number: trial.configuration.family for trial in self.trials}
        families |= {number: each.configuration.family for number, each in self.running.items()}
        totals = {each.configuration.family: EXPLORATION_WEIGHT for each in self.artifacts.values()}
        for number, weight in weights.items():
            family = families[number]
            totals[family] = totals.get(family, EXPLORATION_WEIGHT) + weight
        return totals

    def trial_weights(self) -> dict[int, float]:
        """Return the weight of each trial in the ensemble of the trials so far, if there is one.

        If the budget is in seconds, trials that are still running count, too, and the rows of the
        first fold choose the weights where they tell enough. The ensemble is selected again once
        three more trials have ended or begun.
        """
        known = dict(self.artifacts)
        if self.is_timed:
            known |= {
                number: trial.artifacts(number)
                for number, trial in self.running.items()
                if trial.outcomes and trial.phase == "portfolio"
            }
        if self._n_weighted and len(known) < self._n_weighted + REWEIGHT_AFTER_TRIALS:
            return self._weights
        self._n_weighted = len(known)
        entries = [entry for _, entry in sorted(known.items())]
        if self.is_timed and can_choose_by_first_fold(self.objective.folds):
            self._weights = first_fold_weights(
                entries, self.objective.y, self.metric, seed=self.seed
            )
        else:
            ensemble = select_ensemble(
                entries,
                self.objective.y,
                self.metric,
                folds=self.objective.folds,
                seed=self.seed,
            )
            self._weights = {} if ensemble is None else dict(ensemble.weights)
        return self._weights

    def _learn_results(self, *, closing: bool = False) -> bool:
        """Let the sampler know the trials that ended, once their batch is complete."""
        complete = self._batch_is_full and all(self._batch.values())
        if self._in_batches and not (complete or closing):
            return False
        ended = sorted(self._ended.items())
        self.trials += [trial for _, trial in ended if trial is not None]
        self.artifacts |= sorted(self._artifacts.items())
        for number, trial in () if closing else ended:
            self.sampler.tell(self, number, trial)
        self._ended, self._artifacts, self._batch, self._batch_is_full = {}, {}, {}, False
        return True

    def _end_job(self, job: Job, update: JobUpdate | None, *, pruned: bool) -> Trial | None:
        """Return the trial if it has ended with this job, None if it goes on or ended before."""
        if job.number not in self.running:
            return None
        trial = self.running[job.number]
        trial = self.running[job.number] = replace(trial, busy=trial.busy - set(job.folds))
        if update is None:
            return self._end_trial(job.number, "failed", WORKER_DIED)
        if update.failed:
            return self._end_trial(job.number, "failed", update.reason)
        if len(trial.outcomes) == self.n_folds:
            return self._end_trial(job.number, "complete", None)
        if pruned or update.reason is not None:
            return self._end_trial(job.number, "stopped", PRUNED if pruned else update.reason)
        return None

    def _end_trial(
        self, number: int, status: Literal["complete", "stopped", "failed"], reason: str | None
    ) -> Trial:
        running = self.running.pop(number)
        trial = Trial(
            number=number,
            configuration=running.configuration,
            status=status,
            folds=running.results,
            score=mean_score(running.results, self.metric.name),
            reason=reason,
            elapsed_seconds=self.budget.elapsed(),
            phase=running.phase,
            fidelity=1.0 if running.outcomes else running.fidelity,
            member=running.member,
        )
        complete = status == "complete" and trial.score is not None
        # what the budget stopped can still be a member, by the folds that it has
        part = status == "stopped" and bool(running.outcomes) and reason != PRUNED
        artifacts = None
        if complete or part:
            artifacts = running.artifacts(number)
            self._artifacts[number] = artifacts.without_models()
        self._unflushed.append((trial, artifacts))
        return trial

    def _fold_scores(self, results: tuple[FoldResult, ...]) -> FoldScores:
        scores = {each.fold: each.figures[self.metric.name] for each in results}
        return {
            fold: None if score is None else maximized_score(score, self.metric)
            for fold, score in scores.items()
        }
