"""Compare searchers on real tables: `evertune compare` in a project for each table.

    python -m tests.benchmarks.searchers DATA [--tables pima_diabetes,insurance,vowel]
        [--searchers all] [--seeds 5] [--trials 40] [--families linear,tree,lightgbm] [--keep DIR]

DATA is a folder with `datasets.json` and the tables that it lists. `all` leaves out what cannot run
with these families, or lacks its library, and says so. For each table: the lines of the command,
with ranks and the time inside each searcher. At the end the mean rank of each searcher over tables
and seeds. Started again with the same DIR, it goes on with the runs that are missing. Features are
not selected.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from evertune.config.search_rules import search_conflicts
from evertune.config.yaml_file import edit_section
from evertune.scaffold import init_project
from evertune.search.samplers import SEARCHERS
from tests.support.projects import invoke

LEFT_OUT = {"manual": "it evaluates given configurations", "nsga2": "it needs several metrics"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--tables", default="pima_diabetes,insurance,vowel")
    parser.add_argument("--searchers", default="all")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--families", default="linear,tree,lightgbm")
    parser.add_argument("--keep", type=Path, default=None)
    args = parser.parse_args()
    families = args.families.split(",")
    reasons = {name: reason_to_skip(name, families) for name in SEARCHERS}
    searchers = args.searchers.split(",")
    if args.searchers == "all":
        searchers = [name for name, reason in reasons.items() if reason is None]
        for name in sorted(reasons.keys() - set(searchers)):
            say(f"{name} is left out: {reasons[name]}")
    folder = args.keep or Path(tempfile.mkdtemp())
    listed = json.loads((args.data / "datasets.json").read_text())["datasets"]
    entries = {each["name"]: each for each in listed}
    ranks: list[pd.Series] = []
    for table in args.tables.split(","):
        root = folder / table
        if not root.exists():
            make_project(root, args.data, entries[table], families)
        command = [sys.executable, "-m", "evertune.cli.app", "compare"]
        command += ["--searchers", ",".join(searchers), "--seeds", str(args.seeds)]
        say(f"\n== {table}")
        subprocess.run([*command, "--trials", str(args.trials)], cwd=root, check=True)
        found = json.loads((root / "state/comparison/comparison.json").read_text())
        best = pd.DataFrame({each["label"]: each["best"] for each in found["methods"]})
        ranked = best.rank(axis=1, ascending=not found["greater_is_better"])
        ranks += [ranked.loc[seed] for seed in ranked.index]
    say(f"\nmean ranks over {len(ranks)} tables and seeds")
    say(pd.DataFrame(ranks).mean().sort_values().round(2).to_string())


def reason_to_skip(searcher: str, families: list[str]) -> str | None:
    """Return why a searcher cannot take part; None if it can."""
    if searcher in LEFT_OUT:
        return LEFT_OUT[searcher]
    library = SEARCHERS[searcher].needs
    if library is not None and not find_spec(library):
        return f"{library} is not installed"
    faults = search_conflicts(searcher=searcher, scheduler="racing", families=families)
    return next((fault for _, fault in faults), None)


def say(text: str) -> None:
    """Print a text at once, before what the next command prints."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def make_project(root: Path, data: Path, entry: dict[str, str], families: list[str]) -> None:
    """Make a project of a table, up to its folds."""
    init_project(root, data=str(data / entry["file"]), target=entry["target"], task=entry["task"])
    settings = {
        "families": families,
        "workers": 1,
        "budget_seconds": None,
        "budget_trials": 10,
        # most of the time of quick families would go into it
        "space": {family: {"feature_selection": ["none"]} for family in families},
    }
    edit_section(root / "params.yaml", "search", settings)
    edit_section(root / "params.yaml", "metric", {"primary": entry["metric"]})
    done = invoke(root, "snapshot")
    assert done.exit_code == 0, done.output
    for stage in ("prepare", "split"):
        subprocess.run([sys.executable, "-m", "dvc", "repro", "-q", stage], cwd=root, check=True)


if __name__ == "__main__":
    main()
