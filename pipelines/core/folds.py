"""Which rows a model learns from and which it is judged by, fold by fold."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from pipelines.core.clocks import Times, clock, span
from pipelines.core.fold_checks import check_enough, check_kind, check_learnable
from pipelines.core.fold_parts import PARTS, FoldKind, IntArray, Rounds, Rows
from pipelines.core.predictions import Floats, Task

TRAINING, VALIDATION = 1, 2


@dataclass(frozen=True, eq=False)
class Fold:
    """One way to part the training rows.

    Attributes
    ----------
    training, validation : array of int
        Row numbers, ascending; no row is in both.
    """

    training: IntArray
    validation: IntArray


def resolved_kind(
    kind: FoldKind | Literal["auto"], *, has_times: bool, has_groups: bool, task: Task
) -> FoldKind:
    """Return the kind of folds that `auto` stands for; any other kind is returned as it is.

    With a time column it is `time`, else with a group column `group`, else `stratified` for
    classes and `kfold` for values.

    Examples
    --------
    >>> resolved_kind("auto", has_times=False, has_groups=False, task="binary")
    'stratified'
    """
    if kind != "auto":
        return kind
    if has_times:
        return "time"
    if has_groups:
        return "group"
    return "kfold" if task == "regression" else "stratified"


def folds(  # noqa: PLR0913
    kind: FoldKind | Literal["auto"],
    *,
    n_rows: int,
    truth: Floats,
    groups: IntArray | None,
    times: Times | None,
    n_folds: int,
    n_repeats: int,
    gap_days: float,
    seed: int,
    task: Task,
    classes: Sequence[str] = (),
) -> tuple[Fold, ...]:
    """Return the folds of the training rows.

    Parameters
    ----------
    kind : str
        `kfold`; `stratified` (every fold has the shares of the classes); `group` (no group is in
        both parts; shares of classes are kept as far as that allows); `time` (validation rows
        are later than training rows, rows of one time stay together, training rows of a group in
        validation are left out); `leave_one_out`; `auto`.
    n_rows : int
    truth : array of shape (n_rows,)
        Class codes, or values.
    groups : array of int of shape (n_rows,), optional
        Rows of one number belong together.
    times : array of shape (n_rows,), optional
        datetime64, or a counter.
    n_folds, n_repeats : int
        Folds of one round, and rounds, which differ by their shuffle.
    gap_days : float
        Time folds: training rows fewer days (units of a counter) than this before the first
        validation row are left out.
    seed : int
    task : str
    classes : sequence of str
        The names of the codes, for messages; by default the codes.

    Raises
    ------
    ValueError
        If such folds cannot be made of these rows; the message says why and what to do.

    Examples
    --------
    >>> made = folds(
    ...     "time", n_rows=6, truth=np.arange(6.0), groups=None, times=np.arange(6.0), n_folds=2,
    ...     n_repeats=1, gap_days=0, seed=0, task="regression",
    ... )
    >>> [(fold.training.tolist(), fold.validation.tolist()) for fold in made]
    [([0, 1], [2, 3]), ([0, 1, 2, 3], [4, 5])]
    """
    has = {"has_times": times is not None, "has_groups": groups is not None}
    kind = resolved_kind(kind, task=task, **has)
    labels = None if task == "regression" else truth
    moments = None if times is None else clock(times)
    rows = Rows(n_rows, labels, groups, moments, _names(labels, classes))
    gap = 0.0 if times is None else span(times, gap_days)
    rounds = Rounds(n_folds, n_repeats, gap, seed)
    check_kind(kind, rows, rounds)
    check_enough(kind, rows, rounds)
    parts = list(PARTS[kind](rows, rounds))
    check_learnable(parts, rows)
    return tuple(Fold(np.sort(training), np.sort(validation)) for training, validation in parts)


def fold_table(made: Sequence[Fold], n_rows: int) -> pd.DataFrame:
    """Return the folds as a table: one row a training row, one column a fold.

    Parameters
    ----------
    made : sequence of Fold
    n_rows : int
        Training rows in all.

    Returns
    -------
    DataFrame of int8
        Columns `fold_0`, `fold_1`, ...: 0 unused, 1 training, 2 validation.

    Examples
    --------
    >>> fold_table([Fold(np.array([0]), np.array([2]))], 3)["fold_0"].tolist()
    [1, 0, 2]
    """
    table = np.zeros((n_rows, len(made)), dtype=np.int8)
    for number, fold in enumerate(made):
        table[fold.training, number] = TRAINING
        table[fold.validation, number] = VALIDATION
    return pd.DataFrame(table, columns=[f"fold_{number}" for number in range(len(made))])


def folds_of(table: pd.DataFrame) -> tuple[Fold, ...]:
    """Return the folds that a table of `fold_table` holds.

    Examples
    --------
    >>> (fold,) = folds_of(pd.DataFrame({"fold_0": [1, 0, 2]}))
    >>> fold.training.tolist(), fold.validation.tolist()
    ([0], [2])
    """
    sides = table.to_numpy()
    return tuple(
        Fold(np.flatnonzero(side == TRAINING), np.flatnonzero(side == VALIDATION))
        for side in sides.T
    )


def _names(labels: Floats | None, classes: Sequence[str]) -> tuple[str, ...]:
    if labels is None:
        return ()
    return tuple(classes) or tuple(str(code) for code in range(int(labels.max()) + 1))
