"""The reference profile of one column: its bins, its histogram and its allowed values.

`build_column_reference` chooses what is measured and the bins; `add_histograms` counts all
columns by window. Text that hardly repeats is measured by its length, and dates by their age in
days, because dates move on by themselves. `prediction_columns` does the same for a model's
predictions: the class or value, and the probability.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from evertune.data.schema import Column, TableSchema
from evertune.monitoring.bins import (
    MISSING_CODE,
    BinCodes,
    Bins,
    ParsedColumn,
    level_bins,
    measured_values,
    number_bins,
    number_codes,
)
from evertune.monitoring.drift_statistics import (
    Counts,
    ReferenceHistogram,
    build_reference_histogram,
)
from evertune.monitoring.window_bounds import ReferenceWindows
from evertune.types import ColumnKind, FloatArray, Predictions

Measure = Literal["value", "length", "age", "level"]
BinnedPredictions = list[tuple["ColumnReference", BinCodes, FloatArray]]
MIN_LEVEL_COVERAGE = 0.2
PREDICTION, PROBABILITY = "prediction", "probability"
N_BINARY_CLASSES = 2
EMPTY_HISTOGRAM = ReferenceHistogram((), (), (), 0.0, 0.0)


@dataclass(frozen=True)
class ColumnReference:
    """A column as the reference has it.

    Attributes
    ----------
    measured : str
        What is counted of its cells: their `value`; the `length` of text that hardly repeats;
        the `age` in days of dates, which move on by themselves; the `level`.
    counts : tuple of int
        Filled cells by bin.
    low, high : float, optional
        The range of numbers.
    tails : tuple of float
        The means of the first and of the last bin of numbers.
    known : tuple of str
        The categories seen; empty for other kinds.
    singles : float
        Share of rows with a category that no other row has: how often a new one is to be
        expected (Good, 1953).
    """

    name: str
    kind: ColumnKind
    measured: Measure
    bins: Bins
    counts: tuple[int, ...] = ()
    shape: ReferenceHistogram = EMPTY_HISTOGRAM
    low: float | None = None
    high: float | None = None
    mean: float | None = None
    deviation: float | None = None
    tails: tuple[float, ...] = ()
    known: tuple[str, ...] = ()
    singles: float = 0.0


def build_column_reference(
    cells: ParsedColumn, described: Column, *, anchors: FloatArray, timed: bool
) -> ColumnReference:
    """Return a column's bins and bounds; `add_histograms` adds its histogram.

    Dates are not measured where the rows have no time.
    """
    name, kind = described.name, described.kind
    if cells.values is None:
        return _level_reference(cells, described)
    if kind == "date" and not timed:
        return ColumnReference(name, kind, "value", Bins(name, "number"))
    measured: Measure = "age" if kind == "date" else "value"
    values = measured_values(cells, measured=measured, anchors=anchors)
    found = _numeric_reference(name, kind, measured, values=values)
    if kind != "number" or np.isnan(values).all():
        return found
    return replace(found, low=float(np.nanmin(values)), high=float(np.nanmax(values)))


def _level_reference(cells: ParsedColumn, described: Column) -> ColumnReference:
    name, kind = described.name, described.kind
    codes = np.empty(0, np.int64) if cells.codes is None else cells.codes[cells.codes >= 0]
    by_level = np.bincount(codes, minlength=len(cells.levels))
    bins = level_bins(name, cells.levels, by_level)
    covered = by_level[cells.levels.isin(bins.levels)].sum()
    if kind == "text" and covered < MIN_LEVEL_COVERAGE * len(codes):
        values = measured_values(cells, measured="length", anchors=np.empty(0))
        return _numeric_reference(name, kind, "length", values=values)
    known = tuple(sorted({*described.categories, *cells.levels})) if kind == "category" else ()
    singles = float((by_level == 1).sum() / max(len(codes), 1)) if kind == "category" else 0.0
    return ColumnReference(name, kind, "level", bins, known=known, singles=singles)


def _numeric_reference(
    name: str, kind: ColumnKind, measured: Measure, *, values: FloatArray
) -> ColumnReference:
    bins, filled = number_bins(name, values), values[~np.isnan(values)]
    if not filled.size:
        return ColumnReference(name, kind, measured, bins)
    found = ColumnReference(
        name, kind, measured, bins, mean=float(filled.mean()), deviation=float(filled.std())
    )
    if not bins.edges:
        return found
    parts = (filled[filled < bins.edges[0]], filled[filled >= bins.edges[-1]])
    means = [float(part.mean()) if part.size else bins.edges[0] for part in parts]
    return replace(found, tails=tuple(means))


def add_histograms(
    columns: list[ColumnReference], codes: BinCodes, windows: ReferenceWindows
) -> tuple[list[ColumnReference], Counts]:
    """Return the columns with their histograms, and the counts of each window.

    Returns
    -------
    array of shape (n_windows, n_columns, n_bins + 1)
        With as many bins as the column with the most has; the last are missing cells.
    """
    n_windows = max(len(windows.rows), 1)
    most = max((column.bins.size for column in columns), default=0)
    counts = np.zeros((n_windows, len(columns), most + 1), dtype=np.int64)
    within = windows.places >= 0 if len(windows.rows) else np.ones(len(codes), dtype=bool)
    first = np.maximum(windows.places[within], 0) * (MISSING_CODE + 1)
    shaped = []
    for place, column in enumerate(columns):
        flat = np.bincount(first + codes[within, place], minlength=n_windows * (MISSING_CODE + 1))
        table = flat.reshape(n_windows, MISSING_CODE + 1)
        counts[:, place, : column.bins.size] = table[:, : column.bins.size]
        counts[:, place, -1] = table[:, MISSING_CODE]
        shaped.append(_with_histogram(column, table))
    return shaped, counts


def _with_histogram(column: ColumnReference, table: Counts) -> ColumnReference:
    filled = table[:, : column.bins.size]
    shape = build_reference_histogram(filled, table[:, MISSING_CODE], column.bins)
    return replace(column, shape=shape, counts=tuple(filled.sum(axis=0).tolist()))


def prediction_columns(predictions: Predictions, schema: TableSchema) -> BinnedPredictions:
    """Return what is watched of predictions, with the bin and value of each row."""
    return [
        (column, codes, values)
        for name, values in prediction_values(predictions, schema)
        for column in [_prediction_reference(name, values, schema)]
        for codes in [prediction_codes(values, column)]
    ]


def prediction_values(
    predictions: Predictions, schema: TableSchema
) -> list[tuple[str, FloatArray]]:
    """Return the numbers that are watched of predictions: values, and how sure they are."""
    found = [(PREDICTION, predictions.values)]
    probabilities = predictions.probabilities
    if probabilities is None or not schema.classes:
        return found
    binary = probabilities.shape[1] == N_BINARY_CLASSES
    return [*found, (PROBABILITY, probabilities[:, 1] if binary else probabilities.max(axis=1))]


def prediction_codes(values: FloatArray, column: ColumnReference) -> BinCodes:
    """Return the bin of each prediction; a class is its own bin."""
    if column.measured == "level":
        last = column.bins.size - 1
        codes = np.where(np.isnan(values), MISSING_CODE, np.clip(np.nan_to_num(values), 0, last))
        return codes.astype(np.uint8)
    return number_codes(values, column.bins)


def _prediction_reference(name: str, values: FloatArray, schema: TableSchema) -> ColumnReference:
    if name == PREDICTION and schema.classes:
        bins = Bins(name, "level", levels=schema.classes[: MISSING_CODE - 1])
        return ColumnReference(name, "category", "level", bins)
    return _numeric_reference(name, "number", "value", values=values)
