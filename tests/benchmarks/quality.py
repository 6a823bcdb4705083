"""Measure the estimator beside other systems, under the protocol of a harness that is given.

    python -m tests.benchmarks.quality run HARNESS --data DATA --results OWN.jsonl --budgets 60,300
    python -m tests.benchmarks.quality ranks HARNESS --results OWN.jsonl --results PEERS.jsonl

HARNESS is a file such as `peers.py` with `TOOLS`, `Tool`, `main` and `worker`: it parts the tables,
starts a fresh process for every fit, waits for a quiet machine and scores the predictions. What
stands behind HARNESS in `run` goes to it as it is. `ranks` compares the tools on the tables for
which the estimator has a result: ranks count tables, and where a tool has several seeds, the mean
of their scores. A failure ranks last; a tool without a result on half of the tables is left out.
"""

import argparse
import importlib.util
import json
import os
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd

ROOT = Path(__file__).parents[2]
OURS = "evertune"
HARNESS = "EVERTUNE_HARNESS"  # tells the harness's own worker processes where it is
MOST_OVER = 3  # seconds beyond the budget
LEAST_TABLES = 0.5
BASELINE = "ended_in_baseline"
ended: list[bool] = []  # of the fit in this process


def main() -> None:
    if sys.argv[1] == "worker":
        loaded(Path(os.environ[HARNESS])).worker(sys.argv[2])
        note_baseline(Path(sys.argv[2]))
        return
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("run", "ranks"):
        commands.add_parser(name).add_argument("harness", type=Path)
    commands.choices["ranks"].add_argument("--results", action="append", required=True)
    commands.choices["ranks"].add_argument("--quiet", type=float, default=0.1)
    args, others = parser.parse_known_args()
    harness = loaded(args.harness.resolve())
    if args.command == "run":
        run(harness, others)
    else:
        sys.stdout.write(f"{report(harness, args.results, quiet=args.quiet)}\n")


def loaded(path: Path) -> ModuleType:
    """Return the harness with the estimator among its tools, here and in its workers."""
    spec = importlib.util.spec_from_file_location("harness", path)
    harness = importlib.util.module_from_spec(spec)
    sys.modules["harness"] = harness
    spec.loader.exec_module(harness)
    harness.TOOLS[OURS] = harness.Tool(OURS, OURS, fit_evertune, True)
    harness.__file__ = __file__  # the file that it starts its workers with
    os.environ |= {HARNESS: str(path), "PYTHONPATH": str(ROOT)}
    return harness


def fit_evertune(job: Any) -> Any:
    from evertune.estimator import TunedClassifier, TunedRegressor

    kind = TunedClassifier if job.classification else TunedRegressor
    model = kind(
        job.metric, budget_seconds=job.budget, workers=job.cores, random_state=job.seed
    ).fit(job.X, job.y)
    columns = ["trial", "family", "status", "score", "fit_seconds", "elapsed_seconds", "reason"]
    sys.stdout.write(f"{model.leaderboard_.reindex(columns=columns).to_string()}\n")
    sys.stdout.write(f"weights {model.weights_}, baseline {model.ended_in_baseline_}\n")
    ended.append(bool(model.ended_in_baseline_))
    if job.classification:
        return lambda X: (model.predict_proba(X), model.classes_)
    return model.predict


def note_baseline(spec: Path) -> None:
    """Add to a worker's result whether its search ended in a baseline."""
    place = Path(json.loads(spec.read_text())["out"])
    found = json.loads(place.read_text())
    place.write_text(json.dumps(found | {BASELINE: ended[-1] if ended else None}))


def run(harness: ModuleType, others: list[str]) -> None:
    """Have the harness measure the estimator, in this very environment."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / f"peers_{OURS}").symlink_to(sys.prefix)
        sys.argv = [sys.argv[0], "run", "--tools", OURS, "--envs", folder, *others]
        harness.main()


def report(harness: ModuleType, paths: list[str], *, quiet: float) -> str:
    rows = pd.DataFrame([row for path in paths for row in harness.read_results(path).values()])
    budgets = sorted(set(rows["budget"]) - {0})
    return "\n\n".join(
        f"Budget {budget:g} s\n\n{ranks(harness, rows, budget, quiet=quiet).to_string()}"
        for budget in budgets
    )


def ranks(harness: ModuleType, rows: pd.DataFrame, budget: float, *, quiet: float) -> pd.DataFrame:
    """Return one row a tool: mean rank, tables won by the estimator, failures, overruns, share of
    runs that ended in a baseline.
    """
    rows = rows[rows["budget"].isin([0, budget])]
    if OURS in set(rows["tool"]):
        rows = rows[rows["dataset"].isin(rows.loc[rows["tool"] == OURS, "dataset"])]
    losses = mean_losses(harness, rows)
    losses = losses.loc[:, losses.notna().mean() >= LEAST_TABLES]
    placed = losses.rank(axis="columns", na_option="bottom").mean()
    told = pd.DataFrame({"mean_rank": placed})
    if OURS in losses:
        both = losses.drop(columns=OURS).notna().mul(losses[OURS].notna(), axis="index")
        won = losses.drop(columns=OURS).gt(losses[OURS], axis="index") & both
        told["beaten_on"] = won.sum().astype(str) + " of " + both.sum().astype(str)
    by_tool = rows.groupby("tool")
    over = rows["budget"].gt(0) & rows["fit_s"].gt(rows["budget"] + MOST_OVER)
    told["failures"] = by_tool["status"].agg(lambda found: (found != "ok").sum())
    told["overruns"] = over.groupby(rows["tool"]).sum()
    told["disturbed"] = (rows["others"] > quiet).groupby(rows["tool"]).sum()
    told["in_baseline"] = by_tool[BASELINE].agg(shared) if BASELINE in rows else "unknown"
    for column in ("fit_s", "infer_row_ms", "peak_rss_mb"):
        told[column] = by_tool[column].mean().round(1)
    return told.sort_values("mean_rank")


def shared(ended_in_baseline: pd.Series) -> str:
    """Return how many of the runs that say so ended in a baseline: peers do not say."""
    known = ended_in_baseline.dropna()
    return f"{int(known.sum())} of {len(known)}" if len(known) else "unknown"


def mean_losses(harness: ModuleType, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the mean loss over seeds: one row a table, one column a tool."""
    good = rows[rows["status"] == "ok"]
    sign = good["metric"].map(lambda name: -1 if harness.HIGHER_IS_BETTER[name] else 1)
    return (good["score"] * sign).groupby([good["dataset"], good["tool"]]).mean().unstack()


if __name__ == "__main__":
    main()
