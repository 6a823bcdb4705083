"""Scores of a model on slices of a table: declared columns and the slices of highest loss.

`slice_by_columns` cuts a table by category or range. `find_worst_slices` searches all features
by a one-sided Welch test at 5 % over the number of slices (Bonferroni), so that where no slice
is worse, one is reported in at most 5 % of cases. `evaluate_slice` scores one slice with its
interval, selection rate, true and false positive rate; `with_rate_gaps` adds how far selection
rates differ within a column.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

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
FAMILYWISE_ERROR = 0.05  # chance that any slice is called worse where none is
MIN_LOSS_GAP = 1e-9  # of losses between 0 and 1, below which they are the same
MAX_OVERLAP = 0.8  # shared rows over all rows of two slices from which they count as one


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


def slice_by_columns(
    table: pd.DataFrame, schema: TableSchema, columns: Sequence[str], *, least_rows: int
) -> tuple[Slice, ...]:
    """Return the slices of a clean table by the values of columns, in the order of the columns.

    Categories, booleans and numbers of up to six values give a slice for each value, the most
    frequent first; other numbers and dates give four ranges of about as many rows, in their order.
    Missing values are a slice of their own. Every row is in one slice of each column, save where
    slices are left out for their few rows.

    Parameters
    ----------
    table : DataFrame, n rows
    schema : TableSchema
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
    >>> schema = TableSchema((Column("plan", "category"), Column("age", "number")), "y", "binary")
    >>> [(each.value, each.rows.tolist()) for each in slice_by_columns(
    ...     table, schema, ["plan", "age"], least_rows=1)]
    [('free', [1, 2]), ('pro', [0]), ('18', [0]), ('20', [1]), ('missing', [2])]
    """
    absent = [name for name in columns if name not in table]
    if absent:
        raise ValueError(f"Expected columns of the table, but got {absent}.")
    kinds = {column.name: column for column in schema.features}
    found = (each for name in columns for each in _column_slices(table[name], kinds.get(name)))
    return tuple(each for each in found if len(each.rows) >= least_rows)


def find_worst_slices(
    table: pd.DataFrame, schema: TableSchema, losses: FloatArray, *, least_rows: int, most: int
) -> tuple[Slice, ...]:
    """Return the slices of all features on which the mean loss is highest, the worst first.

    A slice is taken where its mean lies above that of the other rows by more than chance, by a
    one-sided test of Welch at 5 % over the number of slices looked at (Bonferroni), so that where
    no slice is worse one is found in at most 5 % of cases. Of slices of nearly the same rows the
    worse is kept.

    Parameters
    ----------
    table : DataFrame, n rows
    schema : TableSchema
    losses : array of shape (n,)
        Of single rows, such as `evertune.metrics.losses.bounded_losses`.
    least_rows, most : int
        Rows of a slice at least, and slices at most.

    Examples
    --------
    >>> table = pd.DataFrame({"plan": ["pro"] * 50 + ["free"] * 50})
    >>> losses = np.tile([0.1, 0.2], 50) + (table["plan"] == "pro").to_numpy()
    >>> schema = TableSchema((Column("plan", "category"),), "y", "binary")
    >>> [each.value for each in find_worst_slices(table, schema, losses, least_rows=20, most=3)]
    ['pro']
    """
    names = [column.name for column in schema.features if column.name in table]
    candidates = [
        each
        for each in slice_by_columns(table, schema, names, least_rows=least_rows)
        if len(each.rows) <= len(table) - least_rows
    ]
    bound = FAMILYWISE_ERROR / max(len(candidates), 1)
    worse = [each for each in candidates if _welch_p_value(each, losses) < bound]
    ranked = sorted(worse, key=lambda each: -float(losses[each.rows].mean()))
    return tuple(_drop_overlapping(ranked))[:most]


def _column_slices(cells: pd.Series, column: Column | None) -> Iterator[Slice]:
    values = cells.reset_index(drop=True)
    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_datetime64_any_dtype(values):
        yield from _ordered_slices(
            values, is_boolean=column is not None and column.kind == "boolean"
        )
    else:
        for value, n_rows in values.astype("str").value_counts(dropna=True).items():
            assert n_rows
            yield Slice(str(cells.name), str(value), _positions(values == value))
    if values.isna().any():
        yield Slice(str(cells.name), MISSING_VALUE, _positions(values.isna()))


def _ordered_slices(values: pd.Series, *, is_boolean: bool) -> Iterator[Slice]:
    single = np.sort(values.dropna().unique())
    if len(single) <= MAX_SINGLE_VALUES:
        for value in single:
            shown = ("no", "yes")[int(value)] if is_boolean else _format_value(value)
            yield Slice(str(values.name), shown, _positions(values == value))
        return
    edges = values.quantile(np.linspace(0, 1, N_RANGES + 1)[1:-1]).unique()
    codes = np.searchsorted(edges, values.to_numpy(), side="left")
    codes[values.isna().to_numpy()] = -1
    for code in np.unique(codes[codes >= 0]):
        inside = values[codes == code]
        shown = f"{_format_value(inside.min())} to {_format_value(inside.max())}"
        yield Slice(str(values.name), shown, _positions(pd.Series(codes == code)))


def _format_value(value: object) -> str:
    """Return a value as people write it; ranges end in values that occur."""
    if isinstance(value, np.datetime64 | pd.Timestamp):
        return f"{pd.Timestamp(value):%Y-%m-%d}"
    return f"{value:.5g}" if abs(float(str(value))) < 1e5 else f"{value:,.0f}"


def _positions(mask: pd.Series) -> IntArray:
    return np.flatnonzero(mask.to_numpy(dtype=bool))


def _welch_p_value(part: Slice, losses: FloatArray) -> float:
    """Return the one-sided p-value of Welch that the mean loss is not above that of other rows."""
    inside = np.zeros(len(losses), dtype=bool)
    inside[part.rows] = True
    left, right = losses[inside], losses[~inside]
    gap = float(left.mean() - right.mean())
    if gap <= MIN_LOSS_GAP:
        return 1.0
    parts = [left.var(ddof=1) / len(left), right.var(ddof=1) / len(right)]
    if sum(parts) == 0:
        return 0.0
    sizes = [len(left) - 1, len(right) - 1]
    freedom = sum(parts) ** 2 / sum(v**2 / n for v, n in zip(parts, sizes, strict=True))
    return float(stats.t.sf(gap / np.sqrt(sum(parts)), freedom))


def _drop_overlapping(ranked: Sequence[Slice]) -> Iterator[Slice]:
    kept: list[Slice] = []
    for each in ranked:
        if all(_jaccard_similarity(each, other) < MAX_OVERLAP for other in kept):
            kept.append(each)
            yield each


def _jaccard_similarity(left: Slice, right: Slice) -> float:
    shared = len(np.intersect1d(left.rows, right.rows, assume_unique=True))
    return shared / (len(left.rows) + len(right.rows) - shared)


def evaluate_slice(
    part: Slice,
    metric: Metric,
    truth: FloatArray,
    predictions: Predictions,
    *,
    bootstrap: BootstrapConfig,
    least_rows: int,
    task: Task,
) -> SliceRow:
    """Return how well a model does on a slice; its rate gap comes from `with_rate_gaps`.

    Parameters
    ----------
    part : Slice
    metric : Metric
    truth : array of shape (n,)
        Of all rows of the table.
    predictions : Predictions
        Of the same rows.
    bootstrap : BootstrapConfig
    least_rows : int
        A slice with fewer is marked as small.
    task : str

    Examples
    --------
    >>> from evertune.metrics.metrics import METRICS
    >>> truth, said = np.array([1.0, 0.0, 1.0]), Predictions(np.array([1.0, 1.0, 0.0]))
    >>> draws = BootstrapConfig(100, 0.9, 0)
    >>> row = evaluate_slice(Slice("plan", "pro", np.array([0, 1])), METRICS["accuracy"], truth, said,
    ...     bootstrap=draws, least_rows=5, task="binary")
    >>> row.figure, row.share, row.hit_rate, row.false_alarm_rate, row.small
    (0.5, 1.0, 1.0, 1.0, True)
    """
    true, said = truth[part.rows], take_rows(predictions, part.rows)
    interval = bootstrap_interval(metric, true, said, **asdict(bootstrap))
    row = SliceRow(
        column=part.column,
        value=part.value,
        n_rows=len(part.rows),
        figure=compute_metrics([metric], true, said)[metric.name],
        low=interval.low,
        high=interval.high,
        bias=_bias(true, said, task),
        small=len(part.rows) < least_rows,
    )
    return _with_rates(row, true, said) if task == BINARY else row


def with_rate_gaps(rows: Iterable[SliceRow]) -> tuple[SliceRow, ...]:
    """Return the rows with their rate gaps: the largest distance to another row of the column.

    Examples
    --------
    >>> rows = [SliceRow("sex", "f", 90, share=0.2), SliceRow("sex", "m", 90, share=0.5)]
    >>> [round(row.rate_gap, 2) for row in with_rate_gaps(rows)]
    [0.3, 0.3]
    """
    known = list(rows)
    return tuple(replace(row, rate_gap=_largest_rate_gap(row, known)) for row in known)


def rate_gaps(rows: Iterable[SliceRow]) -> Mapping[str, float]:
    """Return the largest rate gap of each sensitive column that has one.

    Examples
    --------
    >>> rows = [SliceRow("sex", "f", 90, rate_gap=0.3, sensitive=True), SliceRow("age", "1", 90)]
    >>> rate_gaps(rows)
    {'sex': 0.3}
    """
    gaps: dict[str, float] = {}
    for row in rows:
        if row.sensitive and row.rate_gap is not None:
            gaps[row.column] = max(row.rate_gap, gaps.get(row.column, 0.0))
    return gaps


def _with_rates(row: SliceRow, truth: FloatArray, said: Predictions) -> SliceRow:
    positive = said.values == 1
    return replace(
        row,
        share=_mean_or_none(positive),
        hit_rate=_mean_or_none(positive[truth == 1]),
        false_alarm_rate=_mean_or_none(positive[truth == 0]),
    )


def _bias(truth: FloatArray, said: Predictions, task: Task) -> float | None:
    if task == MULTICLASS:
        return None
    shares = probabilities_or_values(said)
    return _mean_or_none((shares if shares.ndim == 1 else shares[:, 1]) - truth)


def _mean_or_none(values: FloatArray | NDArray[np.bool_]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _largest_rate_gap(row: SliceRow, rows: Iterable[SliceRow]) -> float | None:
    if row.share is None or row.small:
        return None
    alike = [each for each in rows if each.column == row.column and not each.small]
    others = [each.share for each in alike if each.share is not None and each is not row]
    return max((abs(row.share - share) for share in others), default=None)
