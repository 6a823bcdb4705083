"""The library's half of the stage `split`: hold-out, rows that choose the window, and folds.

Reads and writes nothing: `pipelines/split.py` reads the clean table, its schema and the plan, and
writes the training rows, the hold-out, the rows that choose the training window, and the folds.

If the plan says from when production rows are used for evaluation, half of those rows are the
hold-out and the other half chooses the training window; otherwise no rows choose it.
"""

import pandas as pd

from evertune.config.schema import SplitSection
from evertune.data.folds import (
    Fold,
    make_training_folds,
    max_training_rows,
    schema_fold_kind,
    subsample_folds,
)
from evertune.data.holdout import (
    TableSplit,
    add_row_keys,
    find_rare_classes,
    split_from_moment,
    split_table,
)
from evertune.data.schema import TableSchema
from evertune.data.training_windows import parse_moment
from evertune.errors import ParamsError
from evertune.evaluation.formatting import count_noun
from evertune.evaluation.unseen_values import describe_unseen_values
from evertune.plan import Plan


def split_rows(
    clean: pd.DataFrame, schema: TableSchema, *, split: SplitSection, plan: Plan
) -> tuple[TableSplit, tuple[Fold, ...]]:
    """Return the parts of the clean table, and the folds of the training rows.

    Raises
    ------
    ParamsError
        If the rows cannot be split as params.yaml says.
    """
    table = add_row_keys(clean, schema)
    try:
        if plan.judge_from is None:
            parts = split_table(table, schema, fraction=split.holdout_fraction, seed=split.seed)
        else:
            moment = parse_moment(plan.judge_from)
            parts = split_from_moment(table, schema, moment=moment, seed=split.seed)
        folds = make_training_folds(
            parts.training,
            schema,
            kind=split.folds,
            n_folds=split.n_folds,
            n_repeats=split.n_repeats,
            gap_days=split.gap_days,
            seed=split.seed,
        )
    except ValueError as error:
        raise ParamsError(f"Cannot split the table. {error}") from error
    return parts, subsample_folds(folds, len(schema.features), seed=split.seed)


def describe_split(
    parts: TableSplit, folds: tuple[Fold, ...], schema: TableSchema, split: SplitSection
) -> str:
    """Return the sizes of the parts, and what a person should know of them, as lines of text."""
    kind = schema_fold_kind(split.folds, schema)
    described = f"{count_noun(len(parts.training), 'training row')} in {len(folds)} {kind} folds"
    lines = [f"{described}, {len(parts.holdout):,} held out"]
    if len(parts.selection):
        lines.append(f"{count_noun(len(parts.selection), 'row')} to choose the training window by")
    if len(folds[0].training) == max_training_rows(len(schema.features)):
        lines.append(f"a fold learns from {len(folds[0].training):,} rows, the model from all")
    if parts.n_left_out:
        lines.append(
            f"left out: {count_noun(parts.n_left_out, 'row')} whose group is in the hold-out"
        )
    lines += describe_unseen_values(parts.training, parts.holdout, schema)
    lines += [
        f"class {name!r} has only {count_noun(count, 'row')} in the hold-out: too few to judge a"
        " model by"
        for name, count in find_rare_classes(parts.holdout, schema).items()
    ]
    return "".join(f"{line}\n" for line in lines)
