"""Points that are given first, then what Optuna proposes, or a whole grid: trial by trial."""

import numpy as np
import optuna

from pipelines.core.trials import Configuration, Phase, Trial
from pipelines.tuning.parameters import Space
from pipelines.tuning.sampling import enqueue, new_study, proposed, remember, tell
from pipelines.tuning.spaces import grid, nearest, searched_values
from pipelines.tuning.starts import Start, search_space
from pipelines.tuning.strategies import History, Strategy, first_points
from pipelines.tuning.units import Unit
from pipelines.tuning.work import Work


class Points:
    """What a searcher without a portfolio proposes: each trial is one unit on all folds.

    Parameters
    ----------
    work : Work
    strategy : Strategy
        First points that were finished are not proposed again; values outside the space are moved
        to its edge.
    start : Start
    """

    def __init__(self, work: Work, strategy: Strategy, start: Start) -> None:
        history = self._history = start.history
        self._clock, self._left = start.clock, start.n_trials
        self._space = search_space(work, strategy)
        self._study = new_study(strategy.searcher, strategy.seed + len(history.finished))
        for trial in history.finished:
            remember(self._study, trial, searched=self._space, metric=history.metric)
        self._points = _points(strategy, self._space, history=history)
        self._samples = strategy.searcher in ("tpe", "random")
        self._number = start.first_number()
        self._asked: dict[int, optuna.Trial] = {}

    @property
    def ended(self) -> bool:
        """Whether no unit will come any more."""
        used_up = self._left == 0 or self._clock.left() <= 0
        return used_up or not (self._points or self._samples)

    def next_unit(self, *, endable: bool = True) -> Unit | None:  # noqa: ARG002
        """Return the next unit; None where there is none now."""
        if self.ended:
            return None
        given = self._points.pop(0) if self._points else None
        if given is not None:
            searched = searched_values(given, self._space)
            enqueue(self._study, [Configuration(given.family, searched)])
        asked = self._asked[self._number] = self._study.ask()
        self._left = None if self._left is None else self._left - 1
        self._number += 1
        folds = tuple(range(self._history.n_folds))
        phase: Phase = "search" if given is None else "portfolio"
        drawn = proposed(asked, self._space)  # of a given point what is searched of it alone
        point = drawn if given is None else given
        return self._clock.timed(Unit(self._number - 1, point, folds, phase), self._history.n_folds)

    def tell(self, number: int, trial: Trial | None) -> None:
        """Take what came of a unit; None where nothing did."""
        tell(self._study, self._asked.pop(number), trial, self._history.metric)


def _points(strategy: Strategy, searched: Space, *, history: History) -> list[Configuration]:
    first = first_points(strategy)
    given = [point for raw in first if (point := nearest(raw, searched)) is not None]
    if strategy.searcher == "grid":
        combinations = grid(searched)
        order = np.random.default_rng(strategy.seed).permutation(len(combinations))
        given += [combinations[index] for index in order]
    done = [trial.configuration for trial in history.finished]
    return [point for index, point in enumerate(given) if point not in done + given[:index]]
