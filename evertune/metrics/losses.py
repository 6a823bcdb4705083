"""The bounded loss of each row and its daily sums, the input of the sequential tests.

`bounded_losses` lies in [0, 1]: half the squared distance of the probabilities from the truth
(Brier, 1950), 0 or 1 without probabilities, and |error| / `error_scale`, at most 1, in
regression. `daily_losses` adds them up by day.
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
    """The losses of the labelled rows of one day: its start, the rows, the sum of their losses."""

    day: datetime
    n: int
    total: float


def bounded_losses(
    y_true: FloatArray, pred: Predictions, *, task: Task, scale: float | None = None
) -> FloatArray:
    """Return the loss of each row, in [0, 1], NaN where the truth is not known.

    With probabilities it is half the squared distance between the probabilities and the truth, in
    a binary task (p - y)^2; without them 1 for a wrong class and 0 for a right one. Unlike right
    and wrong, the squared distance also shows a relation that changes while the likelier class
    stays the same (rare classes), and it varies less from row to row.

    Parameters
    ----------
    scale : float, optional
        The error that counts as 1, from `error_scale`; regression needs it.

    Raises
    ------
    ValueError
        If the task is regression and the scale is not a positive number.

    Examples
    --------
    >>> proba = np.array([[0.2, 0.8], [0.5, 0.5]])
    >>> pred = Predictions(np.array([1.0, 0.0]), proba)
    >>> bounded_losses(np.array([1.0, 1.0]), pred, task="binary").round(2)
    array([0.04, 0.25])
    """
    if task == "regression":
        if scale is None or not scale > 0:
            raise ValueError(
                f"Expected the scale of a regression's errors above 0, but got {scale=}."
            )
        return np.minimum(np.abs(y_true - pred.values) / scale, 1.0)
    if pred.probabilities is None:
        wrong = (pred.values != y_true).astype(np.float64)
        return np.where(np.isnan(y_true + pred.values), np.nan, wrong)
    known = np.isfinite(y_true)
    target = np.zeros_like(pred.probabilities)
    target[known, y_true[known].astype(np.int64)] = 1.0
    losses = ((pred.probabilities - target) ** 2).sum(axis=1) / 2
    return np.where(known, np.clip(losses, 0.0, 1.0), np.nan)


def error_scale(y_true: FloatArray, pred: Predictions) -> float:
    """Return the error that counts as a loss of 1 in regression: the 99 % quantile of |error|.

    Larger errors count the same, so that a single outlier proves nothing. 1 if there are no rows
    or no errors.
    """
    errors = np.abs(y_true - pred.values)
    errors = errors[np.isfinite(errors)]
    scale = float(np.quantile(errors, ERROR_SCALE_QUANTILE)) if errors.size else 0.0
    return scale if scale > 0 else float(errors.max(initial=0.0)) or 1.0


def daily_losses(
    moments: pd.Series, losses: FloatArray, *, days: float = 1
) -> tuple[DailyLoss, ...]:
    """Return the losses summed by day, oldest first; rows without a loss or moment are left out.

    Parameters
    ----------
    losses : array of shape (n,)
        In [0, 1]; NaN where there is no label.
    days : float
        Length of a "day"; they are counted from 1970-01-01 on.

    Examples
    --------
    >>> moments = pd.Series(pd.to_datetime(["2024-05-01", "2024-05-01", "2024-05-03"]))
    >>> [(d.day.day, d.n, d.total) for d in daily_losses(moments, np.array([0.5, 0, 1]))]
    [(1, 2, 0.5), (3, 1, 1.0)]
    """
    mask = np.isfinite(losses) & moments.notna().to_numpy()
    starts = moments[mask].astype("datetime64[us]").dt.floor(pd.Timedelta(days=days))
    sums = pd.Series(losses[mask]).groupby(starts.to_numpy()).agg(["size", "sum"])
    return tuple(
        DailyLoss(to_utc_datetime(pd.Timestamp(day)), int(n), float(total))
        for day, n, total in sums.itertuples()
    )


def counts_and_totals(days: Sequence[DailyLoss]) -> tuple[FloatArray, FloatArray]:
    """Return the rows and the totals of days as arrays of shape (n_days,)."""
    counts = np.array([day.n for day in days], dtype=np.float64)
    return counts, np.array([day.total for day in days], dtype=np.float64)
