"""The reference profile of a model's inputs, window by window: what drift is measured against.

`build_input_reference` takes the rows that a model was trained and evaluated on, so that
seasons are in them, and returns the column profiles, the null distributions of the drift
statistics of features and predictions, and the joint-drift reference. Predictions of training
rows are left out, because a model is too sure of those. Without time the differences between
days are unknown, so the smallest change of interest is five times as large; `notes` says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from pydantic import AliasChoices, Field

from evertune.data.schema import TableSchema
from evertune.monitoring.bins import BinCodes, hash_rows, parse_column
from evertune.monitoring.column_reference import (
    ColumnReference,
    add_histograms,
    build_column_reference,
    prediction_reference,
    prediction_values,
)
from evertune.monitoring.drift_null import DriftNull, fit_drift_null
from evertune.monitoring.drift_statistics import compute_statistics, drift_statistics
from evertune.monitoring.joint_drift import JointReference, build_joint_reference
from evertune.monitoring.window_bounds import ReferenceWindows, split_into_windows
from evertune.times import MICROSECONDS_PER_DAY, times_to_numbers
from evertune.types import FloatArray, Predictions, take_rows

UNTIMED_TOLERANCE_FACTOR = 5.0
MIN_DAYS_WITH_SEASONS = 360


@dataclass(frozen=True)
class InputReference:
    """What windows of inputs and predictions are compared with.

    Attributes
    ----------
    columns : tuple of ColumnReference
        One a feature, in the schema's order.
    predictions : tuple of ColumnReference
        Of the predicted classes and probabilities, or values.
    input_null, prediction_null : DriftNull, optional
        How much windows differ in features and in predictions; None with too few rows to tell.
    joint : JointReference, optional
        None with fewer than two features, or too few rows.
    usual_rows : float
        Of a window.
    duplicates : float
        Share of rows of a usual window that equal an earlier one of it in all features.
    window_days : float
        Of the windows that were compared; longer than wanted where days have few rows.
    timed : bool
        Whether they are windows of time, so that differences between days are known.
    notes : tuple of str
        What a reader of the drift scores has to know.
    """

    columns: tuple[ColumnReference, ...]
    predictions: tuple[ColumnReference, ...]
    input_null: Annotated[
        DriftNull | None, Field(validation_alias=AliasChoices("input_null", "inputs"))
    ]
    prediction_null: Annotated[
        DriftNull | None, Field(validation_alias=AliasChoices("prediction_null", "said"))
    ]
    joint: JointReference | None
    n_rows: int
    usual_rows: float
    duplicates: float
    window_days: float
    wanted_days: float
    timed: bool
    notes: tuple[str, ...]


def build_input_reference(
    table: pd.DataFrame,
    schema: TableSchema,
    *,
    moments: pd.Series | None,
    predictions: Predictions | None,
    window_days: float,
    seed: int,
) -> InputReference:
    """Return the reference of a table of clean features.

    Parameters
    ----------
    table : DataFrame of n rows
        The training and hold-out rows of the model, so that the seasons are in them.
    moments : series of datetime64, n rows, optional
        The time of each row. If None or missing, windows are drawn at random, and what differs
        between days is not known.
    predictions : Predictions, n rows, optional
        With NaN for training rows: a model is too sure of those.
    seed : int
        Of the rows that are drawn.

    Examples
    --------
    >>> from evertune.data.schema import Column
    >>> table = pd.DataFrame({"age": np.random.default_rng(0).normal(40, 9, 3000)})
    >>> found = build_input_reference(
    ...     table,
    ...     TableSchema((Column("age", "number"),), "left", "binary"),
    ...     moments=pd.Series(pd.date_range("2024-01-01", periods=60).repeat(50)),
    ...     predictions=None,
    ...     window_days=1,
    ...     seed=0,
    ... )
    >>> found.input_null.daily.n_windows, found.notes
    (60, ('the reference spans 60 days, less than a year: seasons are not in it',))
    """
    windows = split_into_windows(moments, len(table), window_days=window_days, seed=seed)
    anchors = np.full(len(table), np.nan)  # ages of dates are counted from the window's start
    if moments is not None and windows.timed:
        step = window_days * MICROSECONDS_PER_DAY
        anchors = np.floor(times_to_numbers(moments.to_numpy()) / step) * step
    cells = [parse_column(table[each.name], each, schema) for each in schema.features]
    columns, codes = [], np.zeros((len(table), len(cells)), dtype=np.uint8)
    for place, (parsed, described) in enumerate(zip(cells, schema.features, strict=True)):
        column = build_column_reference(parsed, described, anchors=anchors, timed=windows.timed)
        codes[:, place], _ = column.codes_and_values(parsed, anchors)
        columns.append(column)
    profiles, input_null = _profiles_and_null(columns, codes, windows)
    prediction_profiles, prediction_null = _describe_predictions(
        predictions, schema, moments, window_days=window_days, seed=seed
    )
    inside = windows.places >= 0
    rows = pd.DataFrame({"window": windows.places, "hash": hash_rows(cells, len(table))})[inside]
    return InputReference(
        columns=profiles,
        predictions=prediction_profiles,
        input_null=input_null,
        prediction_null=prediction_null,
        joint=build_joint_reference(codes, windows, seed=seed),
        n_rows=len(table),
        usual_rows=float(np.median(windows.rows)) if len(windows.rows) else 0.0,
        duplicates=float(rows.duplicated().sum() / max(len(rows), 1)),
        window_days=windows.days,
        wanted_days=window_days,
        timed=windows.timed,
        notes=_notes(windows, input_null, wanted_days=window_days),
    )


def check_same_schema(reference: InputReference, schema: TableSchema) -> None:
    """Check that a reference is of this schema.

    Raises
    ------
    ValueError
        If its features have other names or kinds.
    """
    expected = {column.name: column.kind for column in reference.columns}
    actual = {column.name: column.kind for column in schema.features}
    if expected != actual:
        other = sorted(set(expected.items()) ^ set(actual.items()))
        shown = ", ".join(f"{name} ({kind})" for name, kind in other[:5])
        raise ValueError(
            f"The reference is of another schema: expected the {len(expected)} features that it "
            f"was made of, but the schema has {len(actual)}; they differ in {shown}. Make the "
            "reference of this model again."
        )


def _describe_predictions(
    predictions: Predictions | None,
    schema: TableSchema,
    moments: pd.Series | None,
    *,
    window_days: float,
    seed: int,
) -> tuple[tuple[ColumnReference, ...], DriftNull | None]:
    if predictions is None:
        return (), None
    known = np.flatnonzero(~np.isnan(predictions.values))
    times = None if moments is None else moments.iloc[known].reset_index(drop=True)
    windows = split_into_windows(times, len(known), window_days=window_days, seed=seed)
    values = prediction_values(take_rows(predictions, known), schema)
    columns = [prediction_reference(name, each, schema) for name, each in values.items()]
    codes = [column.bins.codes(values[column.name]) for column in columns]
    return _profiles_and_null(columns, np.column_stack(codes), windows)


def _profiles_and_null(
    columns: Sequence[ColumnReference], codes: BinCodes, windows: ReferenceWindows
) -> tuple[tuple[ColumnReference, ...], DriftNull | None]:
    """Return the columns with their histograms, and how much windows differ in them."""
    profiles, counts = add_histograms(columns, codes, windows)
    if not len(windows.rows):
        return profiles, None
    factor = 1.0 if windows.timed else UNTIMED_TOLERANCE_FACTOR
    statistics = [
        replace(each, least=each.least * factor)
        for column in profiles
        for each in drift_statistics(column)
    ]

    def compute(n_windows: int) -> FloatArray:
        pooled = sliding_window_view(counts, n_windows, axis=0).sum(axis=-1)
        return np.hstack(
            [
                compute_statistics(
                    column, pooled[:, place, : column.bins.size], pooled[:, place, -1]
                )
                for place, column in enumerate(profiles)
            ]
        )

    return profiles, fit_drift_null(compute, statistics, windows=windows)


def _notes(
    windows: ReferenceWindows, null: DriftNull | None, *, wanted_days: float
) -> tuple[str, ...]:
    if null is None:
        return (
            f"the reference has too few rows ({len(windows.places)}) to tell drift from chance",
        )
    notes = []
    if not windows.timed:
        notes.append("the reference has no time: what differs between days is not known")
    elif windows.span_days < MIN_DAYS_WITH_SEASONS:
        days = f"{windows.span_days:g} days"
        notes.append(f"the reference spans {days}, less than a year: seasons are not in it")
    if windows.days != wanted_days:
        notes.append(
            f"its windows of {wanted_days:g} days have few rows: {windows.days:g} days are used"
        )
    return (*notes, *null.notes)
