"""Summarise a column's histogram in a window by a few drift statistics.

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
from numpy.typing import NDArray
from scipy.stats import norm

from evertune.monitoring.bins import Bins
from evertune.types import FloatArray

Counts = NDArray[np.int64]
MAX_LEVEL_SHARES = 10
MIN_HISTOGRAM_BINS = 3
LOCATION, SPREAD, MISSING, HISTOGRAM = "location", "spread", "missing", "whole"
SHARE_PREFIX = "share of "
# smaller changes than these are of no interest, however many rows make them certain
MIN_SCORE_CHANGE, MIN_SHARE_CHANGE, MIN_HISTOGRAM_DISTANCE, MIN_LOG_CHANGE = 0.02, 0.01, 0.002, 0.1


@dataclass(frozen=True)
class ReferenceHistogram:
    """The histogram of a column in the reference, and the scores of its bins.

    Attributes
    ----------
    shares : tuple of float
        By bin, of the filled cells.
    location, spread : tuple of float
        By bin; of mean 0 and variance 1 in the reference. Empty where there is one bin only, or
        two for the spread.
    missing : float
        Share of cells.
    between : float
        By how much windows of the reference differ beyond chance, in units of chi-square a row.
    """

    shares: tuple[float, ...]
    location: tuple[float, ...]
    spread: tuple[float, ...]
    missing: float
    between: float


@dataclass(frozen=True)
class DriftStatistic:
    """What a figure of a column is.

    Attributes
    ----------
    noise : float
        The variance that chance gives it in a window of one row; of n rows, an nth of it.
    least : float
        The smallest change of interest.
    rises : bool
        Whether only a rise tells of drift, and a fall does not.
    """

    name: str
    noise: float
    least: float
    rises: bool = False


def build_reference_histogram(counts: Counts, missing: Counts, bins: Bins) -> ReferenceHistogram:
    """Return the shape of a column from its windows."""
    whole = counts.sum(axis=0)
    filled = int(whole.sum())
    shares = whole / max(filled, 1)
    location, spread = _normal_scores(shares) if bins.form == "number" else ((), ())
    excess = _chi_square_per_row(counts, shares) - _expected_chi_square(counts.sum(axis=1), shares)
    return ReferenceHistogram(
        shares=tuple(shares.tolist()),
        location=location,
        spread=spread,
        missing=float(missing.sum() / max(missing.sum() + filled, 1)),
        between=max(0.0, float(excess.mean())),
    )


def _normal_scores(shares: FloatArray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    middle = np.clip(np.cumsum(shares) - shares / 2, 1e-6, 1 - 1e-6)
    linear = _standardise(norm.ppf(middle), shares)
    if not linear.size:
        return (), ()
    skew = float(shares @ linear**3)
    square = _standardise(linear**2 - skew * linear, shares)
    return tuple(linear.tolist()), tuple(square.tolist())


def _standardise(scores: FloatArray, shares: FloatArray) -> FloatArray:
    centred = scores - shares @ scores
    variance = float(shares @ centred**2)
    return centred / np.sqrt(variance) if variance > 1e-9 else np.empty(0)


def drift_statistics(shape: ReferenceHistogram, bins: Bins) -> tuple[DriftStatistic, ...]:
    """Return what the figures of a column are, in the order of `compute_statistics`.

    Examples
    --------
    >>> shape = ReferenceHistogram((0.6, 0.4, 0.0), (), (), 0.1, 0.0)
    >>> bins = Bins("plan", "level", levels=("a", "b"))
    >>> [statistic.name for statistic in drift_statistics(shape, bins)]
    ['missing', 'whole', 'share of a', 'share of b', 'share of all others']
    """
    filled = 1.0 / max(1.0 - shape.missing, 1e-3)
    found = [DriftStatistic(MISSING, 0.25, MIN_SHARE_CHANGE)]
    if shape.location:
        found.append(DriftStatistic(LOCATION, filled, MIN_SCORE_CHANGE))
    if shape.spread:
        found.append(DriftStatistic(SPREAD, filled, MIN_SCORE_CHANGE))
    if bins.size >= MIN_HISTOGRAM_BINS:
        found.append(DriftStatistic(HISTOGRAM, 0.0, MIN_LOG_CHANGE, rises=True))
    if bins.form == "level":
        names = [*bins.levels[:MAX_LEVEL_SHARES], "all others"]
        found += [
            DriftStatistic(f"{SHARE_PREFIX}{name}", filled / 4, MIN_SHARE_CHANGE) for name in names
        ]
    return tuple(found)


def compute_statistics(
    counts: Counts, missing: Counts, *, shape: ReferenceHistogram, bins: Bins
) -> FloatArray:
    """Return the figures of windows of one column, NaN where a window has no filled cell."""
    filled = counts.sum(axis=1)
    figures = [_arcsine_difference(missing, missing + filled, usual=shape.missing)]
    with np.errstate(invalid="ignore"):
        shares = counts / np.where(filled, filled, np.nan)[:, None]
    figures += [shares @ np.asarray(scores) for scores in (shape.location, shape.spread) if scores]
    expected = np.asarray(shape.shares)
    if bins.size >= MIN_HISTOGRAM_BINS:
        chance = _expected_chi_square(filled, expected) + shape.between + MIN_HISTOGRAM_DISTANCE
        figures.append(np.log(np.maximum(_chi_square_per_row(counts, expected), 1e-9) / chance))
    if bins.form == "level":
        few = counts[:, : len(bins.levels[:MAX_LEVEL_SHARES])]
        named = zip(few.T, shape.shares, strict=False)
        figures += [_arcsine_difference(column, filled, usual=usual) for column, usual in named]
        others = sum(shape.shares[few.shape[1] :])
        figures.append(_arcsine_difference(filled - few.sum(axis=1), filled, usual=others))
    return np.column_stack(figures)


def _arcsine_difference(counts: Counts, of: Counts, *, usual: float) -> FloatArray:
    """Return how far shares are above the usual one, in units that chance moves alike."""
    filled = np.where(of, of, np.nan)
    shares = [(each + 3 / 8) / (filled + 3 / 4) for each in (counts, usual * filled)]
    found, expected = (np.arcsin(np.sqrt(share)) for share in shares)
    return np.asarray(found - expected, dtype=np.float64)


def _chi_square_per_row(counts: Counts, shares: FloatArray) -> FloatArray:
    """Return Pearson's chi-square a row; a bin that should be empty counts as one row would."""
    filled = np.where(counts.sum(axis=1), counts.sum(axis=1), np.nan)[:, None]
    return np.asarray(((counts / filled - shares) ** 2 / (shares + 1 / filled)).sum(axis=1))


def _expected_chi_square(filled: Counts, shares: FloatArray) -> FloatArray:
    rows = np.where(filled, filled, np.nan)[:, None]
    return np.asarray((shares * (1 - shares) / rows / (shares + 1 / rows)).sum(axis=1))
