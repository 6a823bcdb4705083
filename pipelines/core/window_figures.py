"""A window's counts as a few figures that drift moves and mere chance moves little.

Of numbers: where they lie and how wide they are spread (means of normal scores of the reference's
bins and of their squares; van der Waerden, 1952). Of levels: the share of each. Of both: the
share that is missing, and how unlike the whole histogram is (the logarithm of Pearson's chi-square
over what the same number of rows gives by chance). Shares are taken as the arcsine of their root
(Freeman and Tukey, 1950), so that their chance depends on the number of rows alone.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from pipelines.core.bins import Bins
from pipelines.core.predictions import Floats

Counts = NDArray[np.int64]
MOST_SHARES = 10
FEWEST_FOR_WHOLE = 3
LOCATION, SPREAD, MISSING, WHOLE = "location", "spread", "missing", "whole"
SHARE = "share of "
# smaller changes than these are of no interest, however many rows make them certain
LEAST_SCORE, LEAST_SHARE, LEAST_WHOLE, LEAST_LOG = 0.02, 0.01, 0.002, 0.1


@dataclass(frozen=True)
class Shape:
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
class Figure:
    """What a figure of a column is.

    Attributes
    ----------
    name : str
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


def shape_of(counts: Counts, missing: Counts, bins: Bins) -> Shape:
    """Return the shape of a column from its windows.

    Parameters
    ----------
    counts : array of shape (n_windows, n_bins)
    missing : array of shape (n_windows,)
    bins : Bins
    """
    whole = counts.sum(axis=0)
    filled = int(whole.sum())
    shares = whole / max(filled, 1)
    location, spread = _scores(shares) if bins.form == "number" else ((), ())
    excess = _distance(counts, shares) - _by_chance(counts.sum(axis=1), shares)
    return Shape(
        shares=tuple(shares.tolist()),
        location=location,
        spread=spread,
        missing=float(missing.sum() / max(missing.sum() + filled, 1)),
        between=max(0.0, float(excess.mean())),
    )


def _scores(shares: Floats) -> tuple[tuple[float, ...], tuple[float, ...]]:
    middle = np.clip(np.cumsum(shares) - shares / 2, 1e-6, 1 - 1e-6)
    linear = _standardised(norm.ppf(middle), shares)
    if not linear.size:
        return (), ()
    skew = float(shares @ linear**3)
    square = _standardised(linear**2 - skew * linear, shares)
    return tuple(linear.tolist()), tuple(square.tolist())


def _standardised(scores: Floats, shares: Floats) -> Floats:
    centred = scores - shares @ scores
    variance = float(shares @ centred**2)
    return centred / np.sqrt(variance) if variance > 1e-9 else np.empty(0)  # noqa: PLR2004


def figure_kinds(shape: Shape, bins: Bins) -> tuple[Figure, ...]:
    """Return what the figures of a column are, in the order of `figures_of`.

    Examples
    --------
    >>> shape = Shape((0.6, 0.4, 0.0), (), (), 0.1, 0.0)
    >>> [figure.name for figure in figure_kinds(shape, Bins("plan", "level", levels=("a", "b")))]
    ['missing', 'whole', 'share of a', 'share of b', 'share of all others']
    """
    filled = 1.0 / max(1.0 - shape.missing, 1e-3)
    found = [Figure(MISSING, 0.25, LEAST_SHARE)]
    if shape.location:
        found.append(Figure(LOCATION, filled, LEAST_SCORE))
    if shape.spread:
        found.append(Figure(SPREAD, filled, LEAST_SCORE))
    if bins.size >= FEWEST_FOR_WHOLE:
        found.append(Figure(WHOLE, 0.0, LEAST_LOG, rises=True))
    if bins.form == "level":
        names = [*bins.levels[:MOST_SHARES], "all others"]
        found += [Figure(f"{SHARE}{name}", filled / 4, LEAST_SHARE) for name in names]
    return tuple(found)


def figures_of(counts: Counts, missing: Counts, *, shape: Shape, bins: Bins) -> Floats:
    """Return the figures of windows of one column, NaN where a window has no filled cell.

    Parameters
    ----------
    counts : array of shape (n_windows, n_bins)
    missing : array of shape (n_windows,)
    shape : Shape
    bins : Bins

    Returns
    -------
    array of shape (n_windows, n_figures)
    """
    filled = counts.sum(axis=1)
    figures = [_arcsine(missing, missing + filled, usual=shape.missing)]
    with np.errstate(invalid="ignore"):
        shares = counts / np.where(filled, filled, np.nan)[:, None]
    figures += [shares @ np.asarray(scores) for scores in (shape.location, shape.spread) if scores]
    expected = np.asarray(shape.shares)
    if bins.size >= FEWEST_FOR_WHOLE:
        chance = _by_chance(filled, expected) + shape.between + LEAST_WHOLE
        figures.append(np.log(np.maximum(_distance(counts, expected), 1e-9) / chance))
    if bins.form == "level":
        few = counts[:, : len(bins.levels[:MOST_SHARES])]
        named = zip(few.T, shape.shares, strict=False)
        figures += [_arcsine(column, filled, usual=usual) for column, usual in named]
        others = sum(shape.shares[few.shape[1] :])
        figures.append(_arcsine(filled - few.sum(axis=1), filled, usual=others))
    return np.column_stack(figures)


def _arcsine(counts: Counts, of: Counts, *, usual: float) -> Floats:
    """Return how far shares are above the usual one, in units that chance moves alike."""
    filled = np.where(of, of, np.nan)
    shares = [(each + 3 / 8) / (filled + 3 / 4) for each in (counts, usual * filled)]
    found, expected = (np.arcsin(np.sqrt(share)) for share in shares)
    return np.asarray(found - expected, dtype=np.float64)


def _distance(counts: Counts, shares: Floats) -> Floats:
    """Return Pearson's chi-square a row; a bin that should be empty counts as one row would."""
    filled = np.where(counts.sum(axis=1), counts.sum(axis=1), np.nan)[:, None]
    return np.asarray(((counts / filled - shares) ** 2 / (shares + 1 / filled)).sum(axis=1))


def _by_chance(filled: Counts, shares: Floats) -> Floats:
    rows = np.where(filled, filled, np.nan)[:, None]
    return np.asarray((shares * (1 - shares) / rows / (shares + 1 / rows)).sum(axis=1))
