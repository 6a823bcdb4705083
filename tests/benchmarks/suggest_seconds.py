"""Measure how long each searcher takes to propose a configuration, at some hundred known trials.

Fits are replaced by a function of the configuration, so that only proposals take time. Processor
seconds of the proposing thread count, which other work on the machine hardly disturbs.

    python -m tests.benchmarks.suggest_seconds [--trials 200] [--proposals 12] [SEARCHER ...]
"""

import argparse
import sys
import time
from importlib.util import find_spec

import numpy as np

from evertune.search.samplers import SEARCHERS
from evertune.search.space import DEFAULT_SPACES
from evertune.trials import Configuration
from tests.search.studies import evaluate, make_study, small_objective

FAMILIES = ("linear", "svm", "tree", "lightgbm", "mlp")
LISTED = ("manual", "grid")  # have no other phase
MAX_ASKED = 60  # the portfolio begins with its defaults
LIMIT_SECONDS = 1e6  # of the study: no limit


def main() -> None:
    """Print the median and the largest time of a proposal of each searcher, in milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("searchers", nargs="*", default=[])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--proposals", type=int, default=12)
    given = parser.parse_args()
    sys.stdout.write(f"{'searcher':24}{'median ms':>10}{'most ms':>10}\n")
    # gradient has families of its own, and takes its time in fits
    for name in given.searchers or [name for name in SEARCHERS if name != "gradient"]:
        needs = SEARCHERS[name].needs
        if needs is not None and find_spec(needs) is None:
            sys.stdout.write(f"{name:24}{'needs ' + needs:>20}\n")
            continue
        seconds = suggest_seconds(name, n_trials=given.trials, n_proposals=given.proposals)
        milliseconds = 1000 * np.array(seconds)
        sys.stdout.write(f"{name:24}{np.median(milliseconds):10.1f}{milliseconds.max():10.1f}\n")
        sys.stdout.flush()


def suggest_seconds(name: str, *, n_trials: int, n_proposals: int) -> list[float]:
    """Return the processor seconds of each of the last proposals.

    The trials before them are those of the searcher `random`, as of an earlier run.
    """
    settings: dict[str, object] = {"seconds": LIMIT_SECONDS, "scheduler": "none"}
    past = make_study(FAMILIES, searcher="random", **settings)
    for _ in range(n_trials):
        job = past.ask()
        evaluate(past, job, score(job.configuration))
    if name == "manual":
        settings["configurations"] = tuple(
            Configuration("tree", {"max_depth": depth}) for depth in range(2, 2 + 3 * n_proposals)
        )
    if name == "nsga2":
        settings |= {"objectives": ("mae",), "objective": small_objective(others=("mae",))}
    study = make_study(FAMILIES, searcher=name, past=tuple(past.trials), **settings)
    seconds: list[float] = []
    asked = 0
    while len(seconds) < n_proposals + 2 and asked < MAX_ASKED:
        start = time.process_time()
        job = study.ask()
        took = time.process_time() - start
        asked += 1
        if job.phase == "search" or name in LISTED:
            seconds.append(took)
        evaluate(study, job, score(job.configuration))
    return seconds[2:]  # the first ones import libraries


def score(configuration: Configuration) -> float:
    """Return an error that depends on the family and a few of its numbers; smaller is better."""
    space = DEFAULT_SPACES[configuration.family]
    values = configuration.hyperparameters
    numbers = [
        (float(value) - part.low) / (part.high - part.low)
        for name, part in space.items()
        if hasattr(part, "low") and isinstance(value := values.get(name), int | float)
    ]
    return 0.1 * list(DEFAULT_SPACES).index(configuration.family) + sum(
        (number - 0.3) ** 2 for number in numbers[:4]
    )


if __name__ == "__main__":
    main()
