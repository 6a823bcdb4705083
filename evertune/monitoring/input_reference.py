"""Describe a model's input rows, window by window: what input drift is measured against.

`build_input_reference` takes the rows that a model was trained and evaluated on, so that
seasons are in them, and returns the column profiles, the null distributions of the drift
statistics of features and predictions, and the joint-drift reference. Predictions of training
rows are left out, because a model is too sure of those. Without time the differences between
days are unknown, so the smallest change of interest is five times as large; `notes` says so.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from evertune.data.schema import TableSchema
from evertune.monitoring.bins import BinCodes, ParsedColumn, bin_column, hash_rows, parse_column
from evertune.monitoring.column_reference import (
    BinnedPredictions,
    ColumnReference,
    add_histograms,
    build_column_reference,
    prediction_columns,
)
from evertune.monitoring.drift_null import DriftNull, fit_drift_null
from evertune.monitoring.drift_statistics import Counts, compute_statistics, drift_statistics
from evertune.monitoring.joint_drift import JointReference, build_joint_reference
from evertune.monitoring.window_bounds import ReferenceWindows, split_into_windows
from evertune.times import MICROSECONDS_PER_DAY, times_to_numbers
from evertune.types import FloatArray, Predictions, take_rows

UNTIMED_TOLERANCE_FACTOR = 5.0
MIN_DAYS_WITH_SEASONS = 360


@dataclass(frozen=True)
class InputReference:
    """The picture of a table's features that windows are compared with.

    Attributes
    ----------
    columns : tuple of ColumnReference
        One a feature, in the schema's order.
    predictions : tuple of ColumnReference
        Of what the model said: its classes and how sure it was, or its values.
    inputs, said : DriftNull, optional
        How much windows differ in features and in predictions; None with too few rows to tell.
    usual_rows : float
        Of a window.
    duplicates : float
        Share of rows of a usual window that equal an earlier one of it in all features.
    window_days : float
        Of the windows that were compared; longer than wanted where days have few rows.
    timed : bool
        Whether they are windows of time, so that differences between days are known.
    notes : tuple of str
        What a reader of its drift figures has to know.
    """

    columns: tuple[ColumnReference, ...]
    predictions: tuple[ColumnReference, ...]
    inputs: DriftNull | None
    said: DriftNull | None
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
        As `conform` gives it; the rows that the model was learned from and judged on, so that
        the seasons are in it.
    moments : series of datetime64, n rows, optional
        When each row was; None, or missing: windows are drawn at random, and what differs
        between days is not known.
    predictions : Predictions, n rows, optional
        With NaN for rows that the model learned from: what it says of those is too sure.
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
    >>> found.inputs.daily.n_windows, found.notes
    (60, ('the reference spans 60 days, less than a year: seasons are not in it',))
    """
    windows = split_into_windows(moments, len(table), window_days=window_days, seed=seed)
    anchors = _age_anchors(moments, windows, window_days)
    cells = [parse_column(table[each.name], each, schema) for each in schema.features]
    columns = [
        build_column_reference(found, each, anchors=anchors, timed=windows.timed)
        for found, each in zip(cells, schema.features, strict=True)
    ]
    codes = np.zeros((len(table), len(columns)), dtype=np.uint8)
    for place, (found, column) in enumerate(zip(cells, columns, strict=True)):
        codes[:, place] = bin_column(found, column.bins, measured=column.measured, anchors=anchors)[
            0
        ]
    shaped, scale = _fit_null_of_columns(columns, codes, windows)
    said, said_scale = _prediction_references(
        predictions, schema, moments, window_days=window_days, seed=seed
    )
    return InputReference(
        columns=shaped,
        predictions=said,
        inputs=scale,
        said=said_scale,
        joint=build_joint_reference(codes, windows, seed=seed),
        n_rows=len(table),
        usual_rows=float(np.median(windows.rows)) if len(windows.rows) else 0.0,
        duplicates=_duplicate_share(cells, windows),
        window_days=windows.days,
        wanted_days=window_days,
        timed=windows.timed,
        notes=_notes(windows, scale, wanted=window_days),
    )


def check_same_schema(reference: InputReference, schema: TableSchema) -> None:
    """Check that a reference is of this schema.

    Raises
    ------
    ValueError
        If its features have other names or kinds.
    """
    expected = {column.name: column.kind for column in reference.columns}
    found = {column.name: column.kind for column in schema.features}
    if expected != found:
        other = sorted(set(expected.items()) ^ set(found.items()))
        shown = ", ".join(f"{name} ({kind})" for name, kind in other[:5])
        raise ValueError(
            f"The reference is of another schema: expected the {len(expected)} features that it "
            f"was made of, but the schema has {len(found)}; they differ in {shown}. Make the "
            "reference of this model anew."
        )


def _age_anchors(
    moments: pd.Series | None, windows: ReferenceWindows, window_days: float
) -> FloatArray:
    if moments is None or not windows.timed:
        return np.full(len(windows.places), np.nan)
    step = window_days * MICROSECONDS_PER_DAY
    return np.asarray(np.floor(times_to_numbers(moments.to_numpy()) / step) * step)


def _fit_null_of_columns(
    columns: list[ColumnReference], codes: BinCodes, windows: ReferenceWindows
) -> tuple[tuple[ColumnReference, ...], DriftNull | None]:
    """Return the columns with their shapes, and how much windows differ in them."""
    if not len(windows.rows):
        return tuple(add_histograms(columns, codes, windows)[0]), None
    shaped, counts = add_histograms(columns, codes, windows)
    caution = 1.0 if windows.timed else UNTIMED_TOLERANCE_FACTOR
    kinds = tuple(
        replace(figure, least=figure.least * caution)
        for column in shaped
        for figure in drift_statistics(column.shape, column.bins)
    )
    return tuple(shaped), fit_drift_null(
        lambda length: _rolling_statistics(shaped, counts, length), kinds, windows=windows
    )


def _rolling_statistics(columns: list[ColumnReference], counts: Counts, length: int) -> FloatArray:
    """Return the figures of so many neighbouring windows together, for every place."""
    sums = np.cumsum(np.concatenate([np.zeros_like(counts[:1]), counts]), axis=0)
    rolled = sums[length:] - sums[:-length]
    return np.hstack(
        [
            compute_statistics(
                rolled[:, place, : column.bins.size],
                rolled[:, place, -1],
                shape=column.shape,
                bins=column.bins,
            )
            for place, column in enumerate(columns)
        ]
    )


def _prediction_references(
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
    said: BinnedPredictions = prediction_columns(take_rows(predictions, known), schema)
    codes = np.column_stack([codes for _, codes, _ in said]) if said else np.empty((0, 0), np.uint8)
    return _fit_null_of_columns([column for column, _, _ in said], codes, windows)


def _duplicate_share(cells: list[ParsedColumn], windows: ReferenceWindows) -> float:
    """Return the share of rows that equal an earlier one of their window."""
    hashes = hash_rows(cells, len(windows.places)) if cells else np.empty(0, dtype=np.uint64)
    within = windows.places >= 0
    order = np.lexsort((hashes[within], windows.places[within]))
    places, sorted_hashes = windows.places[within][order], hashes[within][order]
    equal = (places[1:] == places[:-1]) & (sorted_hashes[1:] == sorted_hashes[:-1])
    return float(equal.sum() / max(len(places), 1))


def _notes(windows: ReferenceWindows, scale: DriftNull | None, *, wanted: float) -> tuple[str, ...]:
    if scale is None:
        return (
            f"the reference has too few rows ({len(windows.places)}) to tell drift from chance",
        )
    notes = []
    if not windows.timed:
        notes.append("the reference has no time: what differs between days is not known")
    elif windows.span_days < MIN_DAYS_WITH_SEASONS:
        days = f"{windows.span_days:g} days"
        notes.append(f"the reference spans {days}, less than a year: seasons are not in it")
    if windows.days != wanted:
        notes.append(
            f"its windows of {wanted:g} days have few rows: {windows.days:g} days are used"
        )
    return (*notes, *scale.notes)
