"""The library's half of the stage `search`: which trials to resume from, and what to report.

Reads the training rows, folds, schema and plan, to tell whether earlier trials still hold;
`pipelines/search.py` runs the search and writes the trials file and the pool.

A search that was killed goes on from its trials file, if nothing that its result depends on has
changed since: rows, folds, plan, settings, code and numeric libraries. If every earlier trial
failed, it starts anew.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from joblib import cpu_count

from evertune.config.schema import MetricSection, PathsSection, SearchSection
from evertune.errors import BusyError, ParamsError
from evertune.evaluation.formatting import count_noun
from evertune.files import digest_files
from evertune.fingerprint import stage_fingerprints
from evertune.plan import Plan
from evertune.search.objective import Objective
from evertune.search.run import count_workers
from evertune.search.study import Budget, SearchConfig
from evertune.search.summary import count_endings
from evertune.search.trial_log import TrialLog
from evertune.trials import SearchHeader, Trial

MAX_FAILURES_SHOWN = 3


def apply_plan(search: SearchSection, plan: Plan) -> SearchSection:
    """Check the number of workers, and return the settings with the plan's budget, if any.

    Raises
    ------
    ParamsError
        If more workers are asked for than there are processors here, and there is no cluster.
    """
    processors, cluster = cpu_count(), os.environ.get("RAY_ADDRESS")
    if search.workers != "auto" and not cluster and search.workers > processors:
        raise ParamsError(
            f"search.workers must not be more than the {processors} processors of this machine, "
            f"but got {search.workers}; lower it, write auto, or name a cluster in RAY_ADDRESS."
        )
    if plan.budget_seconds is None and plan.budget_trials is None:
        return search
    budget = {"budget_seconds": plan.budget_seconds, "budget_trials": plan.budget_trials}
    return search.model_copy(update=budget)


def open_trial_log(
    objective: Objective,
    *,
    paths: PathsSection,
    metric: MetricSection,
    search: SearchSection,
    plan: Plan,
    root: Path,
    started: float,
) -> TrialLog:
    """Open the trials file and the pool, with the trials of this search so far."""
    budget = search_budget(search, (), started=started)
    header = SearchHeader(
        digest=search_digest(paths, metric, search, root=root),
        metric=objective.metrics[0].name,
        greater_is_better=objective.metrics[0].greater_is_better,
        n_folds=len(objective.folds),
        budget_seconds=search.budget_seconds,
        budget_trials=search.budget_trials,
        workers=1 if plan.mode == "refit" else count_workers(SearchConfig.of(search), budget),
    )
    return TrialLog(
        paths.trials, paths.pool, header=header, max_pool_megabytes=search.pool_megabytes
    )


def search_digest(
    paths: PathsSection, metric: MetricSection, search: SearchSection, *, root: Path
) -> str:
    """Return what tells one search from another: its rows, folds, plan, settings and code."""
    digest = hashlib.sha256(
        "\n".join(
            [
                digest_files([paths.training, paths.folds, paths.table_schema, paths.plan]),
                stage_fingerprints(root)["search"],
                metric.model_dump_json(),
                search.model_dump_json(exclude={"workers", "transfer"}),
            ]
        ).encode()
    )
    return digest.hexdigest()


def search_budget(search: SearchSection, past_trials: Sequence[Trial], *, started: float) -> Budget:
    """Return the budget of a search, less what its earlier runs spent."""
    return Budget(
        started=started,
        seconds=search.budget_seconds,
        trials=search.budget_trials,
        spent_seconds=max((trial.elapsed_seconds for trial in past_trials), default=0.0),
    )


@contextmanager
def search_errors() -> Iterator[None]:
    """Turn the errors of a search into those of a stage."""
    try:
        yield
    except ConnectionError as error:
        raise BusyError(str(error)) from error
    except ValueError as error:
        raise ParamsError(str(error)) from error


def describe_trials(trials: Sequence[Trial]) -> str:
    """Return how many trials there were, and the most frequent reasons of failures, as lines."""
    failed = sum(trial.status == "failed" for trial in trials)
    complete = sum(trial.status == "complete" for trial in trials)
    lines = [f"{count_noun(len(trials), 'trial')}: {complete} finished all folds, {failed} failed"]
    reasons = [ending for ending in count_endings(trials) if ending.status == "failed"]
    lines += [f"{each.trials} failed: {each.reason}" for each in reasons[:MAX_FAILURES_SHOWN]]
    return "".join(f"{line}\n" for line in lines)
