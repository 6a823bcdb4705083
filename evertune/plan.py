"""What kind of run this is: a first tune, a refit or a retune.

`Plan` is how production reaches the stages. It holds only what changes the result.
"""

from dataclasses import dataclass
from typing import Literal

from evertune.data.training_windows import TrainingWindow
from evertune.trials import Configuration


@dataclass(frozen=True)
class Plan:
    """What a run is to do; it holds only what changes the result.

    Attributes
    ----------
    mode : str
        `tune` (search), `refit` (the same configuration on newer rows) or `retune` (search again).
    warm_starts : tuple of Configuration
        What the search tries first, the champion's first of all; of a refit, all that it tries.
    judge_from : str, optional
        ISO moment in UTC. Rows from it on never train in this run: one half of them chooses the
        training window, the other is the hold-out. None: the hold-out is params.yaml's.
    windows : tuple of TrainingWindow
        What the best configuration is fitted on, one after the other; none: all training rows.
    budget_seconds, budget_trials : optional
        Of the search, where it is not params.yaml's; both None: it is.
    """

    mode: Literal["tune", "refit", "retune"] = "tune"
    warm_starts: tuple[Configuration, ...] = ()
    judge_from: str | None = None
    windows: tuple[TrainingWindow, ...] = ()
    budget_seconds: float | None = None
    budget_trials: int | None = None
