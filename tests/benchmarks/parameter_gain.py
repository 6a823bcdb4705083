"""What one parameter gains: a default of the portfolio with and without it, on the same folds.

    python -m tests.benchmarks.parameter_gain HARNESS --data DATA --datasets A,B
        --default random_splits --value interactions=arithmetic --instead none

HARNESS is a file such as `peers.py`, see `quality`; it splits the tables. One line a table: the
mean score over three folds of the training rows with each value, whether the given one is better,
and the seconds of a processor that each took. Scores do not depend on what else the machine does.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from evertune.data.dataframes import parse_table
from evertune.data.folds import default_folds
from evertune.metrics.metrics import get_metric
from evertune.search.objective import Objective, evaluate_fold
from evertune.search.portfolio import (
    CLASSIFICATION_PORTFOLIO,
    COMMON_PORTFOLIO,
    REGRESSION_PORTFOLIO,
)
from evertune.trials import Configuration
from tests.benchmarks.quality import loaded

N_FOLDS, FOLDS = 5, (0, 1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("harness", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--datasets", required=True)
    parser.add_argument("--default", default="random_splits")
    parser.add_argument("--value", default="interactions=arithmetic")
    parser.add_argument("--instead", default="none")
    args = parser.parse_args()
    harness = loaded(args.harness.resolve())
    entries = harness.load_entries([args.data])
    name, _, value = args.value.partition("=")
    threadpool_limits(1)
    warnings.simplefilter("ignore")
    for table in args.datasets.split(","):
        objective = objective_of(harness, *entries[table])
        scores, seconds = {}, {}
        for choice in (args.instead, value):
            began = time.process_time()
            scores[choice] = mean_score(objective, args.default, {name: choice})
            seconds[choice] = round(time.process_time() - began, 1)
        gain = scores[value] - scores[args.instead]
        better = gain > 0 if objective.metrics[0].greater_is_better else gain < 0
        line = {"table": table, "metric": objective.metrics[0].name}
        line |= {f"{choice}": f"{score:.6g}" for choice, score in scores.items()}
        line |= {"better": better, "seconds": str(seconds)}
        sys.stdout.write(f"{pd.DataFrame([line]).to_string(index=False)}\n")
        sys.stdout.flush()


def objective_of(harness: Any, entry: dict[str, Any], folder: Path) -> Objective:
    X, _, y, _ = harness.load_split(entry, folder)
    task = entry["task"]
    classes, codes = ((), y) if task == "regression" else np.unique(y, return_inverse=True)
    parsed = parse_table(
        X, task=task, classes=[str(each) for each in classes], kinds={}, missing_values=()
    )
    truth = np.asarray(codes, dtype=np.float64)
    folds = default_folds(truth, N_FOLDS, has_classes=task != "regression", seed=0)
    metric = get_metric(entry["metric"], task, {})
    return Objective(parsed.table, truth, parsed.schema, folds, (metric,), 0)


def mean_score(objective: Objective, default: str, values: dict[str, Any]) -> float:
    own = REGRESSION_PORTFOLIO if objective.schema.task == "regression" else {}
    named = COMMON_PORTFOLIO | CLASSIFICATION_PORTFOLIO | own
    family, hyperparameters = named[default]
    configuration = Configuration(family, hyperparameters | values)
    metric = objective.metrics[0].name
    outcomes = [evaluate_fold(objective, configuration, fold, encodings={}) for fold in FOLDS]
    return fmean(outcome.result.figures[metric] or 0.0 for outcome in outcomes)


if __name__ == "__main__":
    main()
