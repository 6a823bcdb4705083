"""The data section of a model card: rows, period, classes, missing cells and excluded columns.

`build_data_card` describes training and hold-out, `summarize_split` one set of rows, and
`describe_holdout` how the hold-out was chosen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from evertune.data.schema import TableSchema

TARGET_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True)
class SplitSummary:
    """The rows of training or hold-out.

    Attributes
    ----------
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


@dataclass(frozen=True)
class DataCard:
    """The data of a model.

    Attributes
    ----------
    sides : tuple of SplitSummary
        Training, then hold-out.
    holdout_kind : str
        How the hold-out was chosen, from `describe_holdout`.
    features : tuple of (str, str)
        Name and kind of each column that the model learns from.
    missing : tuple of MissingColumn
        The largest share first.
    weight : str, optional
        The column that says how much a row counted in fits.
    suspicious : tuple of str
        Sentences about what a person should check.
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
    weight: str | None = None


def build_data_card(
    training: pd.DataFrame,
    holdout: pd.DataFrame,
    schema: TableSchema,
    *,
    holdout_kind: str,
    excluded: Mapping[str, str] | None = None,
    suspicious: Sequence[str] = (),
) -> DataCard:
    """Return the data section of a model card.

    Parameters
    ----------
    training, holdout : DataFrame
        Clean rows: those that the model was fitted on, and those that evaluate it.
    excluded : mapping from name to reason, optional
        Columns of the source that are no features.
    """
    learned, held_out = (summarize_split(*part, schema) for part in (
        ("training", training), ("hold-out", holdout),
    ))  # fmt: skip
    never_seen = "Neither the search nor the fit used rows of the hold-out."
    if learned.end is not None and held_out.end is not None:
        never_seen = (
            f"Training ends at {learned.end}. Nothing after {held_out.end} was used for training"
            " or evaluation."
        )
    names = [column.name for column in schema.features if column.name in training]
    missing = training[names].isna().mean().sort_values(ascending=False, kind="stable")
    return DataCard(
        sides=(learned, held_out),
        holdout_kind=holdout_kind,
        features=tuple((column.name, column.kind) for column in schema.features),
        missing=tuple(
            MissingColumn(str(name), float(share)) for name, share in missing.items() if share > 0
        ),
        excluded=tuple(ExcludedColumn(*each) for each in (excluded or {}).items()),
        suspicious=tuple(suspicious),
        never_seen=never_seen,
        weight=schema.weight,
    )


def summarize_split(name: str, rows: pd.DataFrame, schema: TableSchema) -> SplitSummary:
    """Return number, period and target distribution of some clean rows with a target."""
    start = end = None
    if schema.time is not None and schema.time in rows and rows[schema.time].notna().any():
        start, end = (_format_time(rows[schema.time].agg(side)) for side in ("min", "max"))
    target = rows[schema.target]
    if schema.classes:
        counts = target.astype("str").value_counts(normalize=True)
        shares = tuple(float(counts.get(label, 0.0)) for label in schema.classes)
        return SplitSummary(name, len(rows), start, end, shares=shares)
    values = target.astype(float).quantile(list(TARGET_QUANTILES)) if len(rows) else ()
    quantiles = tuple(float(value) for value in values)
    return SplitSummary(name, len(rows), start, end, quantiles=quantiles)


def describe_holdout(schema: TableSchema, *, fraction: float, judge_from: str | None) -> str:
    """Return how the hold-out was chosen, as the end of "The hold-out is ...".

    Examples
    --------
    >>> describe_holdout(TableSchema((), "y", "binary", time="day"), fraction=0.2, judge_from=None)
    "the latest 20 % of the rows by 'day'"
    """
    if judge_from is not None:
        return f"a random half of the production rows from {judge_from} on"
    if schema.time is not None:
        return f"the latest {100 * fraction:.0f} % of the rows by '{schema.time}'"
    if schema.group is not None:
        return f"about {100 * fraction:g} % of the groups by '{schema.group}', each one whole"
    return f"about {100 * fraction:g} % of the rows, chosen by a hash so that no row changes sides"


def _format_time(value: object) -> str:
    return f"{value:%Y-%m-%d %H:%M}" if isinstance(value, pd.Timestamp) else f"{value:g}"
