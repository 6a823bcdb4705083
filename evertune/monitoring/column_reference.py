"""What the reference knows of one column: its bins, its histogram, its range and its categories.

`build_column_reference` chooses what is measured and the bins. Text that hardly repeats is
measured by its length, and dates by their age in days, because dates move on by themselves.
`prediction_reference` does the same for the predictions: the class or value, and the
probability. `add_histograms` then counts the windows of all columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AliasChoices, Field
from scipy.stats import norm

from evertune.data.schema import Column, TableSchema
from evertune.monitoring.bins import (
    MISSING_CODE,
    BinCodes,
    Bins,
    Measure,
    ParsedColumn,
    level_bins,
    number_bins,
)
from evertune.monitoring.window_bounds import ReferenceWindows
from evertune.types import ColumnKind, FloatArray, Predictions

Counts = NDArray[np.int64]
MIN_LEVEL_COVERAGE = 0.2
PREDICTION, PROBABILITY = "prediction", "probability"
N_BINARY_CLASSES = 2


@dataclass(frozen=True)
class ReferenceHistogram:
    """The histogram of a column in the reference, and the scores of its bins.

    Attributes
    ----------
    shares : tuple of float
        By bin, of the filled cells.
    location, spread : tuple of float
        Scores by bin, of mean 0 and variance 1 in the reference: the normal scores of the bins
        (van der Waerden, 1952), and their squares. Empty where there is one bin only, or two for
        the spread.
    missing : float
        Share of cells.
    between : float
        By how much windows of the reference differ beyond chance, in units of chi-square a row.
    """

    shares: tuple[float, ...] = ()
    location: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()
    missing: float = 0.0
    between: float = 0.0


@dataclass(frozen=True)
class ColumnReference:
    """A column as the reference has it.

    Attributes
    ----------
    measured : str
        What is counted of its cells: their `value`; the `length` of text that hardly repeats;
        the `age` in days of dates; the `level`.
    counts : tuple of int
        Filled cells by bin.
    low, high : float, optional
        The range of numbers.
    mean, deviation : float, optional
        Of what is measured in numbers.
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
    histogram: Annotated[
        ReferenceHistogram, Field(validation_alias=AliasChoices("histogram", "shape"))
    ] = ReferenceHistogram()
    low: float | None = None
    high: float | None = None
    mean: float | None = None
    deviation: float | None = None
    tails: tuple[float, ...] = ()
    known: tuple[str, ...] = ()
    singles: float = 0.0

    def codes_and_values(
        self, cells: ParsedColumn, anchors: FloatArray
    ) -> tuple[BinCodes, FloatArray]:
        """Return the bin of each cell, and what is measured of it; no values of levels."""
        if self.measured == "level":
            return cells.level_bin_codes(self.bins), np.empty(0)
        values = cells.measure(self.measured, anchors)
        return self.bins.codes(values), values


def build_column_reference(
    cells: ParsedColumn, described: Column, *, anchors: FloatArray, timed: bool
) -> ColumnReference:
    """Return a column's bins and bounds, without its histogram.

    Parameters
    ----------
    anchors : array of shape (n,)
        Ages of dates are counted from these, in microseconds since 1970.
    timed : bool
        Whether the rows have a time; dates are not measured if not.
    """
    name, kind = described.name, described.kind
    if cells.levels is not None:
        codes = cells.codes[cells.codes >= 0]
        counts = np.bincount(codes, minlength=len(cells.levels))
        bins = level_bins(name, cells.levels, counts)
        if kind == "category":
            known = tuple(sorted({*described.categories, *cells.levels}))
            singles = float((counts == 1).sum() / max(len(codes), 1))
            return ColumnReference(name, kind, "level", bins, known=known, singles=singles)
        if counts[cells.levels.isin(bins.levels)].sum() >= MIN_LEVEL_COVERAGE * len(codes):
            return ColumnReference(name, kind, "level", bins)
    elif kind == "date" and not timed:
        return ColumnReference(name, kind, "value", Bins(name, "number"))
    measures: dict[ColumnKind, Measure] = {"text": "length", "date": "age"}
    measured = measures.get(kind, "value")
    values = cells.measure(measured, anchors)
    found = _numeric_reference(name, kind, measured, values)
    if kind != "number" or np.isnan(values).all():
        return found
    return replace(found, low=float(np.nanmin(values)), high=float(np.nanmax(values)))


def prediction_values(predictions: Predictions, schema: TableSchema) -> dict[str, FloatArray]:
    """Return what is watched of n predictions: `prediction` and, of classes, `probability`.

    The probability is that of the positive class, or the largest of more than two classes.
    """
    values, proba = {PREDICTION: predictions.values}, predictions.probabilities
    if proba is not None and schema.classes:
        is_binary = proba.shape[1] == N_BINARY_CLASSES
        values[PROBABILITY] = proba[:, 1] if is_binary else proba.max(axis=1)
    return values


def prediction_reference(name: str, values: FloatArray, schema: TableSchema) -> ColumnReference:
    """Return the bins of predictions, as `prediction_values` gives them; a class is its own bin."""
    if name == PREDICTION and schema.classes:
        bins = Bins(name, "level", levels=schema.classes[: MISSING_CODE - 1])
        return ColumnReference(name, "category", "level", bins)
    return _numeric_reference(name, "number", "value", values)


def _numeric_reference(
    name: str, kind: ColumnKind, measured: Measure, values: FloatArray
) -> ColumnReference:
    bins, filled = number_bins(name, values), values[~np.isnan(values)]
    if not filled.size:
        return ColumnReference(name, kind, measured, bins)
    tails: tuple[float, ...] = ()
    if bins.edges:
        first, last = filled[filled < bins.edges[0]], filled[filled >= bins.edges[-1]]
        tails = tuple(float(part.mean()) if part.size else bins.edges[0] for part in (first, last))
    mean, deviation = float(filled.mean()), float(filled.std())
    return ColumnReference(name, kind, measured, bins, mean=mean, deviation=deviation, tails=tails)


def add_histograms(
    columns: Sequence[ColumnReference], codes: BinCodes, windows: ReferenceWindows
) -> tuple[tuple[ColumnReference, ...], Counts]:
    """Return the columns with their histograms, and the counts of each window.

    Parameters
    ----------
    codes : array of shape (n_rows, n_columns)

    Returns
    -------
    columns, array of shape (n_windows, n_columns, n_bins + 1)
        With as many bins as the column with the most has; the last are missing cells.
    """
    n_windows, n_codes = max(len(windows.rows), 1), MISSING_CODE + 1
    most = max((column.bins.size for column in columns), default=0)
    counts = np.zeros((n_windows, len(columns), most + 1), dtype=np.int64)
    is_inside = windows.places >= 0 if len(windows.rows) else np.ones(len(codes), dtype=bool)
    first = np.maximum(windows.places[is_inside], 0) * n_codes
    found = []
    for place, column in enumerate(columns):
        flat = np.bincount(first + codes[is_inside, place], minlength=n_windows * n_codes)
        table = flat.reshape(n_windows, n_codes)
        filled, missing = table[:, : column.bins.size], table[:, MISSING_CODE]
        counts[:, place, : column.bins.size], counts[:, place, -1] = filled, missing
        histogram = build_reference_histogram(filled, missing, column.bins)
        total = tuple(filled.sum(axis=0).tolist())
        found.append(replace(column, histogram=histogram, counts=total))
    return tuple(found), counts


def build_reference_histogram(counts: Counts, missing: Counts, bins: Bins) -> ReferenceHistogram:
    """Return the histogram of a column.

    Parameters
    ----------
    counts : array of shape (n_windows, n_bins)
        Filled cells of each window.
    missing : array of shape (n_windows,)
    """
    by_bin = counts.sum(axis=0)
    n_filled = int(by_bin.sum())
    shares = by_bin / max(n_filled, 1)
    location = spread = np.empty(0)
    if bins.form == "number":
        middle = np.clip(np.cumsum(shares) - shares / 2, 1e-6, 1 - 1e-6)
        location = _standardise(norm.ppf(middle), shares)
        if location.size:
            skew = float(shares @ location**3)
            spread = _standardise(location**2 - skew * location, shares)
    excess = chi_square_per_row(counts, shares) - expected_chi_square(counts.sum(axis=1), shares)
    return ReferenceHistogram(
        shares=tuple(shares.tolist()),
        location=tuple(location.tolist()),
        spread=tuple(spread.tolist()),
        missing=float(missing.sum() / max(missing.sum() + n_filled, 1)),
        between=max(0.0, float(excess.mean())),
    )


def _standardise(scores: FloatArray, shares: FloatArray) -> FloatArray:
    centred = scores - shares @ scores
    variance = float(shares @ centred**2)
    return centred / np.sqrt(variance) if variance > 1e-9 else np.empty(0)


def chi_square_per_row(counts: Counts, shares: FloatArray) -> FloatArray:
    """Return Pearson's chi-square of windows over their rows, NaN of an empty one.

    Unlike `scipy.stats.chisquare` it is defined where a bin of the reference is empty: that bin
    counts as one row would.
    """
    filled = np.where(counts.sum(axis=1), counts.sum(axis=1), np.nan)[:, None]
    return np.asarray(((counts / filled - shares) ** 2 / (shares + 1 / filled)).sum(axis=1))


def expected_chi_square(n_filled: Counts, shares: FloatArray) -> FloatArray:
    """Return what chance gives `chi_square_per_row` in windows of so many filled cells."""
    rows = np.where(n_filled, n_filled, np.nan)[:, None]
    return np.asarray((shares * (1 - shares) / rows / (shares + 1 / rows)).sum(axis=1))
