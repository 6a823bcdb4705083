"""What a model does not know: values that it never met, and parts that are too small to judge."""

from collections.abc import Iterable, Iterator

import pandas as pd

from pipelines.core.breaches import listed
from pipelines.core.schema import Column, Schema
from pipelines.core.slicing import SliceRow

MOST_COLUMNS = 5


def unknowns(
    training: pd.DataFrame, holdout: pd.DataFrame, schema: Schema, *, slices: Iterable[SliceRow]
) -> tuple[str, ...]:
    """Return what a model does not know, a sentence each.

    Parameters
    ----------
    training, holdout : DataFrame
        Clean rows: those that it learned from, and those that judge it.
    schema : Schema
    slices : iterable of SliceRow

    Examples
    --------
    >>> schema = Schema((Column("age", "number"),), "y", "regression")
    >>> old, new = pd.DataFrame({"age": [18.0, 60.0]}), pd.DataFrame({"age": [30.0, 70.0]})
    >>> unknowns(old, new, schema, slices=())[0]
    'age goes beyond what was learned from (18 to 60) in 1 of 2 rows that judged: there it guesses.'
    """
    return (
        *_of_columns(training, holdout, schema),
        *_of_slices(slices),
        *_of_time(training, holdout, schema),
        "It knows what came with what, not what causes what: a person who changes an input does"
        f" not change '{schema.target}' by as much as a prediction moves.",
    )


def _of_columns(training: pd.DataFrame, holdout: pd.DataFrame, schema: Schema) -> Iterator[str]:
    found = [_beyond(column, training, holdout) for column in schema.features]
    counted = sorted((each for each in found if each[0]), key=lambda each: -each[0])
    for count, sentence in counted[:MOST_COLUMNS]:
        yield sentence.format(rows=f"{count:,} of {len(holdout):,} rows")
    if len(counted) > MOST_COLUMNS:
        yield f"{len(counted) - MOST_COLUMNS} more columns have values that it never met."
    if not counted:
        yield "No row that judged it had a category or a range of numbers that it never met."


def _beyond(column: Column, training: pd.DataFrame, holdout: pd.DataFrame) -> tuple[int, str]:
    """Return in how many rows a column has what training never had, and a sentence about it."""
    if column.name not in training or column.name not in holdout or column.kind == "text":
        return 0, ""
    known, asked = training[column.name].dropna(), holdout[column.name].dropna()
    name = column.name.replace("{", "{{").replace("}", "}}")
    if known.empty:
        return len(asked), f"{name} was always missing in what it learned from, not in {{rows}}."
    if column.kind == "category":
        new = asked[~asked.isin(known.unique())]
        shown = listed(sorted(map(str, new.unique())), most=3).replace("{", "{{").replace("}", "}}")
        return len(new), f"{name} has values that it never met ({shown}) in {{rows}} that judged."
    low, high = known.min(), known.max()
    sentence = (
        f"{name} goes beyond what was learned from ({_shown(low)} to {_shown(high)}) in {{rows}}"
        " that judged: there it guesses."
    )
    return int(((asked < low) | (asked > high)).sum()), sentence


def _of_slices(slices: Iterable[SliceRow]) -> Iterator[str]:
    small = [f"{row.column} {row.value} ({row.n_rows})" for row in slices if row.small]
    if small:
        more = f" and {len(small) - MOST_COLUMNS} more" if len(small) > MOST_COLUMNS else ""
        shown = ", ".join(small[:MOST_COLUMNS])
        yield f"Slices with too few rows to be judged: {shown}{more}."


def _of_time(training: pd.DataFrame, holdout: pd.DataFrame, schema: Schema) -> Iterator[str]:
    if schema.time is None or schema.time not in training or schema.time not in holdout:
        yield "No column orders the rows in time: whether the past is like the future is not known."
        return
    last = max(training[schema.time].max(), holdout[schema.time].max())
    yield f"Nothing later than {_shown(last)} was looked at; monitoring tells how it does since."


def _shown(value: object) -> str:
    return f"{value:%Y-%m-%d}" if isinstance(value, pd.Timestamp) else f"{value:.6g}"
