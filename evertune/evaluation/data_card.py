"""The data section of a model card: rows, period, classes, missing cells and excluded columns.

`build_data_card` describes training and hold-out, `summarize_split` one set of rows, and
`describe_holdout` how the hold-out was chosen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from evertune.data.schema import TableSchema

TARGET_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
Period = tuple[str, str]


@dataclass(frozen=True)
class SplitSummary:
    """The rows of training or hold-out.

    Attributes
    ----------
    name : str
    rows : int
    start, end : str, optional
        The first and the last value of the time column.
    shares : tuple of float
        Of the classes, in the order of their codes; empty in regression.
    quantiles : tuple of float
        Of the target in regression, at `TARGET_QUANTILES`.
    """

    name: str
    rows: int
    start: str | None = None
    end: str | None = None
    shares: tuple[float, ...] = ()
    quantiles: tuple[float, ...] = ()


@dataclass(frozen=True)
class MissingColumn:
    """A column with missing cells, and their share in training."""

    column: str
    share: float


@dataclass(frozen=True)
class ExcludedColumn:
    """A column of the source that no model sees, and why."""

    column: str
    reason: str


def describe_holdout(schema: TableSchema, *, fraction: float, judge_from: str | None) -> str:
    """Return how the rows that judge were chosen, in one sentence.

    Examples
    --------
    >>> describe_holdout(TableSchema((), "y", "binary", time="day"), fraction=0.2, judge_from=None)
    "the latest 20 % of the rows by 'day'"
    """
    if judge_from is not None:
        return f"one half, drawn at random, of the rows of production from {judge_from} on"
    if schema.time is not None:
        return f"the latest {fraction:.0%} of the rows by '{schema.time}'".replace("%", " %")
    if schema.group is not None:
        return f"about {100 * fraction:g} % of the groups of '{schema.group}', whole groups"
    return f"about {100 * fraction:g} % of the rows, by a hash of each row that never changes"


@dataclass(frozen=True)
class DataCard:
    """What a model's data are.

    Attributes
    ----------
    sides : tuple of SplitSummary
    holdout_kind : str
        How the rows that judge were chosen, a sentence.
    features : tuple of (str, str)
        Name and kind of each column that the model learns from.
    missing : tuple of MissingColumn
        The largest share first.
    excluded : tuple of ExcludedColumn
    suspicious : tuple of str
        Sentences about what a person should look at.
    never_seen : str
        What training never saw, a sentence.
    """

    sides: tuple[SplitSummary, ...]
    holdout_kind: str
    features: tuple[tuple[str, str], ...] = ()
    missing: tuple[MissingColumn, ...] = ()
    excluded: tuple[ExcludedColumn, ...] = ()
    suspicious: tuple[str, ...] = ()
    never_seen: str = ""


def build_data_card(
    training: pd.DataFrame,
    holdout: pd.DataFrame,
    schema: TableSchema,
    *,
    holdout_kind: str,
    excluded: Mapping[str, str] | None = None,
    suspicious: Sequence[str] = (),
) -> DataCard:
    """Return what is to be said of the data of a model.

    Parameters
    ----------
    training, holdout : DataFrame
        Clean rows: those that it was fitted on, and those that judge it.
    schema : TableSchema
    holdout_kind : str
    excluded : mapping of str to str, optional
        Columns of the source that are no features, with the reason.
    suspicious : sequence of str

    Examples
    --------
    >>> rows = pd.DataFrame({"y": ["no", "yes", "no"]})
    >>> card = build_data_card(rows, rows, TableSchema((), "y", "binary", ("no", "yes")), holdout_kind="")
    >>> card.sides[0].rows, [round(share, 2) for share in card.sides[0].shares]
    (3, [0.67, 0.33])
    """
    return DataCard(
        sides=(
            summarize_split("training", training, schema),
            summarize_split("hold-out", holdout, schema),
        ),
        holdout_kind=holdout_kind,
        features=tuple((column.name, column.kind) for column in schema.features),
        missing=_missing_columns(training, schema),
        excluded=tuple(ExcludedColumn(*each) for each in (excluded or {}).items()),
        suspicious=tuple(suspicious),
        never_seen=_unseen_period_sentence(training, holdout, schema),
    )


def summarize_split(name: str, rows: pd.DataFrame, schema: TableSchema) -> SplitSummary:
    """Return what is to be said of some clean rows with a target."""
    start, end = _period(rows, schema) or (None, None)
    target = rows[schema.target]
    if schema.classes:
        shares = target.astype("str").value_counts(normalize=True)
        found = tuple(float(shares.get(name, 0.0)) for name in schema.classes)
        return SplitSummary(name, len(rows), start, end, shares=found)
    values = target.astype(float).quantile(list(TARGET_QUANTILES)) if len(rows) else ()
    return SplitSummary(
        name, len(rows), start, end, quantiles=tuple(float(value) for value in values)
    )


def _period(rows: pd.DataFrame, schema: TableSchema) -> Period | None:
    if schema.time is None or schema.time not in rows:
        return None
    times = rows[schema.time].dropna()
    if times.empty:
        return None
    return _format_time(times.min()), _format_time(times.max())


def _format_time(value: object) -> str:
    return f"{value:%Y-%m-%d %H:%M}" if isinstance(value, pd.Timestamp) else f"{value:g}"


def _missing_columns(training: pd.DataFrame, schema: TableSchema) -> tuple[MissingColumn, ...]:
    names = [column.name for column in schema.features if column.name in training]
    shares = training[names].isna().mean().sort_values(ascending=False, kind="stable")
    return tuple(
        MissingColumn(str(name), float(share)) for name, share in shares.items() if share > 0
    )


def _unseen_period_sentence(
    training: pd.DataFrame, holdout: pd.DataFrame, schema: TableSchema
) -> str:
    learned, judged = _period(training, schema), _period(holdout, schema)
    if learned is None or judged is None:
        return "Rows of the hold-out were seen by neither search nor fit."
    return (
        f"Training ends at {learned[1]}: nothing later was learned from. What happens after"
        f" {judged[1]} was neither learned from nor judged."
    )
