"""Split a table into training, selection and hold-out rows that stay put when rows are added.

With a time column the hold-out is the latest part (`is_latest`). Without one, a row's side
depends on a hash of its own cells or its group, the fraction and the seed (`hash_rows`,
`is_in_holdout`), so that it never moves. The hash is the same in every run and with every
library version: blake2b and the finaliser of SplitMix64 (Steele, Lea and Flood, 2014).

`split_table` splits by a fraction. `split_from_moment` is for a retune: rows from a moment on
never train; half of them select the training window and half are the hold-out. Groups are never
split.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evertune.data.folds import Fold, FoldKind, IntArray, make_folds, resolve_fold_kind
from evertune.data.schema import TableSchema, encode_target
from evertune.data.training_windows import event_times
from evertune.times import TimeArray, times_to_numbers
from evertune.types import Mask

HashArray = NDArray[np.uint64]

SPLITMIX_MULTIPLIERS = np.array([0xBF58476D1CE4E5B9, 0x94D049BB133111EB], dtype=np.uint64)
SPLITMIX_SHIFTS = np.array([30, 27, 31], dtype=np.uint64)
MISSING_HASH = np.uint64(0x9E3779B97F4A7C15)
DIGEST_BYTES = 8


def hash_rows(table: pd.DataFrame, columns: Sequence[str]) -> pd.Series:
    """Return a key of every row that depends on nothing but its own cells.

    It is a 64-bit hash of the cells of some columns and the columns' names. It is the same in
    every run, with every version of the libraries, and in whatever order columns and rows stand;
    equal rows have equal keys.

    Parameters
    ----------
    table : DataFrame, n rows
    columns : sequence of str
        Of text, numbers, booleans or dates.

    Returns
    -------
    Series of str
        16 hexadecimal digits each, on the table's index.

    Raises
    ------
    ValueError
        If no column is named.

    Examples
    --------
    >>> hash_rows(pd.DataFrame({"id": ["a", "b"]}), ["id"]).tolist()
    ['f63a0276e99eec20', 'e8e73d99f3e8ce1a']
    """
    if not columns:
        raise ValueError("A row's key needs at least one column. Got none instead.")
    mixed = np.zeros(len(table), dtype=np.uint64)
    for name in columns:
        mixed += _mix_bits(_hash_cells(table[name]) ^ _hash_text(name))
    keys = [f"{key:016x}" for key in _mix_bits(mixed).tolist()]
    return pd.Series(keys, index=table.index, dtype="str", name="row_key")


def is_in_holdout(keys: pd.Series, *, fraction: float, seed: int) -> Mask:
    """Return whether each key stands in the hold-out.

    A key's side depends on nothing but itself, the fraction and the seed, so that it stays when
    rows are added; with a greater fraction, the hold-out keeps all that it had.

    Parameters
    ----------
    keys : Series of str
        From `hash_rows`; of groups where rows of a group belong together.
    fraction : float
        Expected share of the hold-out, 0 to 1.
    seed : int

    Examples
    --------
    >>> keys = hash_rows(pd.DataFrame({"id": range(10_000)}), ["id"])
    >>> float(is_in_holdout(keys, fraction=0.2, seed=0).mean())
    0.1962
    """
    numbers = np.array([int(key, 16) for key in keys], dtype=np.uint64)
    places = _mix_bits(numbers ^ _hash_text(f"side {seed}")) / np.float64(2**64)
    return np.asarray(places < fraction)


def is_latest(times: TimeArray, fraction: float) -> Mask:
    """Return whether each row is in the latest part; rows of one time stay together.

    Of the two cuts next to the wanted share, the nearer is taken, but neither part is empty.

    Parameters
    ----------
    times : array of shape (n,), datetime64 or a counter
    fraction : float
        Wanted share of the latest part, 0 to 1.

    Raises
    ------
    ValueError
        If a row has no time, or all have the same.

    Examples
    --------
    >>> is_latest(np.array([1.0, 5.0, 2.0, 5.0, 3.0]), 0.2)
    array([False,  True, False,  True, False])
    """
    numbers = times_to_numbers(times)
    n_missing = int(np.isnan(numbers).sum())
    if n_missing:
        raise ValueError(f"Every row must have a time. Got {n_missing} rows without one instead.")
    moments, counts = np.unique(numbers, return_counts=True)
    if moments.size <= 1:
        raise ValueError("The latest rows need at least two different times. Got one instead.")
    rows_from = np.cumsum(counts[::-1])[::-1][1:]
    nearest = np.abs(rows_from - fraction * numbers.size).argmin()
    return np.asarray(numbers >= moments[1:][nearest])


def _hash_cells(column: pd.Series) -> HashArray:
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_dtype(column):
        numbers = times_to_numbers(
            np.asarray(column, dtype=None if column.dtype.kind == "M" else np.float64)
        )
        bits = _mix_bits((numbers + 0.0).view(np.uint64))
        return np.where(np.isnan(numbers), MISSING_HASH, bits)
    codes, levels = pd.factorize(column)
    hashes = np.array([*map(_hash_text, levels), MISSING_HASH], dtype=np.uint64)
    return hashes[codes]


def _hash_text(text: object) -> np.uint64:
    digest = blake2b(str(text).encode(), digest_size=DIGEST_BYTES).digest()
    return np.uint64(int.from_bytes(digest, "little"))


def _mix_bits(numbers: HashArray) -> HashArray:
    """Return well-mixed bits: the finaliser of SplitMix64 (Steele, Lea and Flood, 2014)."""
    mixed = (numbers ^ (numbers >> SPLITMIX_SHIFTS[0])) * SPLITMIX_MULTIPLIERS[0]
    mixed = (mixed ^ (mixed >> SPLITMIX_SHIFTS[1])) * SPLITMIX_MULTIPLIERS[1]
    final: HashArray = mixed ^ (mixed >> SPLITMIX_SHIFTS[2])
    return final


ROW_KEY = "row_key"
MIN_TRAINING_ROWS = 2
MIN_HOLDOUT_ROWS_PER_CLASS = 5
SELECTION_FRACTION = 0.5


@dataclass(frozen=True, eq=False)
class TableSplit:
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


def add_row_keys(clean: pd.DataFrame, schema: TableSchema) -> pd.DataFrame:
    """Return a clean table with the column `row_key`.

    It is a hash of the identifier, or of the features and the time where there is none.

    Parameters
    ----------
    clean : DataFrame, n rows
    schema : TableSchema

    Examples
    --------
    >>> schema = TableSchema((), "churned", "binary", ("no", "yes"), identifier="id")
    >>> add_row_keys(pd.DataFrame({"id": ["a"]}), schema)["row_key"].tolist()
    ['f63a0276e99eec20']
    """
    cells = [column.name for column in schema.features]
    cells += [schema.time] if schema.time else []
    keys = hash_rows(clean, cells or list(clean.columns))
    if schema.identifier is not None:
        keys = _keys_by_column(clean, schema.identifier, keys)
    return clean.assign(**{ROW_KEY: keys})


def split_table(
    table: pd.DataFrame, schema: TableSchema, *, fraction: float, seed: int
) -> TableSplit:
    """Return the training rows and the hold-out of a table with row keys.

    With a time column the hold-out is the latest part. Earlier rows of a group that stands in it
    are left out of training. Without one, a row's side hangs on its key alone, or on its group.

    Parameters
    ----------
    table : DataFrame, n rows
        From `add_row_keys`.
    schema : TableSchema
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
    >>> schema = TableSchema((), "price", "regression", time="day")
    >>> table = pd.DataFrame({"day": [1.0, 2.0, 3.0, 4.0], "price": 1.0, "row_key": "0" * 16})
    >>> split_table(table, schema, fraction=0.25, seed=0).holdout["day"].tolist()
    [4.0]
    """
    groups = _group_keys(table, schema)
    if schema.time is not None:
        held = is_latest(table[schema.time].to_numpy(), fraction)
    else:
        held = is_in_holdout(groups, fraction=fraction, seed=seed)
    left_out = ~held & groups.isin(groups[held]).to_numpy() & (schema.group is not None)
    _check_split_sizes(held, left_out, fraction=fraction)
    return _build_split(table, held, choosing=held & False, left_out=left_out)


def split_from_moment(
    table: pd.DataFrame, schema: TableSchema, *, moment: pd.Timestamp, seed: int
) -> TableSplit:
    """Return the sides of a table whose rows from a moment on choose and judge, and never train.

    One half of them chooses the training window and the other is the hold-out, by a hash of the
    row's key, or of its group. Earlier rows whose group or key stands among them are left out.

    Parameters
    ----------
    table : DataFrame, n rows
        From `add_row_keys`.
    schema : TableSchema
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
    >>> sides = split_from_moment(table, TableSchema((), "price", "regression"), moment=days[2], seed=0)
    >>> len(sides.training), len(sides.choosing), len(sides.holdout)
    (2, 3, 1)
    """
    groups = _group_keys(table, schema)
    late = np.asarray(event_times(table, schema) >= moment)
    choosing = late & is_in_holdout(groups, fraction=SELECTION_FRACTION, seed=seed)
    kin = groups.isin(groups[late]) | table[ROW_KEY].isin(table[ROW_KEY][late])
    left_out = ~late & kin.to_numpy()
    if not choosing.any() or choosing.sum() == late.sum():
        raise ValueError(
            f"Rows from {moment} on must choose and judge. Got {choosing.sum()} and"
            f" {late.sum() - choosing.sum()} of {len(table)} rows instead; wait for more labels."
        )
    _check_training_rows(int((~late & ~left_out).sum()), moment)
    return _build_split(table, late & ~choosing, choosing=choosing, left_out=left_out)


def _check_training_rows(n_training: int, moment: pd.Timestamp) -> None:
    if n_training < MIN_TRAINING_ROWS:
        raise ValueError(
            f"Training needs at least {MIN_TRAINING_ROWS} rows from before {moment}. Got "
            f"{n_training} instead; lower monitoring.retune.holdout_fraction."
        )


def _build_split(table: pd.DataFrame, held: Mask, *, choosing: Mask, left_out: Mask) -> TableSplit:
    return TableSplit(
        training=table[~held & ~choosing & ~left_out].reset_index(drop=True),
        holdout=table[held].reset_index(drop=True),
        choosing=table[choosing].reset_index(drop=True),
        n_left_out=int(left_out.sum()),
    )


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
    """Return the folds of the training rows; see `evertune.data.folds.make_folds`.

    Raises
    ------
    ValueError
        If such folds cannot be made of these rows.

    Examples
    --------
    >>> schema = TableSchema((), "price", "regression")
    >>> training = pd.DataFrame({"price": [1.0, 2.0, 3.0], "row_key": ["a", "b", "c"]})
    >>> made = make_training_folds(
    ...     training, schema, kind="auto", n_folds=3, n_repeats=1, gap_days=0, seed=0
    ... )
    >>> len(made)
    3
    """
    return make_folds(
        kind,
        n_rows=len(training),
        truth=encode_target(training, schema),
        groups=_group_codes(training, schema),
        times=None if schema.time is None else training[schema.time].to_numpy(),
        n_folds=n_folds,
        n_repeats=n_repeats,
        gap_days=gap_days,
        seed=seed,
        task=schema.task,
        classes=schema.classes,
    )


def schema_fold_kind(kind: FoldKind | Literal["auto"], schema: TableSchema) -> FoldKind:
    """Return the kind of folds that `auto` stands for in a table of this schema.

    Examples
    --------
    >>> schema_fold_kind("auto", TableSchema((), "price", "regression", time="day"))
    'time'
    """
    has_times, has_groups = schema.time is not None, schema.group is not None
    return resolve_fold_kind(kind, has_times=has_times, has_groups=has_groups, task=schema.task)


def find_rare_classes(holdout: pd.DataFrame, schema: TableSchema) -> dict[str, int]:
    """Return the classes with fewer than 5 rows in the hold-out, with their counts.

    Examples
    --------
    >>> schema = TableSchema((), "churned", "binary", ("no", "yes"))
    >>> find_rare_classes(pd.DataFrame({"churned": ["no"] * 9 + ["yes"]}), schema)
    {'yes': 1}
    """
    counts = holdout[schema.target].value_counts()
    found = {name: int(counts.get(name, 0)) for name in schema.classes}
    return {name: count for name, count in found.items() if count < MIN_HOLDOUT_ROWS_PER_CLASS}


def _keys_by_column(table: pd.DataFrame, column: str, others: pd.Series) -> pd.Series:
    """Return keys by one column, and the others' where it is missing."""
    return hash_rows(table, [column]).where(table[column].notna(), others)


def _group_keys(table: pd.DataFrame, schema: TableSchema) -> pd.Series:
    """Return keys by group; a row without a group is a group of its own."""
    if schema.group is None:
        return table[ROW_KEY]
    return _keys_by_column(table, schema.group, table[ROW_KEY])


def _group_codes(table: pd.DataFrame, schema: TableSchema) -> IntArray | None:
    if schema.group is None:
        return None
    return np.asarray(pd.factorize(_group_keys(table, schema))[0], dtype=np.int64)


def _check_split_sizes(held: Mask, left_out: Mask, *, fraction: float) -> None:
    n_training = int((~held & ~left_out).sum())
    if not held.any() or n_training < MIN_TRAINING_ROWS:
        raise ValueError(
            f"Training needs at least {MIN_TRAINING_ROWS} rows and the hold-out one. Got "
            f"{n_training} and {held.sum()} of {held.size} rows with split.holdout_fraction "
            f"{fraction}, {left_out.sum()} rows left out because their group is in the hold-out. "
            f"Change split.holdout_fraction, or set data.time or data.group to null."
        )
