"""The hold-out: which rows of a table judge a model, and the key of every row.

With a time column the hold-out is the latest part. Without one, a row's side depends on nothing
but a hash of its own cells or its group, the fraction and the seed, so that it never moves; the
splitters of scikit-learn draw from all rows, so that a new row would move others. Groups are
never split. `split_from_moment` is for a retune: rows from a time on never train.

The hash is a stored format, the same in every run and with every version of the libraries
(`pandas.util.hash_pandas_object` does not promise that): blake2b and the finaliser of SplitMix64
(Steele, Lea and Flood, 2014).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evertune.data.schema import TableSchema
from evertune.data.training_windows import event_times
from evertune.times import TimeArray, check_times, times_to_numbers
from evertune.types import Mask

HashArray = NDArray[np.uint64]

ROW_KEY = "row_key"
MIN_TRAINING_ROWS = 2
MIN_HOLDOUT_ROWS_PER_CLASS = 5
SELECTION_FRACTION = 0.5
SPLITMIX_MULTIPLIERS = np.array([0xBF58476D1CE4E5B9, 0x94D049BB133111EB], dtype=np.uint64)
SPLITMIX_SHIFTS = np.array([30, 27, 31], dtype=np.uint64)
MISSING_HASH = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, eq=False)
class TableSplit:
    """The sides of a table.

    Attributes
    ----------
    training, holdout : DataFrame
        Clean rows with their `row_key`.
    selection : DataFrame
        Rows that select the training window; empty unless rows of production judge.
    n_left_out : int
        Earlier rows on no side, because their group, or an equal row, judges.
    """

    training: pd.DataFrame
    holdout: pd.DataFrame
    selection: pd.DataFrame
    n_left_out: int


def add_row_keys(clean: pd.DataFrame, schema: TableSchema) -> pd.DataFrame:
    """Return a clean table with the column `row_key`.

    It is a hash of the identifier, or of the features and the time if there is none.

    Examples
    --------
    >>> schema = TableSchema((), "churned", "binary", ("no", "yes"), identifier="id")
    >>> add_row_keys(pd.DataFrame({"id": ["a"]}), schema)["row_key"].tolist()
    ['f63a0276e99eec20']
    """
    columns = [column.name for column in schema.features]
    columns += [schema.time] if schema.time else []
    keys = hash_rows(clean, columns or list(clean.columns))
    if schema.identifier is not None:
        keys = _hash_column(clean, schema.identifier, keys)
    return clean.assign(**{ROW_KEY: keys})


def split_table(
    table: pd.DataFrame, schema: TableSchema, *, fraction: float, seed: int
) -> TableSplit:
    """Return the training rows and the hold-out of a table with row keys.

    With a time column the hold-out is the latest part, and earlier rows of a group in it are left
    out of training. Without one, a row's side depends on its key alone, or on its group.

    Parameters
    ----------
    table : DataFrame
        From `add_row_keys`.
    fraction : float
        Share of the hold-out, 0 to 1.

    Raises
    ------
    ValueError
        A side would have too few rows, or a row has no time.

    Examples
    --------
    >>> schema = TableSchema((), "price", "regression", time="day")
    >>> table = pd.DataFrame({"day": [1.0, 2.0, 3.0, 4.0], "price": 1.0, "row_key": "0" * 16})
    >>> split_table(table, schema, fraction=0.25, seed=0).holdout["day"].tolist()
    [4.0]
    """
    groups = group_keys(table, schema)
    if schema.time is not None:
        held = is_latest(table[schema.time].to_numpy(), fraction)
    else:
        held = is_in_holdout(groups, fraction=fraction, seed=seed)
    left_out = ~held & groups.isin(groups[held]).to_numpy() & (schema.group is not None)
    n_training = int((~held & ~left_out).sum())
    if not held.any() or n_training < MIN_TRAINING_ROWS:
        raise ValueError(
            f"Training needs at least {MIN_TRAINING_ROWS} rows and the hold-out one. Got "
            f"{n_training} and {held.sum()} of {held.size} rows with split.holdout_fraction "
            f"{fraction}, {left_out.sum()} rows left out because their group is in the hold-out. "
            f"Change split.holdout_fraction, or set data.time or data.group to null."
        )
    return _build_split(table, held, selection=np.zeros_like(held), left_out=left_out)


def split_from_moment(
    table: pd.DataFrame, schema: TableSchema, *, moment: pd.Timestamp, seed: int
) -> TableSplit:
    """Return the sides of a table whose rows from a time on select and judge, and never train.

    Half of them select the training window and the others are the hold-out, by a hash of the
    row's key, or of its group. Earlier rows whose group or key is among them are left out.

    Parameters
    ----------
    table : DataFrame
        From `add_row_keys`.
    moment : Timestamp
        In UTC, without a zone.

    Raises
    ------
    ValueError
        A side would have too few rows.

    Examples
    --------
    >>> days = pd.date_range("2024-01-01", periods=6, unit="us")
    >>> keys = [f"{n:016x}" for n in range(6)]
    >>> table = pd.DataFrame({"moment": days, "price": 1.0, "row_key": keys})
    >>> schema = TableSchema((), "price", "regression")
    >>> split = split_from_moment(table, schema, moment=days[2], seed=0)
    >>> len(split.training), len(split.selection), len(split.holdout)
    (2, 3, 1)
    """
    groups = group_keys(table, schema)
    late = np.asarray(event_times(table, schema) >= moment)
    selection = late & is_in_holdout(groups, fraction=SELECTION_FRACTION, seed=seed)
    related = groups.isin(groups[late]) | table[ROW_KEY].isin(table[ROW_KEY][late])
    left_out = ~late & related.to_numpy()
    if not selection.any() or selection.sum() == late.sum():
        raise ValueError(
            f"Rows from {moment} on must select and judge. Got {selection.sum()} and"
            f" {late.sum() - selection.sum()} of {len(table)} rows instead; wait for more labels."
        )
    n_training = int((~late & ~left_out).sum())
    if n_training < MIN_TRAINING_ROWS:
        raise ValueError(
            f"Training needs at least {MIN_TRAINING_ROWS} rows from before {moment}. Got "
            f"{n_training} instead; lower monitoring.retune.holdout_fraction."
        )
    return _build_split(table, late & ~selection, selection=selection, left_out=left_out)


def find_rare_classes(holdout: pd.DataFrame, schema: TableSchema) -> dict[str, int]:
    """Return the classes with fewer than 5 rows in the hold-out, with their counts."""
    counts = holdout[schema.target].value_counts()
    by_class = {name: int(counts.get(name, 0)) for name in schema.classes}
    return {name: count for name, count in by_class.items() if count < MIN_HOLDOUT_ROWS_PER_CLASS}


def hash_rows(table: pd.DataFrame, columns: Sequence[str]) -> pd.Series:
    """Return a key of every row that depends on nothing but its own cells.

    It is a 64-bit hash of the cells of some columns and the columns' names. It is the same in
    every run, with every version of the libraries, and for any order of columns and rows; equal
    rows have equal keys.
    """
    if not columns:
        raise ValueError("A row's key needs at least one column. Got none instead.")
    mixed = np.zeros(len(table), dtype=np.uint64)
    for name in columns:
        mixed += _mix_bits(_hash_cells(table[name]) ^ _hash_text(name))
    keys = [f"{key:016x}" for key in _mix_bits(mixed).tolist()]
    return pd.Series(keys, index=table.index, dtype="str", name=ROW_KEY)


def group_keys(table: pd.DataFrame, schema: TableSchema) -> pd.Series:
    """Return keys by group; a row without a group is a group of its own."""
    if schema.group is None:
        return table[ROW_KEY]
    return _hash_column(table, schema.group, table[ROW_KEY])


def is_in_holdout(keys: pd.Series, *, fraction: float, seed: int) -> Mask:
    """Return whether each key of `hash_rows` is in the hold-out.

    A key's side depends on nothing but itself, the fraction and the seed, so that it stays when
    rows are added; with a greater fraction, the hold-out keeps all that it had.
    """
    numbers = np.array([int(key, 16) for key in keys], dtype=np.uint64)
    uniform = _mix_bits(numbers ^ _hash_text(f"side {seed}")) / np.float64(2**64)
    return np.asarray(uniform < fraction)


def is_latest(times: TimeArray, fraction: float) -> Mask:
    """Return whether each row is in the latest part; rows of one time stay together.

    Of the two cuts next to the wanted share, the nearer is taken, but neither part is empty.
    """
    numbers = times_to_numbers(times)
    check_times(numbers)
    distinct, counts = np.unique(numbers, return_counts=True)
    if distinct.size <= 1:
        raise ValueError("The latest rows need at least two different times. Got one instead.")
    n_rows_from = np.cumsum(counts[::-1])[::-1][1:]
    nearest = np.abs(n_rows_from - fraction * numbers.size).argmin()
    return np.asarray(numbers >= distinct[1:][nearest])


def _build_split(table: pd.DataFrame, held: Mask, *, selection: Mask, left_out: Mask) -> TableSplit:
    return TableSplit(
        training=table[~held & ~selection & ~left_out].reset_index(drop=True),
        holdout=table[held].reset_index(drop=True),
        selection=table[selection].reset_index(drop=True),
        n_left_out=int(left_out.sum()),
    )


def _hash_column(table: pd.DataFrame, column: str, fallback: pd.Series) -> pd.Series:
    """Return keys by one column, and the fallback's if its cell is missing."""
    return hash_rows(table, [column]).where(table[column].notna(), fallback)


def _hash_cells(column: pd.Series) -> HashArray:
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_dtype(column):
        dtype = None if column.dtype.kind == "M" else np.float64
        numbers = times_to_numbers(np.asarray(column, dtype=dtype))
        bits = _mix_bits((numbers + 0.0).view(np.uint64))  # -0.0 and 0.0 are equal
        return np.where(np.isnan(numbers), MISSING_HASH, bits)
    codes, values = pd.factorize(column)
    hashes = np.array([*map(_hash_text, values), MISSING_HASH], dtype=np.uint64)
    return hashes[codes]


def _hash_text(text: object) -> np.uint64:
    digest = blake2b(str(text).encode(), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))


def _mix_bits(numbers: HashArray) -> HashArray:
    """Return well-mixed bits: the finaliser of SplitMix64."""
    mixed = (numbers ^ (numbers >> SPLITMIX_SHIFTS[0])) * SPLITMIX_MULTIPLIERS[0]
    mixed = (mixed ^ (mixed >> SPLITMIX_SHIFTS[1])) * SPLITMIX_MULTIPLIERS[1]
    final: HashArray = mixed ^ (mixed >> SPLITMIX_SHIFTS[2])
    return final
