"""How far figures of a window are from those of other windows, when nothing has changed.

Days differ by more than chance: there are weekends, and moods that last for days. So a figure is
measured in standard deviations between windows of the reference, each against its place in the
week, and a window has drifted where it is more than one of them beyond the worst of the reference.
Seven windows together are measured in the same way: they find small changes that last.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, norm

from pipelines.core.phases import Codes, n_phases
from pipelines.core.predictions import Floats
from pipelines.core.reference_windows import Windows
from pipelines.core.spread import lasting, phase_means
from pipelines.core.window_figures import Figure

POOLED = 7
FEWEST_POOLED = 3 * POOLED
FEW_WINDOWS = 20
USUAL_WINDOWS = 60
UNSURE = 0.1
MOST_LASTING = 0.9
OUTLYING, MOST_OUTLYING = 8.0, 0.05

FiguresOf = Callable[[int], Floats]


@dataclass(frozen=True)
class Calibration:
    """The usual figures of windows.

    Attributes
    ----------
    centres : tuple of tuple of float
        Of each figure, by the window's place in the week.
    deviations : tuple of float
        Between windows of the usual number of rows.
    widening : tuple of float
        By how much a new window is farther off: fewer windows, or ones that are like their
        neighbours, tell less about the next.
    rows : float
        The usual number of rows of a window.
    n_windows : int
    worst : float
        The largest distance of a window of the reference from the others.
    """

    centres: tuple[tuple[float, ...], ...]
    deviations: tuple[float, ...]
    widening: tuple[float, ...]
    rows: float
    n_windows: int
    worst: float


@dataclass(frozen=True)
class Scale:
    """The calibration of single windows, and of seven neighbouring ones together.

    Attributes
    ----------
    figures : tuple of Figure
    daily : Calibration
    pooled : Calibration, optional
        Of what is left once the centres of `daily` are taken away.
    days : float
        The length of a window of the reference; 0 where its windows have no time.
    notes : tuple of str
    """

    figures: tuple[Figure, ...]
    daily: Calibration
    pooled: Calibration | None
    days: float
    notes: tuple[str, ...] = ()


def scale_of(figures: FiguresOf, kinds: Sequence[Figure], *, windows: Windows) -> Scale:
    """Return how much windows differ, without those few that are unlike all others.

    Parameters
    ----------
    figures : callable
        Gives the figures of n neighbouring windows together, shape (n_windows - n + 1, n_figures).
    kinds : sequence of Figure
    windows : Windows
        Of the reference, in the order of time.
    """
    kinds, count = tuple(kinds), n_phases(windows.days) if windows.timed else 1
    single, phases = figures(1), windows.phases
    kept = np.ones(len(single), dtype=bool)
    daily, off = calibrated(single, kinds, phases=phases, rows=windows.rows, n_phases=count)
    outlying = off > OUTLYING
    if 0 < outlying.sum() <= max(1.0, MOST_OUTLYING * len(single)):
        kept = ~outlying
        daily, _ = calibrated(
            single[kept], kinds, phases=phases[kept], rows=windows.rows[kept], n_phases=count
        )
    pooled = _pooled(figures, daily, kinds, windows, kept)
    return Scale(kinds, daily, pooled, windows.days if windows.timed else 0.0, _notes(kept))


def _notes(kept: NDArray[np.bool_]) -> tuple[str, ...]:
    notes = []
    if not kept.all():
        notes.append(f"{(~kept).sum()} windows of the reference are unlike all others: left out")
    if kept.sum() < FEW_WINDOWS:
        notes.append(f"the reference has {kept.sum()} windows only: the limit is wider")
    return tuple(notes)


def _pooled(
    figures: FiguresOf,
    daily: Calibration,
    kinds: tuple[Figure, ...],
    windows: Windows,
    kept: NDArray[np.bool_],
) -> Calibration | None:
    if not windows.timed or len(kept) < FEWEST_POOLED:
        return None
    whole = np.convolve(kept, np.ones(POOLED), "valid") > POOLED - 0.5
    if whole.sum() < FEWEST_POOLED - POOLED:
        return None
    centres = np.asarray(daily.centres).T
    weighted = np.zeros((len(whole), len(centres)))
    for place in range(POOLED):
        rows = slice(place, place + len(whole))
        np.add.at(weighted, (np.arange(len(whole)), windows.phases[rows]), windows.rows[rows])
    together = weighted.sum(axis=1)
    left = figures(POOLED) - (weighted / together[:, None]) @ centres
    one = np.zeros(int(whole.sum()), dtype=np.int64)
    found, _ = calibrated(left[whole], kinds, phases=one, rows=together[whole], n_phases=1)
    return found


def calibrated(
    figures: Floats, kinds: tuple[Figure, ...], *, phases: Codes, rows: Floats, n_phases: int
) -> tuple[Calibration, Floats]:
    """Return the calibration of figures from windows in the order of time.

    The deviation of a figure is widened by the upper bound of what it may be (chi-square, 10 %)
    and by how uncertain its centre is, both for as many windows as there would be if neighbours
    were not alike.

    Parameters
    ----------
    figures : array of shape (n_windows, n_figures)
        NaN where a window has no such figure.
    kinds : tuple of Figure, n_figures
    phases : array of shape (n_windows,)
    rows : array of shape (n_windows,)
    n_phases : int

    Returns
    -------
    Calibration, array of shape (n_windows,)
        And how far each window is from the others.
    """
    counts = np.where(np.isnan(figures), 0.0, 1.0)
    means = np.nan_to_num(figures).sum(axis=0) / np.maximum(counts.sum(axis=0), 1)
    filled = np.where(np.isnan(figures), means, figures)
    found = phase_means(filled, phases, n_phases)
    residuals = filled - found.centres[phases]
    usual = float(len(rows) / (1 / rows).sum())
    alike, squared = (_borrowed(each, len(rows)) for each in lasting(residuals))
    lost = np.clip(1 - alike / len(rows), 0.2, 1)
    least = np.array([max(kind.least**2, kind.noise / usual) for kind in kinds])
    variances = (residuals**2).sum(axis=0) / found.freedom / lost
    deviations = np.sqrt(np.maximum(variances, least))
    degrees = np.maximum(found.freedom / squared, 1.0)
    widening = np.sqrt((1 + alike / len(rows)) * degrees / chi2.ppf(UNSURE, degrees))
    spread = _sized(deviations, kinds, rows=rows[:, None], usual=usual, n_windows=len(rows))
    off = _sided(residuals / (1 - found.leverage[phases]) / spread, kinds).max(axis=1)
    calibration = Calibration(
        centres=tuple(tuple(row) for row in found.centres.T.tolist()),
        deviations=tuple(deviations.tolist()),
        widening=tuple(widening.tolist()),
        rows=usual,
        n_windows=len(rows),
        worst=max(float(off.max()), float(norm.isf(0.5 / (USUAL_WINDOWS * len(kinds))))),
    )
    return calibration, off


def _borrowed(memory: Floats, n_windows: int) -> Floats:
    """Return how long windows are alike, with few windows as long as nearly all figures say.

    Sixty windows hardly tell it of one figure, but the moods of days move many figures.
    """
    weight = min(USUAL_WINDOWS / n_windows, 1.0)
    return memory + weight * np.maximum(np.quantile(memory, MOST_LASTING) - memory, 0)


def distances(
    calibration: Calibration,
    figures: Floats,
    kinds: tuple[Figure, ...],
    *,
    phase_rows: Floats,
    longer: float = 1.0,
) -> Floats:
    """Return by how many deviations each figure of a window is off; 0 where it has no figure.

    Parameters
    ----------
    calibration : Calibration
    figures : array of shape (n_figures,)
    kinds : tuple of Figure, n_figures
    phase_rows : array of shape (n_phases,)
        The window's rows by place in the week.
    longer : float
        How many times as long the windows of the reference are, at least 1: what differs between
        weeks differs so much more between days.
    """
    off = figures - centre(calibration, phase_rows)
    deviations, rows = np.asarray(calibration.deviations), float(phase_rows.sum())
    noise = np.array([kind.noise for kind in kinds])
    apart = np.maximum(deviations**2 - noise / calibration.rows, 0)
    spread = _sized(
        np.sqrt(deviations**2 + (longer - 1) * apart),
        kinds,
        rows=rows,
        usual=calibration.rows,
        n_windows=calibration.n_windows,
    )
    return _known(off / spread / np.asarray(calibration.widening))


def beyond(calibration: Calibration, off: Floats, kinds: tuple[Figure, ...]) -> Floats:
    """Return how far distances are beyond the worst of the reference: above 1 is drift."""
    return np.asarray(_sided(off, kinds) - calibration.worst, dtype=np.float64)


def centre(calibration: Calibration, phase_rows: Floats) -> Floats:
    """Return the usual figures of a window with so many rows at each place in the week.

    Those of any place, where the calibration has other places than the window.
    """
    usual = np.asarray(calibration.centres, dtype=np.float64)
    if usual.shape[1] != len(phase_rows):
        return np.asarray(usual.mean(axis=1), dtype=np.float64)
    return np.asarray(usual @ (phase_rows / phase_rows.sum()), dtype=np.float64)


def _sized(
    deviations: Floats,
    kinds: tuple[Figure, ...],
    *,
    rows: Floats | float,
    usual: float,
    n_windows: int,
) -> Floats:
    """Return the deviations of windows of another size: chance falls with the rows, days do not.

    What is left once chance is taken away is known no better than the variance itself, so that it
    does not fall below what that leaves open, and never below chance.
    """
    noise = np.array([kind.noise for kind in kinds])
    variance = deviations**2
    least = variance * min(2 * np.sqrt(2 / n_windows), 1.0)
    sized = variance + noise * (1 / np.asarray(rows) - 1 / usual)
    floor = np.maximum(least, noise / np.asarray(rows))
    return np.asarray(np.sqrt(np.maximum(sized, floor)), dtype=np.float64)


def _known(off: Floats) -> Floats:
    return np.where(np.isnan(off), 0.0, off)


def _sided(off: Floats, kinds: tuple[Figure, ...]) -> Floats:
    return np.where([kind.rises for kind in kinds], off, np.abs(off))
