"""The library's half of the stage `split`: hold-out, rows that choose the window, and folds.

If the plan says from when production rows are used for evaluation, half of those rows are the
hold-out and the other half chooses the training window; otherwise no rows choose it.
"""

import pandas as pd

from evertune.config.schema import SplitSection
from evertune.data.folds import Fold, max_training_rows, subsample_folds
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
from evertune.plan import Plan


def split_rows(
    clean: pd.DataFrame, schema: TableSchema, *, split: SplitSection, plan: Plan
) -> tuple[TableSplit, tuple[Fold, ...]]:
    """Return the parts of the clean table, and the folds of the training rows.

    Raises
    ------
    ParamsError
        If the rows cannot be parted as `split` says.
    """
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


def describe_split(
    sides: TableSplit, made: tuple[Fold, ...], schema: TableSchema, split: SplitSection
) -> str:
    """Return the sizes of the parts, and what is to be known about them, as lines of text."""
    kind = schema_fold_kind(split.folds, schema)
    folds = f"{len(made)} {kind} folds"
    lines = [f"{len(sides.training)} training rows in {folds}, {len(sides.holdout)} held out"]
    if len(sides.selection):
        lines.append(f"{len(sides.selection)} rows choose the training window")
    if len(made[0].training) == max_training_rows(len(schema.features)):
        lines.append(f"a fold learns from {len(made[0].training)} rows, the model from all")
    if sides.n_left_out:
        lines.append(f"{sides.n_left_out} rows left out: their group is in the hold-out")
    lines += [
        f"class {name!r} has only {count} rows in the hold-out: too rare to be judged"
        for name, count in find_rare_classes(sides.holdout, schema).items()
    ]
    return "".join(f"{line}\n" for line in lines)
