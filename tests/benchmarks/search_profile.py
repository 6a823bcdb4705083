"""Where the seconds of a search go: how early kinds of model have a score, and what fits them.

    python -m tests.benchmarks.search_profile HARNESS --data DATA [--datasets A,B] [--budget 60]

HARNESS is a file such as `peers.py`, see `quality`; it splits the tables. One line a table: the
score on held-out rows, seconds until `fit` returned, until the first score and until three, five
and six kinds of model had one, trials (begun and complete), and the shares of the workers' time in
fits, predictions and neither. Run it on a machine that does nothing else: each table is one search.
"""

import argparse
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from evertune.estimator import TunedClassifier, TunedRegressor
from evertune.models.families import FAMILIES
from evertune.search.objective import Job, JobUpdate
from evertune.search.study import Study
from tests.benchmarks.quality import loaded

WANTED_KINDS = (1, 3, 5, 6)
WORKERS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("harness", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--datasets", default="")
    parser.add_argument("--budget", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    harness = loaded(args.harness.resolve())
    entries = harness.load_entries([args.data])
    names = args.datasets.split(",") if args.datasets else list(entries)
    lines = []
    for name in names:
        line = profile(harness, *entries[name], budget=args.budget, seed=args.seed)
        lines.append({"table": name} | line)
        sys.stdout.write(f"{pd.DataFrame(lines[-1:]).to_string(index=False)}\n")
        sys.stdout.flush()
    sys.stdout.write(f"\n{pd.DataFrame(lines).to_string(index=False)}\n")


def profile(
    harness: Any, entry: dict[str, Any], folder: Path, *, budget: float, seed: int
) -> dict[str, Any]:
    """Return one table's line."""
    X, X_test, y, y_test = harness.load_split(entry, folder)
    is_number = entry["task"] == "regression"
    kind = TunedRegressor if is_number else TunedClassifier
    model = kind(entry["metric"], budget_seconds=budget, workers=WORKERS, random_state=seed)
    began = time.monotonic()
    with warnings.catch_warnings(), scores_noted() as scored:
        warnings.simplefilter("ignore")
        model.fit(X, y)
    took = time.monotonic() - began
    predicted = model.predict(X_test)
    if not is_number:
        predicted = (model.predict_proba(X_test), model.classes_)
    score = harness.score(entry, y_test, predicted)[entry["metric"]]
    trials = model.leaderboard_
    fits, predictions = trials["fit_seconds"].sum(), trials["predict_seconds"].sum()
    return {
        "metric": entry["metric"],
        "score": round(score, 5),
        "took": round(took, 1),
        **kinds_in_time(scored),
        "trials": len(trials),
        "complete": int((trials["status"] == "complete").sum()),
        "members": len(model.weights_),
        "fitting": f"{fits / (WORKERS * took):.0%}",
        "predicting": f"{predictions / (WORKERS * took):.0%}",
        "neither": f"{1 - (fits + predictions) / (WORKERS * took):.0%}",
    }


def kinds_in_time(scored: list[tuple[float, str]]) -> dict[str, float | None]:
    """Return after how many seconds 1, 3, ... kinds of model had a score."""
    by_kind = {FAMILIES[family].kind: seconds for seconds, family in sorted(scored)[::-1]}
    first = sorted(by_kind.values())
    return {f"kinds_{n}": round(first[n - 1], 1) if len(first) >= n else None for n in WANTED_KINDS}


@contextmanager
def scores_noted() -> Iterator[list[tuple[float, str]]]:
    """Yield a list that gets the seconds and the family of each report of finished folds."""
    scored: list[tuple[float, str]] = []
    report = Study.report

    def note(study: Study, job: Job, update: JobUpdate) -> bool:
        if update.outcomes:
            scored.append((study.budget.elapsed(), job.configuration.family))
        return report(study, job, update)

    Study.report = note
    try:
        yield scored
    finally:
        Study.report = report


if __name__ == "__main__":
    main()
