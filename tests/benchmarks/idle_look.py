"""Measure `evertune monitor` on a day without anything new: the whole command, imports included.

    python -m tests.benchmarks.idle_look [--days 200] [--rows 500]

A project with a champion and a log of so many days with so many labelled rows each is made; a first
look works everything out, the looks after it find that all is known.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from pathlib import Path

from threadpoolctl import threadpool_limits

from evertune.models.persistence import load_model
from tests.support.production import champion, day, labelled, learned, project, rows, served

ROOT = Path(__file__).parents[2]
LOOKS = 3
MOST_SECONDS = 25


def main() -> int:
    """Print seconds and processor seconds of each look; return 1 where an idle one is too slow."""
    parser = ArgumentParser()
    parser.add_argument("--days", type=int, default=200)
    parser.add_argument("--rows", type=int, default=500)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = watched(Path(folder), n_days=given.days, a_day=given.rows)
        took = [look(root, now=f"{day(given.days + 1):%Y-%m-%dT%H:%M}") for _ in range(1 + LOOKS)]
    for name, (seconds, used) in zip(["first", *["idle"] * LOOKS], took, strict=True):
        sys.stdout.write(f"{name} look: {seconds:.1f} s, {used:.1f} s of a processor\n")
    return int(min(seconds for seconds, _ in took[1:]) > MOST_SECONDS)


def watched(root: Path, *, n_days: int, a_day: int) -> Path:
    """Return a project whose champion answered so many rows, all labelled since."""
    project(root)
    (root / "state").mkdir()
    with threadpool_limits(1):
        champion(root, learned(root / "learned"))
        table = rows(0, n_days, a_day=a_day)
        ids = served(root, load_model(root / "learned" / "model"), table)
    labelled(root, table, ids)
    return root


def look(root: Path, *, now: str) -> tuple[float, float]:
    """Return the seconds of the command `evertune monitor`, and the processor seconds of it."""
    command = [sys.executable, "-m", "evertune.cli.app", "monitor", "--now", now]
    begun, before = time.monotonic(), _used()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=root, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - begun, _used() - before


def _used() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    raise SystemExit(main())
