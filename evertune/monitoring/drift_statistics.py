"""The drift statistics of a column: how its histogram in a window differs from the reference.

`drift_statistics` says which statistics a column has; `compute_statistics` computes them.
Numbers: location and spread, which are the means of the normal scores of the reference's bins
and of their squares (van der Waerden, 1952). Levels: the share of each. Both: the share of
missing cells, and how unlike the reference the whole histogram is (log of Pearson's chi-square
over its expected value for that number of rows). Shares are transformed by the arcsine of their
root (Freeman and Tukey, 1950), so that their variance by chance depends on the number of rows
alone.
"""

from dataclasses import dataclass

import numpy as np

from evertune.monitoring.column_reference import (
    ColumnReference,
    Counts,
    chi_square_per_row,
    expected_chi_square,
)
from evertune.types import FloatArray

MAX_LEVEL_SHARES = 10
MIN_HISTOGRAM_BINS = 3
LOCATION, SPREAD, MISSING = "location", "spread", "missing"
HISTOGRAM = "whole"  # the whole histogram, by the name that stored references have
SHARE_PREFIX = "share of "
# smaller changes than these are of no interest, however many rows make them certain
MIN_SCORE_CHANGE, MIN_SHARE_CHANGE, MIN_HISTOGRAM_DISTANCE, MIN_LOG_CHANGE = 0.02, 0.01, 0.002, 0.1


@dataclass(frozen=True)
class DriftStatistic:
    """One statistic of a column.

    Attributes
    ----------
    noise : float
        The variance that chance gives it in a window of one row; of n rows, an nth of it.
    least : float
        The smallest change of interest.
    rises : bool
        Whether only a rise is drift, and a fall is not.
    """

    name: str
    noise: float
    least: float
    rises: bool = False


def drift_statistics(column: ColumnReference) -> tuple[DriftStatistic, ...]:
    """Return the statistics of a column, in the order of `compute_statistics`.

    Examples
    --------
    >>> from evertune.monitoring.bins import Bins
    >>> bins = Bins("plan", "level", levels=("a", "b"))
    >>> column = ColumnReference("plan", "category", "level", bins)
    >>> [statistic.name for statistic in drift_statistics(column)]
    ['missing', 'whole', 'share of a', 'share of b', 'share of all others']
    """
    histogram, bins = column.histogram, column.bins
    per_filled = 1.0 / max(1.0 - histogram.missing, 1e-3)
    found = [DriftStatistic(MISSING, 0.25, MIN_SHARE_CHANGE)]
    if histogram.location:
        found.append(DriftStatistic(LOCATION, per_filled, MIN_SCORE_CHANGE))
    if histogram.spread:
        found.append(DriftStatistic(SPREAD, per_filled, MIN_SCORE_CHANGE))
    if bins.size >= MIN_HISTOGRAM_BINS:
        found.append(DriftStatistic(HISTOGRAM, 0.0, MIN_LOG_CHANGE, rises=True))
    if bins.form == "level":
        found += [
            DriftStatistic(f"{SHARE_PREFIX}{name}", per_filled / 4, MIN_SHARE_CHANGE)
            for name in [*bins.levels[:MAX_LEVEL_SHARES], "all others"]
        ]
    return tuple(found)


def compute_statistics(column: ColumnReference, counts: Counts, missing: Counts) -> FloatArray:
    """Return the statistics of windows of one column, NaN where a window has no filled cell.

    Parameters
    ----------
    counts : array of shape (n_windows, n_bins)
        Filled cells.
    missing : array of shape (n_windows,)

    Returns
    -------
    array of shape (n_windows, n_statistics)
    """
    histogram, bins, n_filled = column.histogram, column.bins, counts.sum(axis=1)
    found = [_arcsine_difference(missing, missing + n_filled, histogram.missing)]
    shares = counts / np.where(n_filled, n_filled, np.nan)[:, None]
    scores = (histogram.location, histogram.spread)
    found += [shares @ np.asarray(each) for each in scores if each]
    expected = np.asarray(histogram.shares)
    if bins.size >= MIN_HISTOGRAM_BINS:
        chance = expected_chi_square(n_filled, expected) + histogram.between
        chi_square = np.maximum(chi_square_per_row(counts, expected), 1e-9)
        found.append(np.log(chi_square / (chance + MIN_HISTOGRAM_DISTANCE)))
    if bins.form == "level":
        named = counts[:, : len(bins.levels[:MAX_LEVEL_SHARES])]
        for level_counts, share in zip(named.T, histogram.shares, strict=False):
            found.append(_arcsine_difference(level_counts, n_filled, share))
        others = sum(histogram.shares[named.shape[1] :])
        found.append(_arcsine_difference(n_filled - named.sum(axis=1), n_filled, others))
    return np.column_stack(found)


def _arcsine_difference(counts: Counts, n_cells: Counts, usual: float) -> FloatArray:
    """Return how far shares are above the usual one, in units that chance moves alike."""
    cells = np.where(n_cells, n_cells, np.nan)
    share, usual_share = ((each + 3 / 8) / (cells + 3 / 4) for each in (counts, usual * cells))
    return np.asarray(np.arcsin(np.sqrt(share)) - np.arcsin(np.sqrt(usual_share)))
