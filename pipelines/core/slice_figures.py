"""How well a model does on slices of a table, and how its rates differ between them."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace

import numpy as np
from numpy.typing import NDArray

from pipelines.core.intervals import bootstrap_interval
from pipelines.core.metrics import BINARY, MULTICLASS, Metric, figures
from pipelines.core.model_figures import Bootstrap
from pipelines.core.predictions import Floats, Predictions, Task, figures_of
from pipelines.core.slicing import Slice, SliceRow
from pipelines.core.truths import taken


def slice_row(  # noqa: PLR0913
    part: Slice,
    metric: Metric,
    truth: Floats,
    predictions: Predictions,
    *,
    bootstrap: Bootstrap,
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
    bootstrap : Bootstrap
    least_rows : int
        A slice with fewer is marked as small.
    task : str

    Examples
    --------
    >>> from pipelines.core.metrics import METRICS
    >>> truth, said = np.array([1.0, 0.0, 1.0]), Predictions(np.array([1.0, 1.0, 0.0]))
    >>> draws = Bootstrap(100, 0.9, 0)
    >>> row = slice_row(Slice("plan", "pro", np.array([0, 1])), METRICS["accuracy"], truth, said,
    ...     bootstrap=draws, least_rows=5, task="binary")
    >>> row.figure, row.share, row.hit_rate, row.false_alarm_rate, row.small
    (0.5, 1.0, 1.0, 1.0, True)
    """
    true, said = truth[part.rows], taken(predictions, part.rows)
    interval = bootstrap_interval(metric, true, said, **asdict(bootstrap))
    row = SliceRow(
        column=part.column,
        value=part.value,
        n_rows=len(part.rows),
        figure=figures([metric], true, said)[metric.name],
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
    return tuple(replace(row, rate_gap=_gap(row, known)) for row in known)


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


def _with_rates(row: SliceRow, truth: Floats, said: Predictions) -> SliceRow:
    positive = said.values == 1
    return replace(
        row,
        share=_mean(positive),
        hit_rate=_mean(positive[truth == 1]),
        false_alarm_rate=_mean(positive[truth == 0]),
    )


def _bias(truth: Floats, said: Predictions, task: Task) -> float | None:
    if task == MULTICLASS:
        return None
    shares = figures_of(said)
    return _mean((shares if shares.ndim == 1 else shares[:, 1]) - truth)


def _mean(values: Floats | NDArray[np.bool_]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _gap(row: SliceRow, rows: Iterable[SliceRow]) -> float | None:
    if row.share is None or row.small:
        return None
    alike = [each for each in rows if each.column == row.column and not each.small]
    others = [each.share for each in alike if each.share is not None and each is not row]
    return max((abs(row.share - share) for share in others), default=None)
