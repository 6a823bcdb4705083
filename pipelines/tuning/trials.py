"""A trial, fold by fold, in a worker process; and the driver's account of all trials."""

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Literal

import ray
from ray.tune import Callback, Stopper, Trainable
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from pipelines.core.trials import FoldResult, Trial
from pipelines.tuning.searchers import OBJECTIVE, suggested
from pipelines.tuning.strategies import signed
from pipelines.tuning.work import Work, fold_result, mean_score

OUT_OF_BUDGET = "the budget was used up"
OUTRUN = "others were better on the same folds"
WORKER_DIED = "the worker process ended"


class FoldTrainable(Trainable):  # type: ignore[misc]
    """Evaluates one configuration; a step is a fold. A worker serves many trials, one by one."""

    def setup(self, config: dict[str, Any], work: Work) -> None:
        """Keep the work, and one thread for each worker."""
        threadpool_limits(1)
        self.work = work
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Turn to another configuration."""
        self.configuration = suggested(new_config)
        self.results: list[FoldResult] = []
        return True

    def step(self) -> dict[str, Any]:
        """Return the next fold's result and the mean so far; an exception ends the trial alone."""
        try:
            self.results.append(fold_result(self.work, self.configuration, len(self.results)))
        except Exception as error:
            return {"reason": f"{type(error).__name__}: {error}", "done": True}
        metric = self.work.metrics[0]
        mean = mean_score(self.results, metric.name)
        told = {} if mean is None else {OBJECTIVE: signed(mean, metric)}
        done = len(self.results) == len(self.work.folds)
        return told | {"fold": asdict(self.results[-1]), "done": done}


class Account(Callback):  # type: ignore[misc]
    """Follows trials as they run and hands each one over when it has ended.

    Parameters
    ----------
    work : Work
    clock : callable
        Seconds of the search so far, over restarts.
    on_finished : callable
        Called with each trial at once.
    """

    def __init__(
        self, work: Work, *, clock: Callable[[], float], on_finished: Callable[[Trial], None]
    ) -> None:
        self._metric, self._n_folds = work.metrics[0].name, len(work.folds)
        self._clock, self._on_finished = clock, on_finished
        self._running: dict[str, Any] = {}
        self._workers: dict[str, Any] = {}
        self._results: dict[str, list[FoldResult]] = {}
        self._reasons: dict[str, str] = {}
        self._ended: list[Trial] = []

    def on_trial_start(self, *, trial: Any, **_: Any) -> None:
        """Remember the trial and its worker."""
        self._running[trial.trial_id] = trial
        self._workers[trial.trial_id] = trial.temporary_state.ray_actor
        self._results[trial.trial_id] = []

    def on_trial_result(self, *, trial: Any, result: dict[str, Any], **_: Any) -> None:
        """Keep what a fold gave."""
        if "fold" in result:
            self._results[trial.trial_id].append(FoldResult(**result["fold"]))
        if "reason" in result:
            self._reasons[trial.trial_id] = result["reason"]

    def on_trial_complete(self, *, trial: Any, **_: Any) -> None:
        """Close a trial that ran to its end, failed in a fit, or was stopped by the scheduler."""
        if trial.trial_id in self._reasons:
            self._end(trial, "failed", reason=self._reasons[trial.trial_id])
        elif len(self._results[trial.trial_id]) == self._n_folds:
            self._end(trial, "complete", reason=None)
        else:
            self._end(trial, "stopped", reason=OUTRUN)

    def on_trial_error(self, *, trial: Any, **_: Any) -> None:
        """Close a trial whose worker died."""
        self._end(trial, "failed", reason=WORKER_DIED)

    def on_step_end(self, **_: Any) -> None:
        """Hand over what ended; Tune lets exceptions pass here, and nowhere else."""
        while self._ended:
            self._on_finished(self._ended.pop(0))

    def kill_running(self) -> None:
        """End the workers of running trials, whatever they are doing."""
        for trial_id in self._running:
            ray.kill(self._workers[trial_id])

    def close_running(self) -> None:
        """Close the trials that the budget cut short; those without a whole fold leave no trace."""
        for trial_id, trial in list(self._running.items()):
            if self._results[trial_id]:
                self._end(trial, "stopped", reason=OUT_OF_BUDGET)
        self.on_step_end()

    def _end(
        self, trial: Any, status: Literal["complete", "stopped", "failed"], *, reason: str | None
    ) -> None:
        self._running.pop(trial.trial_id, None)
        results = tuple(self._results.pop(trial.trial_id, ()))
        ended = Trial(
            number=trial.config["number"],
            configuration=suggested(trial.config),
            status=status,
            folds=results,
            score=mean_score(results, self._metric),
            reason=reason,
            elapsed_seconds=self._clock(),
        )
        self._ended.append(ended)


class Deadline(Stopper):  # type: ignore[misc]
    """Stops everything at a moment of the monotonic clock, stuck fits included."""

    def __init__(self, moment: float, account: Account) -> None:
        self._moment, self._account = moment, account

    def __call__(self, *_: Any) -> bool:
        """Return False: no single trial is stopped."""
        return False

    def stop_all(self) -> bool:
        """Return whether the budget is used up, after ending the workers if it is."""
        if time.monotonic() < self._moment:
            return False
        self._account.kill_running()
        return True
