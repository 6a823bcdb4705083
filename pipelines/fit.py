"""Stage `fit`: build the final model from the trials of the search.

Reads the trials file and the pool, the training rows and folds, the rows that choose the training
window, the schema, the plan and, where the simplest model is preferred, the baselines. Writes the
model's folder, with how the model was made. If every trial failed, the model is the zero rule and
the stage fails.
"""

import math
import sys
import time

from evertune.config.loader import run_stage
from evertune.config.schema import FitSection, MetricSection, PathsSection
from evertune.data.training_windows import event_times
from evertune.files import read_record, read_table
from evertune.fitting.choose_window import WindowCandidates
from evertune.models.persistence import save_model
from evertune.plan import Plan
from evertune.stages.fit import (
    build_from_search,
    check_trials,
    describe_model,
    final_model,
    read_search_result,
)


def run(*, paths: PathsSection, metric: MetricSection, fit: FitSection) -> None:
    """Build the model, save it, and say how it was made."""
    deadline = time.monotonic() + (fit.budget_seconds or math.inf)
    plan = read_record(paths.plan, Plan)
    search = read_search_result(paths, metric, fit, plan=plan, deadline=deadline)
    moments = event_times(search.training.table, search.training.schema)
    windows = WindowCandidates(plan.windows, moments, read_table(paths.selection))
    baselines = paths.baselines if fit.prefer == "simplest" else None
    built = build_from_search(search, windows, plan=plan, baselines=baselines)
    save_model(paths.model, final_model(search, windows, built), built.choice, built.origin)
    sys.stdout.write(describe_model(search, built))
    check_trials(search, paths)


if __name__ == "__main__":
    raise SystemExit(run_stage(run))
