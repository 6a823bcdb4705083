"""Fit the best configuration of the search on all training rows.

Reads the trials file, training rows and the schema. Writes the model's folder.
"""

import sys

import pandas as pd

from pipelines.core.metrics import Metric
from pipelines.core.model import Model
from pipelines.core.schema import Schema
from pipelines.core.selection import best_trial
from pipelines.core.trials import Configuration, Trial
from pipelines.core.truths import truth_of
from pipelines.params import find_root, run_stage
from pipelines.sections import FitSection, MetricSection, Paths
from pipelines.stores.files import read_record, read_table
from pipelines.stores.metrics import metrics_of
from pipelines.stores.models import save_model
from pipelines.stores.trials import read_trials
from pipelines.tuning.families import fit_configuration

MEDIANS = ("mae", "mape", "pinball")  # the metrics for which the median is the best constant


def run(*, paths: Paths, metric: MetricSection, fit: FitSection) -> None:
    """Write the model: the best trial's configuration, or the zero rule where there is no trial."""
    schema, table = read_record(paths.table_schema, Schema), read_table(paths.training)
    metrics = metrics_of(metric, schema.task, find_root(paths.trials.parent))
    best = best_trial(read_trials(paths.trials), metrics, metric.guards)
    configuration = best.configuration if best else _zero_rule(metrics[0])
    sys.stdout.write(_announcement(best, metrics[0]))
    save_model(paths.model, _model(configuration, table, schema=schema, seed=fit.seed))


def _zero_rule(metric: Metric) -> Configuration:
    return Configuration("zero_rule", {"statistic": "median" if metric.name in MEDIANS else "mean"})


def _announcement(best: Trial | None, metric: Metric) -> str:
    if best is None:
        return "No trial ran on every fold: the model is the zero rule. Raise search.budget_*.\n"
    reached = f"{metric.name} {best.score:.6g} over {len(best.folds)} folds"
    return f"The model is trial {best.number}, {best.configuration.family}: {reached}.\n"


def _model(
    configuration: Configuration, table: pd.DataFrame, *, schema: Schema, seed: int
) -> Model:
    truth = truth_of(table, schema)
    fitted = fit_configuration(configuration, table, truth, schema=schema, seed=seed, n_jobs=-1)
    return Model(schema, configuration, fitted, tuple(table["row_key"]))


if __name__ == "__main__":
    raise SystemExit(run_stage(run))
