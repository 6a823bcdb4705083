"""What a search is told: how to look, what it may use up, and what it found before."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.core.metrics import Metric
from pipelines.core.trials import Configuration, Trial, Value
from pipelines.tuning.spaces import default_points

Overrides = Mapping[str, Mapping[str, tuple[Value, ...]]]


@dataclass(frozen=True)
class Strategy:
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
    space: Overrides = field(default_factory=dict)
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
class History:
    """What a search found before it was killed, and how to read it."""

    metric: Metric
    n_folds: int
    finished: tuple[Trial, ...] = ()


@dataclass(frozen=True)
class Places:
    """Absolute folders: of the project, and of its state."""

    root: Path
    state: Path


def first_points(strategy: Strategy) -> tuple[Configuration, ...]:
    """Return the configurations that are tried before any that a searcher proposes."""
    return (*strategy.warm_starts, *default_points(strategy.families))


def signed(score: float, metric: Metric) -> float:
    """Return a score turned so that more is better."""
    return score if metric.greater_is_better else -score
