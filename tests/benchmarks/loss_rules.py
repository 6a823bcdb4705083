"""Rules that say on which days a stream of errors alarms: ours, and the defaults of others."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from river.drift import ADWIN, PageHinkley
from river.drift.binary import DDM

from evertune.stats.sequential import log_evidence, log_likelihood_ratios, null_mean, overdispersion
from tests.benchmarks.loss_streams import Streams, rows_of_stream

TOLERANCE, FALSE_ALARM_DAYS = 0.005, 3650.0
Alarms = NDArray[np.bool_]
Rule = Callable[[Streams, Streams], Alarms]
DETECTORS = {"river ADWIN": ADWIN, "river Page-Hinkley": PageHinkley, "river DDM": DDM}
SCRIPTS = Path(__file__).parent


def ours(reference: Streams, production: Streams) -> Alarms:
    """Return on which days the sequential test raises an alarm, shape (n_streams, n_days)."""
    base = reference.totals.sum(axis=1) / reference.counts.sum(axis=1)
    widened = overdispersion(reference.counts, reference.totals)
    n_rows = reference.counts.sum(axis=1)
    bars = null_mean(base, tolerance=TOLERANCE, widened=widened, n_rows=n_rows)
    steps = log_likelihood_ratios(production.counts, production.totals, bars=bars, widened=widened)
    return raised(log_evidence(steps), np.log(FALSE_ALARM_DAYS))


def raised(values: NDArray[np.float64], threshold: float) -> Alarms:
    """Return the days on which values pass a threshold, armed again below its half."""
    armed = np.ones(len(values), dtype=bool)
    found = np.zeros(values.shape, dtype=bool)
    for day in range(values.shape[1]):
        found[:, day] = armed & (values[:, day] > threshold)
        armed = (armed & ~found[:, day]) | (values[:, day] < threshold / 2)
    return found


def of_river(name: str, *, seed: int) -> Rule:
    """Return the rule of a detector of river at its defaults, fed row by row from the start."""

    def rule(reference: Streams, production: Streams) -> Alarms:
        rng = np.random.default_rng(seed)
        return np.array(
            [
                _drifts(name, reference, production, place, rng)
                for place in range(len(reference.counts))
            ]
        )

    return rule


def of_library(script: str, python: Path) -> Rule:
    """Return the rule that a script beside this file works out with a library of its own."""

    def rule(reference: Streams, production: Streams) -> Alarms:
        with TemporaryDirectory() as folder:
            given, answer = Path(folder) / "given.npz", Path(folder) / "alarms.npy"
            np.savez(
                given,
                reference=reference.totals / reference.counts,
                production=production.totals / production.counts,
            )
            subprocess.run([python, SCRIPTS / script, given, answer], check=True)
            return np.asarray(np.load(answer), dtype=bool)

    return rule


def peers(*, nannyml: Path | None, evidently: Path | None, seed: int) -> dict[str, Rule]:
    found = {name: of_river(name, seed=seed) for name in DETECTORS}
    if nannyml:
        found["NannyML"] = of_library("nannyml_rule.py", nannyml)
    if evidently:
        found["Evidently"] = of_library("evidently_rule.py", evidently)
    return found


def _drifts(
    name: str, reference: Streams, production: Streams, place: int, rng: np.random.Generator
) -> list[bool]:
    detector = DETECTORS[name]()
    for day in rows_of_stream(reference, place, rng):
        for row in day:
            detector.update(row)
    return [_drifted(detector, day) for day in rows_of_stream(production, place, rng)]


def _drifted(detector: ADWIN | PageHinkley | DDM, rows: list[int]) -> bool:
    found = False
    for row in rows:
        detector.update(row)
        found = found or detector.drift_detected
    return found


def shown(title: str, figures: dict[str, list[str]], columns: list[str]) -> str:
    """Return a Markdown table."""
    head = f"| {title} | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}\n"
    return head + "".join(f"| {name} | {' | '.join(row)} |\n" for name, row in figures.items())
