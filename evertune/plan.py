"""The plan of a run: a first tune, a refit or a retune. It is how production reaches the stages."""

from dataclasses import dataclass
from typing import Literal

from evertune.data.training_windows import TrainingWindow
from evertune.trials import Configuration


@dataclass(frozen=True)
class Plan:
    """What a run does; only what changes the result. The names of fields are a stored format.

    Attributes
    ----------
    mode : str
        `tune` (search), `refit` (the same configuration on newer rows) or `retune` (search again).
    warm_starts : tuple of Configuration
        Tried first by a search, the champion's before all others; a refit tries nothing else.
    judge_from : str, optional
        ISO time in UTC. Rows from it on never train in this run: half of them select the
        training window, the other half is the hold-out. None: the hold-out of params.yaml.
    windows : tuple of TrainingWindow
        The best configuration is fitted on each of them; none: all training rows.
    budget_seconds, budget_trials : optional
        Of the search; both None: those of params.yaml.
    """

    mode: Literal["tune", "refit", "retune"] = "tune"
    warm_starts: tuple[Configuration, ...] = ()
    judge_from: str | None = None
    windows: tuple[TrainingWindow, ...] = ()
    budget_seconds: float | None = None
    budget_trials: int | None = None
