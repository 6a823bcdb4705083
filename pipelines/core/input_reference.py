"""What the rows that a model knows look like, window by window: what drift is measured against."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from pipelines.core.bins import Bin
from pipelines.core.calibration import Scale, scale_of
from pipelines.core.clocks import MICROSECONDS_OF_A_DAY, clock
from pipelines.core.column_reference import (
    ColumnReference,
    Said,
    column_reference,
    counted,
    said_columns,
)
from pipelines.core.counting import Cells, binned, hashed, read_cells
from pipelines.core.joint_drift import JointReference, joint_reference
from pipelines.core.predictions import Floats, Predictions
from pipelines.core.reference_windows import Windows, windows_of
from pipelines.core.schema import Schema
from pipelines.core.truths import taken
from pipelines.core.window_figures import Counts, figure_kinds, figures_of

CAUTION_WITHOUT_TIME = 5.0
DAYS_OF_A_YEAR = 360


@dataclass(frozen=True)
class InputReference:
    """The picture of a table's features that windows are compared with.

    Attributes
    ----------
    columns : tuple of ColumnReference
        One a feature, in the schema's order.
    predictions : tuple of ColumnReference
        Of what the model said: its classes and how sure it was, or its values.
    inputs, said : Scale, optional
        How much windows differ in features and in predictions; None with too few rows to tell.
    joint : JointReference, optional
    n_rows : int
    usual_rows : float
        Of a window.
    duplicates : float
        Share of rows of a usual window that equal an earlier one of it in all features.
    window_days : float
        Of the windows that were compared; longer than wanted where days have few rows.
    wanted_days : float
    timed : bool
        Whether they are windows of time, so that differences between days are known.
    notes : tuple of str
        What a reader of its drift figures has to know.
    """

    columns: tuple[ColumnReference, ...]
    predictions: tuple[ColumnReference, ...]
    inputs: Scale | None
    said: Scale | None
    joint: JointReference | None
    n_rows: int
    usual_rows: float
    duplicates: float
    window_days: float
    wanted_days: float
    timed: bool
    notes: tuple[str, ...]


def input_reference(  # noqa: PLR0913
    table: pd.DataFrame,
    schema: Schema,
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
    schema : Schema
    moments : series of datetime64, n rows, optional
        When each row was; None, or missing: windows are drawn at random, and what differs
        between days is not known.
    predictions : Predictions, n rows, optional
        With NaN for rows that the model learned from: what it says of those is too sure.
    window_days : float
    seed : int
        Of the rows that are drawn.

    Examples
    --------
    >>> from pipelines.core.schema import Column
    >>> table = pd.DataFrame({"age": np.random.default_rng(0).normal(40, 9, 3000)})
    >>> found = input_reference(
    ...     table,
    ...     Schema((Column("age", "number"),), "left", "binary"),
    ...     moments=pd.Series(pd.date_range("2024-01-01", periods=60).repeat(50)),
    ...     predictions=None,
    ...     window_days=1,
    ...     seed=0,
    ... )
    >>> found.inputs.daily.n_windows, found.notes
    (60, ('the reference spans 60 days, less than a year: seasons are not in it',))
    """
    windows = windows_of(moments, len(table), window_days=window_days, seed=seed)
    anchors = _anchors(moments, windows, window_days)
    cells = [read_cells(table[each.name], each, schema) for each in schema.features]
    columns = [
        column_reference(found, each, anchors=anchors, timed=windows.timed)
        for found, each in zip(cells, schema.features, strict=True)
    ]
    codes = np.zeros((len(table), len(columns)), dtype=np.uint8)
    for place, (found, column) in enumerate(zip(cells, columns, strict=True)):
        codes[:, place] = binned(found, column.bins, measured=column.measured, anchors=anchors)[0]
    shaped, scale = _scaled(columns, codes, windows)
    said, said_scale = _said(predictions, schema, moments, window_days=window_days, seed=seed)
    return InputReference(
        columns=shaped,
        predictions=said,
        inputs=scale,
        said=said_scale,
        joint=joint_reference(codes, windows, seed=seed),
        n_rows=len(table),
        usual_rows=float(np.median(windows.rows)) if len(windows.rows) else 0.0,
        duplicates=_duplicates(cells, windows),
        window_days=windows.days,
        wanted_days=window_days,
        timed=windows.timed,
        notes=_notes(windows, scale, wanted=window_days),
    )


def same_schema(reference: InputReference, schema: Schema) -> None:
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


def _anchors(moments: pd.Series | None, windows: Windows, window_days: float) -> Floats:
    if moments is None or not windows.timed:
        return np.full(len(windows.places), np.nan)
    step = window_days * MICROSECONDS_OF_A_DAY
    return np.asarray(np.floor(clock(moments.to_numpy()) / step) * step)


def _scaled(
    columns: list[ColumnReference], codes: Bin, windows: Windows
) -> tuple[tuple[ColumnReference, ...], Scale | None]:
    """Return the columns with their shapes, and how much windows differ in them."""
    if not len(windows.rows):
        return tuple(counted(columns, codes, windows)[0]), None
    shaped, counts = counted(columns, codes, windows)
    caution = 1.0 if windows.timed else CAUTION_WITHOUT_TIME
    kinds = tuple(
        replace(figure, least=figure.least * caution)
        for column in shaped
        for figure in figure_kinds(column.shape, column.bins)
    )
    return tuple(shaped), scale_of(
        lambda length: _figures(shaped, counts, length), kinds, windows=windows
    )


def _figures(columns: list[ColumnReference], counts: Counts, length: int) -> Floats:
    """Return the figures of so many neighbouring windows together, for every place."""
    sums = np.cumsum(np.concatenate([np.zeros_like(counts[:1]), counts]), axis=0)
    rolled = sums[length:] - sums[:-length]
    return np.hstack(
        [
            figures_of(
                rolled[:, place, : column.bins.size],
                rolled[:, place, -1],
                shape=column.shape,
                bins=column.bins,
            )
            for place, column in enumerate(columns)
        ]
    )


def _said(
    predictions: Predictions | None,
    schema: Schema,
    moments: pd.Series | None,
    *,
    window_days: float,
    seed: int,
) -> tuple[tuple[ColumnReference, ...], Scale | None]:
    if predictions is None:
        return (), None
    known = np.flatnonzero(~np.isnan(predictions.values))
    times = None if moments is None else moments.iloc[known].reset_index(drop=True)
    windows = windows_of(times, len(known), window_days=window_days, seed=seed)
    said: Said = said_columns(taken(predictions, known), schema)
    codes = np.column_stack([codes for _, codes, _ in said]) if said else np.empty((0, 0), np.uint8)
    return _scaled([column for column, _, _ in said], codes, windows)


def _duplicates(cells: list[Cells], windows: Windows) -> float:
    """Return the share of rows that equal an earlier one of their window."""
    hashes = hashed(cells, len(windows.places)) if cells else np.empty(0, dtype=np.uint64)
    within = windows.places >= 0
    order = np.lexsort((hashes[within], windows.places[within]))
    places, sorted_hashes = windows.places[within][order], hashes[within][order]
    equal = (places[1:] == places[:-1]) & (sorted_hashes[1:] == sorted_hashes[:-1])
    return float(equal.sum() / max(len(places), 1))


def _notes(windows: Windows, scale: Scale | None, *, wanted: float) -> tuple[str, ...]:
    if scale is None:
        return (
            f"the reference has too few rows ({len(windows.places)}) to tell drift from chance",
        )
    notes = []
    if not windows.timed:
        notes.append("the reference has no time: what differs between days is not known")
    elif windows.span_days < DAYS_OF_A_YEAR:
        days = f"{windows.span_days:g} days"
        notes.append(f"the reference spans {days}, less than a year: seasons are not in it")
    if windows.days != wanted:
        notes.append(
            f"its windows of {wanted:g} days have few rows: {windows.days:g} days are used"
        )
    return (*notes, *scale.notes)
