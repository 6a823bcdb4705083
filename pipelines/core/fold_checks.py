"""What cannot be folded, said before it is tried."""

from collections.abc import Iterable

import numpy as np

from pipelines.core.fold_parts import FoldKind, IntArray, Part, Rounds, Rows
from pipelines.core.predictions import Floats

MOST_ROWS_TO_LEAVE_ONE_OUT = 2_000
FEWEST_ROWS = 2


def check_kind(kind: FoldKind, rows: Rows, rounds: Rounds) -> None:
    """Check that a kind of folds fits what is known of the rows.

    Parameters
    ----------
    kind : str
    rows : Rows
    rounds : Rounds

    Raises
    ------
    ValueError
        If the column that the kind needs is missing, if it would part groups, or if it cannot be
        repeated.

    Examples
    --------
    >>> check_kind("kfold", Rows(10, None, None, None, ()), Rounds(5, 1, 0, 0))
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


def check_enough(kind: FoldKind, rows: Rows, rounds: Rounds) -> None:
    """Check that there are rows, groups, times and members of every class for the folds.

    Raises
    ------
    ValueError
        If there are not, with the count that was found.

    Examples
    --------
    >>> check_enough("kfold", Rows(10, None, None, None, ()), Rounds(5, 1, 0, 0))
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


def check_learnable(parts: Iterable[Part], rows: Rows) -> None:
    """Check that every fold has rows to learn from, of two classes at least.

    Raises
    ------
    ValueError
        If one has not, with its number.

    Examples
    --------
    >>> check_learnable([(np.array([0]), np.array([1]))], Rows(2, None, None, None, ()))
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
    if not FEWEST_ROWS <= n_rows <= MOST_ROWS_TO_LEAVE_ONE_OUT:
        raise ValueError(
            f"Leave-one-out needs {FEWEST_ROWS} to {MOST_ROWS_TO_LEAVE_ONE_OUT} training rows, "
            f"one fit for each. Got {n_rows} instead. Set split.folds to kfold or stratified."
        )


def _check_times(times: Floats, n_folds: int) -> None:
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


def _check_classes(rows: Rows, n_folds: int) -> None:
    counts = np.bincount(_codes(rows), minlength=len(rows.classes))
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


def _codes(rows: Rows) -> IntArray:
    return np.zeros(0, dtype=np.int64) if rows.labels is None else rows.labels.astype(np.int64)
