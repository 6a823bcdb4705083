"""What a model was learned and judged on, as monitoring compares production with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from pandas.api.types import is_datetime64_any_dtype

from pipelines.core.input_reference import InputReference, input_reference
from pipelines.core.metrics import Metric
from pipelines.core.model import Model, predict
from pipelines.core.performance_reference import PerformanceReference, performance_reference
from pipelines.core.predictions import Predictions
from pipelines.core.schema import Schema
from pipelines.core.truths import truth_of

MOMENT = "moment"
MOST_RISE = 0.03


@dataclass(frozen=True)
class Reference:
    """The picture of a version that its production is held against.

    Attributes
    ----------
    schema : Schema
        A window with another one cannot be compared.
    window_days : float
        Of the windows that input drift is calibrated on.
    inputs : InputReference
        Of the rows that it was learned from and judged on.
    performance : PerformanceReference
        Of the hold-out alone: rows that it never saw.
    importance : dict
        What it loses when a column is shuffled, by column.
    """

    schema: Schema
    window_days: float
    inputs: InputReference
    performance: PerformanceReference
    importance: dict[str, float]


def reference_of(  # noqa: PLR0913
    model: Model,
    *,
    training: pd.DataFrame,
    holdout: pd.DataFrame,
    metrics: Sequence[Metric],
    importance: Mapping[str, float],
    slices: Sequence[str] = (),
    window_days: float = 1,
    seed: int = 0,
) -> Reference:
    """Return the reference of a model.

    Parameters
    ----------
    model : Model
    training, holdout : DataFrame
        Clean rows with the target: those that it was learned from, and those that it never saw.
        `moment`, or the schema's time column, says when a row was; without dates, windows are
        drawn at random.
    metrics : sequence of Metric
        The metric that is optimised comes first.
    importance : mapping
        By column, from the evaluation.
    slices : sequence of str
        Columns whose values are judged on their own.
    window_days : float
    seed : int
    """
    schema = model.schema
    said = predict(model.fitted, holdout, schema)
    features = holdout[[column.name for column in schema.features]]
    judged = [name for name in slices if name in holdout]
    performance = performance_reference(
        truth_of(holdout, schema),
        said,
        task=schema.task,
        metrics=metrics,
        moments=moments_of(holdout, schema),
        slices=holdout[judged] if judged else None,
        features=features,
        seed=seed,
    )
    rows = pd.concat([training, holdout], ignore_index=True)
    inputs = input_reference(
        rows,
        schema,
        moments=moments_of(rows, schema),
        predictions=_behind(said, n_before=len(training)),
        window_days=window_days,
        seed=seed,
    )
    return Reference(schema, window_days, inputs, performance, dict(importance))


def moments_of(table: pd.DataFrame, schema: Schema) -> pd.Series | None:
    """Return when each row of a clean table was, None where nothing says so.

    A row from the prediction log has its `moment`; any other has the schema's time column, where
    that is a date and not a counter.

    Examples
    --------
    >>> schema = Schema((), "left", "binary", ("no", "yes"), time="day")
    >>> rows = pd.DataFrame({"day": pd.to_datetime(["2024-05-01", "2024-05-02"])})
    >>> logged = rows.assign(moment=[pd.NaT, pd.Timestamp("2024-06-01")])
    >>> moments_of(logged, schema).dt.month.tolist()
    [5, 6]
    >>> moments_of(pd.DataFrame({"day": [1.0, 2.0]}), schema) is None
    True
    """
    time = table[schema.time] if schema.time is not None and schema.time in table else None
    dated = time if time is not None and is_datetime64_any_dtype(time) else None
    if MOMENT not in table or not table[MOMENT].notna().any():
        return dated
    return table[MOMENT] if dated is None else table[MOMENT].fillna(dated)


def capped(reference: Reference, former: Reference | None) -> Reference:
    """Return a new champion's reference with a base loss that rose by 0.03 at most.

    The baseline never moves up by itself: a champion that is worse than the one before it is
    held against the better past.

    Parameters
    ----------
    reference : Reference
        Of the champion, from its own hold-out.
    former : Reference, optional
        Of the champion before it, capped itself; None where there was none.
    """
    if former is None:
        return reference
    found, most = reference.performance, former.performance.loss + MOST_RISE
    if found.task != former.performance.task or found.loss <= most:
        return reference
    share = most / found.loss
    days = tuple(replace(day, total=day.total * share) for day in found.days)
    return replace(reference, performance=replace(found, loss=most, days=days))


def _behind(said: Predictions, *, n_before: int) -> Predictions:
    """Return predictions behind rows that have none: what was learned from is known too well."""
    values = np.concatenate([np.full(n_before, np.nan), said.values])
    if said.probabilities is None:
        return Predictions(values)
    none = np.full((n_before, said.probabilities.shape[1]), np.nan)
    return Predictions(values, np.concatenate([none, said.probabilities]))
