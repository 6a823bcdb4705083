"""The null distribution of drift statistics: how much windows differ when nothing changed.

Days differ by more than chance: there are weekends, and effects that last for days. So a
statistic is measured in standard deviations between windows of the reference, each compared
with the mean of its place in the week (`seasonal_means`, shrunk to the overall mean; Stein,
1956), and widened for autocorrelation (`integrated_autocorrelation_time`; Geyer, 1992) and for
few windows.

`fit_drift_null` fits single windows and seven neighbouring ones together; `z_scores` measures a
window; `excess_over_reference` is how far it lies beyond the worst of the reference (above 1 is
drift). The few reference windows that are unlike all others are left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, norm

from evertune.monitoring.drift_statistics import DriftStatistic
from evertune.monitoring.window_bounds import Codes, ReferenceWindows, n_seasons
from evertune.types import FloatArray


@dataclass(frozen=True, eq=False)
class SeasonalMeans:
    """The means of figures by place in the week.

    Attributes
    ----------
    leverage : array of shape (n_phases, n_figures)
        How much a window counts in its own centre.
    freedom : array of shape (n_figures,)
        Windows less what was learned from them.
    """

    centres: FloatArray
    leverage: FloatArray
    freedom: FloatArray


def seasonal_means(figures: FloatArray, phases: Codes, n_phases: int) -> SeasonalMeans:
    """Return the mean of each place in the week, drawn to the mean of all (Stein, 1956).

    A week without a pattern gives the mean of all, a strong one the mean of each place.
    """
    counts = np.bincount(phases, minlength=n_phases).astype(np.float64)[:, None]
    seen, mean = int((counts > 0).sum()), figures.mean(axis=0)
    sums = np.zeros((n_phases, figures.shape[1]))
    np.add.at(sums, phases, figures)
    own = np.where(counts > 0, sums / np.maximum(counts, 1), mean)
    within = ((figures - own[phases]) ** 2).sum(axis=0) / max(len(figures) - seen, 1)
    spread = (counts * (own - mean) ** 2).sum(axis=0) / max(seen - 1, 1)
    between = np.maximum(spread - within, 0) / (len(figures) / seen)
    chance = within / np.maximum(counts, 1)
    weight = np.where(counts > 1, between / np.maximum(between + chance, 1e-12), 0.0)
    return SeasonalMeans(
        centres=mean + weight * (own - mean),
        leverage=weight / np.maximum(counts, 1) + (1 - weight) / len(figures),
        freedom=np.maximum(len(figures) - 1 - np.maximum(weight.sum(axis=0) - 1, 0), 1.0),
    )


def integrated_autocorrelation_time(residuals: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the integrated autocorrelation time of each statistic, and of its square.

    The sum of all autocorrelations, and of their squares, at least 1: the factors by which the
    variances of a mean and of a variance are inflated. The sum ends where two neighbouring
    autocorrelations are no longer positive together (Geyer's initial positive sequence, 1992).
    """
    n_windows = len(residuals)
    most = max(n_windows // 3, 2)
    size = 2 ** int(np.ceil(np.log2(2 * n_windows)))
    power = np.abs(np.fft.rfft(residuals, size, axis=0)) ** 2
    products = np.fft.irfft(power, size, axis=0)[: most + 1]
    correlations = products / np.maximum(products[0], 1e-12)
    n_pairs = most // 2
    odd, even = correlations[1::2][:n_pairs], correlations[2::2][:n_pairs]
    kept = np.repeat(np.cumprod(odd + even > 0, axis=0), 2, axis=0).astype(bool)
    lags = np.where(kept, correlations[1 : 1 + len(kept)], 0)
    return np.maximum(1 + 2 * lags.sum(axis=0), 1), 1 + 2 * (lags**2).sum(axis=0)


N_POOLED_WINDOWS = 7
MIN_WINDOWS_TO_POOL = 3 * N_POOLED_WINDOWS
FEW_WINDOWS = 20
TYPICAL_N_WINDOWS = 60
VARIANCE_TAIL_PROBABILITY = 0.1
AUTOCORRELATION_QUANTILE = 0.9
OUTLIER_Z_SCORE, MAX_OUTLIER_SHARE = 8.0, 0.05

StatisticsFunction = Callable[[int], FloatArray]


@dataclass(frozen=True)
class NullDistribution:
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
class DriftNull:
    """The calibration of single windows, and of seven neighbouring ones together.

    Attributes
    ----------
    pooled : NullDistribution, optional
        Of what is left once the centres of `daily` are taken away.
    days : float
        The length of a window of the reference; 0 where its windows have no time.
    """

    figures: tuple[DriftStatistic, ...]
    daily: NullDistribution
    pooled: NullDistribution | None
    days: float
    notes: tuple[str, ...] = ()


def fit_drift_null(
    figures: StatisticsFunction, kinds: Sequence[DriftStatistic], *, windows: ReferenceWindows
) -> DriftNull:
    """Return how much windows differ, without those few that are unlike all others.

    Parameters
    ----------
    figures : callable
        Gives the figures of n neighbouring windows together, shape (n_windows - n + 1, n_figures).
    windows : ReferenceWindows
        Of the reference, in the order of time.
    """
    kinds, count = tuple(kinds), n_seasons(windows.days) if windows.timed else 1
    single, phases = figures(1), windows.phases
    kept = np.ones(len(single), dtype=bool)
    daily, off = fit_null_distribution(
        single, kinds, phases=phases, rows=windows.rows, n_phases=count
    )
    outlying = off > OUTLIER_Z_SCORE
    if 0 < outlying.sum() <= max(1.0, MAX_OUTLIER_SHARE * len(single)):
        kept = ~outlying
        daily, _ = fit_null_distribution(
            single[kept], kinds, phases=phases[kept], rows=windows.rows[kept], n_phases=count
        )
    pooled = _fit_pooled_null(figures, daily, kinds, windows, kept)
    return DriftNull(kinds, daily, pooled, windows.days if windows.timed else 0.0, _notes(kept))


def _notes(kept: NDArray[np.bool_]) -> tuple[str, ...]:
    notes = []
    if not kept.all():
        notes.append(f"{(~kept).sum()} windows of the reference are unlike all others: left out")
    if kept.sum() < FEW_WINDOWS:
        notes.append(f"the reference has {kept.sum()} windows only: the limit is wider")
    return tuple(notes)


def _fit_pooled_null(
    figures: StatisticsFunction,
    daily: NullDistribution,
    kinds: tuple[DriftStatistic, ...],
    windows: ReferenceWindows,
    kept: NDArray[np.bool_],
) -> NullDistribution | None:
    if not windows.timed or len(kept) < MIN_WINDOWS_TO_POOL:
        return None
    whole = np.convolve(kept, np.ones(N_POOLED_WINDOWS), "valid") > N_POOLED_WINDOWS - 0.5
    if whole.sum() < MIN_WINDOWS_TO_POOL - N_POOLED_WINDOWS:
        return None
    centres = np.asarray(daily.centres).T
    weighted = np.zeros((len(whole), len(centres)))
    for place in range(N_POOLED_WINDOWS):
        rows = slice(place, place + len(whole))
        np.add.at(weighted, (np.arange(len(whole)), windows.phases[rows]), windows.rows[rows])
    together = weighted.sum(axis=1)
    left = figures(N_POOLED_WINDOWS) - (weighted / together[:, None]) @ centres
    one = np.zeros(int(whole.sum()), dtype=np.int64)
    found, _ = fit_null_distribution(
        left[whole], kinds, phases=one, rows=together[whole], n_phases=1
    )
    return found


def fit_null_distribution(
    figures: FloatArray,
    kinds: tuple[DriftStatistic, ...],
    *,
    phases: Codes,
    rows: FloatArray,
    n_phases: int,
) -> tuple[NullDistribution, FloatArray]:
    """Return the calibration of figures from windows in the order of time.

    The deviation of a figure is widened by the upper bound of what it may be (chi-square, 10 %)
    and by how uncertain its centre is, both for as many windows as there would be if neighbours
    were not alike.

    Parameters
    ----------
    figures : array of shape (n_windows, n_figures)
        NaN where a window has no such figure.

    Returns
    -------
    Calibration, array of shape (n_windows,)
        And how far each window is from the others.
    """
    counts = np.where(np.isnan(figures), 0.0, 1.0)
    means = np.nan_to_num(figures).sum(axis=0) / np.maximum(counts.sum(axis=0), 1)
    filled = np.where(np.isnan(figures), means, figures)
    found = seasonal_means(filled, phases, n_phases)
    residuals = filled - found.centres[phases]
    usual = float(len(rows) / (1 / rows).sum())
    alike, squared = (
        _shrink_autocorrelation(each, len(rows))
        for each in integrated_autocorrelation_time(residuals)
    )
    lost = np.clip(1 - alike / len(rows), 0.2, 1)
    least = np.array([max(kind.least**2, kind.noise / usual) for kind in kinds])
    variances = (residuals**2).sum(axis=0) / found.freedom / lost
    deviations = np.sqrt(np.maximum(variances, least))
    degrees = np.maximum(found.freedom / squared, 1.0)
    widening = np.sqrt(
        (1 + alike / len(rows)) * degrees / chi2.ppf(VARIANCE_TAIL_PROBABILITY, degrees)
    )
    spread = _deviations_at_size(
        deviations, kinds, rows=rows[:, None], usual=usual, n_windows=len(rows)
    )
    off = _one_or_two_sided(residuals / (1 - found.leverage[phases]) / spread, kinds).max(axis=1)
    calibration = NullDistribution(
        centres=tuple(tuple(row) for row in found.centres.T.tolist()),
        deviations=tuple(deviations.tolist()),
        widening=tuple(widening.tolist()),
        rows=usual,
        n_windows=len(rows),
        worst=max(float(off.max()), float(norm.isf(0.5 / (TYPICAL_N_WINDOWS * len(kinds))))),
    )
    return calibration, off


def _shrink_autocorrelation(memory: FloatArray, n_windows: int) -> FloatArray:
    """Shrink autocorrelation times towards their 90 % quantile over statistics if windows are few.

    Sixty windows hardly tell it of one statistic, but what lasts for days moves many of them.
    """
    weight = min(TYPICAL_N_WINDOWS / n_windows, 1.0)
    return memory + weight * np.maximum(np.quantile(memory, AUTOCORRELATION_QUANTILE) - memory, 0)


def z_scores(
    calibration: NullDistribution,
    figures: FloatArray,
    kinds: tuple[DriftStatistic, ...],
    *,
    phase_rows: FloatArray,
    longer: float = 1.0,
) -> FloatArray:
    """Return by how many deviations each figure of a window is off; 0 where it has no figure.

    Parameters
    ----------
    phase_rows : array of shape (n_phases,)
        The window's rows by place in the week.
    longer : float
        How many times as long the windows of the reference are, at least 1: what differs between
        weeks differs so much more between days.
    """
    off = figures - expected_statistics(calibration, phase_rows)
    deviations, rows = np.asarray(calibration.deviations), float(phase_rows.sum())
    noise = np.array([kind.noise for kind in kinds])
    apart = np.maximum(deviations**2 - noise / calibration.rows, 0)
    spread = _deviations_at_size(
        np.sqrt(deviations**2 + (longer - 1) * apart),
        kinds,
        rows=rows,
        usual=calibration.rows,
        n_windows=calibration.n_windows,
    )
    return _zero_where_missing(off / spread / np.asarray(calibration.widening))


def excess_over_reference(
    calibration: NullDistribution, off: FloatArray, kinds: tuple[DriftStatistic, ...]
) -> FloatArray:
    """Return how far distances are beyond the worst of the reference: above 1 is drift."""
    return np.asarray(_one_or_two_sided(off, kinds) - calibration.worst, dtype=np.float64)


def expected_statistics(calibration: NullDistribution, phase_rows: FloatArray) -> FloatArray:
    """Return the usual figures of a window with so many rows at each place in the week.

    Those of any place, where the calibration has other places than the window.
    """
    usual = np.asarray(calibration.centres, dtype=np.float64)
    if usual.shape[1] != len(phase_rows):
        return np.asarray(usual.mean(axis=1), dtype=np.float64)
    return np.asarray(usual @ (phase_rows / phase_rows.sum()), dtype=np.float64)


def _deviations_at_size(
    deviations: FloatArray,
    kinds: tuple[DriftStatistic, ...],
    *,
    rows: FloatArray | float,
    usual: float,
    n_windows: int,
) -> FloatArray:
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


def _zero_where_missing(off: FloatArray) -> FloatArray:
    return np.where(np.isnan(off), 0.0, off)


def _one_or_two_sided(off: FloatArray, kinds: tuple[DriftStatistic, ...]) -> FloatArray:
    return np.where([kind.rises for kind in kinds], off, np.abs(off))
