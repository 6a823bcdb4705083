"""The windows that production is looked at in, and what their rows come to."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from pipelines.core.findings import Finding, Window, aware, naive
from pipelines.core.log_frames import predictions_of
from pipelines.core.losses import LossDay, bounded_losses, loss_days
from pipelines.core.monitored import WindowFindings
from pipelines.core.predictions import Task
from pipelines.core.row_faults import is_broken
from pipelines.core.triggers import BUSINESS

BusinessFunction = Callable[[pd.DataFrame], float]
MUTED = "the window's data is broken"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def windows_of_days(
    moments: pd.Series, *, days: float, now: datetime, whole_first: bool = False
) -> tuple[Window, ...]:
    """Return the windows of time from the first row to now, oldest first; empty ones too.

    They are counted from 1970-01-01 on, so that every look has the same ones. A window that ends
    after now is left out: it is not over.

    Parameters
    ----------
    moments : Series of datetime64, n rows
    days : float
    now : datetime
    whole_first : bool
        Whether the window that the first row lies in is left out unless the row begins it.

    Examples
    --------
    >>> moments = pd.Series(pd.to_datetime(["2024-05-01 08:00", "2024-05-03 20:00"]))
    >>> now = datetime(2024, 5, 4, 6, tzinfo=UTC)
    >>> [(each.start.day, each.n_rows) for each in windows_of_days(moments, days=1, now=now)]
    [(1, 1), (2, 0), (3, 1)]
    """
    if moments.empty:
        return ()
    length, first = timedelta(days=days), aware(moments.min())
    number = (first - EPOCH) // length
    number += whole_first and first > EPOCH + number * length
    starts = []
    while EPOCH + (number + 1) * length <= now:
        starts.append(EPOCH + number * length)
        number += 1
    return _counted(moments, starts, length)


def windows_of_rows(moments: pd.Series, *, rows: int) -> tuple[Window, ...]:
    """Return the windows of so many rows each, oldest first; rows of one moment stay together.

    Parameters
    ----------
    moments : Series of datetime64, n rows
    rows : int

    Examples
    --------
    >>> moments = pd.Series(pd.date_range("2024-05-01", periods=5, freq="h"))
    >>> [(each.start.hour, each.end.hour) for each in windows_of_rows(moments, rows=2)]
    [(0, 2), (2, 4)]
    """
    ordered = moments.sort_values(ignore_index=True)
    edges = ordered.iloc[::rows].drop_duplicates()
    pairs = zip(edges.iloc[:-1], edges.iloc[1:], strict=True)
    return tuple(
        Window(aware(start), aware(end), int(((ordered >= start) & (ordered < end)).sum()))
        for start, end in pairs
    )


def rows_in(frame: pd.DataFrame, window: Window) -> pd.DataFrame:
    """Return the rows of a logged frame, which is ordered by moment, that lie in a window."""
    edges = [naive(window.start).to_datetime64(), naive(window.end).to_datetime64()]
    first, last = np.searchsorted(frame["moment"].to_numpy(), edges)
    return frame.iloc[int(first) : int(last)]


def rows_from(frame: pd.DataFrame, moment: datetime) -> pd.DataFrame:
    """Return the rows of a logged frame from a moment on."""
    return frame.iloc[
        int(np.searchsorted(frame["moment"].to_numpy(), naive(moment).to_datetime64())) :
    ]


def first_unsettled(
    windows: Sequence[Window], marks: Sequence[str], kept: Mapping[datetime, WindowFindings]
) -> int:
    """Return the place of the first window whose realised figures have to be worked out.

    That is the first one that is new, has another mark, or was not mature; where windows with
    few rows were judged together, the first of them.

    Parameters
    ----------
    windows : sequence of Window
        Oldest first.
    marks : sequence of str
        Of each of them, as it is now.
    kept : mapping
        What was kept of windows, by their start; empty findings of a window that was judged
        together with one before it.
    """
    place = 0
    for window, mark in zip(windows, marks, strict=True):
        known = kept.get(window.start)
        if known is None or known.mark != mark or not _is_settled(known):
            break
        place += 1
    while 0 < place < len(windows) and _is_joined(kept.get(windows[place].start)):
        place -= 1
        while place and not windows[place].n_rows:
            place -= 1
    return place


def _is_settled(known: WindowFindings) -> bool:
    """Return whether what was kept of a window stays as it is while its rows and labels do."""
    losses = [each for each in known.findings if each.signal == "loss" and each.part is None]
    return all(each.state == "ok" or not each.window.n_rows for each in losses)


def _is_joined(known: WindowFindings | None) -> bool:
    return known is not None and not known.findings


def mark_of(rows: pd.DataFrame, settings: str, *, with_labels: bool) -> str:
    """Return what tells one state of a window's rows from another.

    Parameters
    ----------
    rows : DataFrame
        Of a logged frame.
    settings : str
        Digest of all else that findings depend on.
    with_labels : bool
        Whether another label is another state.
    """
    known = rows["labelled"].dropna()
    labels = f" {len(known)} {known.max()} {rows['truth'].sum():.6g}" if with_labels else ""
    return f"{settings} {len(rows)} {rows['received'].max()}{labels}"


def mean_since(findings: Sequence[Finding], signal: str, since: datetime | None) -> float | None:
    """Return the mean of a figure over the rows of the windows since a moment.

    Figures of parts are left out, and windows without one; None where no window is left.
    """
    found = [
        (each.value, each.window.n_rows)
        for each in findings
        if each.signal == signal
        and each.part is None
        and each.value is not None
        and not np.isnan(each.value)
        and (since is None or each.window.end > since)
    ]
    total = sum(n for _, n in found)
    return sum(value * n for value, n in found) / total if total else None


def muted(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return findings without the figures that rest on broken data.

    Where a window's rows break the contract, what they seem to say of drift and performance is no
    figure but "no data".
    """
    broken = {each.window.start for each in findings if is_broken(each)}
    return tuple(
        replace(each, value=None, low=None, high=None, state="no data", note=MUTED)
        if each.window.start in broken and each.layer in ("drift", "estimate")
        else each
        for each in findings
    )


def business_finding(
    name: str, function: BusinessFunction, *, rows: pd.DataFrame, window: Window
) -> Finding:
    """Return a figure of the user's own; without rows, or where it is no number, "no data".

    Parameters
    ----------
    name : str
    function : callable
        Takes the rows of a window and gives a number.
    rows : DataFrame
        From `with_inputs`.
    window : Window

    Examples
    --------
    >>> day = Window(EPOCH, EPOCH + timedelta(days=1), 2)
    >>> rows = pd.DataFrame({"value": [1.0, 0.0]})
    >>> business_finding("mean", lambda rows: rows["value"].mean(), rows=rows, window=day).value
    0.5
    """
    value = float(function(rows)) if len(rows) else math.nan
    shown = Finding(f"{BUSINESS}{name}", "business", window, value)
    return shown if math.isfinite(value) else replace(shown, value=None, state="no data")


def with_inputs(rows: pd.DataFrame, raw: pd.DataFrame | None) -> pd.DataFrame:
    """Return the rows of a logged frame with what was predicted from, as `input_<column>`."""
    plain = rows.reset_index(drop=True)
    if raw is None:
        return plain
    return pd.concat([plain, raw.reset_index(drop=True).add_prefix("input_")], axis="columns")


def labelled_since(frame: pd.DataFrame, moment: datetime | None) -> tuple[int, int]:
    """Return how many rows since a moment have a label, and how many have none.

    Examples
    --------
    >>> days = pd.to_datetime(["2024-05-01", "2024-05-02", "2024-05-03"])
    >>> frame = pd.DataFrame({"moment": days, "truth": [1.0, np.nan, 0.0]})
    >>> labelled_since(frame, datetime(2024, 5, 2, tzinfo=UTC))
    (1, 1)
    """
    rows = frame if moment is None else frame[frame["moment"] >= naive(moment)]
    known = int(rows["truth"].notna().sum())
    return known, len(rows) - known


def paired_days(
    shadow: pd.DataFrame, *, task: Task, scale: float | None
) -> tuple[tuple[LossDay, ...], tuple[LossDay, ...]]:
    """Return the losses by day of a champion and of the version that shadows it, same rows.

    Parameters
    ----------
    shadow : DataFrame
        What a version said in shadow, beside what was answered.
    task : str
    scale : float, optional
        The error that counts as 1, in regression: of the champion's reference.
    """
    rows = shadow[shadow["truth"].notna()]
    truth = rows["truth"].to_numpy(dtype=float)
    answered, shadowed = (
        loss_days(
            rows["moment"],
            bounded_losses(truth, predictions_of(rows, ending), task=task, scale=scale),
        )
        for ending in ("_c", "")
    )
    return answered, shadowed


def rows_a_day(frame: pd.DataFrame, now: datetime) -> float:
    """Return how many rows came a day, from the first one until now."""
    if frame.empty:
        return 0.0
    days = (now - aware(frame["moment"].iloc[0])) / timedelta(days=1)
    return len(frame) / max(days, 1.0)


def _counted(
    moments: pd.Series, starts: Sequence[datetime], length: timedelta
) -> tuple[Window, ...]:
    edges = pd.DatetimeIndex(
        [naive(each) for each in (*starts, *(s + length for s in starts[-1:]))]
    )
    ordered = moments.sort_values().to_numpy()
    places = np.searchsorted(ordered, edges.to_numpy()) if starts else np.array([0])
    return tuple(
        Window(start, start + length, int(n))
        for start, n in zip(starts, np.diff(places), strict=True)
    )
