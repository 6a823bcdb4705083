"""Scores of a model on slices of a table: declared columns and the slices of highest loss.

`slice_by_columns` cuts a table by category or range, `find_worst_slices` searches all features for
the slices of highest loss. `evaluate_slice` scores one slice with its interval, selection rate,
true and false positive rate; `with_rate_gaps` adds how far selection rates differ in a column.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from evertune.data.folds import IntArray
from evertune.data.schema import Column, TableSchema
from evertune.metrics.metrics import BINARY, MULTICLASS, Metric, compute_metrics
from evertune.stats.bootstrap import BootstrapConfig, bootstrap_interval
from evertune.types import FloatArray, Predictions, Task, probabilities_or_values, take_rows

MISSING_VALUE = "missing"
MAX_SINGLE_VALUES = 6  # a number or date with more values is cut into ranges
N_RANGES = 4
FAMILYWISE_ERROR = 0.05  # probability that any slice is called worse if none is
MIN_LOSS_GAP = 1e-9  # of losses between 0 and 1, below which they are the same
MAX_OVERLAP = 0.8  # shared rows over all rows of two slices from which they count as one


@dataclass(frozen=True, eq=False)
class Slice:
    """The rows of a table that have one value in one column.

    Attributes
    ----------
    value : str
        As it is shown: a category, `missing`, or a range such as `18 to 25` (both ends are values
        of its rows).
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
    figure, low, high : float, optional
        The optimised metric with its interval; None if it is undefined, as ROC AUC is for rows of
        one class.
    share : float, optional
        Rows that are predicted to be of the positive class, of all (the selection rate); binary
        tasks only.
    hit_rate, false_alarm_rate : float, optional
        The same share among rows that are of that class, and among those that are not.
    bias : float, optional
        Mean prediction minus mean true value; of the positive class's probability, or in regression
        of the values.
    rate_gap : float, optional
        By how much `share` differs from the one that differs most from it in the same column;
        small slices do not count.
    small : bool
        True if it has too few rows to say much.
    found : bool
        True if it was searched for as one of the worst, not declared.
    sensitive : bool
        True if the column was declared sensitive.
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


def slice_by_columns(
    table: pd.DataFrame,
    schema: TableSchema | None,
    columns: Sequence[str],
    *,
    min_rows: int,
    edges: Mapping[str, Sequence[float]] | None = None,
) -> tuple[Slice, ...]:
    """Return the slices of a clean table by the values of columns, in the order of the columns.

    Categories, booleans and numbers of up to six values give a slice for each value, the most
    frequent first; other numbers and dates give four ranges of about as many rows, in their order.
    Missing values are a slice of their own.

    Parameters
    ----------
    columns : sequence of str
        Features, or other columns of the table.
    min_rows : int
        Slices with fewer rows are left out.
    edges : mapping, optional
        From `slice_edges` of another table: numeric columns are cut there.

    Raises
    ------
    ValueError
        If a column is not in the table.

    Examples
    --------
    >>> table = pd.DataFrame({"plan": ["pro", "free", "free"], "age": [18.0, 20.0, np.nan]})
    >>> schema = TableSchema((Column("plan", "category"), Column("age", "number")), "y", "binary")
    >>> [(part.value, part.rows.tolist()) for part in slice_by_columns(
    ...     table, schema, ["plan", "age"], min_rows=1)]
    [('free', [1, 2]), ('pro', [0]), ('18', [0]), ('20', [1]), ('missing', [2])]
    """
    absent = [name for name in columns if name not in table]
    if absent:
        raise ValueError(f"Expected columns of the table, but got {absent}.")
    by_name = {column.name: column for column in (schema.features if schema else ())}
    cuts = edges or {}
    slices = (
        part
        for name in columns
        for part in (
            _slices_at(table[name], cuts[name])
            if name in cuts
            else _column_slices(table[name], by_name.get(name))
        )
    )
    return tuple(part for part in slices if len(part.rows) >= min_rows)


def slice_edges(table: pd.DataFrame) -> dict[str, tuple[float, ...]]:
    """Return where `slice_by_columns` cuts numeric columns, so that other tables are cut alike.

    Examples
    --------
    >>> slice_edges(pd.DataFrame({"age": range(20), "plan": ["a"] * 20}))
    {'age': (4.75, 9.5, 14.25)}
    """
    return {
        str(name): tuple(float(edge) for edge in _range_edges(cells))
        for name, cells in table.items()
        if pd.api.types.is_numeric_dtype(cells) and cells.nunique() > MAX_SINGLE_VALUES
    }


def find_worst_slices(
    table: pd.DataFrame,
    schema: TableSchema,
    losses: FloatArray,
    *,
    min_rows: int,
    max_slices: int,
) -> tuple[Slice, ...]:
    """Return the slices of all features on which the mean loss is highest, the worst first.

    A slice is taken if its mean is significantly above that of the other rows: by Welch's
    one-sided test at 5 % over the number of slices (Bonferroni), so that if no slice is worse, one
    is reported in at most 5 % of cases. Of slices with nearly the same rows only the worst is
    returned.

    Parameters
    ----------
    losses : array of shape (n,)
        Of single rows, such as `evertune.metrics.losses.bounded_losses`.
    min_rows, max_slices : int
        Rows of a slice at least, and slices at most.

    Examples
    --------
    >>> table = pd.DataFrame({"plan": ["pro"] * 50 + ["free"] * 50})
    >>> losses = np.tile([0.1, 0.2], 50) + (table["plan"] == "pro").to_numpy()
    >>> schema = TableSchema((Column("plan", "category"),), "y", "binary")
    >>> found = find_worst_slices(table, schema, losses, min_rows=20, max_slices=3)
    >>> [part.value for part in found]
    ['pro']
    """
    names = [column.name for column in schema.features if column.name in table]
    candidates = [
        part
        for part in slice_by_columns(table, schema, names, min_rows=min_rows)
        if len(part.rows) <= len(table) - min_rows
    ]
    level = FAMILYWISE_ERROR / max(len(candidates), 1)
    worse = [part for part in candidates if _is_worse(losses, part.rows, level)]
    distinct: list[Slice] = []
    for part in sorted(worse, key=lambda part: -float(losses[part.rows].mean())):
        if all(_jaccard_similarity(part, other) < MAX_OVERLAP for other in distinct):
            distinct.append(part)
    return tuple(distinct[:max_slices])


def evaluate_slice(
    part: Slice,
    metric: Metric,
    y_true: FloatArray,
    pred: Predictions,
    *,
    bootstrap: BootstrapConfig,
    min_rows: int,
    task: Task,
) -> SliceRow:
    """Return how well a model does on a slice; its rate gap comes from `with_rate_gaps`.

    Parameters
    ----------
    y_true : array of shape (n,)
        Of all rows of the table.
    pred : Predictions
        Of the same rows.
    min_rows : int
        A slice with fewer is marked as small.
    """
    y_true, inside = y_true[part.rows], take_rows(pred, part.rows)
    interval = bootstrap_interval(metric, y_true, inside, **asdict(bootstrap))
    row = SliceRow(
        column=part.column,
        value=part.value,
        n_rows=len(part.rows),
        figure=compute_metrics([metric], y_true, inside)[metric.name],
        low=interval.low,
        high=interval.high,
        small=len(part.rows) < min_rows,
    )
    if task != MULTICLASS:
        scores = probabilities_or_values(inside)
        row = replace(row, bias=_mean((scores if scores.ndim == 1 else scores[:, 1]) - y_true))
    if task == BINARY:
        positive = inside.values == 1
        row = replace(
            row,
            share=_mean(positive),
            hit_rate=_mean(positive[y_true == 1]),
            false_alarm_rate=_mean(positive[y_true == 0]),
        )
    return row


def with_rate_gaps(rows: Iterable[SliceRow]) -> tuple[SliceRow, ...]:
    """Return the rows with their rate gaps: the largest distance to another row of the column.

    Examples
    --------
    >>> rows = [SliceRow("sex", "f", 90, share=0.2), SliceRow("sex", "m", 90, share=0.5)]
    >>> [round(row.rate_gap, 2) for row in with_rate_gaps(rows)]
    [0.3, 0.3]
    """
    rows = list(rows)
    shares: dict[str, list[float]] = {}
    for row in rows:
        if row.share is not None and not row.small:
            shares.setdefault(row.column, []).append(row.share)

    def gap(row: SliceRow) -> float | None:
        known = shares.get(row.column, [])
        if row.share is None or row.small or len(known) < 2:
            return None
        return max(row.share - min(known), max(known) - row.share)

    return tuple(replace(row, rate_gap=gap(row)) for row in rows)


def rate_gaps(rows: Iterable[SliceRow]) -> dict[str, float]:
    """Return the largest rate gap of each sensitive column that has one."""
    gaps: dict[str, float] = {}
    for row in rows:
        if row.sensitive and row.rate_gap is not None:
            gaps[row.column] = max(row.rate_gap, gaps.get(row.column, 0.0))
    return gaps


def _column_slices(cells: pd.Series, column: Column | None) -> Iterator[Slice]:
    values, name = cells.reset_index(drop=True), str(cells.name)
    if not (pd.api.types.is_numeric_dtype(values) or pd.api.types.is_datetime64_any_dtype(values)):
        for value in values.astype("str").value_counts(dropna=True).index:
            yield Slice(name, str(value), _positions(values == value))
    elif len(distinct := np.sort(values.dropna().unique())) <= MAX_SINGLE_VALUES:
        is_boolean = column is not None and column.kind == "boolean"
        for value in distinct:
            shown = ("no", "yes")[int(value)] if is_boolean else _format_value(value)
            yield Slice(name, shown, _positions(values == value))
    else:
        codes = np.searchsorted(_range_edges(values), values.to_numpy(), side="left")
        codes[values.isna().to_numpy()] = -1
        for code in np.unique(codes[codes >= 0]):
            inside = values[codes == code]
            shown = f"{_format_value(inside.min())} to {_format_value(inside.max())}"
            yield Slice(name, shown, np.flatnonzero(codes == code))
    if values.isna().any():
        yield Slice(name, MISSING_VALUE, _positions(values.isna()))


def _range_edges(values: pd.Series) -> NDArray[np.float64]:
    return np.asarray(values.quantile(np.linspace(0, 1, N_RANGES + 1)[1:-1]).unique())


def _slices_at(values: pd.Series, edges: Sequence[float]) -> Iterator[Slice]:
    """Yield the ranges between given edges, whatever values of the table lie in them."""
    numbers = values.to_numpy(dtype=np.float64)
    codes = np.searchsorted(edges, numbers, side="left")
    codes[np.isnan(numbers)] = -1
    names = [
        f"up to {_format_value(edges[0])}",
        *(f"over {_format_value(a)} to {_format_value(b)}" for a, b in pairwise(edges)),
        f"over {_format_value(edges[-1])}",
        MISSING_VALUE,
    ]
    for code in [*range(len(edges) + 1), -1]:
        yield Slice(str(values.name), names[code], np.flatnonzero(codes == code))


def _format_value(value: object) -> str:
    if isinstance(value, np.datetime64 | pd.Timestamp):
        return f"{pd.Timestamp(value):%Y-%m-%d}"
    return f"{value:.5g}" if abs(float(str(value))) < 1e5 else f"{value:,.0f}"


def _positions(mask: pd.Series) -> IntArray:
    return np.flatnonzero(mask.to_numpy(dtype=bool))


def _is_worse(losses: FloatArray, rows: IntArray, level: float) -> bool:
    inside = np.zeros(len(losses), dtype=bool)
    inside[rows] = True
    left, right = losses[inside], losses[~inside]
    if left.mean() - right.mean() <= MIN_LOSS_GAP:
        return False
    spread = [float(part.std(ddof=1)) for part in (left, right)]
    if not any(spread):
        return True
    test = stats.ttest_ind_from_stats(
        left.mean(), spread[0], left.size, right.mean(), spread[1], right.size,
        equal_var=False, alternative="greater",
    )  # fmt: skip
    return bool(test.pvalue < level)


def _jaccard_similarity(left: Slice, right: Slice) -> float:
    shared = len(np.intersect1d(left.rows, right.rows, assume_unique=True))
    return shared / (len(left.rows) + len(right.rows) - shared)


def _mean(values: FloatArray | NDArray[np.bool_]) -> float | None:
    return float(np.mean(values)) if len(values) else None
