"""Labelled rows of the prediction log as rows of the source table."""

from collections.abc import Collection, Iterable

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype

from pipelines.core.declared import MOMENT
from pipelines.core.findings import Decision, Window, naive
from pipelines.core.schema import Schema

MIXED = ("mixed", "mixed-integer")


def absorbed_rows(
    frame: pd.DataFrame, inputs: pd.DataFrame, schema: Schema, *, columns: Collection[str]
) -> pd.DataFrame:
    """Return the labelled rows of a logged frame as raw rows, the label that came last at the end.

    Parameters
    ----------
    frame : DataFrame of n rows
        Logged, with `truth` and `labelled`.
    inputs : DataFrame of n rows
        Their raw values.
    schema : Schema
        Of the model whose classes `truth` counts in.
    columns : collection of str
        Of the source table; other inputs are left out.

    Returns
    -------
    DataFrame
        Inputs that the source has, the target and `moment`. A row without identifier has the id
        of its prediction, as no row of the source is the same.

    Examples
    --------
    >>> days = pd.to_datetime(["2024-01-01", "2024-01-02"])
    >>> frame = pd.DataFrame({"id": ["a", "b"], "moment": days, "labelled": days[::-1],
    ...                       "truth": [1.0, 0.0]})
    >>> schema = Schema((), "left", "binary", ("no", "yes"))
    >>> absorbed_rows(frame, pd.DataFrame({"age": [31, 50]}), schema, columns=["age", "left"])
       age left     moment
    0   50   no 2024-01-02
    1   31  yes 2024-01-01
    """
    known = frame[frame["truth"].notna()].sort_values(["labelled", MOMENT, "id"])
    wanted = [name for name in inputs.columns if name in columns and name != schema.target]
    rows = inputs.loc[known.index, wanted].apply(of_one_type)
    if schema.identifier is not None:
        given = rows.get(schema.identifier, known["identifier"]).astype("str")
        rows[schema.identifier] = given.where(given.notna(), known["id"])
    rows = rows.assign(**{schema.target: _labels(known["truth"], schema), MOMENT: known[MOMENT]})
    return rows.reset_index(drop=True)


def blocked_windows(decisions: Iterable[Decision]) -> tuple[Window, ...]:
    """Return the windows whose data broke its contract: nothing is learned from them."""
    alarms = [
        alarm
        for decision in decisions
        if decision.action == "block"
        for alarm in decision.alarms
        if alarm.action == "block"
    ]
    return tuple(each.window for alarm in alarms for each in alarm.findings)


def outside(frame: pd.DataFrame, windows: Iterable[Window]) -> pd.DataFrame:
    """Return the rows of a logged frame that lie in none of the windows.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> day = Window(datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 3, tzinfo=UTC))
    >>> frame = pd.DataFrame({"moment": pd.to_datetime(["2024-01-01", "2024-01-02"])})
    >>> len(outside(frame, [day]))
    1
    """
    kept = np.ones(len(frame), dtype=bool)
    for window in windows:
        within = frame[MOMENT].ge(naive(window.start)) & frame[MOMENT].lt(naive(window.end))
        kept &= ~within.to_numpy()
    return frame[kept]


def of_one_type(column: pd.Series) -> pd.Series:
    """Return a column as it is, or as text where its values are of several types.

    Examples
    --------
    >>> of_one_type(pd.Series([1, "2", None])).tolist()
    ['1', '2', nan]
    """
    if column.dtype != object or infer_dtype(column, skipna=True) not in MIXED:
        return column.infer_objects()
    return column.map(str, na_action="ignore").astype("str")


def _labels(truth: pd.Series, schema: Schema) -> pd.Series:
    if not schema.classes:
        return truth
    names = np.array(schema.classes)[truth.astype(int)]
    return pd.Series(names, index=truth.index, dtype="str")
