"""Parts of a table by the values of a column: those declared, and those that do worst."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from pipelines.core.fold_parts import IntArray
from pipelines.core.predictions import Floats
from pipelines.core.schema import Column, Schema

MISSING = "missing"
SINGLE_VALUES = 6  # a number or date with more values is cut into ranges
RANGES = 4
FALSE_FINDS = 0.05  # chance that any slice is called worse where none is
SMALLEST_GAP = 1e-9  # of losses between 0 and 1, below which they are the same
ALIKE = 0.8  # shared rows over all rows of two slices from which they count as one


@dataclass(frozen=True, eq=False)
class Slice:
    """The rows of a table that have one value in one column.

    Attributes
    ----------
    column : str
    value : str
        As it is shown: a category, `missing`, or a range such as `18 to 25` (both ends are values
        that rows of it have).
    rows : array of int of shape (n,)
        Positions in the table, increasing.
    """

    column: str
    value: str
    rows: IntArray


@dataclass(frozen=True)
class SliceRow:
    """How well a model does on one slice.

    Attributes
    ----------
    column, value : str
    n_rows : int
    figure, low, high : float, optional
        The metric that is optimised with its interval; None where it is undefined, as ROC AUC is
        for rows of one class.
    share : float, optional
        Rows that are predicted to be of the positive class, of all; binary tasks only.
    hit_rate, false_alarm_rate : float, optional
        The same share among rows that are of that class, and among those that are not.
    bias : float, optional
        Mean of what is predicted less the mean of what is true: of the positive class's
        probability, or of values in regression.
    rate_gap : float, optional
        By how much `share` differs from the one that differs most from it in the same column;
        small slices do not count.
    small : bool
        Whether it has too few rows to say much.
    found : bool
        Whether it was searched for as one of the worst, not declared.
    sensitive : bool
        Whether the column was declared sensitive.
    """

    column: str
    value: str
    n_rows: int
    figure: float | None = None
    low: float | None = None
    high: float | None = None
    share: float | None = None
    hit_rate: float | None = None
    false_alarm_rate: float | None = None
    bias: float | None = None
    rate_gap: float | None = None
    small: bool = False
    found: bool = False
    sensitive: bool = False


def slices_of(
    table: pd.DataFrame, schema: Schema, columns: Sequence[str], *, least_rows: int
) -> tuple[Slice, ...]:
    """Return the slices of a clean table by the values of columns, in the order of the columns.

    Categories, booleans and numbers of up to six values give a slice for each value, the most
    frequent first; other numbers and dates give four ranges of about as many rows, in their order.
    Missing values are a slice of their own. Every row is in one slice of each column, save where
    slices are left out for their few rows.

    Parameters
    ----------
    table : DataFrame, n rows
    schema : Schema
    columns : sequence of str
        Features, or other columns of the table.
    least_rows : int
        Slices with fewer rows are left out.

    Raises
    ------
    ValueError
        If a column is not in the table.

    Examples
    --------
    >>> table = pd.DataFrame({"plan": ["pro", "free", "free"], "age": [18.0, 20.0, np.nan]})
    >>> schema = Schema((Column("plan", "category"), Column("age", "number")), "y", "binary")
    >>> [(each.value, each.rows.tolist()) for each in slices_of(
    ...     table, schema, ["plan", "age"], least_rows=1)]
    [('free', [1, 2]), ('pro', [0]), ('18', [0]), ('20', [1]), ('missing', [2])]
    """
    absent = [name for name in columns if name not in table]
    if absent:
        raise ValueError(f"Expected columns of the table, but got {absent}.")
    kinds = {column.name: column for column in schema.features}
    found = (each for name in columns for each in _of_column(table[name], kinds.get(name)))
    return tuple(each for each in found if len(each.rows) >= least_rows)


def worst_slices(
    table: pd.DataFrame, schema: Schema, losses: Floats, *, least_rows: int, most: int
) -> tuple[Slice, ...]:
    """Return the slices of all features on which the mean loss is highest, the worst first.

    A slice is taken where its mean lies above that of the other rows by more than chance, by a
    one-sided test of Welch at 5 % over the number of slices looked at (Bonferroni), so that where
    no slice is worse one is found in at most 5 % of cases. Of slices of nearly the same rows the
    worse is kept.

    Parameters
    ----------
    table : DataFrame, n rows
    schema : Schema
    losses : array of shape (n,)
        Of single rows, such as `pipelines.core.losses.bounded_losses`.
    least_rows, most : int
        Rows of a slice at least, and slices at most.

    Examples
    --------
    >>> table = pd.DataFrame({"plan": ["pro"] * 50 + ["free"] * 50})
    >>> losses = np.tile([0.1, 0.2], 50) + (table["plan"] == "pro").to_numpy()
    >>> schema = Schema((Column("plan", "category"),), "y", "binary")
    >>> [each.value for each in worst_slices(table, schema, losses, least_rows=20, most=3)]
    ['pro']
    """
    names = [column.name for column in schema.features if column.name in table]
    candidates = [
        each
        for each in slices_of(table, schema, names, least_rows=least_rows)
        if len(each.rows) <= len(table) - least_rows
    ]
    bound = FALSE_FINDS / max(len(candidates), 1)
    worse = [each for each in candidates if _chance_of(each, losses) < bound]
    ranked = sorted(worse, key=lambda each: -float(losses[each.rows].mean()))
    return tuple(_apart(ranked))[:most]


def _of_column(cells: pd.Series, column: Column | None) -> Iterator[Slice]:
    values = cells.reset_index(drop=True)
    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_datetime64_any_dtype(values):
        yield from _of_ordered(values, is_boolean=column is not None and column.kind == "boolean")
    else:
        for value, n_rows in values.astype("str").value_counts(dropna=True).items():
            assert n_rows
            yield Slice(str(cells.name), str(value), _where(values == value))
    if values.isna().any():
        yield Slice(str(cells.name), MISSING, _where(values.isna()))


def _of_ordered(values: pd.Series, *, is_boolean: bool) -> Iterator[Slice]:
    single = np.sort(values.dropna().unique())
    if len(single) <= SINGLE_VALUES:
        for value in single:
            shown = ("no", "yes")[int(value)] if is_boolean else _shown(value)
            yield Slice(str(values.name), shown, _where(values == value))
        return
    edges = values.quantile(np.linspace(0, 1, RANGES + 1)[1:-1]).unique()
    codes = np.searchsorted(edges, values.to_numpy(), side="left")
    codes[values.isna().to_numpy()] = -1
    for code in np.unique(codes[codes >= 0]):
        inside = values[codes == code]
        shown = f"{_shown(inside.min())} to {_shown(inside.max())}"
        yield Slice(str(values.name), shown, _where(pd.Series(codes == code)))


def _shown(value: object) -> str:
    """Return a value as people write it; ranges end in values that occur."""
    if isinstance(value, np.datetime64 | pd.Timestamp):
        return f"{pd.Timestamp(value):%Y-%m-%d}"
    return f"{value:.5g}" if abs(float(str(value))) < 1e5 else f"{value:,.0f}"  # noqa: PLR2004


def _where(mask: pd.Series) -> IntArray:
    return np.flatnonzero(mask.to_numpy(dtype=bool))


def _chance_of(part: Slice, losses: Floats) -> float:
    """Return the one-sided p-value of Welch that the mean loss is not above that of other rows."""
    inside = np.zeros(len(losses), dtype=bool)
    inside[part.rows] = True
    left, right = losses[inside], losses[~inside]
    gap = float(left.mean() - right.mean())
    if gap <= SMALLEST_GAP:
        return 1.0
    parts = [left.var(ddof=1) / len(left), right.var(ddof=1) / len(right)]
    if sum(parts) == 0:
        return 0.0
    sizes = [len(left) - 1, len(right) - 1]
    freedom = sum(parts) ** 2 / sum(v**2 / n for v, n in zip(parts, sizes, strict=True))
    return float(stats.t.sf(gap / np.sqrt(sum(parts)), freedom))


def _apart(ranked: Sequence[Slice]) -> Iterator[Slice]:
    kept: list[Slice] = []
    for each in ranked:
        if all(_likeness(each, other) < ALIKE for other in kept):
            kept.append(each)
            yield each


def _likeness(left: Slice, right: Slice) -> float:
    shared = len(np.intersect1d(left.rows, right.rows, assume_unique=True))
    return shared / (len(left.rows) + len(right.rows) - shared)
