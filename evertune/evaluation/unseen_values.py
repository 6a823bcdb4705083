"""Classes and categories that the hold-out has and training has not: no model can know them.

`describe_unseen_values` says so in sentences: after `split`, before minutes of training, on the
report, and beside the verdict, for they explain scores that nothing else does.
"""

from collections.abc import Iterator

import pandas as pd

from evertune.data.schema import TableSchema
from evertune.data.validation import quote_list
from evertune.evaluation.formatting import count_noun
from evertune.messages import format_percent

MIN_LEVEL_ROWS, MIN_LEVEL_SHARE = 5, 0.05  # of the hold-out; rarer categories are missed by chance
MAX_COLUMNS_LISTED, MAX_VALUES_LISTED = 5, 3


def describe_unseen_values(
    training: pd.DataFrame, holdout: pd.DataFrame, schema: TableSchema
) -> tuple[str, ...]:
    """Return what the hold-out has and training has not, a sentence without its full stop each.

    Every class of the target is told, and of features the categories with at least 5 rows of the
    hold-out, or 5 % of them.

    Examples
    --------
    >>> schema = TableSchema((), "y", "binary", ("no", "yes"), time="day")
    >>> old, new = pd.DataFrame({"y": ["no", "no"]}), pd.DataFrame({"y": ["no", "yes"]})
    >>> print(*describe_unseen_values(old, new, schema))
    only the newest rows have class 'yes' (1 row of 2 held out, 50.0 %): no model can learn it
    """
    return tuple(_sentences(training, holdout, schema))


def _sentences(training: pd.DataFrame, holdout: pd.DataFrame, schema: TableSchema) -> Iterator[str]:
    where = "only the hold-out has" if schema.time is None else "only the newest rows have"
    n_rows = len(holdout)
    if schema.classes:
        counts = _new_counts(training[schema.target], holdout[schema.target])
        if not counts.empty:
            noun = "class" if len(counts) == 1 else "classes"
            them = "it" if len(counts) == 1 else "them"
            yield (
                f"{where} {noun} {quote_list(map(str, counts.index), most=MAX_VALUES_LISTED)}"
                f" ({_rows_text(int(counts.sum()), n_rows)}): no model can learn {them}"
            )
    n_columns = 0
    for column in schema.features:
        if column.kind != "category" or column.name not in holdout:
            continue
        known, given = training[column.name], holdout[column.name]
        counts = _new_counts(known, given)
        counts = counts[(counts >= MIN_LEVEL_ROWS) | (counts >= MIN_LEVEL_SHARE * n_rows)]
        if counts.empty:
            continue
        n_columns += 1
        if n_columns <= MAX_COLUMNS_LISTED:
            values = quote_list(map(str, counts.index), most=MAX_VALUES_LISTED)
            yield (
                f"{where} {values} in column {column.name!r}"
                f" ({_rows_text(int(counts.sum()), n_rows)}): what it means cannot be learned"
            )
    if n_columns > MAX_COLUMNS_LISTED:
        more = count_noun(n_columns - MAX_COLUMNS_LISTED, "more column")
        yield f"{where} some categories of {more}"


def _new_counts(known: pd.Series, given: pd.Series) -> "pd.Series[int]":
    """Return how many rows have each value that none of the known rows has, most first."""
    new = given[given.notna() & ~given.isin(known.dropna().unique())]
    return new.astype("str").value_counts()


def _rows_text(count: int, n_rows: int) -> str:
    return f"{count_noun(count, 'row')} of {n_rows:,} held out, {format_percent(count / n_rows)}"
