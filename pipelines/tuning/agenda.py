"""What is evaluated next, for whoever asks: Tune's controller or a thread of this process."""

import threading
from typing import Protocol

from pipelines.core.metrics import Metric
from pipelines.core.trials import FoldResult, Trial
from pipelines.tuning.account import Account
from pipelines.tuning.racing import FoldScores, falls_behind
from pipelines.tuning.strategies import signed
from pipelines.tuning.units import Step, Unit

BATCH = 4  # units that are proposed before any of them is told of, in a budget of trials


class Proposer(Protocol):
    """Where units come from."""

    @property
    def ended(self) -> bool:
        """Whether no unit will come any more."""

    def next_unit(self, *, endable: bool = True) -> Unit | None:
        """Return the next unit; None where there is none now."""

    def tell(self, number: int, trial: Trial | None) -> None:
        """Take what came of a unit; None where its trial goes on."""


class Agenda:
    """Hands out units and takes what came of them, from several threads.

    Parameters
    ----------
    proposer : Proposer
    account : Account
    metric : Metric
        The one that is optimised.
    races : bool
        Whether a proposed trial is given up that falls behind others of its family.
    in_order : bool
        Whether units come in batches that are told in the order of their numbers, and race only
        against earlier batches: what is proposed then depends on no clock and no worker.
    """

    def __init__(
        self, proposer: Proposer, account: Account, *, metric: Metric, races: bool, in_order: bool
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

    def next_unit(self, *, endable: bool = True) -> Unit | None:
        """Return the next unit; None where there is none now.

        Parameters
        ----------
        endable : bool
            Whether the worker can be ended: fits without a deadline of their own need that.
        """
        with self._lock:
            if self._in_order and len(self._batch) >= BATCH:
                return None
            unit = self._proposer.next_unit(endable=endable)
            if unit is not None:
                self._batch[unit.number] = False
                self.account.begin(unit)
            return unit

    def took(self, unit: Unit, step: Step) -> bool:
        """Take some folds of a unit, and return whether the trial is to be given up."""
        self.account.take(unit, step)
        if not self._races or unit.phase != "search":
            return False
        known = self.account.progress()[unit.number].results  # one unit is all of a proposed trial
        return falls_behind(self._scores(known), self._rivals(unit))

    def end(self, unit: Unit, step: Step | None, *, outrun: bool = False) -> None:
        """Take that a unit has ended; `step` is its last one, None where the worker died."""
        with self._lock:
            self._closed[unit.number] = self.account.end(unit, step, outrun=outrun)
            self._batch[unit.number] = True
            if not self._in_order or self._batch_is_over():
                for number in sorted(self._closed):
                    self._proposer.tell(number, self._closed[number])
                self._closed, self._batch = {}, {}

    def _batch_is_over(self) -> bool:
        full = len(self._batch) >= BATCH or self._proposer.ended
        return full and all(self._batch.values())

    def _rivals(self, unit: Unit) -> list[FoldScores]:
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
            fold: None if score is None else signed(score, self._metric)
            for fold, score in found.items()
        }
