"""Parting a clean table into training and hold-out, and training into folds."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from pipelines.core.fold_parts import FoldKind, IntArray
from pipelines.core.folds import Fold, folds, resolved_kind
from pipelines.core.schema import Schema
from pipelines.core.sides import Mask, in_holdout, latest, row_keys
from pipelines.core.training_windows import event_moments
from pipelines.core.truths import truth_of

ROW_KEY = "row_key"
FEWEST_TRAINING_ROWS = 2
FEWEST_OF_A_CLASS = 5
CHOOSING_FRACTION = 0.5


@dataclass(frozen=True, eq=False)
class Parted:
    """The sides of a table.

    Attributes
    ----------
    training, holdout : DataFrame
        Clean rows with their `row_key`.
    choosing : DataFrame
        Rows that choose the training window; none unless production rows judge.
    n_left_out : int
        Earlier rows that stand on no side, because their group, or an equal row, judges.
    """

    training: pd.DataFrame
    holdout: pd.DataFrame
    choosing: pd.DataFrame
    n_left_out: int


def with_row_keys(clean: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return a clean table with the column `row_key`.

    It is a hash of the identifier, or of the features and the time where there is none.

    Parameters
    ----------
    clean : DataFrame, n rows
    schema : Schema

    Examples
    --------
    >>> schema = Schema((), "churned", "binary", ("no", "yes"), identifier="id")
    >>> with_row_keys(pd.DataFrame({"id": ["a"]}), schema)["row_key"].tolist()
    ['f63a0276e99eec20']
    """
    cells = [column.name for column in schema.features]
    cells += [schema.time] if schema.time else []
    keys = row_keys(clean, cells or list(clean.columns))
    if schema.identifier is not None:
        keys = _named_keys(clean, schema.identifier, keys)
    return clean.assign(**{ROW_KEY: keys})


def parted(table: pd.DataFrame, schema: Schema, *, fraction: float, seed: int) -> Parted:
    """Return the training rows and the hold-out of a table with row keys.

    With a time column the hold-out is the latest part. Earlier rows of a group that stands in it
    are left out of training. Without one, a row's side hangs on its key alone, or on its group.

    Parameters
    ----------
    table : DataFrame, n rows
        From `with_row_keys`.
    schema : Schema
    fraction : float
        Share of the hold-out, 0 to 1.
    seed : int
        Which rows, where it is not the latest.

    Raises
    ------
    ValueError
        If the rows cannot be parted so.

    Examples
    --------
    >>> schema = Schema((), "price", "regression", time="day")
    >>> table = pd.DataFrame({"day": [1.0, 2.0, 3.0, 4.0], "price": 1.0, "row_key": "0" * 16})
    >>> parted(table, schema, fraction=0.25, seed=0).holdout["day"].tolist()
    [4.0]
    """
    groups = _group_keys(table, schema)
    if schema.time is not None:
        held = latest(table[schema.time].to_numpy(), fraction)
    else:
        held = in_holdout(groups, fraction=fraction, seed=seed)
    left_out = ~held & groups.isin(groups[held]).to_numpy() & (schema.group is not None)
    _check_sides(held, left_out, fraction=fraction)
    return _parted(table, held, choosing=held & False, left_out=left_out)


def judged_from(table: pd.DataFrame, schema: Schema, *, moment: pd.Timestamp, seed: int) -> Parted:
    """Return the sides of a table whose rows from a moment on choose and judge, and never train.

    One half of them chooses the training window and the other is the hold-out, by a hash of the
    row's key, or of its group. Earlier rows whose group or key stands among them are left out.

    Parameters
    ----------
    table : DataFrame, n rows
        From `with_row_keys`.
    schema : Schema
    moment : Timestamp
        In UTC, without a zone.
    seed : int
        Which half a row is in.

    Raises
    ------
    ValueError
        If a side would have too few rows.

    Examples
    --------
    >>> days = pd.date_range("2024-01-01", periods=6, unit="us")
    >>> keys = [f"{n:016x}" for n in range(6)]
    >>> table = pd.DataFrame({"moment": days, "price": 1.0, "row_key": keys})
    >>> sides = judged_from(table, Schema((), "price", "regression"), moment=days[2], seed=0)
    >>> len(sides.training), len(sides.choosing), len(sides.holdout)
    (2, 3, 1)
    """
    groups = _group_keys(table, schema)
    late = np.asarray(event_moments(table, schema) >= moment)
    choosing = late & in_holdout(groups, fraction=CHOOSING_FRACTION, seed=seed)
    kin = groups.isin(groups[late]) | table[ROW_KEY].isin(table[ROW_KEY][late])
    left_out = ~late & kin.to_numpy()
    if not choosing.any() or choosing.sum() == late.sum():
        raise ValueError(
            f"Rows from {moment} on must choose and judge. Got {choosing.sum()} and"
            f" {late.sum() - choosing.sum()} of {len(table)} rows instead; wait for more labels."
        )
    _check_training(int((~late & ~left_out).sum()), moment)
    return _parted(table, late & ~choosing, choosing=choosing, left_out=left_out)


def _check_training(n_training: int, moment: pd.Timestamp) -> None:
    if n_training < FEWEST_TRAINING_ROWS:
        raise ValueError(
            f"Training needs at least {FEWEST_TRAINING_ROWS} rows from before {moment}. Got "
            f"{n_training} instead; lower monitoring.retune.judge_fraction."
        )


def _parted(table: pd.DataFrame, held: Mask, *, choosing: Mask, left_out: Mask) -> Parted:
    return Parted(
        training=table[~held & ~choosing & ~left_out].reset_index(drop=True),
        holdout=table[held].reset_index(drop=True),
        choosing=table[choosing].reset_index(drop=True),
        n_left_out=int(left_out.sum()),
    )


def training_folds(  # noqa: PLR0913
    training: pd.DataFrame,
    schema: Schema,
    *,
    kind: FoldKind | Literal["auto"],
    n_folds: int,
    n_repeats: int,
    gap_days: float,
    seed: int,
) -> tuple[Fold, ...]:
    """Return the folds of the training rows; see `pipelines.core.folds.folds`.

    Raises
    ------
    ValueError
        If such folds cannot be made of these rows.

    Examples
    --------
    >>> schema = Schema((), "price", "regression")
    >>> training = pd.DataFrame({"price": [1.0, 2.0, 3.0], "row_key": ["a", "b", "c"]})
    >>> made = training_folds(
    ...     training, schema, kind="auto", n_folds=3, n_repeats=1, gap_days=0, seed=0
    ... )
    >>> len(made)
    3
    """
    return folds(
        kind,
        n_rows=len(training),
        truth=truth_of(training, schema),
        groups=_group_numbers(training, schema),
        times=None if schema.time is None else training[schema.time].to_numpy(),
        n_folds=n_folds,
        n_repeats=n_repeats,
        gap_days=gap_days,
        seed=seed,
        task=schema.task,
        classes=schema.classes,
    )


def fold_kind(kind: FoldKind | Literal["auto"], schema: Schema) -> FoldKind:
    """Return the kind of folds that `auto` stands for in a table of this schema.

    Examples
    --------
    >>> fold_kind("auto", Schema((), "price", "regression", time="day"))
    'time'
    """
    has_times, has_groups = schema.time is not None, schema.group is not None
    return resolved_kind(kind, has_times=has_times, has_groups=has_groups, task=schema.task)


def rare_classes(holdout: pd.DataFrame, schema: Schema) -> dict[str, int]:
    """Return the classes with fewer than 5 rows in the hold-out, with their counts.

    Examples
    --------
    >>> schema = Schema((), "churned", "binary", ("no", "yes"))
    >>> rare_classes(pd.DataFrame({"churned": ["no"] * 9 + ["yes"]}), schema)
    {'yes': 1}
    """
    counts = holdout[schema.target].value_counts()
    found = {name: int(counts.get(name, 0)) for name in schema.classes}
    return {name: count for name, count in found.items() if count < FEWEST_OF_A_CLASS}


def _named_keys(table: pd.DataFrame, column: str, others: pd.Series) -> pd.Series:
    """Return keys by one column, and the others' where it is missing."""
    return row_keys(table, [column]).where(table[column].notna(), others)


def _group_keys(table: pd.DataFrame, schema: Schema) -> pd.Series:
    """Return keys by group; a row without a group is a group of its own."""
    if schema.group is None:
        return table[ROW_KEY]
    return _named_keys(table, schema.group, table[ROW_KEY])


def _group_numbers(table: pd.DataFrame, schema: Schema) -> IntArray | None:
    if schema.group is None:
        return None
    return np.asarray(pd.factorize(_group_keys(table, schema))[0], dtype=np.int64)


def _check_sides(held: Mask, left_out: Mask, *, fraction: float) -> None:
    n_training = int((~held & ~left_out).sum())
    if not held.any() or n_training < FEWEST_TRAINING_ROWS:
        raise ValueError(
            f"Training needs at least {FEWEST_TRAINING_ROWS} rows and the hold-out one. Got "
            f"{n_training} and {held.sum()} of {held.size} rows with split.holdout_fraction "
            f"{fraction}, {left_out.sum()} rows left out because their group is in the hold-out. "
            f"Change split.holdout_fraction, or set data.time or data.group to null."
        )
