"""How many labelled rows a first attempt needs on the example: how often the gate promotes it.

The relation of the example changes on a day; some days later a quick learner is fitted as a retune
would fit it, and meets a model that was learned before production began. Every seed draws another
table.
"""

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from multiprocessing import get_context

import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier
from threadpoolctl import threadpool_limits

from evertune.config.schema import RetuneSection
from evertune.data.example import CHANGE_DAY, FIRST_DAY, PRODUCTION_START, simulate_customers
from evertune.decisions import MonitoringDecision
from evertune.metrics.metrics import METRICS
from evertune.simulation.policies import LabelledStream, PredictFunction, RowIndices, rows_between
from evertune.types import FloatArray, Predictions
from tests.benchmarks.simulation import GateSettings, attempt_retraining, plan_retraining_attempt

ORIGIN = datetime.fromisoformat(FIRST_DAY).replace(tzinfo=UTC)
DAYS = (30, 40, 50, 60)  # after the change
SHARES = (0.25, 0.35, 0.5)  # of the rows since the change, which judge


@dataclass(frozen=True)
class Tried:
    """One attempt: how many rows there were, and whether the gate promoted it."""

    days: int
    share: float
    n_rows: int
    passed: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=20)
    chosen = parser.parse_args()
    seeds = range(chosen.first_seed, chosen.first_seed + chosen.seeds)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        found = [each for tried in pool.map(tries, seeds) for each in tried]
    sys.stdout.write("days after the change, share that judges: mean rows since it, promoted\n")
    for days in DAYS:
        for share in SHARES:
            cell = [each for each in found if (each.days, each.share) == (days, share)]
            rows = np.mean([each.n_rows for each in cell])
            passed = sum(each.passed for each in cell)
            sys.stdout.write(f"{days:4d} {share:5.2f}: {rows:6.0f} {passed:4d} of {len(cell)}\n")


def tries(seed: int) -> list[Tried]:
    with threadpool_limits(1):
        stream = stream_of(seed)
        champion = stream.fit(rows_between(stream, -np.inf, _day(PRODUCTION_START)), None)
        return [tried(stream, champion, days, share) for days in DAYS for share in SHARES]


def tried(stream: LabelledStream, champion: PredictFunction, days: int, share: float) -> Tried:
    change = _day(CHANGE_DAY)
    decision = MonitoringDecision(
        "d", ORIGIN, "example", "1", "retune", (), change_from=ORIGIN + timedelta(days=change)
    )
    known = rows_between(stream, -np.inf, change + days)
    unseen = known[stream.days[known] >= _day(PRODUCTION_START)]
    plan = plan_retraining_attempt(
        stream, decision, RetuneSection(holdout_fraction=share), unseen=unseen
    )
    found = attempt_retraining(stream, champion, plan, known=known, gate=GateSettings(draws=300))
    n_rows = int((stream.days[known] >= change).sum())
    return Tried(days, share, n_rows, found.verdict == "promote")


def stream_of(seed: int) -> LabelledStream:
    table = simulate_customers(seed=seed)
    truth = (table["churned"] == "yes").to_numpy(dtype=np.float64)
    days = (table["date"] - pd.Timestamp(FIRST_DAY)) / pd.Timedelta(days=1)
    inputs = table.drop(columns=["date", "signed_up", "churned"])
    inputs = inputs.assign(sale=table["signed_up"].dt.month)
    for name in inputs.select_dtypes(exclude="number"):
        inputs[name] = inputs[name].astype("category")
    return LabelledStream(
        origin=ORIGIN,
        days=days.to_numpy(dtype=np.float64),
        y_true=truth,
        fit=partial(fitted, inputs, truth, seed),
        task="binary",
        metric=METRICS["roc_auc"],
    )


def fitted(
    inputs: pd.DataFrame, truth: FloatArray, seed: int, rows: RowIndices, weights: FloatArray | None
) -> PredictFunction:
    learner = LGBMClassifier(
        n_estimators=80,
        learning_rate=0.08,
        num_leaves=15,
        min_child_samples=15,
        n_jobs=1,
        random_state=seed,
        verbose=-1,
    )
    learner.fit(inputs.iloc[rows], truth[rows], sample_weight=weights)
    return lambda asked: _said(learner.predict_proba(inputs.iloc[asked]))


def _said(chances: FloatArray) -> Predictions:
    return Predictions((chances[:, 1] > 1 / 2).astype(np.float64), chances)


def _day(name: str) -> int:
    return (pd.Timestamp(name) - pd.Timestamp(FIRST_DAY)).days


if __name__ == "__main__":
    main()
