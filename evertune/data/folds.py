"""Cross-validation folds: k-fold, stratified, group, time and leave-one-out.

`make_training_folds` makes the folds that params.yaml asks for; by `make_folds`, which may also say
why these rows do not allow them and what to change. `default_folds` and `default_n_folds` choose
folds where nobody asks for any.
`subsample_folds` limits the rows of a fold: more would rank configurations little better.

The splitters are scikit-learn's, but for time: its `TimeSeriesSplit` cuts by row numbers, so it
would split rows of one time, cannot leave out rows by a gap in days and knows no groups.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evertune.data.holdout import group_keys
from evertune.data.schema import TableSchema, encode_target
from evertune.times import TimeArray, check_times, days_to_time_units, times_to_numbers
from evertune.types import FloatArray, Task

IntArray = NDArray[np.int64]
SplitIndices = tuple[IntArray, IntArray]
FoldKind = Literal["kfold", "stratified", "group", "time", "leave_one_out"]

TRAINING_CODE, VALIDATION_CODE = 1, 2
MIN_LEAVE_ONE_OUT_ROWS, MAX_LEAVE_ONE_OUT_ROWS = 2, 2_000
DEFAULT_N_FOLDS, FEWER_N_FOLDS = 5, 3
MANY_ROWS = 20_000  # from here on fewer folds at a short budget
VERY_MANY_ROWS = 100_000
LONG_BUDGET_SECONDS = 300
CELLS_PER_SECOND = 10_000  # of the table, that a search can go through fold by fold
# validated by the only fold
VALIDATION_SHARE, MIN_VALIDATION_ROWS, MAX_VALIDATION_SHARE = 0.15, 2_500, 1 / 3
MIN_ROWS_PER_FOLD = 2
MAX_TRAINING_CELLS = 4_000_000  # of a fold: more would rank configurations little better
VALIDATION_RATIO = 0.25  # validation rows that are enough to rank by, per training row


@dataclass(frozen=True, eq=False)
class Fold:
    """Training and validation rows: ascending row numbers; no row is in both."""

    training: IntArray
    validation: IntArray


def make_folds(
    kind: FoldKind | Literal["auto"],
    y_true: FloatArray,
    *,
    task: Task,
    groups: IntArray | None = None,
    times: TimeArray | None = None,
    n_folds: int,
    n_repeats: int = 1,
    gap_days: float = 0.0,
    seed: int = 0,
    classes: Sequence[str] = (),
) -> tuple[Fold, ...]:
    """Return the folds of n training rows.

    Parameters
    ----------
    kind : str
        `kfold`; `stratified` (every fold has the shares of the classes); `group` (no group is in
        both parts; shares of classes are kept as far as that allows); `time` (validation rows
        are later than training rows, rows of one time stay together, training rows of a group in
        validation are left out); `leave_one_out`; `auto`, see `resolve_fold_kind`.
    y_true : array of shape (n,)
        Class codes, or values.
    groups : array of int of shape (n,), optional
        Rows of one number belong together.
    times : array of shape (n,), optional
        datetime64, or a counter.
    n_folds, n_repeats : int
        Folds of one round, and rounds, which differ by their shuffle.
    gap_days : float
        Time folds: training rows fewer days (units of a counter) than this before the first
        validation row are left out.
    classes : sequence of str
        The names of the codes, for messages; by default the codes.

    Raises
    ------
    ValueError
        Such folds cannot be made of these rows; the message says why and what to do.

    Examples
    --------
    >>> hours = np.arange(6.0)
    >>> folds = make_folds("time", hours, task="regression", times=hours, n_folds=2)
    >>> [(fold.training.tolist(), fold.validation.tolist()) for fold in folds]
    [([0, 1], [2, 3]), ([0, 1, 2, 3], [4, 5])]
    """
    kind = resolve_fold_kind(
        kind, has_times=times is not None, has_groups=groups is not None, task=task
    )
    labels = None if task == "regression" else y_true.astype(np.int64)
    if labels is not None and not classes:
        classes = [str(code) for code in range(int(labels.max()) + 1)]
    if kind in {"time", "leave_one_out"} and n_repeats > 1:
        raise ValueError(
            f"Folds of kind {kind!r} are the same every time. Set split.n_repeats to 1, "
            f"got {n_repeats}."
        )
    if kind == "time":
        parts = list(_split_by_time(times, groups, n_folds=n_folds, gap_days=gap_days))
    else:
        _check_possible(kind, labels, groups, n_rows=y_true.size, n_folds=n_folds)
        if kind in {"stratified", "group"} and labels is not None:
            _check_class_counts(labels, classes, n_folds)
        parts = []
        for number in range(n_repeats):
            splitter = _splitter(kind, n_folds, has_classes=labels is not None, seed=seed + number)
            parts += splitter.split(np.empty(y_true.size), labels, groups)
    _check_training_parts(parts, labels, classes)
    return tuple(Fold(np.sort(training), np.sort(validation)) for training, validation in parts)


def make_training_folds(
    training: pd.DataFrame,
    schema: TableSchema,
    *,
    kind: FoldKind | Literal["auto"],
    n_folds: int,
    n_repeats: int,
    gap_days: float,
    seed: int,
) -> tuple[Fold, ...]:
    """Return the folds of the training rows; see `make_folds`."""
    groups = None
    if schema.group is not None:
        codes, _ = pd.factorize(group_keys(training, schema))
        groups = np.asarray(codes, dtype=np.int64)
    return make_folds(
        kind,
        encode_target(training, schema),
        groups=groups,
        times=None if schema.time is None else training[schema.time].to_numpy(),
        n_folds=n_folds,
        n_repeats=n_repeats,
        gap_days=gap_days,
        seed=seed,
        task=schema.task,
        classes=schema.classes,
    )


def resolve_fold_kind(
    kind: FoldKind | Literal["auto"], *, has_times: bool, has_groups: bool, task: Task
) -> FoldKind:
    """Return the kind of folds that `auto` stands for; any other kind as it is.

    Time folds with a time column, else group folds with a group column, else stratified folds for
    classes and k-fold for values.
    """
    if kind != "auto":
        return kind
    if has_times:
        return "time"
    if has_groups:
        return "group"
    return "kfold" if task == "regression" else "stratified"


def schema_fold_kind(kind: FoldKind | Literal["auto"], schema: TableSchema) -> FoldKind:
    """Return the kind of folds that `auto` stands for in a table of this schema."""
    has_times, has_groups = schema.time is not None, schema.group is not None
    return resolve_fold_kind(kind, has_times=has_times, has_groups=has_groups, task=schema.task)


def folds_to_table(folds: Sequence[Fold], n_rows: int) -> pd.DataFrame:
    """Return the folds as a table of int8: one row per training row, one column per fold.

    Columns are `fold_0`, `fold_1`, ...; values 0 unused, 1 training, 2 validation.
    """
    table = np.zeros((n_rows, len(folds)), dtype=np.int8)
    for number, fold in enumerate(folds):
        table[fold.training, number] = TRAINING_CODE
        table[fold.validation, number] = VALIDATION_CODE
    return pd.DataFrame(table, columns=[f"fold_{number}" for number in range(len(folds))])


def folds_from_table(table: pd.DataFrame) -> tuple[Fold, ...]:
    """Return the folds of a table of `folds_to_table`."""
    return tuple(
        Fold(np.flatnonzero(codes == TRAINING_CODE), np.flatnonzero(codes == VALIDATION_CODE))
        for codes in table.to_numpy().T
    )


def default_n_folds(n_rows: int, n_columns: int, budget_seconds: float | None) -> int:
    """Return how many folds a search should use; one validates a part of the rows.

    `budget_seconds` is None if the budget is in trials.
    """
    seconds = math.inf if budget_seconds is None else budget_seconds
    if n_rows < MANY_ROWS:
        return DEFAULT_N_FOLDS
    if n_rows * n_columns > CELLS_PER_SECOND * seconds:
        return 1
    if n_rows < VERY_MANY_ROWS and seconds < LONG_BUDGET_SECONDS:
        return FEWER_N_FOLDS
    return DEFAULT_N_FOLDS


def default_folds(
    y_true: FloatArray, n_folds: int, *, has_classes: bool, seed: int
) -> tuple[Fold, ...]:
    """Return shuffled folds, or one that validates a part of the rows if `n_folds` is 1.

    Every fold has the shares of the classes as far as possible. The only row of a class is
    training in every fold and never validation. There are fewer folds if rows are few, and none
    if fewer than four rows can be split.

    Examples
    --------
    >>> folds = default_folds(np.array([0.0, 0, 1, 1, 2]), 2, has_classes=True, seed=0)
    >>> [(4 in fold.training, len(fold.validation)) for fold in folds]
    [(True, 2), (True, 2)]
    """
    split_rows, always_training = np.arange(y_true.size), np.arange(0)
    if has_classes:
        codes = y_true.astype(np.int64)
        single = np.bincount(codes)[codes] == 1
        split_rows, always_training = np.flatnonzero(~single), np.flatnonzero(single)
    n_rows = split_rows.size
    if n_rows < MIN_ROWS_PER_FOLD * 2:
        return ()
    y_split = y_true[split_rows]
    n_folds = max(min(n_folds, n_rows // MIN_ROWS_PER_FOLD), 1)
    if n_folds == 1:
        share = min(max(VALIDATION_SHARE, MIN_VALIDATION_ROWS / n_rows), MAX_VALIDATION_SHARE)
        from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit

        shuffle_split = StratifiedShuffleSplit if has_classes else ShuffleSplit
        splitter = shuffle_split(1, test_size=share, random_state=seed)
    else:
        if has_classes:
            n_folds = min(n_folds, int(np.bincount(y_split.astype(np.int64)).max()))
        kind: FoldKind = "stratified" if has_classes else "kfold"
        splitter = _splitter(kind, n_folds, has_classes=has_classes, seed=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")
        parts = list(splitter.split(np.empty(n_rows), y_split if has_classes else None))
    return tuple(
        Fold(
            np.sort(np.concatenate([split_rows[training], always_training])),
            np.sort(split_rows[validation]),
        )
        for training, validation in parts
    )


def subsample_folds(folds: Sequence[Fold], n_columns: int, *, seed: int) -> tuple[Fold, ...]:
    """Return folds that use a random part of their rows if the table is large.

    Configurations are ranked on the part; the chosen ones are fitted on all rows afterwards. Rows
    keep their order, and each fold draws its own.
    """
    max_rows = max_training_rows(n_columns)
    rng = np.random.default_rng(seed)

    def sample(rows: IntArray, most: int) -> IntArray:
        return rows if len(rows) <= most else np.sort(rng.choice(rows, size=most, replace=False))

    return tuple(
        fold
        if len(fold.training) <= max_rows
        else Fold(
            sample(fold.training, max_rows),
            sample(fold.validation, math.ceil(VALIDATION_RATIO * max_rows)),
        )
        for fold in folds
    )


def max_training_rows(n_columns: int) -> int:
    """Return the most training rows of a fold after `subsample_folds`."""
    return max(MAX_TRAINING_CELLS // max(n_columns, 1), MIN_ROWS_PER_FOLD)


def _splitter(kind: FoldKind, n_folds: int, *, has_classes: bool, seed: int) -> Any:
    # scikit-learn takes a second to import, and many who import this module split nothing
    from sklearn.model_selection import (
        GroupKFold,
        KFold,
        LeaveOneOut,
        StratifiedGroupKFold,
        StratifiedKFold,
    )

    if kind == "leave_one_out":
        return LeaveOneOut()
    group_splitter = StratifiedGroupKFold if has_classes else GroupKFold
    splitter = {"kfold": KFold, "stratified": StratifiedKFold, "group": group_splitter}[kind]
    return splitter(n_folds, shuffle=True, random_state=seed)


def _split_by_time(
    times: TimeArray | None, groups: IntArray | None, *, n_folds: int, gap_days: float
) -> Iterator[SplitIndices]:
    """Yield ever longer training parts, each with the next stretch of time as validation.

    The rows before fold i of k are about i / (k + 1) of all.
    """
    if times is None:
        raise ValueError("Time folds need a time column. Set data.time, or other split.folds.")
    numbers = times_to_numbers(times)
    check_times(numbers)
    distinct, time_index, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    if distinct.size <= n_folds:
        raise ValueError(
            f"{n_folds} time folds need at least {n_folds + 1} different times. Got "
            f"{distinct.size} instead. Lower split.n_folds, or set other split.folds."
        )
    gap = days_to_time_units(times, gap_days)
    n_rows_to = np.cumsum(counts)
    starts = [0]  # index of the first time of each validation part
    for fold in range(1, n_folds + 1):
        wanted = n_rows_to[-1] * fold / (n_folds + 1)
        nearest = int(np.abs(n_rows_to - wanted).argmin()) + 1
        starts.append(min(max(nearest, starts[-1] + 1), distinct.size - n_folds + fold - 1))
    for start, stop in pairwise([*starts[1:], distinct.size]):
        validation = (time_index >= start) & (time_index < stop)
        training = (time_index < start) & (numbers <= distinct[start] - gap)
        if groups is not None:
            training &= ~np.isin(groups, groups[validation])
        yield np.flatnonzero(training), np.flatnonzero(validation)


def _check_possible(
    kind: FoldKind,
    labels: IntArray | None,
    groups: IntArray | None,
    *,
    n_rows: int,
    n_folds: int,
) -> None:
    """Raise ValueError if the rows do not allow folds of a kind that ignores time."""
    if kind == "stratified" and labels is None:
        raise ValueError("Stratified folds need classes. Set split.folds to kfold.")
    if kind != "group" and groups is not None:
        raise ValueError(
            f"Folds of kind {kind!r} would split rows of one group. Set split.folds to group or "
            f"time, or data.group to null."
        )
    if kind == "leave_one_out":
        if not MIN_LEAVE_ONE_OUT_ROWS <= n_rows <= MAX_LEAVE_ONE_OUT_ROWS:
            raise ValueError(
                f"Leave-one-out needs {MIN_LEAVE_ONE_OUT_ROWS} to {MAX_LEAVE_ONE_OUT_ROWS} "
                f"training rows, one fit for each. Got {n_rows} instead. Set split.folds to kfold "
                f"or stratified."
            )
        return
    count, unit = n_rows, "rows"
    if kind == "group":
        if groups is None:
            raise ValueError(
                "Group folds need a group column. Set data.group, or other split.folds."
            )
        count, unit = np.unique(groups).size, "groups"
    if count < n_folds:
        raise ValueError(
            f"{n_folds} folds need at least {n_folds} {unit}. Got {count} instead. "
            f"Lower split.n_folds."
        )


def _check_class_counts(labels: IntArray, classes: Sequence[str], n_folds: int) -> None:
    counts = np.bincount(labels, minlength=len(classes))
    rare = sorted(
        (count, name)
        for name, count in zip(classes, counts.tolist(), strict=True)
        if count < n_folds
    )
    if rare:
        count, name = rare[0]
        raise ValueError(
            f"{n_folds} folds are too many: {len(rare)} of {len(classes)} classes"
            f" {'has' if len(rare) == 1 else 'have'} fewer than {n_folds} training rows (for"
            f" example {name!r}: {count}). Merge rare classes, lower split.n_folds, or set"
            " split.folds: kfold."
        )


def _check_training_parts(
    parts: Sequence[SplitIndices], labels: IntArray | None, classes: Sequence[str]
) -> None:
    for number, (training, _) in enumerate(parts):
        if not training.size:
            raise ValueError(
                f"Fold {number} has no training rows: split.gap_days or groups leave none. "
                f"Lower split.gap_days or split.n_folds, or set other split.folds."
            )
        if labels is not None and np.ptp(labels[training]) == 0:
            raise ValueError(
                f"The training rows of fold {number} must hold at least two classes. Got only "
                f"{classes[labels[training[0]]]!r} in {training.size} rows. Lower split.n_folds, "
                f"or set other split.folds."
            )
