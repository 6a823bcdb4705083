"""Compare the loop with never and with every week: one quick learner in process, many seeds.

The loop is played with the values that are shipped, and with newer rows tried now and then
(`CHECKED`); labels come after a week. What is shown is the share of wrong predictions; the gate
compares in log loss. Each result goes to standard error as it comes, a table to standard output
as soon as all seeds of its stream have been played.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from evertune.config.loader import load_params
from evertune.config.schema import PolicySection, RetuneSection
from evertune.simulation.policies import (
    LabelledStream,
    ReplayConfig,
    best_in_hindsight,
    never_retrain,
    retrain_on_schedule,
)
from evertune.simulation.results import ReplayEvent, ReplayResult, count_events, mean_loss
from tests.benchmarks.policy_streams import ELECTRICITY, STREAMS
from tests.benchmarks.simulation import LoopConfig, run_loop

PARAMS = Path(__file__).parents[2] / "params.yaml"
CHECK = "without a new model"
WEEKLY = "weekly, 30 days"
CHECKED = LoopConfig(
    policy=PolicySection(refit_interval_days=14, follow_up_days=(7, 21)),
    retune=RetuneSection(holdout_days=5, half_life_days=15),
)


@dataclass(frozen=True)
class Result:
    """How one policy went on one stream with one seed."""

    seed: int
    policy: str
    error: float
    promoted: int
    by_checks: int
    fits: int
    refused: int
    rolled_back: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--streams", nargs="*", default=list(STREAMS), choices=list(STREAMS))
    parser.add_argument("--oracle", action="store_true", help="play it too: twice as slow")
    parser.add_argument("--workers", type=int, default=1)
    chosen = parser.parse_args()
    if "electricity" in chosen.streams and not ELECTRICITY.is_file():
        sys.stdout.write(f"electricity is left out: {ELECTRICITY} is not there\n")
        chosen.streams.remove("electricity")
    seeds = range(chosen.first_seed, chosen.first_seed + chosen.seeds)
    with ProcessPoolExecutor(chosen.workers, mp_context=get_context("spawn")) as pool:
        for name in chosen.streams:
            begun, n, results = time.perf_counter(), len(seeds), list[Result]()
            for found in pool.map(played, [name] * n, seeds, [chosen.oracle] * n):
                sys.stderr.write("".join(f"{name} {each}\n" for each in found))
                results += found
            sys.stdout.write(shown(name, results, seconds=time.perf_counter() - begun))
            sys.stdout.flush()


def played(name: str, seed: int, with_oracle: bool) -> list[Result]:
    """Return how every policy went on one stream."""
    with threadpool_limits(1):
        stream, course = STREAMS[name](seed)
        ways = _ways(stream, course)
        if not with_oracle:
            del ways["oracle"]
        return [_result(seed, policy, play()) for policy, play in ways.items()]


def shipped() -> LoopConfig:
    """Return the rules that params.yaml ships."""
    monitoring = load_params(PARAMS.parent).monitoring
    return LoopConfig(policy=monitoring.policy, retune=monitoring.retune)


def _ways(stream: LabelledStream, course: ReplayConfig) -> dict[str, Callable[[], ReplayResult]]:
    monthly = replace(course, window_days=4 * course.window_days)
    return {
        "never": lambda: never_retrain(stream, course),
        WEEKLY: lambda: retrain_on_schedule(stream, course, latest_days=30),
        "weekly, 90 days": lambda: retrain_on_schedule(stream, course, latest_days=90),
        "4-weekly, 30 days": lambda: retrain_on_schedule(stream, monthly, latest_days=30),
        "loop": lambda: run_loop(stream, course, shipped()),
        "loop, checks": lambda: run_loop(stream, course, CHECKED),
        "oracle": lambda: best_in_hindsight(stream, course),
    }


def _result(seed: int, policy: str, one: ReplayResult) -> Result:
    times = count_events(one.events)
    return Result(
        seed=seed,
        policy=policy,
        error=mean_loss(one.losses) or math.nan,
        promoted=times["promoted"],
        by_checks=sum(CHECK in each.detail for each in _promoted(one.events)),
        fits=times["refitted"] + times["retuned"],
        refused=times["refused"],
        rolled_back=times["rolled back"],
    )


def _promoted(events: Sequence[ReplayEvent]) -> Iterator[ReplayEvent]:
    """Yield the attempts that ended in a promotion."""
    begun = None
    for each in events:
        if each.kind in ("refitted", "retuned"):
            begun = each
        elif each.kind == "promoted" and begun is not None:
            yield begun


def shown(name: str, results: Sequence[Result], *, seconds: float) -> str:
    """Return a table of one stream: means over seeds, and the error beside that of every week."""
    weekly = {each.seed: each.error for each in results if each.policy == WEEKLY}
    lines = [
        f"\n{name}: {len(weekly)} seeds, {seconds:.0f} s",
        f"{'policy':<18}{'error':>8}{'beside ' + WEEKLY:>28}"
        "  promoted  by checks  fits  refused  rolled back",
    ]
    for policy in dict.fromkeys(each.policy for each in results):
        ours = [each for each in results if each.policy == policy]
        error = np.mean([each.error for each in ours])
        ratios = [each.error / weekly[each.seed] for each in ours]
        beside = f"{np.mean(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
        names = ("promoted", "by_checks", "fits", "refused", "rolled_back")
        means = [np.mean([getattr(each, what) for each in ours]) for what in names]
        columns = zip(means, (10, 11, 6, 9, 13), strict=True)
        figures = "".join(f"{figure:{width}.1f}" for figure, width in columns)
        lines.append(f"{policy:<18}{error:8.4f}{beside:>28}{figures}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
