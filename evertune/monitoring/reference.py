"""The monitoring reference of a model version: what its production is compared with.

`build_reference` joins the input reference (training and hold-out rows) with the performance
reference (hold-out only: rows that the model never saw). `cap_reference_loss` limits the base
loss of a new champion to that of the one before it plus 0.03: a champion that is worse than its
predecessor is compared with the better past, and the baseline never moves up by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_datetime64_any_dtype

from evertune.data.schema import MOMENT_COLUMN, TableSchema, encode_target
from evertune.files import atomic_folder, read_record, write_record
from evertune.metrics.metrics import Metric
from evertune.models.fitted_model import Model, predict
from evertune.monitoring.input_reference import InputReference, build_input_reference
from evertune.monitoring.performance import (
    PerformanceReference,
    build_performance_reference,
)
from evertune.times import to_wall_clock
from evertune.types import Predictions

MAX_LOSS_RISE = 0.03
REFERENCE_FILE = "reference.json"


@dataclass(frozen=True)
class Reference:
    """What the production of a version is compared with.

    Attributes
    ----------
    schema : TableSchema
        A window with another one cannot be compared.
    window_days : float
        Of the windows that input drift is calibrated on.
    inputs : InputReference
        Of the training and hold-out rows.
    performance : PerformanceReference
        Of the hold-out alone, which the model never saw.
    importance : dict
        What the model loses when a column is shuffled, by column.
    timezone : str
        Whose days the windows are; UTC in references of before.
    """

    schema: TableSchema
    window_days: float
    inputs: InputReference
    performance: PerformanceReference
    importance: dict[str, float]
    timezone: str = "UTC"


def build_reference(
    model: Model,
    *,
    training: pd.DataFrame,
    holdout: pd.DataFrame,
    metrics: Sequence[Metric],
    importance: Mapping[str, float],
    slices: Sequence[str] = (),
    window_days: float = 1,
    timezone: str = "UTC",
    seed: int = 0,
) -> Reference:
    """Return the reference of a model.

    Parameters
    ----------
    training, holdout : DataFrame
        Clean rows with the target. The time of a row is its `moment`, if it is from the
        prediction log, or the schema's time column, if that is a date; without times, windows
        are drawn at random.
    metrics : sequence of Metric
        The primary metric comes first.
    importance : mapping
        By column, from the evaluation.
    slices : sequence of str
        Columns whose values are judged on their own.
    timezone : str
        Whose days make the windows, such as Europe/Berlin.
    """
    schema = model.schema
    pred = predict(model.fitted, holdout, schema)
    judged = [name for name in slices if name in holdout]
    performance = build_performance_reference(
        encode_target(holdout, schema),
        pred,
        task=schema.task,
        metrics=metrics,
        moments=_row_moments(holdout, schema, timezone),
        slices=holdout[judged] if judged else None,
        features=holdout[[column.name for column in schema.features]],
        seed=seed,
    )
    # a model is too sure of the rows that it was trained on: their predictions are left out
    padding, proba = ((len(training), 0),), pred.probabilities
    padded = Predictions(
        np.pad(pred.values, padding, constant_values=np.nan),
        None if proba is None else np.pad(proba, (*padding, (0, 0)), constant_values=np.nan),
    )
    rows = pd.concat([training, holdout], ignore_index=True)
    inputs = build_input_reference(
        rows,
        schema,
        moments=_row_moments(rows, schema, timezone),
        predictions=padded,
        window_days=window_days,
        seed=seed,
    )
    return Reference(schema, window_days, inputs, performance, dict(importance), timezone)


def _row_moments(table: pd.DataFrame, schema: TableSchema, zone: str) -> pd.Series | None:
    """Return the time of each row there, None if neither `moment` nor the time column is a date."""
    time = table[schema.time] if schema.time is not None and schema.time in table else None
    dated = time if time is not None and is_datetime64_any_dtype(time) else None
    if MOMENT_COLUMN not in table or not table[MOMENT_COLUMN].notna().any():
        moments = dated
    else:
        moments = table[MOMENT_COLUMN] if dated is None else table[MOMENT_COLUMN].fillna(dated)
    return None if moments is None else to_wall_clock(moments, zone)


def cap_reference_loss(reference: Reference, former: Reference | None) -> Reference:
    """Return a new champion's reference with a base loss that rose by 0.03 at most.

    The baseline never moves up by itself: a champion that is worse than the one before it is
    compared with the better past.

    Parameters
    ----------
    former : Reference, optional
        Of the champion before it, capped itself; None where there was none.
    """
    if former is None:
        return reference
    performance, most = reference.performance, former.performance.loss + MAX_LOSS_RISE
    if performance.task != former.performance.task or performance.loss <= most:
        return reference
    factor = most / performance.loss
    days = tuple(replace(day, total=day.total * factor) for day in performance.days)
    return replace(reference, performance=replace(performance, loss=most, days=days))


def save_reference(folder: Path, reference: Reference) -> None:
    """Write a reference; an older one in the folder is replaced when all is written."""
    with atomic_folder(folder) as part:
        write_record(part / REFERENCE_FILE, reference)


def load_reference(folder: Path) -> Reference:
    """Return the reference that `save_reference` wrote.

    Raises
    ------
    InputError
        If the folder holds none.
    """
    return read_record(folder / REFERENCE_FILE, Reference)
