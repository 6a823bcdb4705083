"""Count a window of incoming rows in one pass: all that contract and drift checks need.

`build_window_profile` counts cells in the bins of a reference, with missing, unreadable,
out-of-range and unseen ones; a cell that cannot be read is counted and raises nothing.
`merge_profiles` adds the profiles of several windows, without reading their rows again.
`window_statistics` computes the drift statistics of a profile.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from evertune.data.schema import TableSchema
from evertune.data.validation import truncate_cell
from evertune.monitoring.bins import MISSING_CODE, BinCodes, hash_rows, parse_column
from evertune.monitoring.column_reference import ColumnReference, prediction_values
from evertune.monitoring.drift_statistics import compute_statistics, drift_statistics
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
    """The counts of a window, which stand for its rows.

    Attributes
    ----------
    columns : tuple of ColumnCounts
        Of the features that are there.
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
    predictions : Predictions, n rows, optional

    Raises
    ------
    ValueError
        If the reference is of another schema.
    """
    check_same_schema(reference, schema)
    raw = raw.set_axis(raw.columns.map(str), axis="columns").reset_index(drop=True)
    raw = raw.loc[:, ~raw.columns.duplicated()]
    n_rows, described = len(raw), {column.name: column for column in schema.features}
    codes = np.full((n_rows, len(reference.columns)), MISSING_CODE, dtype=np.uint8)
    anchors = np.full(n_rows, to_naive_timestamp(window.start).value / 1000)
    counts, parsed = [], []
    for place, column in enumerate(reference.columns):
        if column.name not in raw:
            continue
        cells = parse_column(raw[column.name], described[column.name], schema)
        codes[:, place], values = column.codes_and_values(cells, anchors)
        counted = _count_cells(column, codes[:, place], values)
        n_unseen, example = 0, ""
        if column.kind == "category" and cells.levels is not None:
            is_new = ~cells.levels.isin(column.known).to_numpy()
            n_unseen = int(np.append(is_new, False)[cells.codes].sum())
            example = truncate_cell(cells.levels[is_new].iloc[0]) if is_new.any() else ""
        n_unreadable = int(cells.unreadable.sum())
        example = cells.example or example
        counts.append(replace(counted, unreadable=n_unreadable, unseen=n_unseen, example=example))
        parsed.append(cells)
    proba = {} if predictions is None else prediction_values(predictions, schema)
    phases = rows_by_season(
        window.start, window.end, n_rows=n_rows, window_days=reference.window_days
    )
    return WindowProfile(
        window=replace(window, n_rows=n_rows),
        n_rows=n_rows,
        columns=tuple(counts),
        absent=tuple(each.name for each in reference.columns if each.name not in raw),
        extra=_extra_columns(raw, schema),
        duplicates=n_rows - len(np.unique(hash_rows(parsed, n_rows))) if parsed else 0,
        phases=tuple(phases.tolist()),
        predictions=tuple(
            _count_cells(each, each.bins.codes(proba[each.name]), proba[each.name])
            for each in reference.predictions
            if each.name in proba
        ),
        sample=sample_rows(codes) if reference.joint else "",
    )


def _count_cells(column: ColumnReference, codes: BinCodes, values: FloatArray) -> ColumnCounts:
    by_bin = np.bincount(codes, minlength=MISSING_CODE + 1)
    filled = values[~np.isnan(values)]
    outside = 0
    if column.low is not None and column.high is not None:
        outside = int(((filled < column.low) | (filled > column.high)).sum())
    return ColumnCounts(
        name=column.name,
        counts=tuple(by_bin[: column.bins.size].tolist()),
        missing=int(by_bin[MISSING_CODE]),
        outside=outside,
        mean=float(filled.mean()) if filled.size else None,
    )


def _extra_columns(raw: pd.DataFrame, schema: TableSchema) -> tuple[str, ...]:
    roles = (schema.target, schema.identifier, schema.time, schema.group, schema.weight)
    known = {column.name for column in schema.features} | {*roles, schema.human, schema.existing}
    extra = [truncate_cell(name) for name in raw.columns if name not in known]
    return tuple(extra[:MAX_EXTRA_COLUMNS])


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
    columns = _merge_counts([each.columns for each in profiles])
    absent = dict.fromkeys(name for each in profiles for name in each.absent)
    extra = dict.fromkeys(name for each in profiles for name in each.extra)
    n_columns = len({*absent, *(each.name for each in columns)})
    samples = [each.sample for each in profiles if each.sample]
    return WindowProfile(
        window=TimeWindow(first.window.start, last.window.end, n_rows),
        n_rows=n_rows,
        columns=columns,
        absent=tuple(absent),
        extra=tuple(extra)[:MAX_EXTRA_COLUMNS],
        duplicates=sum(each.duplicates for each in profiles),
        phases=tuple(np.sum([each.phases for each in profiles], axis=0).tolist()),
        predictions=_merge_counts([each.predictions for each in profiles]),
        sample=merge_samples(samples, n_columns) if samples else "",
        n_windows=sum(each.n_windows for each in profiles),
    )


def _merge_counts(parts: Sequence[tuple[ColumnCounts, ...]]) -> tuple[ColumnCounts, ...]:
    by_name: dict[str, list[ColumnCounts]] = {}
    for each in (column for part in parts for column in part):
        by_name.setdefault(each.name, []).append(each)
    merged = []
    for name, columns in by_name.items():
        sizes = {len(column.counts) for column in columns}
        if len(sizes) > 1:
            raise ValueError(
                f"Profiles of {name!r} were counted in different bins {sorted(sizes)}; "
                "merge those of one reference."
            )
        counts = np.sum([column.counts for column in columns], axis=0)
        total = sum((column.mean or 0.0) * sum(column.counts) for column in columns)
        merged.append(
            ColumnCounts(
                name=name,
                counts=tuple(counts.tolist()),
                missing=sum(column.missing for column in columns),
                unreadable=sum(column.unreadable for column in columns),
                outside=sum(column.outside for column in columns),
                unseen=sum(column.unseen for column in columns),
                mean=float(total / counts.sum()) if counts.sum() else None,
                example=next((column.example for column in columns if column.example), ""),
            )
        )
    return tuple(merged)


def window_statistics(
    counts: Sequence[ColumnCounts], columns: Sequence[ColumnReference]
) -> FloatArray:
    """Return the drift statistics of columns in a window, NaN for columns that are not there.

    Parameters
    ----------
    counts : sequence of ColumnCounts
        `columns` or `predictions` of a window's profile.

    Returns
    -------
    array of shape (n_statistics,)
        Those of the first column first, in the order of `drift_statistics`.
    """
    by_name = {each.name: each for each in counts}
    parts = []
    for column in columns:
        own = by_name.get(column.name)
        if own is None:
            parts.append(np.full(len(drift_statistics(column)), np.nan))
        else:
            filled, missing = np.asarray([own.counts]), np.asarray([own.missing])
            parts.append(compute_statistics(column, filled, missing)[0])
    return np.concatenate(parts)
