"""Compare the loop with never, weekly and an oracle: one quick learner in process, many seeds.

Streams: electricity (../shared/data beside the repository; left out where it is not there), three
in which the relation changes (SEA and Agrawal abruptly, Hyperplane gradually, by river) and two in
which it stands while inputs shift or follow a season. Labels come after a week.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from pipelines.core.looping import Rules, loop
from pipelines.core.metrics import METRICS
from pipelines.core.policies import (
    Course,
    Predict,
    Rows,
    Stream,
    never,
    oracle,
    scheduled,
)
from pipelines.core.predictions import Floats, Predictions
from pipelines.core.replaying import Played, counted, mean_loss

ELECTRICITY = Path(__file__).parents[3] / "shared" / "data" / "electricity.csv.gz"
ORIGIN = datetime(2024, 1, 1, tzinfo=UTC)
DAYS, ROWS_A_DAY = 365, 200
START, LABEL_DELAY, WEEK = 60.0, 7.0, 7.0
FIRST_CHANGE, SECOND_CHANGE = 140, 250
Z = 1.96
Table = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class Result:
    """How one policy went on one stream with one seed."""

    stream: str
    seed: int
    policy: str
    error: float
    promotions: int
    fits: int
    rolled_back: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--streams", nargs="*", default=list(STREAMS), choices=list(STREAMS))
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    if "electricity" in chosen.streams and not ELECTRICITY.is_file():
        sys.stdout.write(f"electricity is left out: {ELECTRICITY} is not there\n")
        chosen.streams.remove("electricity")
    seeds = range(chosen.first_seed, chosen.first_seed + chosen.seeds)
    cases = [(name, seed) for name in chosen.streams for seed in seeds]
    with ProcessPoolExecutor(chosen.workers, mp_context=get_context("spawn")) as pool:
        results = [each for found in pool.map(played, *zip(*cases, strict=True)) for each in found]
    for name in chosen.streams:
        sys.stdout.write(shown(name, [each for each in results if each.stream == name]))


def played(name: str, seed: int) -> list[Result]:
    """Return how every policy went on one stream."""
    with threadpool_limits(1):
        stream, course = STREAMS[name](seed)
        return [_result(name, seed, label, one) for label, one in _policies(stream, course)]


def _policies(stream: Stream, course: Course) -> Iterator[tuple[str, Played]]:
    yield "never", never(stream, course)
    yield "weekly, 30 days", scheduled(stream, course, latest_days=30)
    yield "weekly, 90 days", scheduled(stream, course, latest_days=90)
    yield "weekly, all", scheduled(stream, course, latest_days=None)
    yield "loop", loop(stream, course, Rules())
    yield "oracle", oracle(stream, course)


def _result(name: str, seed: int, label: str, one: Played) -> Result:
    times = counted(one.events)
    return Result(
        stream=name,
        seed=seed,
        policy=label,
        error=mean_loss(one.losses) or math.nan,
        promotions=times["promoted"],
        fits=times["refitted"] + times["retuned"],
        rolled_back=times["rolled back"],
    )


def shown(name: str, results: Sequence[Result]) -> str:
    """Return a table of one stream: means over seeds, the error with its 95 % interval."""
    lines = [f"\n{name}: {len({each.seed for each in results})} seeds"]
    lines.append("policy                error             promoted    fits  rolled back")
    for policy in dict.fromkeys(each.policy for each in results):
        ours = [each for each in results if each.policy == policy]
        errors = np.array([each.error for each in ours])
        half = Z * errors.std(ddof=1) / math.sqrt(len(errors)) if len(errors) > 1 else 0.0
        means = [
            np.mean([getattr(each, what) for each in ours])
            for what in ("promotions", "fits", "rolled_back")
        ]
        figures = "".join(f"{figure:10.2f}" for figure in means)
        lines.append(f"{policy:<18} {errors.mean():8.4f} +- {half:.4f}{figures}")
    return "\n".join(lines) + "\n"


def stream_of(table: Table, days: Floats, *, seed: int) -> Stream:
    """Return a stream of a table with the quick learner."""
    X, y = table
    return Stream(
        origin=ORIGIN,
        days=days,
        truth=y,
        fit=partial(fitted, X, y, seed),
        task="binary",
        metric=METRICS["log_loss"],
        shown=errors_of,
    )


def fitted(X: Floats, y: Floats, seed: int, rows: Rows, weights: Floats | None) -> Predict:
    """Return the quick learner, fitted on some rows; with one class it predicts that."""
    if len(np.unique(y[rows])) == 1:
        return lambda asked: _said(np.full(len(asked), y[rows][0]))
    learner = HistGradientBoostingClassifier(
        max_iter=60, learning_rate=0.1, early_stopping=False, random_state=seed
    )
    learner.fit(X[rows], y[rows], sample_weight=weights)
    return lambda asked: _said(learner.predict_proba(X[asked])[:, 1])


def _said(chance: Floats) -> Predictions:
    chance = chance.astype(np.float64)
    return Predictions((chance > 1 / 2).astype(np.float64), np.column_stack([1 - chance, chance]))


def errors_of(truth: Floats, said: Predictions) -> Floats:
    return np.asarray(said.values != truth, dtype=np.float64)


def electricity(seed: int) -> tuple[Stream, Course]:
    """Return the market of New South Wales; the first 60 days are learned from."""
    table = pd.read_csv(ELECTRICITY)
    moments = pd.to_datetime(table["timestamp"])
    days = ((moments - moments.iloc[0]) / pd.Timedelta(days=1)).to_numpy(dtype=np.float64)
    X = table.drop(columns=["timestamp", "class"])
    weekday = moments.dt.dayofweek.to_numpy(dtype=np.float64)
    y = table["class"].to_numpy(dtype=np.float64)
    inputs = np.column_stack([X.to_numpy(dtype=np.float64), weekday])
    return stream_of((inputs, y), days, seed=seed), _course()


def sea(seed: int) -> tuple[Stream, Course]:
    from river.datasets import synth

    parts = _changes()
    makers = [synth.SEA(v, noise=0.1, seed=seed * 3 + v) for v in (0, 2, 3)]
    return _made(_taken(makers, parts), seed=seed)


def agrawal(seed: int) -> tuple[Stream, Course]:
    from river.datasets import synth

    parts = _changes()
    makers = [synth.Agrawal(f, seed=seed * 3 + f, perturbation=0.05) for f in (0, 2, 4)]
    return _made(_taken(makers, parts), seed=seed)


def hyperplane(seed: int) -> tuple[Stream, Course]:
    from river.datasets import synth

    maker = synth.Hyperplane(
        seed=seed, n_features=10, n_drift_features=5, mag_change=0.001, noise_percentage=0.05
    )
    return _made(_taken([maker], [DAYS * ROWS_A_DAY]), seed=seed)


def benign(seed: int) -> tuple[Stream, Course]:
    """Inputs shift where nothing depends on it; the relation stands."""
    shift = np.where(np.arange(DAYS) >= FIRST_CHANGE, 1.5, 0.0)
    return _standing(seed, np.zeros(DAYS), shift)


def seasonal(seed: int) -> tuple[Stream, Course]:
    """Inputs follow weeks and a season; the relation stands."""
    days = np.arange(DAYS)
    wave = 0.8 * np.sin(2 * np.pi * days / 90) + 0.5 * (days % 7 >= 5)
    return _standing(seed, wave, wave)


STREAMS: dict[str, Callable[[int], tuple[Stream, Course]]] = {
    "electricity": electricity,
    "sea": sea,
    "agrawal": agrawal,
    "hyperplane": hyperplane,
    "benign": benign,
    "seasonal": seasonal,
}


def _standing(seed: int, relevant: Floats, free: Floats) -> tuple[Stream, Course]:
    random = np.random.default_rng(seed)
    day = np.repeat(np.arange(DAYS), ROWS_A_DAY)
    X = random.normal(size=(len(day), 6))
    X[:, 1] += relevant[day]
    X[:, 4] += free[day]
    odds = 4.0 * np.where(X[:, 0] > 0, X[:, 1], -X[:, 1]) + 2.0 * X[:, 2]
    y = (random.random(len(day)) < 1 / (1 + np.exp(-odds))).astype(np.float64)
    return _made((X, y), seed=seed)


def _made(table: Table, *, seed: int) -> tuple[Stream, Course]:
    days = np.arange(len(table[1])) / ROWS_A_DAY
    return stream_of(table, days, seed=seed), _course()


def _course() -> Course:
    return Course(START, window_days=WEEK, label_delay=LABEL_DELAY)


def _changes() -> list[int]:
    ends = [FIRST_CHANGE, SECOND_CHANGE - FIRST_CHANGE, DAYS - SECOND_CHANGE]
    return [days * ROWS_A_DAY for days in ends]


def _taken(makers: Sequence, counts: Sequence[int]) -> Table:
    """Return the rows that river's generators make one after the other."""
    rows = [
        (list(x.values()), float(y))
        for maker, count in zip(makers, counts, strict=True)
        for x, y in maker.take(count)
    ]
    X, y = zip(*rows, strict=True)
    return np.array(X, dtype=np.float64), np.array(y)


if __name__ == "__main__":
    main()
