"""Streams that policies are compared on, with one quick learner for all of them.

Electricity is real (../shared/data beside the repository). In three the relation changes: SEA and
Agrawal abruptly and twice, Hyperplane a little every day (river's generators). In two it stands
while inputs shift or follow a season.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evertune.metrics.metrics import METRICS
from evertune.simulation.policies import LabelledStream, PredictFunction, ReplayConfig, RowIndices
from evertune.types import FloatArray, Predictions

ELECTRICITY = Path(__file__).parents[3] / "shared" / "data" / "electricity.csv.gz"
ORIGIN = datetime(2024, 1, 1, tzinfo=UTC)
DAYS, ROWS_A_DAY = 365, 100
START, LABEL_DELAY, WEEK = 120.0, 7.0, 7.0
FIRST_CHANGE, SECOND_CHANGE = 170, 270
MAG_CHANGE = 0.0014  # a row; river's walk then is as fast a day as 0.001 at 200 rows
MAX_BIN, ROUNDS = 63, 40
SEED_STEP = 10
FAINT = 1e-3  # what weighs less is not worth the time
LEARNER = {
    "objective": "binary",
    "num_leaves": 15,
    "learning_rate": 0.15,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "num_threads": 1,
    "verbose": -1,
}
Table = tuple[NDArray[np.float64], NDArray[np.float64]]
Made = tuple[LabelledStream, ReplayConfig]


@dataclass(frozen=True, eq=False)
class Learner:
    """A small LightGBM over one table, whose columns are cut into bins once for all fits."""

    X: FloatArray
    y: FloatArray
    bins: lightgbm.Dataset
    seed: int

    def __call__(self, rows: RowIndices, weights: FloatArray | None) -> PredictFunction:
        """Return the learner fitted on some rows; with one class it predicts that."""
        if len(np.unique(self.y[rows])) == 1:
            return lambda asked: _said(np.full(len(asked), self.y[rows[0]]))
        if weights is not None:
            rows, weights = rows[weights > FAINT], weights[weights > FAINT]
        part = self.bins.subset(rows).construct()
        part.set_weight(weights)
        model = lightgbm.train({**LEARNER, "seed": self.seed}, part, num_boost_round=ROUNDS)
        return lambda asked: _said(_chances(model, self.X[asked]))


def electricity(seed: int) -> Made:
    """Return the market of New South Wales; a seed only changes the learner."""
    table = pd.read_csv(ELECTRICITY)
    moments = pd.to_datetime(table["timestamp"])
    days = ((moments - moments.iloc[0]) / pd.Timedelta(days=1)).to_numpy(dtype=np.float64)
    X = table.drop(columns=["timestamp", "class"])
    weekday = moments.dt.dayofweek.to_numpy(dtype=np.float64)
    inputs = np.column_stack([X.to_numpy(dtype=np.float64), weekday])
    return _stream((inputs, table["class"].to_numpy(dtype=np.float64)), days, seed=seed)


def sea(seed: int) -> Made:
    from river.datasets import synth

    seeds = np.arange(3) + seed * SEED_STEP
    parts = zip((0, 2, 3), seeds, strict=True)
    return _daily(_taken([synth.SEA(v, noise=0.1, seed=int(s)) for v, s in parts]), seed=seed)


def agrawal(seed: int) -> Made:
    from river.datasets import synth

    seeds = np.arange(3) + seed * SEED_STEP
    makers = [
        synth.Agrawal(f, seed=int(s), perturbation=0.05)
        for f, s in zip((0, 2, 4), seeds, strict=True)
    ]
    return _daily(_taken(makers), seed=seed)


def hyperplane(seed: int) -> Made:
    from river.datasets import synth

    maker = synth.Hyperplane(
        seed=seed,
        n_features=10,
        n_drift_features=5,
        mag_change=MAG_CHANGE,
        noise_percentage=0.05,
    )
    return _daily(_table(maker.take(DAYS * ROWS_A_DAY)), seed=seed)


def benign(seed: int) -> Made:
    """Inputs shift where nothing depends on them; the relation stands."""
    shift = np.where(np.arange(DAYS) >= FIRST_CHANGE, 1.5, 0.0)
    return _standing(seed, np.zeros(DAYS), shift)


def seasonal(seed: int) -> Made:
    """Inputs follow weeks and a season; the relation stands."""
    days = np.arange(DAYS)
    wave = 0.8 * np.sin(2 * np.pi * days / 90) + 0.5 * (days % 7 >= 5)
    return _standing(seed, wave, wave)


STREAMS: dict[str, Callable[[int], Made]] = {
    "electricity": electricity,
    "sea": sea,
    "agrawal": agrawal,
    "hyperplane": hyperplane,
    "benign": benign,
    "seasonal": seasonal,
}


def _stream(table: Table, days: FloatArray, *, seed: int) -> Made:
    X, y = table
    bins = lightgbm.Dataset(X, y, params={"max_bin": MAX_BIN, "verbose": -1, "num_threads": 1})
    stream = LabelledStream(
        origin=ORIGIN,
        days=days,
        y_true=y,
        fit=Learner(X, y, bins.construct(), seed),
        task="binary",
        metric=METRICS["log_loss"],
        shown=_errors,
    )
    return stream, ReplayConfig(START, window_days=WEEK, label_delay=LABEL_DELAY)


def _daily(table: Table, *, seed: int) -> Made:
    return _stream(table, np.arange(len(table[1])) / ROWS_A_DAY, seed=seed)


def _standing(seed: int, relevant: FloatArray, free: FloatArray) -> Made:
    random = np.random.default_rng(seed)
    day = np.repeat(np.arange(DAYS), ROWS_A_DAY)
    X = random.normal(size=(len(day), 6))
    X[:, 1] += relevant[day]
    X[:, 4] += free[day]
    odds = 4.0 * np.where(X[:, 0] > 0, X[:, 1], -X[:, 1]) + 2.0 * X[:, 2]
    y = (random.random(len(day)) < 1 / (1 + np.exp(-odds))).astype(np.float64)
    return _daily((X, y), seed=seed)


def _taken(makers: Sequence) -> Table:
    """Return the rows of three generators, one until each change and one from then on."""
    ends = [FIRST_CHANGE, SECOND_CHANGE - FIRST_CHANGE, DAYS - SECOND_CHANGE]
    parts = [
        _table(maker.take(days * ROWS_A_DAY)) for maker, days in zip(makers, ends, strict=True)
    ]
    return np.concatenate([X for X, _ in parts]), np.concatenate([y for _, y in parts])


def _table(rows: Iterable[tuple[dict, float]]) -> Table:
    X, y = zip(*((list(x.values()), float(y)) for x, y in rows), strict=True)
    return np.array(X, dtype=np.float64), np.array(y)


def _chances(model: lightgbm.Booster, X: FloatArray) -> FloatArray:
    if not len(X):
        return np.zeros(0)
    return np.asarray(model.predict(X, num_threads=1), dtype=np.float64)


def _said(chance: FloatArray) -> Predictions:
    return Predictions((chance > 1 / 2).astype(np.float64), np.column_stack([1 - chance, chance]))


def _errors(truth: FloatArray, said: Predictions) -> FloatArray:
    return np.asarray(said.values != truth, dtype=np.float64)
