"""The score of each column of a window, and its histogram in the usual words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from pipelines.core.calibration import POOLED, Calibration, Scale, beyond, centre, distances
from pipelines.core.column_reference import ColumnReference
from pipelines.core.predictions import Floats
from pipelines.core.window_figures import (
    WHOLE,
    Counts,
    figure_kinds,
    figures_of,
)
from pipelines.core.window_profiles import ColumnCounts, WindowProfile

MODERATE_PSI, LARGE_PSI = 0.1, 0.25


@dataclass(frozen=True)
class Score:
    """How far a column is beyond the worst of the reference, and in what."""

    value: float
    words: str


def scores_of(
    looks: Sequence[tuple[WindowProfile, bool]],
    columns: Sequence[ColumnReference],
    scale: Scale | None,
    wanted_days: float,
) -> Mapping[str, Score]:
    """Return the score of each column that the window has: the larger of its looks.

    Parameters
    ----------
    looks : sequence of WindowProfile and whether it is seven windows together
    columns : sequence of ColumnReference
        Features, or what is watched of predictions.
    scale : Scale, optional
        Of these columns.
    wanted_days : float
        The length of a single window.
    """
    found: dict[str, Score] = {}
    if scale is None:
        return found
    for profile, is_pooled in looks:
        is_usable = not is_pooled or scale.days == wanted_days
        calibration = scale.pooled if is_pooled else scale.daily
        counts = {each.name: each for each in (*profile.columns, *profile.predictions)}
        present = any(column.name in counts for column in columns)
        if calibration is not None and present and is_usable:
            off = _distances(profile, columns, counts, scale=scale, calibration=calibration)
            above = beyond(calibration, off, scale.figures)
            for name, own in _own_figures(columns).items():
                place = own.start + int(np.argmax(above[own]))
                value, figure = float(above[place]), scale.figures[place].name
                if name in counts and (name not in found or value > found[name].value):
                    words = _words(figure, off[place], calibration, is_pooled=is_pooled)
                    found[name] = Score(value, words)
    return found


def _distances(
    profile: WindowProfile,
    columns: Sequence[ColumnReference],
    counts: Mapping[str, ColumnCounts],
    *,
    scale: Scale,
    calibration: Calibration,
) -> Floats:
    figures = np.concatenate([_figures(column, counts.get(column.name)) for column in columns])
    phases = np.asarray(profile.phases)
    if calibration is scale.daily:
        return distances(
            calibration, figures, scale.figures, phase_rows=phases, longer=_longer(profile, scale)
        )
    left = figures - centre(scale.daily, phases)
    return distances(calibration, left, scale.figures, phase_rows=phases.sum(keepdims=True))


def _longer(profile: WindowProfile, scale: Scale) -> float:
    length = (profile.window.end - profile.window.start) / timedelta(days=1)
    return max(scale.days / length, 1.0) if length > 0 and scale.days else 1.0


def _figures(column: ColumnReference, counts: ColumnCounts | None) -> Floats:
    if counts is None:
        return np.full(len(figure_kinds(column.shape, column.bins)), np.nan)
    found = figures_of(
        np.asarray([counts.counts]),
        np.asarray([counts.missing]),
        shape=column.shape,
        bins=column.bins,
    )
    return np.asarray(found[0], dtype=np.float64)


def _own_figures(columns: Sequence[ColumnReference]) -> dict[str, slice]:
    """Return which figures of the scale are those of each column."""
    sizes = [len(figure_kinds(column.shape, column.bins)) for column in columns]
    ends = np.cumsum(sizes).tolist()
    return {
        column.name: slice(end - size, end)
        for column, size, end in zip(columns, sizes, ends, strict=True)
    }


def _words(figure: str, off: float, calibration: Calibration, *, is_pooled: bool) -> str:
    direction = "up" if off > 0 else "down"
    change = "histogram unlike" if figure == WHOLE else f"{figure} {direction}"
    pooled = f" in {POOLED} windows" if is_pooled else ""
    return f"{change} by {abs(off):.1f} deviations{pooled} (usual worst {calibration.worst:.1f})"


def histogram_words(counts: Counts, mean: float | None, column: ColumnReference) -> str:
    """Return the population stability index of a column and its Wasserstein distance, in words.

    What chance does not explain of the index is small below 0.1 and large from 0.25, as is usual;
    neither is calibrated.

    Parameters
    ----------
    counts : array of shape (n_bins,)
    mean : float, optional
        Of the window's numbers.
    column : ColumnReference
    """
    usual = np.asarray(column.counts)
    if counts.size <= 1 or not counts.sum() or not usual.sum():
        return ""
    index = psi(counts, usual)
    chance = (counts.size - 1) * (1 / counts.sum() + 1 / usual.sum())
    left = index - chance
    size = "large" if left >= LARGE_PSI else "moderate" if left >= MODERATE_PSI else "small"
    moved = wasserstein(counts, mean, column)
    distance = "" if moved is None else f", Wasserstein {moved:.2f} sd"
    return f"; PSI {index:.2f}, about {chance:.2f} by chance: {size}{distance}"


def psi(counts: Counts, usual: Counts) -> float:
    """Return the population stability index of two histograms, empty bins as half a row.

    The sum of (p - q) log(p / q) over the bins (Siddiqi, 2006).

    Parameters
    ----------
    counts, usual : array of shape (n_bins,)

    Examples
    --------
    >>> round(psi(np.array([60, 40]), np.array([500, 500])), 2)
    0.04
    """
    p = (counts + 0.5) / (counts.sum() + 0.5 * counts.size)
    q = (usual + 0.5) / (usual.sum() + 0.5 * usual.size)
    return float(((p - q) * np.log(p / q)).sum())


def wasserstein(counts: Counts, mean: float | None, column: ColumnReference) -> float | None:
    """Return how far numbers would have to be moved, in deviations of the reference; else None.

    The area between the two distribution functions, which are known at the edges of the bins;
    beyond the outer edges the gap between them is taken to shrink as the tails do.
    """
    edges = np.asarray(column.bins.edges)
    if not column.tails or not column.deviation or mean is None:
        return None
    usual = np.asarray(column.counts)
    gaps = np.cumsum(counts)[:-1] / counts.sum() - np.cumsum(usual)[:-1] / usual.sum()
    low, high = column.tails
    points = np.concatenate([[2 * low - edges[0]], edges, [2 * high - edges[-1]]])
    heights = np.abs(np.concatenate([[0.0], gaps, [0.0]]))
    area = float(np.trapezoid(heights, points))
    return max(area, abs(mean - (column.mean or 0.0))) / column.deviation
