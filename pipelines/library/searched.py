"""The rows, folds and metrics that a project's search works on."""

from pathlib import Path

from pipelines.core.folds import folds_of
from pipelines.core.schema import Schema
from pipelines.core.truths import truth_of
from pipelines.sections import MetricSection, Paths
from pipelines.stores.files import read_record, read_table
from pipelines.stores.metrics import metrics_of
from pipelines.tuning.work import Work


def read_work(paths: Paths, metric: MetricSection, *, root: Path, seed: int) -> Work:
    """Return what the stages before have left for the search."""
    schema, table = read_record(paths.table_schema, Schema), read_table(paths.training)
    return Work(
        table=table,
        truth=truth_of(table, schema),
        schema=schema,
        folds=folds_of(read_table(paths.folds)),
        metrics=metrics_of(metric, schema.task, root),
        seed=seed,
    )
