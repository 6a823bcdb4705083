"""The bins that a column's values are counted in: quantiles of numbers, the commonest levels."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.core.predictions import Floats

Form = Literal["number", "level"]
Bin = NDArray[np.uint8]
MOST_BINS = 20
MOST_LEVELS = 19
RAREST_LEVEL = 0.01
MISSING = 255


@dataclass(frozen=True)
class Bins:
    """How values are counted.

    Attributes
    ----------
    name : str
    form : str
        `number`: by `edges`; `level`: by `levels`, all others together in the last bin.
    edges : tuple of float
        Increasing; a value equal to an edge lies above it.
    levels : tuple of str
        The commonest first.
    """

    name: str
    form: Form
    edges: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """The number of bins; missing values are in none."""
        return len(self.edges if self.form == "number" else self.levels) + 1


def number_bins(name: str, values: Floats) -> Bins:
    """Return at most 20 bins that hold about as many of the values each.

    Examples
    --------
    >>> number_bins("calls", np.array([0.0, 0.0, 0.0, 1.0, 2.0, np.nan])).edges
    (1.0, 2.0)
    """
    filled = values[np.isfinite(values)]
    if not filled.size:
        return Bins(name, "number")
    steps = np.linspace(0, 1, MOST_BINS + 1)[1:]
    edges = np.unique(np.quantile(filled, steps, method="higher"))
    few = np.unique(filled[:: max(1, filled.size // 1000)])
    inner = edges[(edges > filled.min()) & ((edges < filled.max()) | (few.size <= MOST_BINS))]
    return Bins(name, "number", edges=tuple(inner.tolist()))


def level_bins(name: str, levels: pd.Series, counts: NDArray[np.int64]) -> Bins:
    """Return a bin for each of the commonest levels, at most 19, and one for the others.

    Levels of less than a hundredth of the rows have no bin of their own.

    Parameters
    ----------
    name : str
    levels : series of str
        Different ones.
    counts : array of shape (n_levels,)
        The rows of each.

    Examples
    --------
    >>> level_bins("plan", pd.Series(["a", "b"]), np.array([2, 3])).levels
    ('b', 'a')
    """
    rows = pd.Series(counts, index=levels).sort_index()
    common = rows[rows >= RAREST_LEVEL * rows.sum()].sort_values(ascending=False, kind="stable")
    return Bins(name, "level", levels=tuple(str(level) for level in common.index[:MOST_LEVELS]))


def number_codes(values: Floats, bins: Bins) -> Bin:
    """Return the bin of each value, 255 where it is missing, shape (n,).

    Examples
    --------
    >>> number_codes(np.array([0.5, 1.0, np.nan]), Bins("calls", "number", edges=(1.0, 2.0)))
    array([  0,   1, 255], dtype=uint8)
    """
    codes = np.searchsorted(np.asarray(bins.edges), values, side="right").astype(np.uint8)
    codes[np.isnan(values)] = MISSING
    return codes


def level_codes(levels: pd.Series, bins: Bins) -> Bin:
    """Return the bin of each level, 255 where it is missing, shape (n,).

    Examples
    --------
    >>> cells = pd.Series(["b", "z", None], dtype="str")
    >>> level_codes(cells, Bins("plan", "level", levels=("b", "a")))
    array([  0,   2, 255], dtype=uint8)
    """
    places = {level: place for place, level in enumerate(bins.levels)}
    codes = levels.map(places).fillna(len(places)).mask(levels.isna(), MISSING)
    return np.asarray(codes, dtype=np.uint8)
