"""Count a window of incoming rows in one pass: all that contract and drift checks need.

`build_window_profile` counts cells in the bins of a reference, with missing, unreadable,
out-of-range and unseen ones; a cell that cannot be read is counted and raises nothing.
`merge_profiles` adds the profiles of several windows, without reading their rows again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from evertune.data.schema import Column, TableSchema
from evertune.data.validation import truncate_cell
from evertune.monitoring.bins import (
    MISSING_CODE,
    BinCodes,
    ParsedColumn,
    bin_column,
    hash_rows,
    parse_column,
)
from evertune.monitoring.column_reference import (
    ColumnReference,
    prediction_codes,
    prediction_values,
)
from evertune.monitoring.input_reference import InputReference, check_same_schema
from evertune.monitoring.joint_drift import merge_samples, sample_rows
from evertune.monitoring.window_bounds import rows_by_season
from evertune.times import TimeWindow, to_naive_timestamp
from evertune.types import FloatArray, Predictions

MAX_EXTRA_COLUMNS = 20


@dataclass(frozen=True)
class ColumnCounts:
    """The cells of one column of a window.

    Attributes
    ----------
    counts : tuple of int
        Filled cells by the bins of the reference.
    missing, unreadable, outside, unseen : int
        Cells without a value; that cannot be read as the column's kind (they are missing too);
        beyond the range seen; of a category not seen.
    mean : float, optional
        Of what is measured in numbers.
    example : str
        A cell that could not be read, or a category that was not seen.
    """

    name: str
    counts: tuple[int, ...]
    missing: int = 0
    unreadable: int = 0
    outside: int = 0
    unseen: int = 0
    mean: float | None = None
    example: str = ""


@dataclass(frozen=True)
class WindowProfile:
    """What is kept of a window.

    Attributes
    ----------
    columns : tuple of ColumnCounts
        Without columns that are not there.
    absent, extra : tuple of str
        Features that are not there, and columns that the schema does not know.
    duplicates : int
        Rows whose features equal those of an earlier row of the window.
    phases : tuple of float
        Rows by place in the week.
    sample : str
        The bins of some rows, packed, for `joint_drift`.
    n_windows : int
        How many windows were merged.
    """

    window: TimeWindow
    n_rows: int
    columns: tuple[ColumnCounts, ...]
    absent: tuple[str, ...]
    extra: tuple[str, ...]
    duplicates: int
    phases: tuple[float, ...]
    predictions: tuple[ColumnCounts, ...] = ()
    sample: str = ""
    n_windows: int = 1


def build_window_profile(
    raw: pd.DataFrame,
    reference: InputReference,
    schema: TableSchema,
    *,
    window: TimeWindow,
    predictions: Predictions | None,
) -> WindowProfile:
    """Return the profile of a window's rows; cells that cannot be read are counted.

    Parameters
    ----------
    raw : DataFrame of n rows
        Typed or text cells, as they came.
    predictions : Predictions, optional
        What was said of the rows.

    Raises
    ------
    ValueError
        If the reference is of another schema.
    """
    check_same_schema(reference, schema)
    raw = raw.set_axis(raw.columns.map(str), axis="columns").reset_index(drop=True)
    raw = raw.loc[:, ~raw.columns.duplicated()]
    codes = np.full((len(raw), len(reference.columns)), MISSING_CODE, dtype=np.uint8)
    anchors = np.full(len(raw), to_naive_timestamp(window.start).value / 1000)
    found, cells = [], []
    for place, (described, column) in enumerate(_pair_columns(schema, reference)):
        if column.name in raw:
            read = parse_column(raw[column.name], described, schema)
            cells.append(read)
            codes[:, place], values = bin_column(
                read, column.bins, measured=column.measured, anchors=anchors
            )
            found.append(_count_column(read, column, codes[:, place], values))
    phases = rows_by_season(
        window.start, window.end, n_rows=len(raw), window_days=reference.window_days
    )
    return WindowProfile(
        window=replace(window, n_rows=len(raw)),
        n_rows=len(raw),
        columns=tuple(found),
        absent=tuple(each.name for each in reference.columns if each.name not in raw),
        extra=_extra_columns(raw, schema),
        duplicates=_count_duplicates(cells, len(raw)),
        phases=tuple(phases.tolist()),
        predictions=_count_predictions(predictions, reference, schema),
        sample=sample_rows(codes) if reference.joint else "",
    )


def _pair_columns(
    schema: TableSchema, reference: InputReference
) -> list[tuple[Column, ColumnReference]]:
    described = {column.name: column for column in schema.features}
    return [(described[column.name], column) for column in reference.columns]


def _count_column(
    cells: ParsedColumn, column: ColumnReference, codes: BinCodes, values: FloatArray
) -> ColumnCounts:
    by_bin = np.bincount(codes, minlength=MISSING_CODE + 1)
    filled = values[~np.isnan(values)]
    unseen, example = _count_unseen(cells, column)
    low, high = column.low, column.high
    outside = 0 if low is None or high is None else int(((filled < low) | (filled > high)).sum())
    return ColumnCounts(
        name=column.name,
        counts=tuple(by_bin[: column.bins.size].tolist()),
        missing=int(by_bin[MISSING_CODE]),
        unreadable=int(cells.unreadable.sum()),
        outside=outside,
        unseen=unseen,
        mean=float(filled.mean()) if filled.size else None,
        example=cells.example or example,
    )


def _count_unseen(cells: ParsedColumn, column: ColumnReference) -> tuple[int, str]:
    """Return how many rows have a category that was not seen, and one of those."""
    if cells.codes is None or column.kind != "category":
        return 0, ""
    new = ~cells.levels.isin(column.known).to_numpy()
    if not new.any():
        return 0, ""
    rows = np.bincount(cells.codes[cells.codes >= 0], minlength=len(new))
    return int(rows[new].sum()), truncate_cell(cells.levels[new].iloc[0])


def _extra_columns(raw: pd.DataFrame, schema: TableSchema) -> tuple[str, ...]:
    roles = (schema.target, schema.identifier, schema.time, schema.group)
    known = {column.name for column in schema.features}
    known |= {name for name in (*roles, schema.human, schema.existing) if name}
    return tuple(truncate_cell(name) for name in raw.columns if name not in known)[
        :MAX_EXTRA_COLUMNS
    ]


def _count_duplicates(cells: list[ParsedColumn], n_rows: int) -> int:
    return n_rows - len(np.unique(hash_rows(cells, n_rows))) if cells else 0


def _count_predictions(
    predictions: Predictions | None, reference: InputReference, schema: TableSchema
) -> tuple[ColumnCounts, ...]:
    if predictions is None:
        return ()
    values = dict(prediction_values(predictions, schema))
    return tuple(
        _count_prediction_column(values[column.name], column)
        for column in reference.predictions
        if column.name in values
    )


def _count_prediction_column(values: FloatArray, column: ColumnReference) -> ColumnCounts:
    by_bin = np.bincount(prediction_codes(values, column), minlength=MISSING_CODE + 1)
    filled = values[~np.isnan(values)]
    return ColumnCounts(
        name=column.name,
        counts=tuple(by_bin[: column.bins.size].tolist()),
        missing=int(by_bin[MISSING_CODE]),
        mean=float(filled.mean()) if filled.size else None,
    )


def merge_profiles(profiles: Sequence[WindowProfile]) -> WindowProfile:
    """Return the profile of several windows together, in the order of time.

    Raises
    ------
    ValueError
        If there is none, or they were counted in different bins.
    """
    if not profiles:
        raise ValueError("Expected at least one profile to merge, but got none.")
    first, last = profiles[0], profiles[-1]
    n_rows = sum(each.n_rows for each in profiles)
    width = len(set(_unique_names(profiles, "columns")) | set(_unique_names(profiles, "absent")))
    samples = [each.sample for each in profiles if each.sample]
    return WindowProfile(
        window=TimeWindow(first.window.start, last.window.end, n_rows),
        n_rows=n_rows,
        columns=_merge_counts([each.columns for each in profiles]),
        absent=tuple(_unique_names(profiles, "absent")),
        extra=tuple(_unique_names(profiles, "extra"))[:MAX_EXTRA_COLUMNS],
        duplicates=sum(each.duplicates for each in profiles),
        phases=tuple(np.sum([each.phases for each in profiles], axis=0).tolist()),
        predictions=_merge_counts([each.predictions for each in profiles]),
        sample=merge_samples(samples, width) if samples else "",
        n_windows=sum(each.n_windows for each in profiles),
    )


def _unique_names(profiles: Sequence[WindowProfile], field: str) -> list[str]:
    """Return the names in a field of the profiles, each once."""
    found = [name for each in profiles for name in getattr(each, field)]
    return list(dict.fromkeys(getattr(name, "name", name) for name in found))


def _merge_counts(parts: Sequence[tuple[ColumnCounts, ...]]) -> tuple[ColumnCounts, ...]:
    by_name: dict[str, list[ColumnCounts]] = {}
    for each in (column for part in parts for column in part):
        by_name.setdefault(each.name, []).append(each)
    return tuple(_sum_counts(columns) for columns in by_name.values())


def _sum_counts(columns: list[ColumnCounts]) -> ColumnCounts:
    sizes = {len(column.counts) for column in columns}
    if len(sizes) > 1:
        raise ValueError(
            f"Profiles of {columns[0].name!r} were counted in different bins {sorted(sizes)}; "
            "merge those of one reference."
        )
    weights = [sum(column.counts) for column in columns]
    means = [(column.mean or 0.0) * weight for column, weight in zip(columns, weights, strict=True)]
    return ColumnCounts(
        name=columns[0].name,
        counts=tuple(np.sum([column.counts for column in columns], axis=0).tolist()),
        missing=sum(column.missing for column in columns),
        unreadable=sum(column.unreadable for column in columns),
        outside=sum(column.outside for column in columns),
        unseen=sum(column.unseen for column in columns),
        mean=sum(means) / sum(weights) if sum(weights) else None,
        example=next((column.example for column in columns if column.example), ""),
    )
