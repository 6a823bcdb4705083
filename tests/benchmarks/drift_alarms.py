"""Count needless drift alarms a year: `python -m tests.benchmarks.drift_alarms` prints them.

Twenty columns, sixteen of numbers and four of levels, on days that are alike (`iid`), that differ
by a tenth of a standard deviation each (`days`), that also have weekends (`weekends`), or whose
moods last (`lasting`, autocorrelation 0.7). An alarm is two of three windows above 1, and alarms
within a week are one. Beside them the delay until an alarm after three columns move by 0.4
standard deviations. No target is judged.
"""

import argparse
import sys
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from evertune.monitoring.bins import Bins
from evertune.monitoring.column_reference import (
    ColumnReference,
    Counts,
    build_reference_histogram,
)
from evertune.monitoring.drift_null import N_POOLED_WINDOWS, DriftNull, fit_drift_null
from evertune.monitoring.drift_statistics import compute_statistics, drift_statistics
from evertune.monitoring.window_bounds import ReferenceWindows
from evertune.types import FloatArray

N_COLUMNS, N_NUMBERS, WEEK = 20, 16, 7
NUMBERS = Bins("number", "number", edges=tuple(norm.ppf(np.arange(1, 20) / 20).tolist()))
LEVELS = Bins("levels", "level", levels=tuple("abcd"))
LEVEL_SHARES, LEVEL_MOVES = np.array([0.4, 0.3, 0.15, 0.1, 0.05]), np.array([0, 1, 0, -1, 1.0])
MISSING, DAY_EFFECT, WEEKEND, LASTING = 0.05, 0.1, 0.25, 0.7
SHIFTED, SHIFT, SHIFT_DAY = 3, 0.4, 10
STREAMS = ("iid", "days", "weekends", "lasting")


@dataclass(frozen=True)
class Setting:
    """A stream, the rows of its days, and the days of its reference."""

    stream: str
    rows: int
    reference_days: int


def day_means(random: np.random.Generator, stream: str, n_days: int) -> FloatArray:
    """Return where each column lies on each day, shape (n_days, n_columns)."""
    shocks = random.normal(0, DAY_EFFECT, (n_days, N_COLUMNS))
    if stream == "iid":
        return shocks * 0
    if stream == "weekends":
        weekend = np.arange(n_days)[:, None] % WEEK >= 5
        return shocks + weekend * WEEKEND * random.choice([-1, 1], N_COLUMNS)
    if stream == "lasting":
        for day in range(1, n_days):
            shocks[day] = LASTING * shocks[day - 1] + np.sqrt(1 - LASTING**2) * shocks[day]
    return shocks


def day_counts(random: np.random.Generator, means: FloatArray, column: int, rows: int) -> Counts:
    """Return the rows of each day by bin; the last are missing."""
    if column < N_NUMBERS:
        below = norm.cdf(np.asarray(NUMBERS.edges) - means[:, None])
        shares = np.diff(below, prepend=0.0, append=1.0)
    else:
        shares = LEVEL_SHARES * np.exp(means[:, None] * LEVEL_MOVES)
    shares = shares / shares.sum(axis=1, keepdims=True)
    return random.multinomial(
        rows, np.hstack([shares * (1 - MISSING), np.full((len(means), 1), MISSING)])
    )


def scores(setting: Setting, *, days: int, seed: int, shift: bool) -> FloatArray:
    """Return the score of each production day."""
    random = np.random.default_rng(seed)
    known, total = setting.reference_days, setting.reference_days + days
    means = day_means(random, setting.stream, total)
    if shift:
        means[known + SHIFT_DAY :, :SHIFTED] += SHIFT
    counts = [day_counts(random, means[:, k], k, setting.rows) for k in range(N_COLUMNS)]
    figures = {length: all_figures(counts, known, length) for length in (1, N_POOLED_WINDOWS)}
    windows = ReferenceWindows(
        np.arange(known),
        np.arange(known) % WEEK,
        np.full(known, float(setting.rows)),
        1,
        True,
        known,
    )
    statistics = [
        statistic for column in counts for statistic in drift_statistics(described(column[:known]))
    ]
    null = fit_drift_null(
        lambda length: figures[length][: known - length + 1], statistics, windows=windows
    )
    return np.array([day_score(null, figures, day, setting.rows) for day in range(known, total)])


def described(counts: Counts) -> ColumnReference:
    """Return the reference of a column with these counts."""
    bins = LEVELS if counts.shape[1] == LEVELS.size + 1 else NUMBERS
    histogram = build_reference_histogram(counts[:, :-1], counts[:, -1], bins)
    kind, measured = ("category", "level") if bins is LEVELS else ("number", "value")
    return ColumnReference(bins.name, kind, measured, bins, histogram=histogram)


def all_figures(counts: list[Counts], known: int, length: int) -> FloatArray:
    """Return the figures of so many neighbouring days together."""
    found = []
    for column in counts:
        sums = np.cumsum(np.vstack([np.zeros_like(column[:1]), column]), axis=0)
        rolled = sums[length:] - sums[:-length]
        found.append(compute_statistics(described(column[:known]), rolled[:, :-1], rolled[:, -1]))
    return np.hstack(found)


def day_score(null: DriftNull, figures: dict[int, FloatArray], day: int, rows: int) -> float:
    """Return the larger score of a day on its own and of the seven that end with it."""
    statistics = null.statistics
    phases = np.where(np.arange(WEEK) == day % WEEK, float(rows), 0.0)
    alone = null.daily.z_scores(figures[1][day], statistics, phase_rows=phases)
    score = float(null.daily.excess(alone, statistics).max())
    if null.pooled is None:
        return score
    rest = figures[N_POOLED_WINDOWS][day - N_POOLED_WINDOWS + 1] - null.daily.expected(
        np.full(WEEK, float(rows))
    )
    size = np.array([float(WEEK * rows)])
    pooled = null.pooled.z_scores(rest, statistics, phase_rows=size)
    return max(score, float(null.pooled.excess(pooled, statistics).max()))


def alarm_days(values: FloatArray) -> np.ndarray:
    """Return the days on which two of the latest three scores are above 1."""
    above = (values > 1).astype(int)
    return np.flatnonzero(np.convolve(above, [1, 1, 1])[: len(above)] > 1)


def n_alarms(values: FloatArray) -> int:
    days = alarm_days(values)
    return int((np.diff(days, prepend=-99) > WEEK).sum())


def delay(values: FloatArray) -> float:
    days = alarm_days(values)
    days = days[days >= SHIFT_DAY]
    return float(days[0] - SHIFT_DAY + 1) if days.size else np.inf


def measured(setting: Setting, years: int, seed: int) -> str:
    """Return a line with the figures of a setting."""
    seeds = range(seed, seed + years)
    alarms = [n_alarms(scores(setting, days=365, seed=each, shift=False)) for each in seeds]
    delays = [delay(scores(setting, days=70, seed=each + 10**6, shift=True)) for each in seeds]
    half, most = np.quantile(delays, [0.5, 0.9], method="higher")
    return (
        f"{setting.stream:9} {setting.rows:6} rows, {setting.reference_days:3} days of reference:"
        f" {np.mean(alarms):5.2f} alarms a year;"
        f" delay {half:3.0f} days, nine in ten within {most:3.0f}\n"
    )


def main() -> int:
    """Print the figures of every setting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--years", type=int, default=100)
    parser.add_argument("--seed", type=int, default=20_000)
    given = parser.parse_args()
    for days in (60, 120, 365):
        for stream in STREAMS:
            for rows in (40, 200, 1000):
                sys.stdout.write(measured(Setting(stream, rows, days), given.years, given.seed))
                sys.stdout.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
