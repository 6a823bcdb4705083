"""A unit in a worker process of Ray Tune, and what Tune's controller is told about units."""

import threading
import time
from typing import Any

import ray
from ray.tune import Callback, Stopper, Trainable
from ray.tune.search import Searcher
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from pipelines.tuning.account import score_of
from pipelines.tuning.agenda import Agenda
from pipelines.tuning.units import Step, Unit, steps, suggested, suggestion
from pipelines.tuning.work import Encodings, Work

OBJECTIVE = "objective"  # mean over the folds so far, turned so that more is better
FOLDS_DONE = "folds_done"
STEP = "step"


class FoldTrainable(Trainable):  # type: ignore[misc]
    """Evaluates one unit, some folds a step. A worker serves many units, one by one."""

    def setup(self, config: dict[str, Any], work: Work) -> None:
        """Keep the work, and one thread for each worker."""
        threadpool_limits(1)
        self.work, self.encodings = work, Encodings()
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Turn to another unit."""
        self.unit = suggested(new_config)
        self.steps = steps(self.work, self.unit, self.encodings)
        self.results: tuple[Any, ...] = ()
        return True

    def step(self) -> dict[str, Any]:
        """Return the next folds and the mean so far; an exception of a fit ends the unit alone."""
        step = next(self.steps)
        self.results += tuple(each.result for each in step.yields)
        score = score_of(self.results, self.work.metrics[0])
        told = {} if score is None else {OBJECTIVE: score}
        return told | {STEP: step, FOLDS_DONE: len(self.results), "done": step.done}


class UnitSearcher(Searcher):  # type: ignore[misc]
    """Tune's view of an agenda."""

    def __init__(self, agenda: Agenda) -> None:
        super().__init__(metric=OBJECTIVE, mode="max")
        self._agenda = agenda

    def __getstate__(self) -> dict[str, Any]:
        """Give Tune nothing to write: its own restore is never used."""
        return {}

    def suggest(self, trial_id: str) -> Any:  # noqa: ARG002
        """Return the next unit, that there is none now, or that there will be none."""
        unit = self._agenda.next_unit()
        if unit is not None:
            return suggestion(unit)
        return Searcher.FINISHED if self._agenda.ended else None

    def on_trial_complete(self, *_: Any, **__: Any) -> None:
        """Do nothing: the agenda hears it from `Controller`."""

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the trials file is the only memory of a search."""


class Controller(Callback, Stopper):  # type: ignore[misc]
    """Tells an agenda what Tune's workers give, and stops everything at a moment.

    Parameters
    ----------
    agenda : Agenda
    moment : float
        Of the monotonic clock; stuck fits are ended with their workers.
    begun : threading.Event
        Set as soon as a worker runs.
    """

    def __init__(self, agenda: Agenda, *, moment: float, begun: threading.Event) -> None:
        self._agenda, self._moment, self._begun = agenda, moment, begun
        self._running: dict[str, Unit] = {}
        self._workers: dict[str, Any] = {}
        self._steps: dict[str, Step] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Give Tune nothing to write: its own restore is never used."""
        return {}

    def on_trial_start(self, *, trial: Any, **_: Any) -> None:
        """Remember the unit and its worker."""
        self._running[trial.trial_id] = suggested(trial.config)
        self._workers[trial.trial_id] = trial.temporary_state.ray_actor
        self._begun.set()

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Take a step out of a result, which Tune keeps, and return whether others outran it."""
        step = result.pop(STEP, None)
        if step is None:
            return False
        self._steps[trial_id] = step
        return self._agenda.took(self._running[trial_id], step)

    def on_trial_complete(self, *, trial: Any, **_: Any) -> None:
        """Tell that a unit ran to its end or was stopped."""
        step = self._steps.pop(trial.trial_id, None)
        outrun = step is not None and not step.done
        self._agenda.end(self._running.pop(trial.trial_id), step, outrun=outrun)

    def on_trial_error(self, *, trial: Any, **_: Any) -> None:
        """Tell that a worker died."""
        self._steps.pop(trial.trial_id, None)
        self._agenda.end(self._running.pop(trial.trial_id), None)

    def on_step_end(self, **_: Any) -> None:
        """Hand over what ended; Tune lets exceptions pass here, and nowhere else."""
        self._agenda.account.hand_over()

    def stop_all(self) -> bool:
        """Return whether the budget is used up, after ending the workers if it is."""
        if time.monotonic() < self._moment:
            return False
        for trial_id in self._running:
            ray.kill(self._workers[trial_id])
        return True
