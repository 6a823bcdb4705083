"""Measure what hypergradients and transfer are worth on tables of one's own.

    python -m tests.benchmarks.search_methods gradient TABLE.csv TARGET --metric log_loss
    python -m tests.benchmarks.search_methods transfer TABLE.csv TARGET --metric roc_auc

`gradient`: the best score of linear models after 2, 4 and 8 trials with the searchers `gradient`
and `random`, of which only alpha is searched, and that of a grid of 25 penalties. `transfer`: a
first search on 60 % of the rows, then searches on all rows with and without its configurations: at
which trial the one with them reaches the best score of the first, and that of the one without.
"""

import argparse
import sys
import time
from dataclasses import replace

import numpy as np
import pandas as pd

from evertune.data.cleaning import prepare_table
from evertune.data.folds import make_folds
from evertune.data.schema import TableSpec, encode_target
from evertune.metrics.metrics import METRICS
from evertune.search.configurations import build_space
from evertune.search.objective import Objective, run_job
from evertune.search.samplers import make_sampler
from evertune.search.study import Budget, SearchConfig, Study
from evertune.search.transfer import EarlierSearch, meta_features, transfer_configurations
from evertune.trials import Configuration

SEEDS = (0, 1, 2)
SHOWN = (2, 4, 8)
ONLY_ALPHA = {
    "linear": {
        "numeric_transform": ["scaled"],
        "categorical_encoding": ["one_hot"],
        "text_encoding": ["auto"],
        "interactions": ["none"],
        "penalty": ["l2"],
        "feature_selection": ["none"],
        "class_weight": ["none"],
    }
}
FIRST_SHARE = 0.6
FIRST_TRIALS = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["gradient", "transfer"])
    parser.add_argument("table")
    parser.add_argument("target")
    parser.add_argument("--metric", required=True)
    parser.add_argument("--ignore", default="", help="columns, with commas between them")
    parser.add_argument("--families", default="linear,tree,hist_gradient_boosting,lightgbm")
    args = parser.parse_args()
    raw = pd.read_csv(args.table)
    spec = TableSpec(args.target, ignore=tuple(filter(None, args.ignore.split(","))))
    if args.what == "gradient":
        measure_gradient(raw, spec, args.metric)
    else:
        measure_transfer(raw, spec, args.metric, tuple(args.families.split(",")))


def make_objective(raw: pd.DataFrame, spec: TableSpec, metric: str) -> Objective:
    prepared, issues = prepare_table(raw, spec)
    if prepared is None:
        raise SystemExit(str(issues))
    y = encode_target(prepared.clean, prepared.schema)
    folds = make_folds("auto", y, task=prepared.schema.task, n_folds=3)
    return Objective(prepared.clean, y, prepared.schema, folds, (METRICS[metric],), 0)


def measure_gradient(raw: pd.DataFrame, spec: TableSpec, metric: str) -> None:
    objective = make_objective(raw, spec, metric)
    grid = [
        evaluate(objective, Configuration("linear", {"alpha": float(alpha)}))
        for alpha in np.geomspace(1e-3, 1e3, 25)
    ]
    best = max(grid) if METRICS[metric].greater_is_better else min(grid)
    sys.stdout.write(f"grid of 25 penalties: {best:.5f}\n")
    for searcher in ("gradient", "random"):
        for seed in SEEDS:
            started = time.process_time()
            config = SearchConfig(
                ("linear",), searcher=searcher, scheduler="none", space=ONLY_ALPHA, seed=seed
            )
            scores = [score for _, score in search(objective, config, max(SHOWN))]
            shown = ", ".join(f"{best_of(scores[:n], metric):.5f}" for n in SHOWN)
            seconds = time.process_time() - started
            sys.stdout.write(
                f"{searcher}, seed {seed}: {shown} after {SHOWN} trials, "
                f"{seconds:.1f} s of processor\n"
            )
            sys.stdout.flush()


def measure_transfer(
    raw: pd.DataFrame, spec: TableSpec, metric: str, families: tuple[str, ...]
) -> None:
    for seed in SEEDS:
        smaller = raw.sample(frac=FIRST_SHARE, random_state=seed).reset_index(drop=True)
        config = SearchConfig(families, searcher="tpe", scheduler="none", seed=seed)
        first = make_objective(smaller, spec, metric)
        reached = []
        study, done = run(first, config, FIRST_TRIALS)
        trials = study.all_trials
        target = best_of([score for _, score in done], metric)
        whole = make_objective(raw, spec, metric)
        schema = first.schema
        earlier = EarlierSearch(
            "first", schema.task, metric, METRICS[metric].greater_is_better,
            meta_features(first.table, schema), trials,
        )  # fmt: skip
        found = transfer_configurations(
            meta_features(whole.table, whole.schema), [earlier],
            task=schema.task, metric=metric, space=build_space(families),
        )  # fmt: skip
        again = SearchConfig(families, searcher="tpe", scheduler="none", seed=seed + 100)
        cold = best_of([score for _, score in search(whole, again, FIRST_TRIALS)], metric)
        again = replace(again, warm_starts=found.configurations)
        for goal in (target, cold):
            scores = [score for _, score in search(whole, again, FIRST_TRIALS, until=goal)]
            is_there = best_of([*scores[-1:], goal], metric) == scores[-1]
            reached.append(f"at trial {len(scores)}" if is_there else f"not in {len(scores)}")
        sys.stdout.write(
            f"seed {seed}: {target:.5f} after {FIRST_TRIALS} trials on {len(smaller)} rows, with "
            f"transfer reached {reached[0]} on {len(raw)} rows; {cold:.5f} after {FIRST_TRIALS} "
            f"trials on these without transfer, with transfer reached {reached[1]}\n"
        )
        sys.stdout.flush()


def run(objective, config, n, *, until=None):
    study = Study(
        objective,
        config,
        sampler=make_sampler(objective, config),
        budget=Budget(time.monotonic(), None, n),
        on_finished=lambda *_: None,
    )
    done, encodings, metric = [], {}, objective.metrics[0].name
    while (job := study.ask()) is not None:
        for update in run_job(objective, job, encodings):
            study.report(job, update)
        study.tell(job, update)
        study.flush()
        known = {trial.number: trial for trial in study.all_trials}
        done = [(trial.configuration, trial.score) for _, trial in sorted(known.items())]
        for number, (_, score) in enumerate(done, start=1):
            if until is not None and score is not None and best_of([score, until], metric) == score:
                return study, done[:number]
    study.close()
    return study, [each for each in done if each[1] is not None]


def search(objective, config, n, *, until=None):
    return run(objective, config, n, until=until)[1]


def evaluate(objective, configuration):
    config = SearchConfig((configuration.family,), searcher="random")
    study = Study(
        objective,
        config,
        sampler=make_sampler(objective, config),
        budget=Budget(time.monotonic(), None, 1),
        on_finished=lambda *_: None,
    )
    job = study.new_job(configuration, "given")
    outcomes = [each for update in run_job(objective, job, {}) for each in update.outcomes]
    return float(np.mean([each.result.figures[objective.metrics[0].name] for each in outcomes]))


def best_of(scores, metric):
    known = [score for score in scores if score is not None]
    return max(known) if METRICS[metric].greater_is_better else min(known)


if __name__ == "__main__":
    main()
