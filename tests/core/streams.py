"""Streams whose learner is the mean of what it saw: small enough to reckon by hand."""

from datetime import UTC, datetime

import numpy as np

from pipelines.core.metrics import METRICS
from pipelines.core.policies import Predict, Rows, Stream
from pipelines.core.predictions import Floats, Predictions

ORIGIN = datetime(2024, 1, 1, tzinfo=UTC)


def said(chance: float, rows: Rows) -> Predictions:
    values = np.full(len(rows), float(chance > 1 / 2))
    return Predictions(values, np.tile([1 - chance, chance], (len(rows), 1)))


def stream_of(shares: list[float], *, rows_a_day: int = 20, seed: int = 0) -> Stream:
    """Return a stream in which the share of ones is given day by day."""
    random = np.random.default_rng(seed)
    chances = np.repeat(shares, rows_a_day)
    truth = (random.random(len(chances)) < chances).astype(float)

    def fit(rows: Rows, weights: Floats | None) -> Predict:
        chance = float(np.average(truth[rows], weights=weights))
        return lambda asked: said(chance, asked)

    return Stream(
        origin=ORIGIN,
        days=np.arange(len(truth)) / rows_a_day,
        truth=truth,
        fit=fit,
        task="binary",
        metric=METRICS["log_loss"],
    )
