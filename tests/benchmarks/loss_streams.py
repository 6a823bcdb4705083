"""Years of daily labels and errors in which nothing changes, or the error rises once."""

from dataclasses import dataclass

import numpy as np

from evertune.types import FloatArray

BASE = 0.1
WEEK, WORKDAYS = 7, 5
WEEKEND_RISE, WEEKEND_VOLUME = 0.03, 0.5
MEMORY = 0.7
NULLS = {
    "independent days": {},
    "day effects, sd .01": {"day": 0.01},
    "weekends": {"weekend": WEEKEND_RISE},
    "day effects and weekends": {"day": 0.01, "weekend": WEEKEND_RISE},
    "AR(1) .7, sd .01": {"run": 0.01},
    "AR(1) .7, sd .02": {"run": 0.02},
}


@dataclass(frozen=True, eq=False)
class Streams:
    """Rows and wrong ones of each day, shape (n_streams, n_days)."""

    counts: FloatArray
    totals: FloatArray


def streams(
    rng: np.random.Generator,
    *,
    n_streams: int,
    n_days: int,
    rows: int,
    rise: float = 0.0,
    rise_at: int = 0,
    day: float = 0.0,
    weekend: float = 0.0,
    run: float = 0.0,
) -> Streams:
    """Return streams with an error of 10 %.

    Parameters
    ----------
    rng : Generator
    n_streams, n_days : int
    rows : int
        Mean number of rows a day, Poisson; half of it at weekends, where `weekend` is not 0.
    rise, rise_at : float, int
        By how much the error is higher from which day on.
    day : float
        Standard deviation of effects of single days.
    weekend : float
        By how much the error is higher at weekends.
    run : float
        Standard deviation of effects that last: AR(1) with coefficient 0.7.
    """
    shape = (n_streams, n_days)
    first = rng.integers(0, WEEK, (n_streams, 1))
    is_weekend = (np.arange(n_days) + first) % WEEK >= WORKDAYS
    chance = np.full(shape, BASE) + rng.normal(0.0, day, shape) + _runs(rng, shape, run)
    chance += weekend * (is_weekend - 2 / WEEK)
    chance[:, rise_at:] += rise
    volume = np.where(is_weekend & (weekend != 0), WEEKEND_VOLUME * rows, rows)
    counts = np.maximum(rng.poisson(volume), 1)
    wrong = rng.binomial(counts, np.clip(chance, 0.001, 0.999))
    return Streams(counts.astype(np.float64), wrong.astype(np.float64))


def parted(found: Streams, n_days: int) -> tuple[Streams, Streams]:
    """Return the first days, the reference, and the others."""
    return (
        Streams(found.counts[:, :n_days], found.totals[:, :n_days]),
        Streams(found.counts[:, n_days:], found.totals[:, n_days:]),
    )


def rows_of_stream(found: Streams, place: int, rng: np.random.Generator) -> list[list[int]]:
    """Return the rows of one stream by day, 1 for a wrong one, in a random order."""
    days = zip(found.counts[place], found.totals[place], strict=True)
    return [rng.permutation(_rows(int(n), int(wrong))).tolist() for n, wrong in days]


def _rows(n_rows: int, n_wrong: int) -> FloatArray:
    return np.concatenate([np.ones(n_wrong, dtype=int), np.zeros(n_rows - n_wrong, dtype=int)])


def _runs(rng: np.random.Generator, shape: tuple[int, int], deviation: float) -> FloatArray:
    shocks = rng.normal(0.0, deviation, shape)
    found = np.empty(shape)
    found[:, 0] = shocks[:, 0]
    for day in range(1, shape[1]):
        found[:, day] = MEMORY * found[:, day - 1] + np.sqrt(1 - MEMORY**2) * shocks[:, day]
    return found
