"""Seconds of `evertune init` and of each step of `evertune train` on tables of many columns.

Also the seconds of processor, which other work on the machine hardly changes, the longest time
without a line of output, where there is no terminal, and every line that looks like the warning of
a library.
"""

import argparse
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import monotonic

import numpy as np
import pandas as pd

DONE_PATTERN = re.compile(r"(\w+) +done in ([0-9.]+) s")


def make_table(n_rows: int, n_columns: int) -> pd.DataFrame:
    """Return a table of numbers, some with gaps, and words; two numbers tell the target."""
    rng = np.random.default_rng(n_columns)
    columns: dict[str, np.ndarray] = {}
    for n in range(n_columns):
        cells: np.ndarray = rng.normal(size=n_rows).round(4)
        if n % 10 == 6:
            cells = rng.integers(0, 50, n_rows)
        elif n % 10 == 7:
            cells = rng.choice(["red", "green", "blue"], n_rows)
        elif n % 10 == 8:
            cells = np.where(rng.random(n_rows) < 0.1, np.nan, cells)
        elif n % 10 == 9:
            cells = rng.choice(["yes", "no"], n_rows)
        columns[f"x{n}"] = cells
    table = pd.DataFrame(columns)
    noisy = table["x0"] + table["x1"] + rng.normal(size=n_rows)
    return table.assign(churn=np.where(noisy > 0, "yes", "no"))


def timed_lines(arguments: Sequence[str], folder: Path) -> Iterator[tuple[float, str]]:
    """Run a command of Evertune, and yield its lines, each with the seconds since its start."""
    command = [sys.executable, "-m", "evertune.cli.app", *arguments]
    started = monotonic()
    with subprocess.Popen(
        command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        for line in process.stdout or ():
            yield monotonic() - started, line.rstrip()
    yield monotonic() - started, f"exit code {process.returncode}"


def measure(name: str, arguments: Sequence[str], folder: Path) -> None:
    """Print the seconds of a command and of its steps, its silence and its warnings."""
    before, silence, seconds, used = 0.0, (0.0, ""), 0.0, processor_seconds()
    for seconds, line in timed_lines(arguments, folder):
        silence, before = max(silence, (seconds - before, line)), seconds
        if match := DONE_PATTERN.match(line):
            sys.stdout.write(f"  {match[1]:<10} {float(match[2]):6.1f} s\n")
        elif "Warning" in line or "Error" in line or line.startswith("exit code"):
            sys.stdout.write(f"  {line[:150]}\n")
    used = processor_seconds() - used
    sys.stdout.write(
        f"{name}: {seconds:.1f} s, {used:.1f} s of processor,"
        f" the longest silence {silence[0]:.1f} s before {silence[1][:60]!r}\n\n"
    )


def processor_seconds() -> float:
    """Return what the processes that this one started, and that have ended, have used."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def main() -> None:
    """Measure `init` on the widest table, and `init` and `train` on one of some hundred columns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--widest", default="250x4000", help="rows x columns, for init")
    parser.add_argument("--train", default="2000x300", help="rows x columns, for init and train")
    parser.add_argument("--budget", type=int, default=10, help="seconds, of search and of fit")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for kind in ("widest", "train"):
            size = getattr(given, kind)
            n_rows, n_columns = map(int, size.split("x"))
            make_table(n_rows, n_columns).to_csv(folder / f"{kind}.csv", index=False)
            options = ["--data", f"{kind}.csv", "--target", "churn"]
            measure(f"init {size}", ["init", kind, *options], folder)
        params = folder / "train" / "params.yaml"
        short = params.read_text().replace("budget_seconds: 60", f"budget_seconds: {given.budget}")
        params.write_text(short)
        measure(f"train {given.train}", ["train"], folder / "train")


if __name__ == "__main__":
    main()
