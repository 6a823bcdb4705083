"""On which side of the hold-out a row stands, now and when rows are added."""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.core.clocks import Times, clock

Hashes = NDArray[np.uint64]
Mask = NDArray[np.bool_]

MULTIPLIERS = np.array([0xBF58476D1CE4E5B9, 0x94D049BB133111EB], dtype=np.uint64)
SHIFTS = np.array([30, 27, 31], dtype=np.uint64)
MISSING_HASH = np.uint64(0x9E3779B97F4A7C15)
DIGEST_BYTES = 8


def row_keys(table: pd.DataFrame, columns: Sequence[str]) -> pd.Series:
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
    >>> row_keys(pd.DataFrame({"id": ["a", "b"]}), ["id"]).tolist()
    ['f63a0276e99eec20', 'e8e73d99f3e8ce1a']
    """
    if not columns:
        raise ValueError("A row's key needs at least one column. Got none instead.")
    mixed = np.zeros(len(table), dtype=np.uint64)
    for name in columns:
        mixed += _mixed(_cell_hashes(table[name]) ^ _text_hash(name))
    keys = [f"{key:016x}" for key in _mixed(mixed).tolist()]
    return pd.Series(keys, index=table.index, dtype="str", name="row_key")


def in_holdout(keys: pd.Series, *, fraction: float, seed: int) -> Mask:
    """Return whether each key stands in the hold-out.

    A key's side depends on nothing but itself, the fraction and the seed, so that it stays when
    rows are added; with a greater fraction, the hold-out keeps all that it had.

    Parameters
    ----------
    keys : Series of str
        From `row_keys`; of groups where rows of a group belong together.
    fraction : float
        Expected share of the hold-out, 0 to 1.
    seed : int

    Examples
    --------
    >>> keys = row_keys(pd.DataFrame({"id": range(10_000)}), ["id"])
    >>> float(in_holdout(keys, fraction=0.2, seed=0).mean())
    0.1962
    """
    numbers = np.array([int(key, 16) for key in keys], dtype=np.uint64)
    places = _mixed(numbers ^ _text_hash(f"side {seed}")) / np.float64(2**64)
    return np.asarray(places < fraction)


def latest(times: Times, fraction: float) -> Mask:
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
    >>> latest(np.array([1.0, 5.0, 2.0, 5.0, 3.0]), 0.2)
    array([False,  True, False,  True, False])
    """
    numbers = clock(times)
    n_missing = int(np.isnan(numbers).sum())
    if n_missing:
        raise ValueError(f"Every row must have a time. Got {n_missing} rows without one instead.")
    moments, counts = np.unique(numbers, return_counts=True)
    if moments.size <= 1:
        raise ValueError("The latest rows need at least two different times. Got one instead.")
    rows_from = np.cumsum(counts[::-1])[::-1][1:]
    nearest = np.abs(rows_from - fraction * numbers.size).argmin()
    return np.asarray(numbers >= moments[1:][nearest])


def _cell_hashes(column: pd.Series) -> Hashes:
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_dtype(column):
        numbers = clock(np.asarray(column, dtype=None if column.dtype.kind == "M" else np.float64))
        bits = _mixed((numbers + 0.0).view(np.uint64))
        return np.where(np.isnan(numbers), MISSING_HASH, bits)
    codes, levels = pd.factorize(column)
    hashes = np.array([*map(_text_hash, levels), MISSING_HASH], dtype=np.uint64)
    return hashes[codes]


def _text_hash(text: object) -> np.uint64:
    digest = blake2b(str(text).encode(), digest_size=DIGEST_BYTES).digest()
    return np.uint64(int.from_bytes(digest, "little"))


def _mixed(numbers: Hashes) -> Hashes:
    """Return well-mixed bits: the finaliser of SplitMix64 (Steele, Lea and Flood, 2014)."""
    mixed = (numbers ^ (numbers >> SHIFTS[0])) * MULTIPLIERS[0]
    mixed = (mixed ^ (mixed >> SHIFTS[1])) * MULTIPLIERS[1]
    final: Hashes = mixed ^ (mixed >> SHIFTS[2])
    return final
