"""Days of losses that the tests of the sequential tests share."""

from datetime import UTC, datetime, timedelta

import numpy as np

from evertune.metrics.losses import DailyLoss
from evertune.monitoring.performance import PerformanceReference

FIRST = datetime(2024, 1, 1, tzinfo=UTC)


def days_of(means: list[float], *, n: int = 500, start: int = 0) -> tuple[DailyLoss, ...]:
    """Return days of n rows with these mean losses, from a day after `FIRST` on."""
    return tuple(
        DailyLoss(FIRST + timedelta(start + place), n, n * mean) for place, mean in enumerate(means)
    )


def chance_days(seed: int, n_days: int, error: float = 0.1, *, start: int = 0):
    wrong = np.random.default_rng(seed).binomial(500, error, n_days) / 500
    return days_of(wrong.tolist(), start=start)


def reference_of_days(n_days: int = 120, *, seed: int = 0) -> PerformanceReference:
    days = chance_days(seed, n_days, start=-n_days)
    return PerformanceReference("binary", "accuracy", 500 * n_days, {}, 0.1, 1.0, days)
