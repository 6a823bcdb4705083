"""Part the clean table into training and hold-out, and training into folds.

Reads the clean table, its schema and the plan. Writes training.parquet, holdout.parquet and
choosing.parquet (the clean rows, each with its `row_key`) and folds.parquet (one row a training
row, one column a fold: 0 unused, 1 training, 2 validation). Where the plan says from when
production rows judge, one half of those is the hold-out and the other chooses; else no row does.
"""

import sys

import pandas as pd

from pipelines.core.folds import Fold, fold_table
from pipelines.core.parting import (
    Parted,
    fold_kind,
    judged_from,
    parted,
    rare_classes,
    training_folds,
    with_row_keys,
)
from pipelines.core.plans import Plan
from pipelines.core.resampling import most_rows, thinned
from pipelines.core.schema import Schema
from pipelines.core.training_windows import moment_of_text
from pipelines.errors import ParamsError
from pipelines.params import run_stage
from pipelines.sections import Paths, Split
from pipelines.stores.files import read_record, read_table, write_table


def run(*, paths: Paths, split: Split) -> None:
    """Write both sides and the folds.

    Raises
    ------
    ParamsError
        If the rows cannot be parted as `split` says.
    """
    schema = read_record(paths.table_schema, Schema)
    plan = read_record(paths.plan, Plan)
    sides, made = _parts(read_table(paths.clean), schema, split=split, plan=plan)
    write_table(paths.training, sides.training)
    write_table(paths.holdout, sides.holdout)
    write_table(paths.choosing, sides.choosing)
    write_table(paths.folds, fold_table(made, len(sides.training)))
    kind = fold_kind(split.folds, schema)
    sys.stdout.writelines(f"{line}\n" for line in _summary(sides, schema, made, kind))


def _parts(
    clean: pd.DataFrame, schema: Schema, *, split: Split, plan: Plan
) -> tuple[Parted, tuple[Fold, ...]]:
    table = with_row_keys(clean, schema)
    try:
        sides = _sides(table, schema, split=split, plan=plan)
        made = training_folds(
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
    return sides, thinned(made, len(schema.features), seed=split.seed)


def _sides(table: pd.DataFrame, schema: Schema, *, split: Split, plan: Plan) -> Parted:
    if plan.judge_from is None:
        return parted(table, schema, fraction=split.holdout_fraction, seed=split.seed)
    return judged_from(table, schema, moment=moment_of_text(plan.judge_from), seed=split.seed)


def _summary(sides: Parted, schema: Schema, made: tuple[Fold, ...], kind: str) -> list[str]:
    folds = f"{len(made)} {kind} folds"
    lines = [f"{len(sides.training)} training rows in {folds}, {len(sides.holdout)} held out"]
    if len(sides.choosing):
        lines.append(f"{len(sides.choosing)} rows choose the training window")
    if len(made[0].training) == most_rows(len(schema.features)):
        lines.append(f"a fold learns from {len(made[0].training)} rows, the model from all")
    if sides.n_left_out:
        lines.append(f"{sides.n_left_out} rows left out: their group is in the hold-out")
    return lines + [
        f"class {name!r} has only {count} rows in the hold-out: too rare to be judged"
        for name, count in rare_classes(sides.holdout, schema).items()
    ]


if __name__ == "__main__":
    raise SystemExit(run_stage(run))
