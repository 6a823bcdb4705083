"""Where a scheduler compares the trials of a search: after folds, shares of rows, or rounds.

| rung | one step | a scheduler compares trials after |
|---|---|---|
| `folds` | one fold | 1, 2, ... folds |
| `rows` | all folds, with a share of their training rows | 1/9, 1/3, all of the rows |
| `rounds` | all folds, some more rounds or epochs | 1/9, 1/3, all of the rounds |

Population based training takes `rounds` in ten equal steps. `objective` has the evaluations that
take these steps.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evertune.config.search_rules import POPULATION_SCHEDULERS
from evertune.data.folds import Fold
from evertune.trials import FoldResult
from evertune.types import FloatArray

REDUCTION_FACTOR = 3  # from rung to rung, and of the trials that go on
MAX_RESOURCE = 9  # of rungs of rows and rounds, which have 1, 3 and 9 parts of all
POPULATION_STEPS = 10  # of population based training
MIN_RUNG_ROWS = 100  # training rows of the smallest rung


@dataclass(frozen=True)
class Rungs:
    """Where the trials of a search are compared.

    Attributes
    ----------
    kind : str
        `folds`, `rows` or `rounds`.
    resources : tuple of int
        What a trial has used after each step; the last is all.
    one_by_one : bool
        Whether each fold is a step, however quick it is.
    """

    kind: str
    resources: tuple[int, ...]
    one_by_one: bool = True

    @property
    def max_resource(self) -> int:
        """What a complete trial has used."""
        return self.resources[-1]


def make_rungs(scheduler: str, rung: str, folds: Sequence[Fold], *, one_by_one: bool) -> Rungs:
    """Return the rungs of a search, by the settings of that name.

    Raises
    ------
    ValueError
        If there are too few rows for rungs of rows.
    """
    if scheduler in POPULATION_SCHEDULERS:
        return Rungs("rounds", tuple(range(1, POPULATION_STEPS + 1)))
    if rung == "folds":
        return Rungs("folds", tuple(range(1, len(folds) + 1)), one_by_one=one_by_one)
    powers = [1, REDUCTION_FACTOR, MAX_RESOURCE]
    if rung == "rows":
        n_rows = min(len(fold.training) for fold in folds)
        while len(powers) > 1 and n_rows < powers[-1] * MIN_RUNG_ROWS:
            powers.pop()
        if len(powers) == 1:
            raise ValueError(
                f"search.rung rows needs {REDUCTION_FACTOR * MIN_RUNG_ROWS} training rows in each "
                f"fold, but found {n_rows}; take the rung folds."
            )
    return Rungs(rung, tuple(powers))


def sample_positions(n_rows: int, share: float, *, y: FloatArray | None, seed: int) -> Any:
    """Return sorted positions of a share of n rows, which larger shares contain.

    Parameters
    ----------
    y : array of shape (n,), optional
        Codes of classes, whose shares the sample keeps.

    Examples
    --------
    >>> y = np.array([0.0] * 6 + [1.0] * 3)
    >>> third, all_ = (sample_positions(9, share, y=y, seed=0) for share in (1 / 3, 1))
    >>> y[third].tolist(), len(all_), bool(np.isin(third, all_).all())
    ([0.0, 0.0, 1.0], 9, True)
    """
    order = np.random.default_rng(seed).permutation(n_rows)
    if y is not None:
        position = np.empty(n_rows)
        for code in np.unique(y):
            members = order[y[order] == code]
            position[members] = (np.arange(len(members)) + 0.5) / len(members)
        order = np.argsort(position, kind="stable")
    return np.sort(order[: max(1, round(share * n_rows))])


def replay_points(
    results: Iterable[FoldResult], rungs: Rungs, *, fidelity: float, metric: str
) -> list[tuple[int, float]]:
    """Return what an earlier run's trial would have reported: resources and mean scores.

    Of rungs of rows or rounds only the last is known.
    """
    scores = [score for each in results if (score := each.figures[metric]) is not None]
    if not scores:
        return []
    if rungs.kind == "folds":
        return [(n, sum(scores[:n]) / n) for n in range(1, len(scores) + 1)]
    return [(round(fidelity * rungs.max_resource), sum(scores) / len(scores))]
