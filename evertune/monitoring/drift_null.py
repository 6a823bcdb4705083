"""The null distribution of drift statistics: how much windows differ when nothing changed.

Days differ by more than chance: there are weekends, and effects that last for days. So a
statistic is measured in standard deviations between windows of the reference, each compared
with the mean of its place in the week (`seasonal_means`, shrunk to the overall mean; Stein,
1956), and widened for autocorrelation (`integrated_autocorrelation_time`; Geyer, 1992) and for
few windows.

`fit_drift_null` fits single windows and seven neighbouring ones together. `NullDistribution`
gives the z-scores of a window, and how far they lie beyond the worst window of the reference
(above 1 is drift). The few reference windows that are unlike all others are left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import AliasChoices, Field
from scipy.stats import chi2, norm

from evertune.monitoring.drift_statistics import DriftStatistic
from evertune.monitoring.window_bounds import Codes, ReferenceWindows, n_seasons
from evertune.types import FloatArray

N_POOLED_WINDOWS = 7
MIN_WINDOWS_TO_POOL = 3 * N_POOLED_WINDOWS
FEW_WINDOWS = 20
TYPICAL_N_WINDOWS = 60
VARIANCE_TAIL_PROBABILITY = 0.1
AUTOCORRELATION_QUANTILE = 0.9
OUTLIER_Z_SCORE, MAX_OUTLIER_SHARE = 8.0, 0.05

Statistics = Sequence[DriftStatistic]


@dataclass(frozen=True)
class NullDistribution:
    """How the statistics of windows vary when nothing changed.

    Attributes
    ----------
    centres : tuple of tuple of float
        Usual values of each statistic, by the window's place in the week.
    deviations : tuple of float
        Standard deviation of each statistic between windows of the usual number of rows.
    widening : tuple of float
        Factors on the deviations of a new window: fewer windows, or ones that are like their
        neighbours, tell less about the next.
    rows : float
        The usual number of rows of a window.
    worst : float
        The largest z-score of a window of the reference among the others.
    """

    centres: tuple[tuple[float, ...], ...]
    deviations: tuple[float, ...]
    widening: tuple[float, ...]
    rows: float
    n_windows: int
    worst: float

    def expected(self, phase_rows: FloatArray) -> FloatArray:
        """Return the usual statistics of a window, shape (n_statistics,).

        Parameters
        ----------
        phase_rows : array of shape (n_phases,)
            The window's rows by place in the week. The places do not count if they are others
            than those of the reference.
        """
        centres = np.asarray(self.centres, dtype=np.float64)
        if centres.shape[1] != len(phase_rows):
            return np.asarray(centres.mean(axis=1))
        return np.asarray(centres @ (phase_rows / phase_rows.sum()))

    def z_scores(
        self,
        values: FloatArray,
        statistics: Statistics,
        *,
        phase_rows: FloatArray,
        length_ratio: float = 1.0,
    ) -> FloatArray:
        """Return the z-scores of a window's statistics; 0 where it has none (NaN).

        Parameters
        ----------
        length_ratio : float
            How many times as long the windows of the reference are, at least 1: what differs
            between weeks differs so much more between days.
        """
        deviations = np.asarray(self.deviations)
        noise = np.array([each.noise for each in statistics])
        between = np.maximum(deviations**2 - noise / self.rows, 0)
        spread = _deviations_at_size(
            np.sqrt(deviations**2 + (length_ratio - 1) * between),
            noise,
            rows=float(phase_rows.sum()),
            usual_rows=self.rows,
            n_windows=self.n_windows,
        )
        z = (values - self.expected(phase_rows)) / spread / np.asarray(self.widening)
        return np.where(np.isnan(z), 0.0, z)

    def excess(self, z: FloatArray, statistics: Statistics) -> FloatArray:
        """Return how far z-scores lie beyond the worst of the reference: above 1 is drift."""
        return _rise_or_distance(z, statistics) - self.worst


@dataclass(frozen=True)
class DriftNull:
    """The null distributions of single windows, and of seven neighbouring ones together.

    Attributes
    ----------
    pooled : NullDistribution, optional
        Of what is left once the centres of `daily` are taken away.
    days : float
        The length of a window of the reference; 0 where its windows have no time.
    """

    statistics: Annotated[
        tuple[DriftStatistic, ...],
        Field(validation_alias=AliasChoices("statistics", "figures")),
    ]
    daily: NullDistribution
    pooled: NullDistribution | None
    days: float
    notes: tuple[str, ...] = ()


def fit_drift_null(
    compute: Callable[[int], FloatArray], statistics: Statistics, *, windows: ReferenceWindows
) -> DriftNull:
    """Return how much windows differ, without those few that are unlike all others.

    Parameters
    ----------
    compute : callable
        Gives the statistics of n neighbouring windows together, shape
        (n_windows - n + 1, n_statistics).
    windows : ReferenceWindows
        Of the reference, in the order of time.
    """
    values, phases, rows = compute(1), windows.phases, windows.rows
    n_phases = n_seasons(windows.days) if windows.timed else 1
    daily, z = fit_null_distribution(
        values, statistics, phases=phases, rows=rows, n_phases=n_phases
    )
    is_usual = z <= OUTLIER_Z_SCORE
    n_outliers = int((~is_usual).sum())
    if 0 < n_outliers <= max(1.0, MAX_OUTLIER_SHARE * len(values)):
        daily, _ = fit_null_distribution(
            values[is_usual],
            statistics,
            phases=phases[is_usual],
            rows=rows[is_usual],
            n_phases=n_phases,
        )
    else:
        is_usual, n_outliers = np.ones(len(values), dtype=bool), 0
    notes = []
    if n_outliers:
        notes.append(f"{n_outliers} windows of the reference are unlike all others: left out")
    if len(values) - n_outliers < FEW_WINDOWS:
        n_left = len(values) - n_outliers
        notes.append(f"the reference has {n_left} windows only: the limit is wider")
    return DriftNull(
        tuple(statistics),
        daily,
        _fit_pooled(compute, daily, statistics, windows, is_usual) if windows.timed else None,
        windows.days if windows.timed else 0.0,
        tuple(notes),
    )


def _fit_pooled(
    compute: Callable[[int], FloatArray],
    daily: NullDistribution,
    statistics: Statistics,
    windows: ReferenceWindows,
    is_usual: np.ndarray,
) -> NullDistribution | None:
    """Return the null distribution of seven neighbouring windows, None if there are too few."""
    if len(is_usual) < MIN_WINDOWS_TO_POOL:
        return None
    pools = np.lib.stride_tricks.sliding_window_view
    is_whole = pools(is_usual, N_POOLED_WINDOWS).all(axis=1)
    if is_whole.sum() < MIN_WINDOWS_TO_POOL - N_POOLED_WINDOWS:
        return None
    centres = np.asarray(daily.centres).T
    rows = pools(windows.rows, N_POOLED_WINDOWS)
    phase_rows = np.zeros((len(rows), len(centres)))
    pool = np.repeat(np.arange(len(rows)), N_POOLED_WINDOWS)
    np.add.at(phase_rows, (pool, pools(windows.phases, N_POOLED_WINDOWS).ravel()), rows.ravel())
    n_rows = rows.sum(axis=1)
    residuals = compute(N_POOLED_WINDOWS) - (phase_rows / n_rows[:, None]) @ centres
    pooled, _ = fit_null_distribution(
        residuals[is_whole],
        statistics,
        phases=np.zeros(int(is_whole.sum()), dtype=np.int64),
        rows=n_rows[is_whole],
        n_phases=1,
    )
    return pooled


def fit_null_distribution(
    values: FloatArray, statistics: Statistics, *, phases: Codes, rows: FloatArray, n_phases: int
) -> tuple[NullDistribution, FloatArray]:
    """Return the null distribution of statistics from windows in the order of time.

    The deviation of a statistic is widened by the upper bound of what it may be (chi-square,
    10 %) and by how uncertain its centre is, both for as many windows as there would be if
    neighbours were not alike.

    Parameters
    ----------
    values : array of shape (n_windows, n_statistics)
        NaN where a window has no such statistic.

    Returns
    -------
    NullDistribution, array of shape (n_windows,)
        And the largest z-score of each window among the others.
    """
    n_windows, is_missing = len(rows), np.isnan(values)
    n_filled = np.maximum((~is_missing).sum(axis=0), 1)
    filled = np.where(is_missing, np.nansum(values, axis=0) / n_filled, values)
    means = seasonal_means(filled, phases, n_phases)
    residuals = filled - means.centres[phases]
    usual_rows = float(n_windows / (1 / rows).sum())
    times, squared_times = (
        _shrink_autocorrelation(each, n_windows)
        for each in integrated_autocorrelation_time(residuals)
    )
    noise = np.array([each.noise for each in statistics])
    least = np.maximum([each.least**2 for each in statistics], noise / usual_rows)
    bias = np.clip(1 - times / n_windows, 0.2, 1)
    variances = (residuals**2).sum(axis=0) / means.degrees_of_freedom / bias
    deviations = np.sqrt(np.maximum(variances, least))
    degrees = np.maximum(means.degrees_of_freedom / squared_times, 1.0)
    widening = np.sqrt(
        (1 + times / n_windows) * degrees / chi2.ppf(VARIANCE_TAIL_PROBABILITY, degrees)
    )
    spread = _deviations_at_size(
        deviations, noise, rows=rows[:, None], usual_rows=usual_rows, n_windows=n_windows
    )
    z = residuals / (1 - means.leverage[phases]) / spread
    worst_z = _rise_or_distance(z, statistics).max(axis=1)
    least_worst = float(norm.isf(0.5 / (TYPICAL_N_WINDOWS * len(statistics))))
    null = NullDistribution(
        centres=tuple(tuple(row) for row in means.centres.T.tolist()),
        deviations=tuple(deviations.tolist()),
        widening=tuple(widening.tolist()),
        rows=usual_rows,
        n_windows=n_windows,
        worst=max(float(worst_z.max()), least_worst),
    )
    return null, worst_z


@dataclass(frozen=True, eq=False)
class SeasonalMeans:
    """The means of statistics by place in the week.

    Attributes
    ----------
    centres, leverage : array of shape (n_phases, n_statistics)
        The means, and how much a window counts in its own.
    degrees_of_freedom : array of shape (n_statistics,)
        Windows less what was learned from them.
    """

    centres: FloatArray
    leverage: FloatArray
    degrees_of_freedom: FloatArray


def seasonal_means(values: FloatArray, phases: Codes, n_phases: int) -> SeasonalMeans:
    """Return the mean of each place in the week, shrunk to the mean of all (Stein, 1956).

    A week without a pattern gives the mean of all, a strong one the mean of each place.
    """
    n_windows, mean = len(values), values.mean(axis=0)
    counts = np.bincount(phases, minlength=n_phases).astype(np.float64)[:, None]
    n_seen = int((counts > 0).sum())
    sums = np.zeros((n_phases, values.shape[1]))
    np.add.at(sums, phases, values)
    own = np.where(counts > 0, sums / np.maximum(counts, 1), mean)
    within = ((values - own[phases]) ** 2).sum(axis=0) / max(n_windows - n_seen, 1)
    spread = (counts * (own - mean) ** 2).sum(axis=0) / max(n_seen - 1, 1)
    between = np.maximum(spread - within, 0) / (n_windows / n_seen)
    chance = within / np.maximum(counts, 1)
    weight = np.where(counts > 1, between / np.maximum(between + chance, 1e-12), 0.0)
    return SeasonalMeans(
        centres=mean + weight * (own - mean),
        leverage=weight / np.maximum(counts, 1) + (1 - weight) / n_windows,
        degrees_of_freedom=np.maximum(n_windows - 1 - np.maximum(weight.sum(axis=0) - 1, 0), 1.0),
    )


def integrated_autocorrelation_time(residuals: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the integrated autocorrelation time of each statistic, and of its square.

    The sum of all autocorrelations, and of their squares, at least 1: the factors by which the
    variances of a mean and of a variance are inflated. The sum ends where two neighbouring
    autocorrelations are no longer positive together (Geyer's initial positive sequence, 1992).
    """
    n_windows = len(residuals)
    n_lags = max(n_windows // 3, 2)
    size = 2 ** int(np.ceil(np.log2(2 * n_windows)))
    power = np.abs(np.fft.rfft(residuals, size, axis=0)) ** 2
    products = np.fft.irfft(power, size, axis=0)[: n_lags + 1]
    correlations = products / np.maximum(products[0], 1e-12)
    n_pairs = n_lags // 2
    odd, even = correlations[1::2][:n_pairs], correlations[2::2][:n_pairs]
    is_counted = np.repeat(np.cumprod(odd + even > 0, axis=0), 2, axis=0).astype(bool)
    lags = np.where(is_counted, correlations[1 : 1 + len(is_counted)], 0)
    return np.maximum(1 + 2 * lags.sum(axis=0), 1), 1 + 2 * (lags**2).sum(axis=0)


def _shrink_autocorrelation(times: FloatArray, n_windows: int) -> FloatArray:
    """Shrink autocorrelation times towards their 90 % quantile over statistics if windows are few.

    Sixty windows hardly tell it of one statistic, but what lasts for days moves many of them.
    """
    weight = min(TYPICAL_N_WINDOWS / n_windows, 1.0)
    return times + weight * np.maximum(np.quantile(times, AUTOCORRELATION_QUANTILE) - times, 0)


def _deviations_at_size(
    deviations: FloatArray,
    noise: FloatArray,
    *,
    rows: FloatArray | float,
    usual_rows: float,
    n_windows: int,
) -> FloatArray:
    """Return the deviations of windows of another size: chance falls with the rows, days do not.

    What is left once chance is taken away is known no better than the variance itself, so that it
    does not fall below what that leaves open, and never below chance.
    """
    variance = deviations**2
    least = variance * min(2 * np.sqrt(2 / n_windows), 1.0)
    sized = variance + noise * (1 / np.asarray(rows) - 1 / usual_rows)
    floor = np.maximum(least, noise / np.asarray(rows))
    return np.asarray(np.sqrt(np.maximum(sized, floor)), dtype=np.float64)


def _rise_or_distance(z: FloatArray, statistics: Statistics) -> FloatArray:
    return np.where([each.rises for each in statistics], z, np.abs(z))
