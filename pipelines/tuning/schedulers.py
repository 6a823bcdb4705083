"""Which trials go on after a fold: asynchronous successive halving, or all of them."""

from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler

from pipelines.tuning.strategies import History, signed
from pipelines.tuning.trials import FOLDS_DONE, OBJECTIVE

REDUCTION = 3  # a third of the trials go on from folds 1, 3, 9, ...
SCHEDULERS = ("racing", "asha", "none")


class FoldHalving(AsyncHyperBandScheduler):  # type: ignore[misc]
    """Ray's ASHA with folds as its time, that lets the first trials at each fold pass.

    A third cannot be told before there are three: without this the second trial of a search
    would be stopped whenever its first fold is the worse one.
    """

    def __init__(self, n_folds: int) -> None:
        super().__init__(
            time_attr=FOLDS_DONE,
            metric=OBJECTIVE,
            mode="max",
            max_t=n_folds,
            grace_period=1,
            reduction_factor=REDUCTION,
        )
        self._n_folds = n_folds
        self._results: Counter[int] = Counter()

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Return whether the trial goes on."""
        action: str = super().on_trial_result(tune_controller, trial, result)
        fold = result[FOLDS_DONE]
        self._results[fold] += 1
        if fold < self._n_folds and self._results[fold] <= REDUCTION:
            return str(TrialScheduler.CONTINUE)
        return action


def scheduler(kind: str, history: History) -> TrialScheduler:
    """Return a scheduler that knows the folds of the trials that were finished before.

    Raises
    ------
    ValueError
        If there is no such scheduler.
    """
    if kind not in SCHEDULERS:
        raise ValueError(f"scheduler must be one of {', '.join(SCHEDULERS)}, but got {kind!r}.")
    if kind != "asha":  # who falls behind in a race is told by the agenda
        return FIFOScheduler()
    halving, metric = FoldHalving(history.n_folds), history.metric
    for trial in history.finished:
        scores = [fold.figures[metric.name] for fold in trial.folds]
        known = [signed(score, metric) for score in scores if score is not None]
        _replay(halving, trial.number, scores=known)
    return halving


def _replay(halving: FoldHalving, number: int, *, scores: Sequence[float]) -> None:
    past = SimpleNamespace(trial_id=f"past-{number}")
    halving.on_trial_add(None, past)
    for n_folds, total in enumerate(accumulate(scores), start=1):
        result = {FOLDS_DONE: n_folds, OBJECTIVE: total / n_folds}
        halving.on_trial_result(None, past, result)
    halving.on_trial_remove(None, past)
