"""Measure how many days of matured labels the sequential test, and others, need to see a rise.

`python -m tests.benchmarks.detection --seed 1`. Each stream has 120 reference days, ten days of
production as before, and 90 days with a higher error. A stream that alarmed before the rise does
not count. See `false_alarms` for `--nannyml` and `--evidently`.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from tests.benchmarks.loss_rules import Rule, ours, peers, shown
from tests.benchmarks.loss_streams import NULLS, parted, streams

ROWS = (50, 500, 5000)
RISES = (0.02, 0.05, 0.10)
BEFORE, AFTER = 10, 90
FEWEST_STREAMS = 5
MOST_ROWS_ONE_BY_ONE = 1_500_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--streams", type=int, default=300)
    parser.add_argument("--reference", type=int, default=120, help="days")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--nannyml", type=Path)
    parser.add_argument("--evidently", type=Path)
    given = parser.parse_args()
    found = {"ours": ours}
    if given.peers:
        found |= peers(nannyml=given.nannyml, evidently=given.evidently, seed=given.seed)
    columns = [f"{rows}: +{100 * rise:g}" for rows in ROWS for rise in RISES]
    for name, rule in found.items():
        table = {kind: _delays(rule, name, kind, given) for kind in NULLS}
        title = f"{name}: median days, 90 % of them, missed; labels a day: rise in points"
        sys.stdout.write(f"{shown(title, table, columns)}\n")
        sys.stdout.flush()


def _delays(rule: Rule, name: str, kind: str, given: argparse.Namespace) -> list[str]:
    return [
        _delay(rule, name, kind, given, rows=rows, rise=rise) for rows in ROWS for rise in RISES
    ]


def _delay(
    rule: Rule, name: str, kind: str, given: argparse.Namespace, *, rows: int, rise: float
) -> str:
    n_days = given.reference + BEFORE + AFTER
    n_streams = given.streams
    if name.startswith("river"):
        n_streams = min(n_streams, MOST_ROWS_ONE_BY_ONE // (rows * n_days))
        if n_streams < FEWEST_STREAMS:
            return "not run"
    rng = np.random.default_rng([given.seed, rows, int(1000 * rise), list(NULLS).index(kind)])
    shape = {"n_streams": n_streams, "n_days": n_days, "rows": rows}
    rises = {"rise": rise, "rise_at": given.reference + BEFORE}
    found = streams(rng, **shape, **rises, **NULLS[kind])
    return _shown(rule(*parted(found, given.reference)))


def _shown(alarms: np.ndarray) -> str:
    quiet = alarms[~alarms[:, :BEFORE].any(axis=1)][:, BEFORE:]
    if not len(quiet):
        return "alarmed before"
    first = np.where(quiet.any(axis=1), quiet.argmax(axis=1) + 1.0, np.inf)
    missed = np.isinf(first).mean()
    median, most = np.quantile(first, [0.5, 0.9], method="inverted_cdf")
    return f"{median:g}, {most:g}, {missed:.0%}".replace("inf", f">{AFTER}")


if __name__ == "__main__":
    main()
