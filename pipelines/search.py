"""Stage `search`: find good configurations until the budget is used up.

Reads the training rows, their folds, the schema and the plan. Writes the trials file, a line for
each trial as soon as it has ended, and the pool with the fold models of each trial.
"""

import sys
import time
from dataclasses import replace

from evertune.config.loader import find_root, run_stage
from evertune.config.schema import MetricSection, PathsSection, SearchSection
from evertune.files import read_record
from evertune.plan import Plan
from evertune.search.objective import read_objective
from evertune.search.run import run_locally, run_search
from evertune.search.samplers import GivenSampler, make_sampler
from evertune.search.study import Sampler, SearchConfig, Study
from evertune.stages.search import (
    apply_plan,
    describe_trials,
    open_trial_log,
    search_budget,
    search_errors,
)


def run(*, paths: PathsSection, metric: MetricSection, search: SearchSection) -> None:
    """Search, or evaluate the plan's configurations if it is a refit."""
    started, root = time.monotonic(), find_root(paths.trials.parent)
    plan = read_record(paths.plan, Plan)
    search = apply_plan(search, plan)
    objective = read_objective(paths, metric, root=root, seed=search.seed)
    log = open_trial_log(
        objective,
        paths=paths,
        metric=metric,
        search=search,
        plan=plan,
        root=root,
        started=started,
    )
    past_trials = tuple(log.trials)
    budget = search_budget(search, past_trials, started=started)
    config = SearchConfig.of(search, warm_starts=plan.warm_starts, guards=metric.guards)
    with search_errors():
        if plan.mode == "refit":
            # Nothing could take the place of its configurations, so it has no limit.
            budget = replace(budget, seconds=None, trials=None)
            sampler: Sampler = GivenSampler(plan.warm_starts, past_trials)
        else:
            sampler = make_sampler(objective, config, past_trials)
        study = Study(
            objective,
            config,
            budget=budget,
            sampler=sampler,
            past_trials=past_trials,
            on_finished=log.record,
        )
        if plan.mode == "refit":
            run_locally(study)
        else:
            run_search(study, root=root, state=paths.state)
    sys.stdout.write(describe_trials(log.trials))


if __name__ == "__main__":
    raise SystemExit(run_stage(run))
