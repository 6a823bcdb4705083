"""Measure drift and contract on a large table: `python -m tests.benchmarks.drift` prints figures.

1,000,000 rows of 30 columns are counted and judged against a reference of as many rows, in a
process of its own. Evidently then makes its drift and summary report of the same tables, in an
environment that is built in a temporary folder, since it does not import beside pandas 3.1;
`--evidently PYTHON` takes one that is there, `--alone` leaves it out. The targets are 10 s, 2 GB
and a fifth of Evidently's time, on a quiet machine.
"""

import argparse
import json
import resource
import subprocess
import sys
import venv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import numpy as np
import pandas as pd

from evertune.config.schema import ContractSection
from evertune.data.schema import Column, TableSchema
from evertune.monitoring.data_contract import contract_findings
from evertune.monitoring.drift import drift_findings
from evertune.monitoring.input_reference import build_input_reference
from evertune.monitoring.window_profiles import build_window_profile
from evertune.times import TimeWindow

N_NUMBERS, N_LEVELS, N_DAYS = 20, 10, 60
REFERENCE_DAY, WINDOW_DAY = "2024-01-01", datetime(2024, 3, 4, tzinfo=UTC)
TARGET_SECONDS, TARGET_GIGABYTES, TARGET_RATIO = 10.0, 2.0, 5.0
REQUIREMENTS = ["evidently==0.7.23", "pandas==3.0.*", "pyarrow"]
SCRIPT = Path(__file__).with_name("evidently_drift.py")


def table(n_rows: int, *, seed: int, shift: float) -> pd.DataFrame:
    """Return numbers and levels, a fiftieth of them missing; three columns are moved."""
    random = np.random.default_rng(seed)
    columns: dict[str, object] = {}
    for place in range(N_NUMBERS):
        values = random.normal(shift * (place < 3), 1.0, n_rows)
        values = np.exp(values) if place % 4 == 1 else values.round(place % 3 + 1)
        columns[f"number_{place}"] = np.where(random.random(n_rows) < 0.02, np.nan, values)
    for place in range(N_LEVELS):
        n_levels = 3 + 5 * place
        names = np.array([f"level {k}" for k in range(n_levels)] + [None], dtype=object)
        codes = (n_levels * random.random(n_rows) ** 1.5).astype(int)
        codes[random.random(n_rows) < 0.02] = n_levels
        columns[f"level_{place}"] = pd.Series(names[codes], dtype="str")
    return pd.DataFrame(columns)


def write_tables(folder: Path, n_rows: int) -> None:
    table(n_rows, seed=0, shift=0.0).to_parquet(folder / "reference.parquet")
    table(n_rows, seed=1, shift=0.3).to_parquet(folder / "current.parquet")


def schema_of(reference: pd.DataFrame) -> TableSchema:
    numbers = reference.select_dtypes("number").columns
    columns = [
        Column(name, "number")
        if name in numbers
        else Column(name, "category", tuple(sorted(reference[name].dropna().unique())))
        for name in reference.columns
    ]
    return TableSchema(tuple(columns), "target", "binary", ("no", "yes"))


def ours(folder: Path) -> dict[str, float]:
    """Return what the reference took, and what the window took and needed."""
    known = pd.read_parquet(folder / "reference.parquet")
    schema, days = schema_of(known), pd.date_range(REFERENCE_DAY, periods=N_DAYS)
    moments = pd.Series(days[np.arange(len(known)) * N_DAYS // len(known)])
    started = perf_counter()
    reference = build_input_reference(
        known, schema, moments=moments, predictions=None, window_days=1, seed=0
    )
    built = perf_counter() - started
    del known, moments
    raw = pd.read_parquet(folder / "current.parquet")
    window = TimeWindow(WINDOW_DAY, WINDOW_DAY + timedelta(days=1))
    started, worked = perf_counter(), process_time()
    profile = build_window_profile(raw, reference, schema, window=window, predictions=None)
    found = drift_findings(profile, reference)
    broken = contract_findings(profile, reference, limits=ContractSection(), typical_rows=None)
    return {
        "reference_seconds": built,
        "seconds": perf_counter() - started,
        "processor_seconds": process_time() - worked,
        "peak_gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "findings": len(found) + len(broken),
        "drifted": sum(each.signal == "column_drift" and each.state == "breach" for each in found),
    }


def measured(command: list[str]) -> dict[str, float]:
    """Return the figures that another process prints in its last line."""
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(said.strip().splitlines()[-1])
    return found


def evidently_python(folder: Path) -> Path:
    """Return the interpreter of a new environment with Evidently."""
    venv.create(folder / "evidently", with_pip=True)
    python = folder / "evidently" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", *REQUIREMENTS], check=True)
    return python


def main() -> int:
    """Print the figures and return 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--evidently", type=Path)
    parser.add_argument("--ours", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ours:
        sys.stdout.write(json.dumps(ours(given.ours)) + "\n")
        return 0
    with TemporaryDirectory() as name:
        write_tables(Path(name), given.rows)
        mine = measured([sys.executable, "-m", "tests.benchmarks.drift", "--ours", name])
        sys.stdout.write(f"Evertune: {said(mine)}\n")
        missed = mine["seconds"] > TARGET_SECONDS or mine["peak_gigabytes"] > TARGET_GIGABYTES
        if not given.alone:
            python = given.evidently or evidently_python(Path(name))
            theirs = measured([str(python), str(SCRIPT), name])
            whole = mine["seconds"] + mine["reference_seconds"]
            ratio = theirs["seconds"] / mine["seconds"]
            sys.stdout.write(f"Evidently: {said(theirs)}\n")
            work = theirs["processor_seconds"] / mine["processor_seconds"]
            sys.stdout.write(f"{ratio:.1f} times as fast as Evidently, {work:.1f} in work; ")
            sys.stdout.write(f"{theirs['seconds'] / whole:.1f} with the making of the reference\n")
            missed = missed or ratio < TARGET_RATIO
    return int(missed)


def said(figures: dict[str, float]) -> str:
    return ", ".join(
        f"{name} {value:.2f}" if isinstance(value, float) else f"{name} {value}"
        for name, value in figures.items()
    )


if __name__ == "__main__":
    raise SystemExit(main())
