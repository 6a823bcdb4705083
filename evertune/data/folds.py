"""Cross-validation folds: k-fold, stratified, group, time and leave-one-out.

`make_folds` checks that the folds can be made and says what to change where they cannot. `auto`
stands for time folds with a time column, else group folds with a group column, else stratified
folds for classes and k-fold for values. Time folds keep rows of one time together and leave out
training rows within the gap, and those of a group in validation.

`default_folds` and `default_n_folds` choose folds from the rows, columns and budget where the
user does not. `subsample_folds` limits the cells of a fold: more would rank configurations
little better.
"""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneOut,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
)

from evertune.times import TimeArray, days_to_time_units, times_to_numbers
from evertune.types import FloatArray, Task

IntArray = NDArray[np.int64]
SplitIndices = tuple[IntArray, IntArray]
FoldKind = Literal["kfold", "stratified", "group", "time", "leave_one_out"]


@dataclass(frozen=True, eq=False)
class SplitInputs:
    """What decides where a row stands.

    Attributes
    ----------
    n_rows : int
    labels : array of shape (n_rows,), optional
        Class codes; None in regression.
    groups : array of int of shape (n_rows,), optional
    times : array of shape (n_rows,), optional
        Numbers of `evertune.times.times_to_numbers`.
    classes : tuple of str
        The names of the codes; empty in regression.
    """

    n_rows: int
    labels: FloatArray | None
    groups: IntArray | None
    times: FloatArray | None
    classes: tuple[str, ...]


@dataclass(frozen=True)
class CVConfig:
    """How many folds, how often, how far apart (in the unit of the times), and which shuffle."""

    n_folds: int
    n_repeats: int
    gap: float
    seed: int

    @property
    def seeds(self) -> range:
        """The seed of each round."""
        return range(self.seed, self.seed + self.n_repeats)


def split_kfold(rows: SplitInputs, rounds: CVConfig) -> Iterator[SplitIndices]:
    """Part shuffled rows.

    Examples
    --------
    >>> rows = SplitInputs(4, None, None, None, ())
    >>> [len(validation) for _, validation in split_kfold(rows, CVConfig(2, 2, 0, 0))]
    [2, 2, 2, 2]
    """
    for seed in rounds.seeds:
        yield from KFold(rounds.n_folds, shuffle=True, random_state=seed).split(
            np.empty(rows.n_rows)
        )


def split_stratified(rows: SplitInputs, rounds: CVConfig) -> Iterator[SplitIndices]:
    """Part shuffled rows so that every fold has the shares of the classes.

    Examples
    --------
    >>> rows = SplitInputs(4, np.array([0.0, 0.0, 1.0, 1.0]), None, None, ("no", "yes"))
    >>> [int(rows.labels[part].sum()) for _, part in split_stratified(rows, CVConfig(2, 1, 0, 0))]
    [1, 1]
    """
    for seed in rounds.seeds:
        splitter = StratifiedKFold(rounds.n_folds, shuffle=True, random_state=seed)
        yield from splitter.split(np.empty(rows.n_rows), rows.labels)


def split_by_group(rows: SplitInputs, rounds: CVConfig) -> Iterator[SplitIndices]:
    """Part shuffled groups; with classes their shares are kept as far as groups allow.

    Examples
    --------
    >>> rows = SplitInputs(4, None, np.array([7, 7, 8, 8]), None, ())
    >>> sorted(validation.tolist() for _, validation in split_by_group(rows, CVConfig(2, 1, 0, 0)))
    [[0, 1], [2, 3]]
    """
    kind = GroupKFold if rows.labels is None else StratifiedGroupKFold
    for seed in rounds.seeds:
        splitter = kind(rounds.n_folds, shuffle=True, random_state=seed)
        yield from splitter.split(np.empty(rows.n_rows), rows.labels, rows.groups)


def split_leave_one_out(rows: SplitInputs, _: CVConfig) -> Iterator[SplitIndices]:
    """Validate on every row alone.

    Examples
    --------
    >>> len(list(split_leave_one_out(SplitInputs(3, None, None, None, ()), CVConfig(5, 1, 0, 0))))
    3
    """
    yield from LeaveOneOut().split(np.empty(rows.n_rows))


def split_by_time(rows: SplitInputs, rounds: CVConfig) -> Iterator[SplitIndices]:
    """Validate on what comes later: ever longer training, then the next stretch of time.

    The rows before fold i of k are about i / (k + 1) of all. Rows of the same time are not
    parted. Training rows nearer than the gap, and those of a group in validation, are left out.

    Examples
    --------
    >>> rows = SplitInputs(3, None, None, np.array([3.0, 1.0, 2.0]), ())
    >>> [(t.tolist(), v.tolist()) for t, v in split_by_time(rows, CVConfig(2, 1, 0, 0))]
    [([1], [2]), ([1, 2], [0])]
    """
    times = np.zeros(rows.n_rows) if rows.times is None else rows.times
    moments, places, counts = np.unique(times, return_inverse=True, return_counts=True)
    starts = _validation_starts(np.cumsum(counts), rounds.n_folds)
    for start, stop in pairwise([*starts, moments.size]):
        validation = (places >= start) & (places < stop)
        early = (places < start) & (times <= moments[start] - rounds.gap)
        yield (
            np.flatnonzero(early & ~_same_group(rows.groups, validation)),
            np.flatnonzero(validation),
        )


def _validation_starts(rows_up_to: IntArray, n_folds: int) -> list[int]:
    """Return the place of the first time of every validation part."""
    starts, n_times = [0], rows_up_to.size
    for fold in range(1, n_folds + 1):
        wanted = rows_up_to[-1] * fold / (n_folds + 1)
        nearest = int(np.abs(rows_up_to - wanted).argmin()) + 1
        starts.append(min(max(nearest, starts[-1] + 1), n_times - n_folds + fold - 1))
    return starts[1:]


def _same_group(groups: IntArray | None, validation: NDArray[np.bool_]) -> NDArray[np.bool_]:
    if groups is None:
        return validation
    return np.isin(groups, groups[validation])


SPLITTERS: dict[FoldKind, Callable[[SplitInputs, CVConfig], Iterator[SplitIndices]]] = {
    "kfold": split_kfold,
    "stratified": split_stratified,
    "group": split_by_group,
    "time": split_by_time,
    "leave_one_out": split_leave_one_out,
}

MAX_LEAVE_ONE_OUT_ROWS = 2_000
MIN_LEAVE_ONE_OUT_ROWS = 2


def check_fold_kind(kind: FoldKind, rows: SplitInputs, rounds: CVConfig) -> None:
    """Check that a kind of folds fits what is known of the rows.

    Parameters
    ----------
    kind : str
    rows : SplitInputs
    rounds : CVConfig

    Raises
    ------
    ValueError
        If the column that the kind needs is missing, if it would part groups, or if it cannot be
        repeated.

    Examples
    --------
    >>> check_fold_kind("kfold", SplitInputs(10, None, None, None, ()), CVConfig(5, 1, 0, 0))
    """
    if kind == "time" and rows.times is None:
        raise ValueError("Time folds need a time column. Set data.time, or other split.folds.")
    if kind == "group" and rows.groups is None:
        raise ValueError("Group folds need a group column. Set data.group, or other split.folds.")
    if kind == "stratified" and rows.labels is None:
        raise ValueError("Stratified folds need classes. Set split.folds to kfold.")
    if kind in {"kfold", "stratified", "leave_one_out"} and rows.groups is not None:
        raise ValueError(
            f"Folds of kind {kind!r} would part rows of one group. Set split.folds to group or "
            f"time, or data.group to null."
        )
    if kind in {"time", "leave_one_out"} and rounds.n_repeats > 1:
        raise ValueError(
            f"Folds of kind {kind!r} are the same every time. Set split.n_repeats to 1, "
            f"got {rounds.n_repeats}."
        )


def check_fold_sizes(kind: FoldKind, rows: SplitInputs, rounds: CVConfig) -> None:
    """Check that there are rows, groups, times and members of every class for the folds.

    Raises
    ------
    ValueError
        If there are not, with the count that was found.

    Examples
    --------
    >>> check_fold_sizes("kfold", SplitInputs(10, None, None, None, ()), CVConfig(5, 1, 0, 0))
    """
    if kind == "leave_one_out":
        _check_leave_one_out(rows.n_rows)
    elif kind == "time" and rows.times is not None:
        _check_times(rows.times, rounds.n_folds)
    elif kind == "group" and rows.groups is not None:
        _check_count(np.unique(rows.groups).size, "groups", rounds.n_folds)
    else:
        _check_count(rows.n_rows, "rows", rounds.n_folds)
    if kind in {"stratified", "group"} and rows.labels is not None:
        _check_classes(rows, rounds.n_folds)


def check_training_parts(parts: Iterable[SplitIndices], rows: SplitInputs) -> None:
    """Check that every fold has rows to learn from, of two classes at least.

    Raises
    ------
    ValueError
        If one has not, with its number.

    Examples
    --------
    >>> check_training_parts([(np.array([0]), np.array([1]))], SplitInputs(2, None, None, None, ()))
    """
    for number, (training, _) in enumerate(parts):
        if not training.size:
            raise ValueError(
                f"Fold {number} has no training rows: split.gap_days or groups leave none. "
                f"Lower split.gap_days or split.n_folds, or set other split.folds."
            )
        if rows.labels is not None and np.ptp(rows.labels[training]) == 0:
            only = rows.classes[int(rows.labels[training[0]])]
            raise ValueError(
                f"The training rows of fold {number} must hold at least two classes. Got only "
                f"{only!r} in {training.size} rows. Lower split.n_folds, or set other split.folds."
            )


def _check_leave_one_out(n_rows: int) -> None:
    if not MIN_LEAVE_ONE_OUT_ROWS <= n_rows <= MAX_LEAVE_ONE_OUT_ROWS:
        raise ValueError(
            f"Leave-one-out needs {MIN_LEAVE_ONE_OUT_ROWS} to {MAX_LEAVE_ONE_OUT_ROWS} training rows, "
            f"one fit for each. Got {n_rows} instead. Set split.folds to kfold or stratified."
        )


def _check_times(times: FloatArray, n_folds: int) -> None:
    n_missing = int(np.isnan(times).sum())
    if n_missing:
        raise ValueError(f"Every row must have a time. Got {n_missing} rows without one instead.")
    n_times = np.unique(times).size
    if n_times <= n_folds:
        raise ValueError(
            f"{n_folds} time folds need at least {n_folds + 1} different times. Got {n_times} "
            f"instead. Lower split.n_folds, or set other split.folds."
        )


def _check_count(n_found: int, what: str, n_folds: int) -> None:
    if n_found < n_folds:
        raise ValueError(
            f"{n_folds} folds need at least {n_folds} {what}. Got {n_found} instead. "
            f"Lower split.n_folds."
        )


def _check_classes(rows: SplitInputs, n_folds: int) -> None:
    counts = np.bincount(_class_codes(rows), minlength=len(rows.classes))
    rare = [
        f"{name!r} ({count} rows)"
        for name, count in zip(rows.classes, counts, strict=True)
        if count < n_folds
    ]
    if rare:
        raise ValueError(
            f"{n_folds} folds need at least {n_folds} training rows of every class. Got "
            f"{', '.join(rare)}. Lower split.n_folds, set split.folds to kfold, or join rare "
            f"classes."
        )


def _class_codes(rows: SplitInputs) -> IntArray:
    return np.zeros(0, dtype=np.int64) if rows.labels is None else rows.labels.astype(np.int64)


TRAINING_CODE, VALIDATION_CODE = 1, 2


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


def resolve_fold_kind(
    kind: FoldKind | Literal["auto"], *, has_times: bool, has_groups: bool, task: Task
) -> FoldKind:
    """Return the kind of folds that `auto` stands for; any other kind is returned as it is.

    With a time column it is `time`, else with a group column `group`, else `stratified` for
    classes and `kfold` for values.

    Examples
    --------
    >>> resolve_fold_kind("auto", has_times=False, has_groups=False, task="binary")
    'stratified'
    """
    if kind != "auto":
        return kind
    if has_times:
        return "time"
    if has_groups:
        return "group"
    return "kfold" if task == "regression" else "stratified"


def make_folds(
    kind: FoldKind | Literal["auto"],
    *,
    n_rows: int,
    truth: FloatArray,
    groups: IntArray | None,
    times: TimeArray | None,
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
    >>> made = make_folds(
    ...     "time", n_rows=6, truth=np.arange(6.0), groups=None, times=np.arange(6.0), n_folds=2,
    ...     n_repeats=1, gap_days=0, seed=0, task="regression",
    ... )
    >>> [(fold.training.tolist(), fold.validation.tolist()) for fold in made]
    [([0, 1], [2, 3]), ([0, 1, 2, 3], [4, 5])]
    """
    has = {"has_times": times is not None, "has_groups": groups is not None}
    kind = resolve_fold_kind(kind, task=task, **has)
    labels = None if task == "regression" else truth
    moments = None if times is None else times_to_numbers(times)
    rows = SplitInputs(n_rows, labels, groups, moments, _class_names(labels, classes))
    gap = 0.0 if times is None else days_to_time_units(times, gap_days)
    rounds = CVConfig(n_folds, n_repeats, gap, seed)
    check_fold_kind(kind, rows, rounds)
    check_fold_sizes(kind, rows, rounds)
    parts = list(SPLITTERS[kind](rows, rounds))
    check_training_parts(parts, rows)
    return tuple(Fold(np.sort(training), np.sort(validation)) for training, validation in parts)


def folds_to_table(made: Sequence[Fold], n_rows: int) -> pd.DataFrame:
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
    >>> folds_to_table([Fold(np.array([0]), np.array([2]))], 3)["fold_0"].tolist()
    [1, 0, 2]
    """
    table = np.zeros((n_rows, len(made)), dtype=np.int8)
    for number, fold in enumerate(made):
        table[fold.training, number] = TRAINING_CODE
        table[fold.validation, number] = VALIDATION_CODE
    return pd.DataFrame(table, columns=[f"fold_{number}" for number in range(len(made))])


def folds_from_table(table: pd.DataFrame) -> tuple[Fold, ...]:
    """Return the folds that a table of `folds_to_table` holds.

    Examples
    --------
    >>> (fold,) = folds_from_table(pd.DataFrame({"fold_0": [1, 0, 2]}))
    >>> fold.training.tolist(), fold.validation.tolist()
    ([0], [2])
    """
    sides = table.to_numpy()
    return tuple(
        Fold(np.flatnonzero(side == TRAINING_CODE), np.flatnonzero(side == VALIDATION_CODE))
        for side in sides.T
    )


def _class_names(labels: FloatArray | None, classes: Sequence[str]) -> tuple[str, ...]:
    if labels is None:
        return ()
    return tuple(classes) or tuple(str(code) for code in range(int(labels.max()) + 1))


DEFAULT_N_FOLDS, FEWER_N_FOLDS, SINGLE_HOLDOUT = 5, 3, 1
MANY_ROWS = 20_000  # from here on fewer folds at a short budget
VERY_MANY_ROWS = 100_000
LONG_BUDGET_SECONDS = 300
CELLS_PER_SECOND = 10_000  # of the table, which a search in seconds can go through fold by fold
HOLDOUT_SHARE, MIN_HOLDOUT_ROWS, MAX_HOLDOUT_SHARE = 0.15, 2_500, 1 / 3
MIN_ROWS_PER_FOLD = 2
MAX_TRAINING_CELLS = (
    4_000_000  # that a fold learns from: more would rank configurations little better
)
VALIDATION_RATIO = 0.25  # as many rows as are learned from, times this, are enough to rank by


def default_n_folds(n_rows: int, n_columns: int, budget_seconds: float | None) -> int:
    """Return how many folds a search should use; 1 stands for a single hold-out.

    Parameters
    ----------
    n_rows, n_columns : int
    budget_seconds : float, optional
        None where the budget is in trials.

    Examples
    --------
    >>> default_n_folds(5_000, 20, 60), default_n_folds(40_000, 9, 60), default_n_folds(40_000, 9, 300)
    (5, 3, 5)
    >>> default_n_folds(1_000_000, 30, 300)
    1
    """
    seconds = math.inf if budget_seconds is None else budget_seconds
    if n_rows < MANY_ROWS:
        return DEFAULT_N_FOLDS
    if n_rows * n_columns > CELLS_PER_SECOND * seconds:
        return SINGLE_HOLDOUT
    if n_rows < VERY_MANY_ROWS and seconds < LONG_BUDGET_SECONDS:
        return FEWER_N_FOLDS
    return DEFAULT_N_FOLDS


def default_folds(
    truth: FloatArray, n_folds: int, *, has_classes: bool, seed: int
) -> tuple[Fold, ...]:
    """Return shuffled folds, or a single hold-out where `n_folds` is 1.

    Every fold has the shares of the classes as far as that goes. The row of a class that has no
    other is learned from in every fold and validates none. There are fewer folds where rows are
    few, and none where fewer than four can be parted.

    Parameters
    ----------
    truth : array of shape (n,)
        Class codes, or values.
    n_folds : int
    has_classes : bool
    seed : int

    Examples
    --------
    >>> made = default_folds(np.array([0.0, 0, 1, 1, 2]), 2, has_classes=True, seed=0)
    >>> [(4 in fold.training, len(fold.validation)) for fold in made]
    [(True, 2), (True, 2)]
    """
    rows = np.arange(truth.size)
    parted, pinned = rows, rows[:0]
    if has_classes:
        single = np.bincount(truth.astype(np.int64))[truth.astype(np.int64)] == 1
        parted, pinned = rows[~single], rows[single]
    least = min(n_folds, parted.size // MIN_ROWS_PER_FOLD)
    if parted.size < MIN_ROWS_PER_FOLD * 2:
        return ()
    parts = _split_parts(truth[parted], max(least, 1), has_classes=has_classes, seed=seed)
    return tuple(
        Fold(np.sort(np.concatenate([parted[training], pinned])), np.sort(parted[validation]))
        for training, validation in parts
    )


def subsample_folds(folds: Sequence[Fold], n_columns: int, *, seed: int) -> tuple[Fold, ...]:
    """Return folds of a large table that use a random part of their rows; others as they are.

    Configurations are ranked on the part; the chosen ones are fitted on all rows afterwards. Rows
    keep their order, and each fold draws its own.

    Parameters
    ----------
    folds : sequence of Fold
    n_columns : int
        Features of the table.
    seed : int

    Examples
    --------
    >>> (fold,) = subsample_folds([Fold(np.arange(900), np.arange(900, 1000))], 40_000, seed=0)
    >>> len(fold.training), len(fold.validation)
    (100, 25)
    """
    most = max_training_rows(n_columns)
    draws = np.random.default_rng(seed)

    def part(rows: IntArray, n_kept: int) -> IntArray:
        if len(rows) <= n_kept:
            return rows
        return np.sort(draws.choice(rows, size=n_kept, replace=False))

    return tuple(
        Fold(part(fold.training, most), part(fold.validation, math.ceil(VALIDATION_RATIO * most)))
        if len(fold.training) > most
        else fold
        for fold in folds
    )


def max_training_rows(n_columns: int) -> int:
    """Return the training rows that a fold has at most, once it is thinned.

    Examples
    --------
    >>> max_training_rows(40)
    100000
    """
    return max(MAX_TRAINING_CELLS // max(n_columns, 1), MIN_ROWS_PER_FOLD)


def _split_parts(
    truth: FloatArray, n_folds: int, *, has_classes: bool, seed: int
) -> Iterator[tuple[IntArray, IntArray]]:
    splitter = _make_splitter(truth, n_folds, has_classes=has_classes, seed=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")
        yield from splitter.split(np.empty(truth.size), truth if has_classes else None)


def _make_splitter(truth: FloatArray, n_folds: int, *, has_classes: bool, seed: int) -> Any:
    if n_folds == SINGLE_HOLDOUT:
        share = min(max(HOLDOUT_SHARE, MIN_HOLDOUT_ROWS / truth.size), MAX_HOLDOUT_SHARE)
        kind = StratifiedShuffleSplit if has_classes else ShuffleSplit
        return kind(1, test_size=share, random_state=seed)
    if not has_classes:
        return KFold(n_folds, shuffle=True, random_state=seed)
    commonest = int(np.bincount(truth.astype(np.int64)).max())
    return StratifiedKFold(min(n_folds, commonest), shuffle=True, random_state=seed)
