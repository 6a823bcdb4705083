"""The state of a running search: its configuration, its budget, its trials and what runs next.

`SearchConfig` and `Budget` say how to search and for how long. `Study` hands out jobs from a
`Sampler` and takes their results, whether they come from Ray's workers or from a thread of this
process; all its methods are thread-safe. `TrialTracker` follows the folds of each trial and
passes it on as soon as it has ended. `should_prune` stops a trial that is worse than the median
of its family on the very same folds, so that easy folds favour no trial.

If the budget is a number of trials, jobs are told in fixed batches in the order of their
numbers and race only against earlier batches, so the result does not depend on timing or worker
count.
"""

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Literal, Protocol

from evertune.ensemble.oof import TrialArtifacts
from evertune.metrics.metrics import Metric
from evertune.models.families import configuration_encoding
from evertune.search.objective import (
    OUT_OF_BUDGET,
    FoldOutcome,
    Job,
    JobUpdate,
    Objective,
    mean_score,
)
from evertune.search.space import default_configurations
from evertune.trials import Configuration, FoldResult, ParameterValue, Trial, TrialSource

SpaceOverrides = Mapping[str, Mapping[str, tuple[ParameterValue, ...]]]


@dataclass(frozen=True)
class SearchConfig:
    """How a search looks for configurations.

    Attributes
    ----------
    searcher : str
        `portfolio`, `tpe`, `random`, or `grid`.
    scheduler : str
        `racing`, `asha` or `none`.
    space : mapping from family to mapping from parameter to values
        What is searched in place of the space's own ranges: two bounds, or some choices.
    warm_starts : tuple of Configuration
        Tried before the families' defaults.
    workers : int, optional
        Trials at once; None is one for each processor.
    """

    families: tuple[str, ...]
    searcher: str = "portfolio"
    scheduler: str = "racing"
    space: SpaceOverrides = field(default_factory=dict)
    warm_starts: tuple[Configuration, ...] = ()
    workers: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Budget:
    """What a search may use up.

    Attributes
    ----------
    started : float
        Moment of the monotonic clock from which seconds count.
    seconds, trials : optional
        What the whole search may use, over all its runs.
    spent_seconds : float
        Used before, by runs that were killed.
    """

    started: float
    seconds: float | None
    trials: int | None
    spent_seconds: float = 0.0

    def clock(self) -> float:
        """Return the seconds that the search has used, over restarts."""
        return self.spent_seconds + time.monotonic() - self.started

    def deadline(self) -> float:
        """Return the moment of the monotonic clock at which the search must have ended."""
        if self.seconds is None:
            return math.inf
        return self.started + self.seconds - self.spent_seconds


@dataclass(frozen=True)
class PastTrials:
    """What a search found before it was killed, and how to read it."""

    metric: Metric
    n_folds: int
    finished: tuple[Trial, ...] = ()


@dataclass(frozen=True)
class ProjectFolders:
    """Absolute folders: of the project, and of its state."""

    root: Path
    state: Path


def first_configurations(strategy: SearchConfig) -> tuple[Configuration, ...]:
    """Return the configurations that are tried before any that a searcher proposes."""
    return (*strategy.warm_starts, *default_configurations(strategy.families))


def maximized_score(score: float, metric: Metric) -> float:
    """Return a score turned so that more is better."""
    return score if metric.greater_is_better else -score


CONFIGURATION_TIME_SHARE = 0.2  # of the workers' time: what one configuration may take in all


@dataclass(frozen=True)
class TimeBudget:
    """The time of a search.

    Attributes
    ----------
    seconds : float
        Of the whole search; infinite where it is counted in trials.
    moment : float
        Of the monotonic clock, at which units end.
    workers : int
    """

    seconds: float
    moment: float
    workers: int

    def left(self) -> float:
        """Return the seconds until units end."""
        return self.moment - time.monotonic()

    def used(self) -> float:
        """Return the share of the seconds that is used; 0 where trials are counted."""
        return 0.0 if math.isinf(self.seconds) else 1 - self.left() / self.seconds

    def timed(self, unit: Job, n_folds: int) -> Job:
        """Return a unit with its share of the time; where trials are counted, as it is."""
        if math.isinf(self.seconds):
            return unit
        share = CONFIGURATION_TIME_SHARE * self.workers * self.seconds / n_folds
        return replace(unit, fold_seconds=share, deadline=time.time() + self.left())


PRUNED = "others were better on the same folds"
WORKER_DIED = "the worker process ended"
OnTrialFinished = Callable[[Trial, TrialArtifacts | None], None]
TrialStatus = Literal["complete", "stopped", "failed"]


@dataclass(frozen=True, eq=False)
class RunningTrial:
    """How far a trial is.

    Attributes
    ----------
    configuration : Configuration
    phase : str
    yields : tuple of FoldOutcome
    running : frozenset of int
        Folds that a worker has now.
    iterations : int, optional
        What its other folds have exactly, since the first was cut short.
    """

    configuration: Configuration
    phase: TrialSource
    yields: tuple[FoldOutcome, ...] = ()
    running: frozenset[int] = frozenset()
    iterations: int | None = None

    @property
    def results(self) -> tuple[FoldResult, ...]:
        """What its folds gave, in the order of the folds."""
        return tuple(sorted((each.result for each in self.yields), key=lambda fold: fold.fold))

    @property
    def seconds(self) -> float:
        """The time of its folds so far."""
        return sum(each.fit_seconds + each.predict_seconds for each in self.results)


class TrialTracker:
    """Follows units as they run and hands each trial over as soon as it has ended.

    It may be told by several threads; one of them hands over at a time.

    Parameters
    ----------
    work : Objective
    clock : callable
        Seconds of the search so far, over restarts.
    on_finished : callable
        Called with each trial and, where all its folds were evaluated, what the pool keeps of it.
    """

    def __init__(
        self, work: Objective, *, clock: Callable[[], float], on_finished: OnTrialFinished
    ) -> None:
        self._work, self._clock, self._on_finished = work, clock, on_finished
        self._lock = threading.RLock()
        self._open: dict[int, RunningTrial] = {}
        self._ended: list[tuple[Trial, TrialArtifacts | None]] = []
        self.trials: list[Trial] = []
        self.entries: dict[int, TrialArtifacts] = {}  # without their models, which the pool has

    def begin(self, unit: Job) -> None:
        """Remember that a unit runs."""
        with self._lock:
            known = self._open.get(unit.number) or RunningTrial(unit.configuration, unit.phase)
            self._open[unit.number] = replace(known, running=known.running | set(unit.folds))

    def take(self, unit: Job, step: JobUpdate) -> None:
        """Keep what some folds gave; of a trial that another unit ended, nothing is kept."""
        with self._lock:
            known = self._open.get(unit.number)
            if known is None:
                return
            cut = [each.result.iterations for each in step.yields if not each.whole]
            self._open[unit.number] = replace(
                known,
                yields=known.yields + step.yields,
                iterations=cut[0] if cut else known.iterations,
            )

    def end(self, unit: Job, step: JobUpdate | None, *, outrun: bool = False) -> Trial | None:
        """Close a trial and return it, or leave it open where nothing speaks against more folds.

        Parameters
        ----------
        unit : Job
        step : JobUpdate, optional
            Its last one; None where the worker died.
        outrun : bool
            Whether it was stopped because others are better.
        """
        with self._lock:
            if unit.number not in self._open:
                return None
            known = self._open[unit.number]
            known = replace(known, running=known.running - set(unit.folds))
            self._open[unit.number] = known
            if step is None:
                return self._close(unit.number, "failed", WORKER_DIED)
            if step.failed:
                return self._close(unit.number, "failed", step.reason)
            if len(known.yields) == len(self._work.folds):
                return self._close(unit.number, "complete", None)
            if outrun or step.reason is not None:
                return self._close(unit.number, "stopped", PRUNED if outrun else step.reason)
            return None

    def progress(self) -> dict[int, RunningTrial]:
        """Return the trials that have not ended, by number."""
        with self._lock:
            return dict(self._open)

    def hand_over(self) -> None:
        """Hand over what ended since the last time."""
        with self._lock:
            while self._ended:
                self._on_finished(*self._ended.pop(0))

    def close(self) -> None:
        """Close what the budget cut short; a trial without a whole fold leaves no trace."""
        with self._lock:
            for number, known in sorted(self._open.items()):
                if known.yields:
                    self._close(number, "stopped", OUT_OF_BUDGET)
            self.hand_over()

    def _close(self, number: int, status: TrialStatus, reason: str | None) -> Trial:
        known, metric = self._open.pop(number), self._work.metrics[0]
        trial = Trial(
            number=number,
            configuration=known.configuration,
            status=status,
            folds=known.results,
            score=mean_score(known.results, metric.name),
            reason=reason,
            elapsed_seconds=self._clock(),
            phase=known.phase,
        )
        self.trials.append(trial)
        whole = status == "complete" and trial.score is not None
        first = status == "stopped" and self._is_first(known)
        entry = _pool_entry(number, known) if whole or first else None
        if entry is not None:
            self.entries[number] = _without_models(entry)
        self._ended.append((trial, entry))
        return trial

    def _is_first(self, known: RunningTrial) -> bool:
        """Return whether a broken-off trial is all that there is to make a model from."""
        return bool(known.yields) and not self.entries


def maximized_mean_score(results: tuple[FoldResult, ...], metric: Metric) -> float | None:
    """Return the mean of the metric so far, turned so that more is better."""
    mean = mean_score(results, metric.name)
    return None if mean is None else maximized_score(mean, metric)


def _pool_entry(number: int, known: RunningTrial) -> TrialArtifacts:
    models = sorted((each.model for each in known.yields), key=lambda model: model.fold)
    return TrialArtifacts(
        number, known.configuration, configuration_encoding(known.configuration), tuple(models)
    )


def _without_models(entry: TrialArtifacts) -> TrialArtifacts:
    return replace(entry, folds=tuple(replace(fold, data=b"") for fold in entry.folds))


MIN_RIVALS = 3

FoldScores = Mapping[int, float | None]  # by fold, turned so that more is better


def should_prune(scores: FoldScores, rivals: Iterable[FoldScores]) -> bool:
    """Return whether a trial is worse than the median of its rivals on the folds that it has.

    Each rival counts with the mean over these folds alone, so that easy folds favour nobody; there
    must be three that have them all. A score that is undefined falls behind any that is not.

    Parameters
    ----------
    scores : mapping from fold to float
    rivals : iterable of mappings from fold to float

    Examples
    --------
    >>> should_prune({0: 0.7}, [{0: 0.8, 1: 0.1}, {0: 0.75}, {0: 0.6}])
    True
    """
    folds = sorted(scores)
    if not folds:
        return False
    means = [
        _mean_over_folds(rival, folds) for rival in rivals if all(fold in rival for fold in folds)
    ]
    known = [mean for mean in means if mean is not None]
    if len(known) < MIN_RIVALS:
        return False
    reached = _mean_over_folds(scores, folds)
    return reached is None or reached < median(known)


def _mean_over_folds(scores: FoldScores, folds: Sequence[int]) -> float | None:
    values = [scores[fold] for fold in folds]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


BATCH_SIZE = 4  # units that are proposed before any of them is told of, in a budget of trials


class Sampler(Protocol):
    """Where units come from."""

    @property
    def ended(self) -> bool:
        """Whether no unit will come any more."""

    def next_unit(self, *, endable: bool = True) -> Job | None:
        """Return the next unit; None where there is none now."""

    def tell(self, number: int, trial: Trial | None) -> None:
        """Take what came of a unit; None where its trial goes on."""


class Study:
    """Hands out units and takes what came of them, from several threads.

    Parameters
    ----------
    proposer : Sampler
    account : TrialTracker
    metric : Metric
        The one that is optimised.
    races : bool
        Whether a proposed trial is given up that falls behind others of its family.
    in_order : bool
        Whether units come in batches that are told in the order of their numbers, and race only
        against earlier batches: what is proposed then depends on no clock and no worker.
    """

    def __init__(
        self,
        proposer: Sampler,
        account: TrialTracker,
        *,
        metric: Metric,
        races: bool,
        in_order: bool,
    ) -> None:
        self.account = account
        self._proposer, self._metric, self._races, self._in_order = (
            proposer,
            metric,
            races,
            in_order,
        )
        self._lock = threading.RLock()
        self._batch: dict[int, bool] = {}  # by number, whether it has ended
        self._closed: dict[int, Trial | None] = {}

    @property
    def ended(self) -> bool:
        """Whether no unit will come any more."""
        with self._lock:
            return self._proposer.ended

    def next_unit(self, *, endable: bool = True) -> Job | None:
        """Return the next unit; None where there is none now.

        Parameters
        ----------
        endable : bool
            Whether the worker can be ended: fits without a deadline of their own need that.
        """
        with self._lock:
            if self._in_order and len(self._batch) >= BATCH_SIZE:
                return None
            unit = self._proposer.next_unit(endable=endable)
            if unit is not None:
                self._batch[unit.number] = False
                self.account.begin(unit)
            return unit

    def took(self, unit: Job, step: JobUpdate) -> bool:
        """Take some folds of a unit, and return whether the trial is to be given up."""
        self.account.take(unit, step)
        if not self._races or unit.phase != "search":
            return False
        known = self.account.progress()[unit.number].results  # one unit is all of a proposed trial
        return should_prune(self._scores(known), self._rivals(unit))

    def end(self, unit: Job, step: JobUpdate | None, *, outrun: bool = False) -> None:
        """Take that a unit has ended; `step` is its last one, None where the worker died."""
        with self._lock:
            self._closed[unit.number] = self.account.end(unit, step, outrun=outrun)
            self._batch[unit.number] = True
            if not self._in_order or self._batch_is_over():
                for number in sorted(self._closed):
                    self._proposer.tell(number, self._closed[number])
                self._closed, self._batch = {}, {}

    def _batch_is_over(self) -> bool:
        full = len(self._batch) >= BATCH_SIZE or self._proposer.ended
        return full and all(self._batch.values())

    def _rivals(self, unit: Job) -> list[FoldScores]:
        first = min(self._batch, default=unit.number) if self._in_order else None
        return [
            self._scores(trial.folds)
            for trial in list(self.account.trials)
            if trial.configuration.family == unit.configuration.family
            and (first is None or trial.number < first)
        ]

    def _scores(self, results: tuple[FoldResult, ...]) -> FoldScores:
        name = self._metric.name
        found = {each.fold: each.figures[name] for each in results}
        return {
            fold: None if score is None else maximized_score(score, self._metric)
            for fold, score in found.items()
        }
