"""How well a model does on rows it never saw, as production is compared with it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipelines.core.calibrating import Calibration, calibration_of
from pipelines.core.error_model import ErrorModel, error_model
from pipelines.core.losses import LossDay, bounded_losses, error_scale, loss_days
from pipelines.core.metrics import REGRESSION, Metric, figures
from pipelines.core.predictions import Floats, Predictions, Task
from pipelines.core.trials import Figures
from pipelines.core.truths import taken

FEWEST_OF_A_SLICE = 30
MOST_SLICES = 50


@dataclass(frozen=True)
class SliceReference:
    """The rows of one value of a column (`part` is `column=value`)."""

    part: str
    n: int
    loss: float
    figures: Figures


@dataclass(frozen=True)
class PerformanceReference:
    """What a model's own hold-out says of it.

    Attributes
    ----------
    task : str
    metric : str
        The metric that is optimised.
    n : int
        Rows.
    figures : dict
        Every metric, by name.
    loss : float
        Mean bounded loss.
    dispersion : float
        Variance of the rows' losses over loss (1 - loss).
    days : tuple of LossDay
        Empty where the rows have no moments.
    scale : float, optional
        The error that counts as 1, in regression.
    calibration : Calibration, optional
        Binary: of the positive class; multiclass: of the class that is said.
    errors : ErrorModel, optional
        In regression: what expects the loss of a row.
    slices : tuple of SliceReference
    """

    task: Task
    metric: str
    n: int
    figures: Figures
    loss: float
    dispersion: float
    days: tuple[LossDay, ...] = ()
    scale: float | None = None
    calibration: Calibration | None = None
    errors: ErrorModel | None = None
    slices: tuple[SliceReference, ...] = ()


def performance_reference(  # noqa: PLR0913
    truth: Floats,
    predictions: Predictions,
    *,
    task: Task,
    metrics: Sequence[Metric],
    moments: pd.Series | None = None,
    slices: pd.DataFrame | None = None,
    features: pd.DataFrame | None = None,
    seed: int = 0,
) -> PerformanceReference:
    """Return the reference of a model from its hold-out.

    Parameters
    ----------
    truth : array of shape (n,)
    predictions : Predictions
    task : str
    metrics : sequence of Metric
        The metric that is optimised comes first.
    moments : Series of datetime64, optional
        When each row was; without them nothing says how days differ, and the test is less sure.
    slices : DataFrame, optional
        Columns whose values are judged on their own.
    features : DataFrame, optional
        Clean columns, from which the loss of a regression is expected.
    seed : int

    Raises
    ------
    ValueError
        If there are no rows.

    Examples
    --------
    >>> from pipelines.core.metrics import METRICS
    >>> said = Predictions(np.array([0.0, 1.0, 1.0, 0.0]))
    >>> found = performance_reference(
    ...     np.array([0.0, 1.0, 0.0, 0.0]), said, task="binary", metrics=[METRICS["accuracy"]]
    ... )
    >>> found.figures, found.loss, found.dispersion
    ({'accuracy': 0.75}, 0.25, 1.0)
    """
    if not truth.size:
        raise ValueError("Expected rows of the hold-out, but got none.")
    scale = error_scale(truth, predictions) if task == REGRESSION else None
    losses = bounded_losses(truth, predictions, task=task, scale=scale)
    mean = float(np.nanmean(losses))
    return PerformanceReference(
        task=task,
        metric=metrics[0].name,
        n=int(np.isfinite(losses).sum()),
        figures=figures(metrics, truth, predictions),
        loss=mean,
        dispersion=_dispersion(losses, mean),
        days=() if moments is None else loss_days(moments.reset_index(drop=True), losses),
        scale=scale,
        calibration=calibration_of(truth, predictions),
        errors=_errors(features, predictions, losses, seed=seed) if task == REGRESSION else None,
        slices=_slices(truth, predictions, losses, metrics=metrics, columns=slices),
    )


def _errors(
    features: pd.DataFrame | None, predictions: Predictions, losses: Floats, *, seed: int
) -> ErrorModel:
    known = np.isfinite(losses)
    rows = None if features is None else features[known]
    return error_model(rows, predictions.values[known], losses[known], seed=seed)


def _dispersion(losses: Floats, mean: float) -> float:
    variance = mean * (1 - mean)
    return float(np.nanvar(losses)) / variance if variance > 0 else 1.0


def _slices(
    truth: Floats,
    predictions: Predictions,
    losses: Floats,
    *,
    metrics: Sequence[Metric],
    columns: pd.DataFrame | None,
) -> tuple[SliceReference, ...]:
    found = []
    for part, rows in parts_of(columns, fewest=FEWEST_OF_A_SLICE):
        held = figures(metrics, truth[rows], taken(predictions, rows))
        found.append(SliceReference(part, len(rows), float(np.nanmean(losses[rows])), held))
    return tuple(found)


def parts_of(
    columns: pd.DataFrame | None, *, fewest: int
) -> tuple[tuple[str, NDArray[np.int64]], ...]:
    """Return each value of each column as `column=value`, with the places of its rows.

    Parameters
    ----------
    columns : DataFrame of n rows, optional
    fewest : int
        Values with fewer rows are left out; of the others the fifty most frequent of a column
        are kept.

    Examples
    --------
    >>> columns = pd.DataFrame({"plan": ["basic", "premium", "basic"]})
    >>> [(part, rows.tolist()) for part, rows in parts_of(columns, fewest=2)]
    [('plan=basic', [0, 2])]
    """
    found: list[tuple[str, NDArray[np.int64]]] = []
    for name in columns if columns is not None else ():
        values = columns[name].astype("str").reset_index(drop=True)  # type: ignore[index]
        counts = values.value_counts()
        kept = counts.index[counts >= fewest][:MOST_SLICES]
        found.extend((f"{name}={value}", np.flatnonzero(values == value)) for value in kept)
    return tuple(found)
