"""Ways to part rows into training and validation, one function a kind."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneOut,
    StratifiedGroupKFold,
    StratifiedKFold,
)

from pipelines.core.predictions import Floats

IntArray = NDArray[np.int64]
Part = tuple[IntArray, IntArray]
FoldKind = Literal["kfold", "stratified", "group", "time", "leave_one_out"]


@dataclass(frozen=True, eq=False)
class Rows:
    """What decides where a row stands.

    Attributes
    ----------
    n_rows : int
    labels : array of shape (n_rows,), optional
        Class codes; None in regression.
    groups : array of int of shape (n_rows,), optional
    times : array of shape (n_rows,), optional
        Numbers of `pipelines.core.clocks.clock`.
    classes : tuple of str
        The names of the codes; empty in regression.
    """

    n_rows: int
    labels: Floats | None
    groups: IntArray | None
    times: Floats | None
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Rounds:
    """How many folds, how often, how far apart (in the unit of the times), and which shuffle."""

    n_folds: int
    n_repeats: int
    gap: float
    seed: int

    @property
    def seeds(self) -> range:
        """The seed of each round."""
        return range(self.seed, self.seed + self.n_repeats)


def kfold(rows: Rows, rounds: Rounds) -> Iterator[Part]:
    """Part shuffled rows.

    Examples
    --------
    >>> rows = Rows(4, None, None, None, ())
    >>> [len(validation) for _, validation in kfold(rows, Rounds(2, 2, 0, 0))]
    [2, 2, 2, 2]
    """
    for seed in rounds.seeds:
        yield from KFold(rounds.n_folds, shuffle=True, random_state=seed).split(
            np.empty(rows.n_rows)
        )


def stratified(rows: Rows, rounds: Rounds) -> Iterator[Part]:
    """Part shuffled rows so that every fold has the shares of the classes.

    Examples
    --------
    >>> rows = Rows(4, np.array([0.0, 0.0, 1.0, 1.0]), None, None, ("no", "yes"))
    >>> [int(rows.labels[part].sum()) for _, part in stratified(rows, Rounds(2, 1, 0, 0))]
    [1, 1]
    """
    for seed in rounds.seeds:
        splitter = StratifiedKFold(rounds.n_folds, shuffle=True, random_state=seed)
        yield from splitter.split(np.empty(rows.n_rows), rows.labels)


def group(rows: Rows, rounds: Rounds) -> Iterator[Part]:
    """Part shuffled groups; with classes their shares are kept as far as groups allow.

    Examples
    --------
    >>> rows = Rows(4, None, np.array([7, 7, 8, 8]), None, ())
    >>> sorted(validation.tolist() for _, validation in group(rows, Rounds(2, 1, 0, 0)))
    [[0, 1], [2, 3]]
    """
    kind = GroupKFold if rows.labels is None else StratifiedGroupKFold
    for seed in rounds.seeds:
        splitter = kind(rounds.n_folds, shuffle=True, random_state=seed)
        yield from splitter.split(np.empty(rows.n_rows), rows.labels, rows.groups)


def leave_one_out(rows: Rows, _: Rounds) -> Iterator[Part]:
    """Validate on every row alone.

    Examples
    --------
    >>> len(list(leave_one_out(Rows(3, None, None, None, ()), Rounds(5, 1, 0, 0))))
    3
    """
    yield from LeaveOneOut().split(np.empty(rows.n_rows))


def time(rows: Rows, rounds: Rounds) -> Iterator[Part]:
    """Validate on what comes later: ever longer training, then the next stretch of time.

    The rows before fold i of k are about i / (k + 1) of all. Rows of the same time are not
    parted. Training rows nearer than the gap, and those of a group in validation, are left out.

    Examples
    --------
    >>> rows = Rows(3, None, None, np.array([3.0, 1.0, 2.0]), ())
    >>> [(t.tolist(), v.tolist()) for t, v in time(rows, Rounds(2, 1, 0, 0))]
    [([1], [2]), ([1, 2], [0])]
    """
    times = np.zeros(rows.n_rows) if rows.times is None else rows.times
    moments, places, counts = np.unique(times, return_inverse=True, return_counts=True)
    starts = _starts(np.cumsum(counts), rounds.n_folds)
    for start, stop in pairwise([*starts, moments.size]):
        validation = (places >= start) & (places < stop)
        early = (places < start) & (times <= moments[start] - rounds.gap)
        yield np.flatnonzero(early & ~_kin(rows.groups, validation)), np.flatnonzero(validation)


def _starts(rows_up_to: IntArray, n_folds: int) -> list[int]:
    """Return the place of the first time of every validation part."""
    starts, n_times = [0], rows_up_to.size
    for fold in range(1, n_folds + 1):
        wanted = rows_up_to[-1] * fold / (n_folds + 1)
        nearest = int(np.abs(rows_up_to - wanted).argmin()) + 1
        starts.append(min(max(nearest, starts[-1] + 1), n_times - n_folds + fold - 1))
    return starts[1:]


def _kin(groups: IntArray | None, validation: NDArray[np.bool_]) -> NDArray[np.bool_]:
    if groups is None:
        return validation
    return np.isin(groups, groups[validation])


PARTS: dict[FoldKind, Callable[[Rows, Rounds], Iterator[Part]]] = {
    "kfold": kfold,
    "stratified": stratified,
    "group": group,
    "time": time,
    "leave_one_out": leave_one_out,
}
