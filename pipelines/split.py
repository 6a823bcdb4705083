"""Stage `split`: divide the clean table into training and hold-out rows, and training into folds.

Reads the clean table, its schema and the plan. Writes the training rows, the hold-out, the rows
that choose the training window (each with its `row_key`) and the folds: one row a training row, one
column a fold: 0 unused, 1 training, 2 validation.
"""

import sys

from evertune.config.loader import run_stage
from evertune.config.schema import PathsSection, SplitSection
from evertune.data.folds import folds_to_table
from evertune.data.schema import TableSchema
from evertune.files import read_record, read_table, write_table
from evertune.plan import Plan
from evertune.stages.split import describe_split, split_rows


def run(*, paths: PathsSection, split: SplitSection) -> None:
    """Write the parts and the folds."""
    schema, plan = read_record(paths.table_schema, TableSchema), read_record(paths.plan, Plan)
    parts, folds = split_rows(read_table(paths.clean), schema, split=split, plan=plan)
    write_table(paths.training, parts.training)
    write_table(paths.holdout, parts.holdout)
    write_table(paths.selection, parts.selection)
    write_table(paths.folds, folds_to_table(folds, len(parts.training)))
    sys.stdout.write(describe_split(parts, folds, schema, split))


if __name__ == "__main__":
    raise SystemExit(run_stage(run))
