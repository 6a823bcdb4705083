"""Fit the best configuration of the search on all training rows, or on the best window of them.

Reads the trials file, training rows, the rows that choose, the schema and the plan. Writes the
model's folder. Where the plan names training windows, the configuration is fitted on each, and the
rows that choose, which are in none, tell which becomes the model.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import cast

import numpy as np
import pandas as pd

from pipelines.core.metrics import Metric, figures
from pipelines.core.model import Fitted, Model, predict
from pipelines.core.plans import Plan, TrainingWindow
from pipelines.core.predictions import Floats
from pipelines.core.schema import Schema
from pipelines.core.selection import best_trial
from pipelines.core.sides import Mask
from pipelines.core.training_windows import event_moments, in_window, row_weights
from pipelines.core.trials import Configuration, Trial
from pipelines.core.truths import truth_of
from pipelines.core.window_fits import WindowChoice, WindowFit, best_window, window_note
from pipelines.errors import StageError
from pipelines.params import find_root, run_stage
from pipelines.sections import FitSection, MetricSection, Paths
from pipelines.stores.files import read_record, read_table
from pipelines.stores.metrics import metrics_of
from pipelines.stores.models import save_model
from pipelines.stores.trials import read_trials
from pipelines.tuning.families import fit_configuration

LEAST_ROWS = 50  # in a window, or it is not fitted
MEDIANS = ("mae", "mape", "pinball")  # the metrics for which the median is the best constant

Learn = Callable[[TrainingWindow], Fitted]


@dataclass(frozen=True, eq=False)
class Rows:
    """What a model is fitted on, and the rows that choose its window."""

    training: pd.DataFrame
    choosing: pd.DataFrame
    schema: Schema

    @cached_property
    def truth(self) -> Floats:
        """The targets of the training rows."""
        return truth_of(self.training, self.schema)

    @cached_property
    def moments(self) -> pd.Series:
        """When the training rows happened."""
        return event_moments(self.training, self.schema)


def run(*, paths: Paths, metric: MetricSection, fit: FitSection) -> None:
    """Write the model: of the best trial, without one of the champion, else the zero rule."""
    schema, plan = read_record(paths.table_schema, Schema), read_record(paths.plan, Plan)
    rows = Rows(read_table(paths.training), read_table(paths.choosing), schema)
    metrics = metrics_of(metric, schema.task, find_root(paths.trials.parent))
    best = best_trial(read_trials(paths.trials), metrics, metric.guards)
    configuration = best.configuration if best else _untried(plan, metrics[0])
    sys.stdout.write(_announcement(best, metrics[0], configuration.family))
    model, choice = _model(rows, configuration, plan=plan, metric=metrics[0], seed=fit.seed)
    save_model(paths.model, model, choice)
    if choice is not None:
        sys.stdout.write(f"{window_note(choice, metrics[0].name)}\n")


def _untried(plan: Plan, metric: Metric) -> Configuration:
    """Return the first warm start, which is the champion's; the zero rule where there is none."""
    return plan.warm_starts[0] if plan.warm_starts else _zero_rule(metric)


def _zero_rule(metric: Metric) -> Configuration:
    return Configuration("zero_rule", {"statistic": "median" if metric.name in MEDIANS else "mean"})


def _announcement(best: Trial | None, metric: Metric, family: str) -> str:
    if best is None:
        name = "the zero rule" if family == "zero_rule" else f"the first warm start, {family}"
        return f"No trial ran on every fold: the model is {name}. Raise search.budget_*.\n"
    reached = f"{metric.name} {best.score:.6g} over {len(best.folds)} folds"
    return f"The model is trial {best.number}, {best.configuration.family}: {reached}.\n"


def _model(
    rows: Rows, configuration: Configuration, *, plan: Plan, metric: Metric, seed: int
) -> tuple[Model, WindowChoice | None]:
    learn = partial(_fitted, rows, configuration, seed=seed)
    every = TrainingWindow("all")
    if not plan.windows:
        return _named(rows, configuration, every, fitted=learn(every)), None
    tried = [_tried(rows, window, learn=learn, metric=metric) for window in plan.windows]
    best = best_window([fit for _, fit in tried], metric)
    if best is None:
        raise StageError(_unusable([fit for _, fit in tried]))
    fitted, window = tried[best][0], plan.windows[best]
    model = _named(rows, configuration, window, fitted=cast(Fitted, fitted))
    return model, WindowChoice(window, tuple(fit for _, fit in tried))


def _tried(
    rows: Rows, window: TrainingWindow, *, learn: Learn, metric: Metric
) -> tuple[Fitted | None, WindowFit]:
    inside = in_window(rows.moments, window)
    obstacle = _obstacle(rows, inside)
    if obstacle is not None:
        return None, WindowFit(window, int(inside.sum()), None, obstacle)
    fitted = learn(window)
    said = predict(fitted, rows.choosing, rows.schema)
    figure = figures((metric,), truth_of(rows.choosing, rows.schema), said)[metric.name]
    return fitted, WindowFit(window, int(inside.sum()), figure)


def _obstacle(rows: Rows, inside: Mask) -> str | None:
    if inside.sum() < LEAST_ROWS:
        return f"fewer than {LEAST_ROWS} rows"
    n_classes = len(np.unique(rows.truth)) if rows.schema.classes else 0
    if n_classes and len(np.unique(rows.truth[inside])) < n_classes:
        return "a class has no row"
    return None


def _unusable(fits: list[WindowFit]) -> str:
    found = "; ".join(f"{fit.window.name}: {fit.reason}" for fit in fits)
    return (
        f"expected a training window that can be learned from, but {found};"
        " add `all` to monitoring.retune.windows"
    )


def _fitted(
    rows: Rows, configuration: Configuration, window: TrainingWindow, *, seed: int
) -> Fitted:
    inside = in_window(rows.moments, window)
    return fit_configuration(
        configuration,
        rows.training[inside],
        rows.truth[inside],
        schema=rows.schema,
        seed=seed,
        n_jobs=-1,
        weights=row_weights(rows.moments[inside], window),
    )


def _named(
    rows: Rows, configuration: Configuration, window: TrainingWindow, *, fitted: Fitted
) -> Model:
    learned = rows.training["row_key"][in_window(rows.moments, window)]
    return Model(rows.schema, configuration, fitted, (*learned, *rows.choosing["row_key"]))


if __name__ == "__main__":
    raise SystemExit(run_stage(run))
