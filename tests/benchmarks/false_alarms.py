"""Count the alarms a year of the sequential test, and of others, where nothing changes.

`python -m tests.benchmarks.false_alarms --seed 1` simulates 300 years of each stream. With the
interpreters of environments that have them, `--nannyml PYTHON` and `--evidently PYTHON` add the
default rules of these libraries on the same streams; river's are always there, on fewer years.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from tests.benchmarks.loss_rules import Rule, ours, peers, shown
from tests.benchmarks.loss_streams import NULLS, Streams, parted, streams

YEAR = 365
ROWS = (50, 500, 5000)
REFERENCES = (60, 120)
MOST_ROWS_ONE_BY_ONE = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--years", type=int, default=300)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--nannyml", type=Path)
    parser.add_argument("--evidently", type=Path)
    given = parser.parse_args()
    columns = [f"{rows} labels a day" for rows in ROWS]
    for n_reference in REFERENCES:
        found = {"ours": ours}
        if given.peers:
            found |= peers(nannyml=given.nannyml, evidently=given.evidently, seed=given.seed)
        for name, rule in found.items():
            table = _table(rule, name, given.seed, given.years, n_reference)
            title = f"{name}: alarms a year, {n_reference} reference days"
            sys.stdout.write(f"{shown(title, table, columns)}\n")
            sys.stdout.flush()


def _table(rule: Rule, name: str, seed: int, years: int, n_reference: int) -> dict[str, list[str]]:
    return {
        kind: [_rate(rule, name, kind, rows, (seed, years, n_reference)) for rows in ROWS]
        for kind in NULLS
    }


def _rate(rule: Rule, name: str, kind: str, rows: int, given: tuple[int, int, int]) -> str:
    seed, years, n_reference = given
    known = _stream(kind, rows, seed=seed, years=years, n_days=n_reference + YEAR)
    if name.startswith("river"):
        n_streams = min(years, MOST_ROWS_ONE_BY_ONE // (rows * known.counts.shape[1]))
        if not n_streams:
            return "not run"
        known = Streams(known.counts[:n_streams], known.totals[:n_streams])
    alarms = rule(*parted(known, n_reference)).sum(axis=1)
    error = alarms.std() / np.sqrt(alarms.size)
    return f"{alarms.mean():.2f} ± {error:.2f} ({alarms.size} years)"


def _stream(kind: str, rows: int, *, seed: int, years: int, n_days: int) -> Streams:
    rng = np.random.default_rng([seed, rows, list(NULLS).index(kind), n_days])
    return streams(rng, n_streams=years, n_days=n_days, rows=rows, **NULLS[kind])


if __name__ == "__main__":
    main()
