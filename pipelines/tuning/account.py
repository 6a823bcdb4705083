"""The account of all trials of a search, wherever their folds are evaluated."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from pipelines.core.metrics import Metric
from pipelines.core.pool import PoolEntry
from pipelines.core.trials import Configuration, FoldResult, Phase, Trial
from pipelines.tuning.families import form_of
from pipelines.tuning.strategies import signed
from pipelines.tuning.units import OUT_OF_BUDGET, Step, Unit
from pipelines.tuning.work import FoldYield, Work, mean_score

OUTRUN = "others were better on the same folds"
WORKER_DIED = "the worker process ended"
Keep = Callable[[Trial, PoolEntry | None], None]
Ending = Literal["complete", "stopped", "failed"]


@dataclass(frozen=True, eq=False)
class Progress:
    """How far a trial is.

    Attributes
    ----------
    configuration : Configuration
    phase : str
    yields : tuple of FoldYield
    running : frozenset of int
        Folds that a worker has now.
    iterations : int, optional
        What its other folds have exactly, since the first was cut short.
    """

    configuration: Configuration
    phase: Phase
    yields: tuple[FoldYield, ...] = ()
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


class Account:
    """Follows units as they run and hands each trial over as soon as it has ended.

    It may be told by several threads; one of them hands over at a time.

    Parameters
    ----------
    work : Work
    clock : callable
        Seconds of the search so far, over restarts.
    on_finished : callable
        Called with each trial and, where all its folds were evaluated, what the pool keeps of it.
    """

    def __init__(self, work: Work, *, clock: Callable[[], float], on_finished: Keep) -> None:
        self._work, self._clock, self._on_finished = work, clock, on_finished
        self._lock = threading.RLock()
        self._open: dict[int, Progress] = {}
        self._ended: list[tuple[Trial, PoolEntry | None]] = []
        self.trials: list[Trial] = []
        self.entries: dict[int, PoolEntry] = {}  # without their models, which the pool has

    def begin(self, unit: Unit) -> None:
        """Remember that a unit runs."""
        with self._lock:
            known = self._open.get(unit.number) or Progress(unit.configuration, unit.phase)
            self._open[unit.number] = replace(known, running=known.running | set(unit.folds))

    def take(self, unit: Unit, step: Step) -> None:
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

    def end(self, unit: Unit, step: Step | None, *, outrun: bool = False) -> Trial | None:
        """Close a trial and return it, or leave it open where nothing speaks against more folds.

        Parameters
        ----------
        unit : Unit
        step : Step, optional
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
                return self._close(unit.number, "stopped", OUTRUN if outrun else step.reason)
            return None

    def progress(self) -> dict[int, Progress]:
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

    def _close(self, number: int, status: Ending, reason: str | None) -> Trial:
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
        entry = _entry(number, known) if whole or first else None
        if entry is not None:
            self.entries[number] = _without_models(entry)
        self._ended.append((trial, entry))
        return trial

    def _is_first(self, known: Progress) -> bool:
        """Return whether a broken-off trial is all that there is to make a model from."""
        return bool(known.yields) and not self.entries


def score_of(results: tuple[FoldResult, ...], metric: Metric) -> float | None:
    """Return the mean of the metric so far, turned so that more is better."""
    mean = mean_score(results, metric.name)
    return None if mean is None else signed(mean, metric)


def _entry(number: int, known: Progress) -> PoolEntry:
    models = sorted((each.model for each in known.yields), key=lambda model: model.fold)
    return PoolEntry(number, known.configuration, form_of(known.configuration), tuple(models))


def _without_models(entry: PoolEntry) -> PoolEntry:
    return replace(entry, folds=tuple(replace(fold, data=b"") for fold in entry.folds))
