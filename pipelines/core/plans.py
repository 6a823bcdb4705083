"""How the world outside reaches the stages: what kind of run this is."""

from dataclasses import dataclass
from typing import Literal

from pipelines.core.trials import Configuration


@dataclass(frozen=True)
class Plan:
    """What a run is to do; it holds only what changes the result.

    Attributes
    ----------
    mode : str
        `tune` (search), `refit` (the same configuration on newer rows) or `retune` (search again).
    warm_starts : tuple of Configuration
        What the search tries first.
    """

    mode: Literal["tune", "refit", "retune"] = "tune"
    warm_starts: tuple[Configuration, ...] = ()
