"""Stage `split`: divide the clean table into training and hold-out, and training into folds.

Reads the clean table, its schema and the plan. Writes training.parquet, holdout.parquet and
choosing.parquet (the clean rows, each with its `row_key`) and folds.parquet (one row a training
row, one column a fold: 0 unused, 1 training, 2 validation). If the plan says from when
production rows are used for evaluation, half of those rows are the hold-out and the other half
chooses the training window; otherwise choosing.parquet is empty.
"""

import sys

import pandas as pd

from evertune.config.schema import PathsSection, SplitSection
from evertune.data.folds import Fold, folds_to_table, max_training_rows, subsample_folds
from evertune.data.holdout import (
    TableSplit,
    add_row_keys,
    find_rare_classes,
    make_training_folds,
    schema_fold_kind,
    split_from_moment,
    split_table,
)
from evertune.data.schema import TableSchema
from evertune.data.training_windows import parse_moment
from evertune.errors import ParamsError
from evertune.files import read_record, read_table, write_table
from evertune.plan import Plan


def run(*, paths: PathsSection, split: SplitSection) -> None:
    """Write both sides and the folds.

    Raises
    ------
    ParamsError
        If the rows cannot be parted as `split` says.
    """
    schema = read_record(paths.table_schema, TableSchema)
    plan = read_record(paths.plan, Plan)
    sides, made = _split_table(read_table(paths.clean), schema, split=split, plan=plan)
    write_table(paths.training, sides.training)
    write_table(paths.holdout, sides.holdout)
    write_table(paths.selection, sides.selection)
    write_table(paths.folds, folds_to_table(made, len(sides.training)))
    kind = schema_fold_kind(split.folds, schema)
    sys.stdout.writelines(f"{line}\n" for line in _summary_lines(sides, schema, made, kind))


def _split_table(
    clean: pd.DataFrame, schema: TableSchema, *, split: SplitSection, plan: Plan
) -> tuple[TableSplit, tuple[Fold, ...]]:
    table = add_row_keys(clean, schema)
    try:
        sides = _split_holdout(table, schema, split=split, plan=plan)
        made = make_training_folds(
            sides.training,
            schema,
            kind=split.folds,
            n_folds=split.n_folds,
            n_repeats=split.n_repeats,
            gap_days=split.gap_days,
            seed=split.seed,
        )
    except ValueError as error:
        raise ParamsError(f"The table cannot be parted as params.yaml says. {error}") from error
    return sides, subsample_folds(made, len(schema.features), seed=split.seed)


def _split_holdout(
    table: pd.DataFrame, schema: TableSchema, *, split: SplitSection, plan: Plan
) -> TableSplit:
    if plan.judge_from is None:
        return split_table(table, schema, fraction=split.holdout_fraction, seed=split.seed)
    return split_from_moment(table, schema, moment=parse_moment(plan.judge_from), seed=split.seed)


def _summary_lines(
    sides: TableSplit, schema: TableSchema, made: tuple[Fold, ...], kind: str
) -> list[str]:
    folds = f"{len(made)} {kind} folds"
    lines = [f"{len(sides.training)} training rows in {folds}, {len(sides.holdout)} held out"]
    if len(sides.selection):
        lines.append(f"{len(sides.selection)} rows choose the training window")
    if len(made[0].training) == max_training_rows(len(schema.features)):
        lines.append(f"a fold learns from {len(made[0].training)} rows, the model from all")
    if sides.n_left_out:
        lines.append(f"{sides.n_left_out} rows left out: their group is in the hold-out")
    return lines + [
        f"class {name!r} has only {count} rows in the hold-out: too rare to be judged"
        for name, count in find_rare_classes(sides.holdout, schema).items()
    ]
