"""The bounded loss of each row and its daily sums, the input of the sequential tests.

`bounded_losses` lies in [0, 1]: half the squared distance of the probabilities from the truth
(Brier, 1950), 0 or 1 without probabilities, and |error| / `error_scale`, at most 1, in
regression. `daily_losses` adds them up by day. The scale is the 99 % quantile of |error|, so
that a single outlier proves nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from evertune.times import to_utc_datetime
from evertune.types import FloatArray, Predictions, Task

ERROR_SCALE_QUANTILE = 0.99


@dataclass(frozen=True)
class DailyLoss:
    """The losses of the rows of one day that have a label.

    Attributes
    ----------
    day : datetime
        Its start.
    n : int
        Rows.
    total : float
        Sum of their losses, each in [0, 1].
    """

    day: datetime
    n: int
    total: float


def bounded_losses(
    truth: FloatArray, predictions: Predictions, *, task: Task, scale: float | None = None
) -> FloatArray:
    """Return the loss of each row, in [0, 1].

    With probabilities it is half the squared distance between the probabilities and the truth
    (Brier, 1950), in a binary task (p - y)^2; without them 1 for a wrong class and 0 for a right
    one. The squared distance also sees a relation that changes while the likelier class stays
    the same, as in rare classes, and varies less from row to row than right and wrong do. In
    regression it is |error| / scale, at most 1.

    Parameters
    ----------
    truth : array of shape (n,)
        NaN where the truth is unknown; such rows have the loss NaN.
    predictions : Predictions
    task : str
    scale : float, optional
        The error that counts as 1, from `error_scale`; regression needs it.

    Raises
    ------
    ValueError
        If the task is regression and the scale is no positive number.

    Examples
    --------
    >>> chances = np.array([[0.2, 0.8], [0.5, 0.5]])
    >>> said = Predictions(np.array([1.0, 0.0]), chances)
    >>> bounded_losses(np.array([1.0, 1.0]), said, task="binary").round(2)
    array([0.04, 0.25])
    >>> said = Predictions(np.array([1.0, 9.0]))
    >>> bounded_losses(np.array([2.0, 1.0]), said, task="regression", scale=4.0)
    array([0.25, 1.  ])
    """
    if task == "regression":
        return _scaled_errors(truth, predictions.values, scale)
    if predictions.probabilities is None:
        wrong = (predictions.values != truth).astype(np.float64)
        return np.where(np.isnan(truth + predictions.values), np.nan, wrong)
    known = np.isfinite(truth)
    chances = predictions.probabilities
    hit = np.zeros_like(chances)
    hit[known, truth[known].astype(np.int64)] = 1.0
    losses = ((chances - hit) ** 2).sum(axis=1) / 2
    return np.where(known, np.clip(losses, 0.0, 1.0), np.nan)


def error_scale(truth: FloatArray, predictions: Predictions) -> float:
    """Return the error that counts as a loss of 1 in regression: the 99 % quantile of |error|.

    Errors beyond it are not told apart, so that a single outlier proves nothing. It is 1 where
    there are no rows or no errors.

    Examples
    --------
    >>> float(error_scale(np.zeros(101), Predictions(np.arange(101.0))))
    99.0
    """
    errors = np.abs(truth - predictions.values)
    errors = errors[np.isfinite(errors)]
    scale = float(np.quantile(errors, ERROR_SCALE_QUANTILE)) if errors.size else 0.0
    return scale if scale > 0 else float(errors.max(initial=0.0)) or 1.0


def daily_losses(
    moments: pd.Series, losses: FloatArray, *, days: float = 1
) -> tuple[DailyLoss, ...]:
    """Return the losses summed by day, oldest first; rows without a loss or moment are left out.

    Parameters
    ----------
    moments : Series of datetime64, n rows
    losses : array of shape (n,)
        In [0, 1]; NaN where there is no label.
    days : float
        Length of a "day"; they are counted from 1970-01-01 on.

    Examples
    --------
    >>> moments = pd.Series(pd.to_datetime(["2024-05-01", "2024-05-01", "2024-05-03"]))
    >>> [(each.day.day, each.n, each.total) for each in daily_losses(moments, np.array([0.5, 0, 1]))]
    [(1, 2, 0.5), (3, 1, 1.0)]
    """
    kept = np.isfinite(losses) & moments.notna().to_numpy()
    length = pd.Timedelta(days=days)
    starts = moments[kept].astype("datetime64[us]").dt.floor(length)
    sums = pd.Series(losses[kept]).groupby(starts.to_numpy()).agg(["size", "sum"])
    return tuple(
        DailyLoss(to_utc_datetime(pd.Timestamp(day)), int(n), float(total))
        for day, n, total in sums.itertuples()
    )


def counts_and_totals(days: Sequence[DailyLoss]) -> tuple[FloatArray, FloatArray]:
    """Return the rows and the totals of days as arrays of shape (n_days,)."""
    counts = np.array([each.n for each in days], dtype=np.float64)
    return counts, np.array([each.total for each in days], dtype=np.float64)


def _scaled_errors(truth: FloatArray, values: FloatArray, scale: float | None) -> FloatArray:
    if scale is None or not scale > 0:
        raise ValueError(f"Expected the scale of a regression's errors above 0, but got {scale=}.")
    return np.minimum(np.abs(truth - values) / scale, 1.0)
