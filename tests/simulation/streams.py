"""Streams whose learner is the mean of what it saw: small enough to reckon by hand."""

from datetime import UTC, datetime

import numpy as np

from evertune.metrics.metrics import METRICS
from evertune.simulation.policies import LabelledStream, PredictFunction, RowIndices
from evertune.types import FloatArray, Predictions

ORIGIN = datetime(2024, 1, 1, tzinfo=UTC)


def said(chance: float, rows: RowIndices) -> Predictions:
    values = np.full(len(rows), float(chance > 1 / 2))
    return Predictions(values, np.tile([1 - chance, chance], (len(rows), 1)))


def stream_of(shares: list[float], *, rows_a_day: int = 20, seed: int = 0) -> LabelledStream:
    """Return a stream in which the share of ones is given day by day."""
    random = np.random.default_rng(seed)
    chances = np.repeat(shares, rows_a_day)
    truth = (random.random(len(chances)) < chances).astype(float)

    def fit(rows: RowIndices, weights: FloatArray | None) -> PredictFunction:
        chance = float(np.average(truth[rows], weights=weights))
        return lambda asked: said(chance, asked)

    return LabelledStream(
        origin=ORIGIN,
        days=np.arange(len(truth)) / rows_a_day,
        y_true=truth,
        fit=fit,
        task="binary",
        metric=METRICS["log_loss"],
    )
