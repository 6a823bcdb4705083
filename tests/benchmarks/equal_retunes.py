"""Count the promotions of retunes that are no better, judged again and again on one hold-out.

`python -m tests.benchmarks.equal_retunes` has every version say the truth with noise of the same
size, so that none is better, and takes each through the gate's own functions: the number of its
use of the hold-out, the confidence of that use, the paired differences of the metric and of the
monitored loss, and the champion gate. `one hold-out` spends `registry.alpha` over uses; at most
that share of hold-outs should see any promotion. `no spending` judges every use as if it were the
first; `new rows` renews the hold-out each time, which is each time a first use: at most that share
of retunes should be promoted.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from scipy import stats

from evertune.metrics.metrics import METRICS
from evertune.registry.evidence import PairedPredictions
from evertune.registry.gates import ChampionComparison, GateEvidence, champion_gate
from evertune.registry.holdout_reuse import (
    HoldoutUse,
    adjusted_confidence,
    holdout_use_number,
    row_key_sketch,
)
from evertune.stats.bootstrap import BootstrapConfig
from evertune.types import FloatArray, Predictions

START = datetime(2024, 1, 1, tzinfo=UTC)
DRAWS = 1000
METRIC_AND_LOSS = {"binary": ("roc_auc", "brier"), "regression": ("rmse", "mae")}
Random = np.random.Generator


@dataclass(frozen=True, eq=False)
class Holdout:
    """Rows that judge: their keys, their truth, and a new version's predictions of them."""

    keys: tuple[int, ...]
    truth: FloatArray
    said: Callable[[], Predictions]


@dataclass(frozen=True)
class Setting:
    """What all retunes of a simulation share."""

    task: str
    n_rows: int
    n_retunes: int
    allowed: float
    renews: bool
    spends: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chains", type=int, default=20)
    parser.add_argument("--retunes", type=int, default=200)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--allowed", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tasks", default="binary,regression")
    given = parser.parse_args()
    for task in given.tasks.split(","):
        for name, renews, spends in (
            ("one hold-out", False, True),
            ("no spending", False, False),
            ("new rows", True, True),
        ):
            how = Setting(task, given.rows, given.retunes, given.allowed, renews, spends)
            sys.stdout.write(f"{task}, {name}: {_told(how, given.chains, given.seed)}\n")
            sys.stdout.flush()


def _told(how: Setting, chains: int, seed: int) -> str:
    start = time.perf_counter()
    promoted = np.array([_chain(how, np.random.default_rng([seed, k])) for k in range(chains)])
    told, n = (int(promoted.sum()), promoted.size) if how.renews else (_any(promoted), chains)
    unit = "retunes" if how.renews else f"hold-outs with {how.n_retunes} retunes each"
    chance = stats.binomtest(told, n, how.allowed, alternative="greater").pvalue
    seconds = time.perf_counter() - start
    return (
        f"{told} of {n} {unit} see a promotion ({told / n:.3f}, {how.allowed:g} allowed, p ="
        f" {chance:.2g} of that many or more); {promoted.sum()} promotions, {seconds:.0f} s"
    )


def _any(promoted: FloatArray) -> int:
    return int(promoted.any(axis=1).sum())


def _chain(how: Setting, rng: Random) -> list[bool]:
    rows, uses, found = _holdout(how, rng, 0), [], []
    champion = rows.said()
    for number in range(how.n_retunes):
        if how.renews and number:
            rows = _holdout(how, rng, number)
            champion = rows.said()
        version, known = rows.said(), row_key_sketch(str(key) for key in rows.keys)
        use = holdout_use_number(known, uses) if how.spends else 1
        found.append(_passes(how, PairedPredictions(rows.truth, version, champion), use, number))
        moment = START + timedelta(days=number)
        uses.append(HoldoutUse(str(number), moment, str(number), "0", how.n_rows, known, tests=2))
        champion = version if found[-1] else champion
    return found


def _passes(how: Setting, pair: PairedPredictions, use: int, seed: int) -> bool:
    metric, loss = (METRICS[name] for name in METRIC_AND_LOSS[how.task])
    first, second = (
        BootstrapConfig(DRAWS, adjusted_confidence(each, alpha=how.allowed), seed)
        for each in (use, use + 1)
    )
    rival = ChampionComparison(
        "0",
        pair.improvement(metric, first),
        loss=pair.improvement(loss, second),
    )
    evidence = GateEvidence(
        "1", how.n_rows, champion=rival, holdout_use=use, confidence=first.confidence
    )
    outcome, _ = champion_gate(evidence, metric.name)
    return outcome == "pass"


def _holdout(how: Setting, rng: Random, number: int) -> Holdout:
    keys = tuple(range(number * how.n_rows, (number + 1) * how.n_rows))
    if how.task == "regression":
        truth = rng.normal(size=how.n_rows)
        return Holdout(keys, truth, lambda: Predictions(truth + rng.normal(size=how.n_rows)))
    log_odds = rng.normal(-1.5, 2.0, how.n_rows)
    truth = (rng.random(how.n_rows) < 1 / (1 + np.exp(-log_odds))).astype(float)
    return Holdout(keys, truth, lambda: _chances(log_odds + rng.normal(0, 0.5, how.n_rows)))


def _chances(log_odds: FloatArray) -> Predictions:
    chance = 1 / (1 + np.exp(-log_odds))
    return Predictions((chance > 0.5).astype(float), np.column_stack([1 - chance, chance]))


if __name__ == "__main__":
    main()
