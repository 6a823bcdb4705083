"""Compute the findings of each window of a version's production, and keep them.

`load_monitored_version` reads what one version predicted, with the labels known so far, and
`compute_findings` returns its findings, oldest window first: contract, drift, estimated and
realised performance, and the user's business metrics.

Findings are stored with a fingerprint of the rows, labels and settings that they were made from
(`window_fingerprint`), so that a run without new data computes nothing twice. Realised
performance is recomputed from the first window that is new, immature or has other labels
(`first_stale_window`). Windows are counted from 1970-01-01, so that every run has the same
ones. Where a window breaks the data contract, its drift and estimated performance become "no
data" (`suppress_on_broken_data`).
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from evertune.config.custom_metrics import load_metrics
from evertune.config.schema import BUSINESS_PREFIX, Params
from evertune.data.cleaning import conform_to_schema
from evertune.data.schema import TableSchema
from evertune.decisions import Finding
from evertune.files import load_function
from evertune.metrics.losses import DailyLoss, bounded_losses, daily_losses
from evertune.metrics.metrics import Metric
from evertune.monitoring.data_contract import (
    ContractLimits,
    breaks_contract,
    contract_findings,
    typical_row_count,
)
from evertune.monitoring.drift import drift_findings
from evertune.monitoring.estimation import estimated_findings
from evertune.monitoring.label_delay import ArrivalCurve, fit_arrival_curve
from evertune.monitoring.log_frames import logged_predictions, read_inputs
from evertune.monitoring.performance import matured_loss_days, realised_findings
from evertune.monitoring.prediction_log import PredictionLog
from evertune.monitoring.records import WindowFindings
from evertune.monitoring.reference import Reference
from evertune.monitoring.window_profiles import WindowProfile, build_window_profile
from evertune.times import TimeWindow, to_naive_timestamp, to_utc_datetime
from evertune.types import Task

BusinessFunction = Callable[[pd.DataFrame], float]
BROKEN_DATA_NOTE = "the window's data is broken"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def windows_by_days(
    moments: pd.Series, *, days: float, now: datetime, whole_first: bool = False
) -> tuple[TimeWindow, ...]:
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
    >>> [(each.start.day, each.n_rows) for each in windows_by_days(moments, days=1, now=now)]
    [(1, 1), (2, 0), (3, 1)]
    """
    if moments.empty:
        return ()
    length, first = timedelta(days=days), to_utc_datetime(moments.min())
    number = (first - EPOCH) // length
    number += whole_first and first > EPOCH + number * length
    starts = []
    while EPOCH + (number + 1) * length <= now:
        starts.append(EPOCH + number * length)
        number += 1
    return _count_rows(moments, starts, length)


def windows_by_rows(moments: pd.Series, *, rows: int) -> tuple[TimeWindow, ...]:
    """Return the windows of so many rows each, oldest first; rows of one moment stay together.

    Parameters
    ----------
    moments : Series of datetime64, n rows
    rows : int

    Examples
    --------
    >>> moments = pd.Series(pd.date_range("2024-05-01", periods=5, freq="h"))
    >>> [(each.start.hour, each.end.hour) for each in windows_by_rows(moments, rows=2)]
    [(0, 2), (2, 4)]
    """
    ordered = moments.sort_values(ignore_index=True)
    edges = ordered.iloc[::rows].drop_duplicates()
    pairs = zip(edges.iloc[:-1], edges.iloc[1:], strict=True)
    return tuple(
        TimeWindow(
            to_utc_datetime(start),
            to_utc_datetime(end),
            int(((ordered >= start) & (ordered < end)).sum()),
        )
        for start, end in pairs
    )


def rows_in_window(frame: pd.DataFrame, window: TimeWindow) -> pd.DataFrame:
    """Return the rows of a logged frame, which is ordered by moment, that lie in a window."""
    edges = [
        to_naive_timestamp(window.start).to_datetime64(),
        to_naive_timestamp(window.end).to_datetime64(),
    ]
    first, last = np.searchsorted(frame["moment"].to_numpy(), edges)
    return frame.iloc[int(first) : int(last)]


def rows_since(frame: pd.DataFrame, moment: datetime) -> pd.DataFrame:
    """Return the rows of a logged frame from a moment on."""
    return frame.iloc[
        int(
            np.searchsorted(frame["moment"].to_numpy(), to_naive_timestamp(moment).to_datetime64())
        ) :
    ]


def first_stale_window(
    windows: Sequence[TimeWindow], marks: Sequence[str], kept: Mapping[datetime, WindowFindings]
) -> int:
    """Return the place of the first window whose realised figures have to be worked out.

    That is the first one that is new, has another mark, or was not mature; where windows with
    few rows were judged together, the first of them.

    Parameters
    ----------
    windows : sequence of TimeWindow
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
        if known is None or known.mark != mark or not _is_final(known):
            break
        place += 1
    while 0 < place < len(windows) and _is_pooled_with_earlier(kept.get(windows[place].start)):
        place -= 1
        while place and not windows[place].n_rows:
            place -= 1
    return place


def _is_final(known: WindowFindings) -> bool:
    """Return whether what was kept of a window stays as it is while its rows and labels do."""
    losses = [each for each in known.findings if each.signal == "loss" and each.part is None]
    return all(each.state == "ok" or not each.window.n_rows for each in losses)


def _is_pooled_with_earlier(known: WindowFindings | None) -> bool:
    return known is not None and not known.findings


def window_fingerprint(rows: pd.DataFrame, settings: str, *, with_labels: bool) -> str:
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


def mean_value_since(
    findings: Sequence[Finding], signal: str, since: datetime | None
) -> float | None:
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


def suppress_on_broken_data(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return findings without the figures that rest on broken data.

    Where a window's rows break the contract, what they seem to say of drift and performance is no
    figure but "no data".
    """
    broken = {each.window.start for each in findings if breaks_contract(each)}
    return tuple(
        replace(each, value=None, low=None, high=None, state="no data", note=BROKEN_DATA_NOTE)
        if each.window.start in broken and each.layer in ("drift", "estimate")
        else each
        for each in findings
    )


def business_finding(
    name: str, function: BusinessFunction, *, rows: pd.DataFrame, window: TimeWindow
) -> Finding:
    """Return a figure of the user's own; without rows, or where it is no number, "no data".

    Parameters
    ----------
    name : str
    function : callable
        Takes the rows of a window and gives a number.
    rows : DataFrame
        From `join_inputs`.
    window : TimeWindow

    Examples
    --------
    >>> day = TimeWindow(EPOCH, EPOCH + timedelta(days=1), 2)
    >>> rows = pd.DataFrame({"value": [1.0, 0.0]})
    >>> business_finding("mean", lambda rows: rows["value"].mean(), rows=rows, window=day).value
    0.5
    """
    value = float(function(rows)) if len(rows) else math.nan
    shown = Finding(f"{BUSINESS_PREFIX}{name}", "business", window, value)
    return shown if math.isfinite(value) else replace(shown, value=None, state="no data")


def join_inputs(rows: pd.DataFrame, raw: pd.DataFrame | None) -> pd.DataFrame:
    """Return the rows of a logged frame with what was predicted from, as `input_<column>`."""
    plain = rows.reset_index(drop=True)
    if raw is None:
        return plain
    return pd.concat([plain, raw.reset_index(drop=True).add_prefix("input_")], axis="columns")


def count_labels_since(frame: pd.DataFrame, moment: datetime | None) -> tuple[int, int]:
    """Return how many rows since a moment have a label, and how many have none.

    Examples
    --------
    >>> days = pd.to_datetime(["2024-05-01", "2024-05-02", "2024-05-03"])
    >>> frame = pd.DataFrame({"moment": days, "truth": [1.0, np.nan, 0.0]})
    >>> count_labels_since(frame, datetime(2024, 5, 2, tzinfo=UTC))
    (1, 1)
    """
    rows = frame if moment is None else frame[frame["moment"] >= to_naive_timestamp(moment)]
    known = int(rows["truth"].notna().sum())
    return known, len(rows) - known


def paired_loss_days(
    shadow: pd.DataFrame, *, task: Task, scale: float | None
) -> tuple[tuple[DailyLoss, ...], tuple[DailyLoss, ...]]:
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
        daily_losses(
            rows["moment"],
            bounded_losses(truth, logged_predictions(rows, ending), task=task, scale=scale),
        )
        for ending in ("_c", "")
    )
    return answered, shadowed


def mean_rows_per_day(frame: pd.DataFrame, now: datetime) -> float:
    """Return how many rows came a day, from the first one until now."""
    if frame.empty:
        return 0.0
    days = (now - to_utc_datetime(frame["moment"].iloc[0])) / timedelta(days=1)
    return len(frame) / max(days, 1.0)


def _count_rows(
    moments: pd.Series, starts: Sequence[datetime], length: timedelta
) -> tuple[TimeWindow, ...]:
    edges = pd.DatetimeIndex(
        [to_naive_timestamp(each) for each in (*starts, *(s + length for s in starts[-1:]))]
    )
    ordered = moments.sort_values().to_numpy()
    places = np.searchsorted(ordered, edges.to_numpy()) if starts else np.array([0])
    return tuple(
        TimeWindow(start, start + length, int(n))
        for start, n in zip(starts, np.diff(places), strict=True)
    )


ARRIVAL_COLUMNS = ["moment", "labelled"]


@dataclass(frozen=True, eq=False)
class MonitoredVersion:
    """One version's production up to now.

    Attributes
    ----------
    root : Path
        The project's folder, for functions of the user's own.
    params : Params
    log : PredictionLog
    version : str
    reference : Reference
    metrics : tuple of Metric
        The metric that is optimised comes first.
    frame : DataFrame
        The version's logged frame, labels known until now.
    windows : tuple of TimeWindow
        That are over, oldest first.
    curve : ArrivalCurve
        How long labels took to come, whichever version was asked.
    now : datetime
    """

    root: Path
    params: Params
    log: PredictionLog
    version: str
    reference: Reference
    metrics: tuple[Metric, ...]
    frame: pd.DataFrame
    windows: tuple[TimeWindow, ...]
    curve: ArrivalCurve
    now: datetime

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of the version's schema in the order of their codes."""
        return self.reference.schema.classes


def load_monitored_version(
    root: Path,
    params: Params,
    *,
    log: PredictionLog,
    version: str,
    reference: Reference,
    now: datetime,
) -> MonitoredVersion:
    """Return what a version predicted within the horizon, with the labels known until now."""
    schema, start = reference.schema, now - timedelta(days=params.monitoring.horizon_days)
    frame = log.read(
        start,
        now,
        classes=schema.classes,
        version=version,
        known_at=now,
    )
    others = log.read_label_arrivals(start, now, not_of=version, classes=schema.classes)
    waited = pd.concat([frame[ARRIVAL_COLUMNS], others], ignore_index=True)
    return MonitoredVersion(
        root=root,
        params=params,
        log=log,
        version=version,
        reference=reference,
        metrics=load_metrics(params.metric, schema.task, root),
        frame=frame,
        windows=_closed_windows(params, frame, oldest=log.oldest_event(), now=now),
        curve=fit_arrival_curve(waited["moment"], waited["labelled"], now=now),
        now=now,
    )


def matured_losses(seen: MonitoredVersion) -> tuple[DailyLoss, ...]:
    """Return the matured losses by day: what the sequential tests are fed with."""
    return matured_loss_days(
        seen.frame,
        seen.reference.performance,
        classes=seen.classes,
        curve=seen.curve,
        now=seen.now,
        coverage=seen.params.monitoring.label_coverage,
    )


def monitoring_notes(seen: MonitoredVersion) -> tuple[str, ...]:
    """Return what a person has to know of how a version is watched."""
    wanted, known = seen.params.monitoring.window_days, seen.reference.window_days
    if seen.params.monitoring.window_rows is not None or wanted == known:
        return ()
    return (
        f"monitoring.window_days is {wanted:g}, but version {seen.version} was calibrated on"
        f" {known:g}-day windows: what counts as drift is right again with the next version that"
        " `evertune train` makes",
    )


def window_inputs(seen: MonitoredVersion, window: TimeWindow) -> pd.DataFrame:
    """Return what was predicted from in a window: raw rows in the order of the frame's."""
    frame = seen.log.read(
        window.start,
        window.end,
        classes=seen.classes,
        version=seen.version,
        with_inputs=True,
    )
    return read_inputs(frame)


def _closed_windows(
    params: Params, frame: pd.DataFrame, *, oldest: datetime | None, now: datetime
) -> tuple[TimeWindow, ...]:
    section = params.monitoring
    if section.window_rows is not None:
        return windows_by_rows(frame["moment"], rows=section.window_rows)
    # a version that took over from another begins within a window that is not all its own
    took_over = (
        oldest is not None and not frame.empty and oldest < to_utc_datetime(frame["moment"].iloc[0])
    )
    return windows_by_days(
        frame["moment"], days=section.window_days, now=now, whole_first=took_over
    )


INPUT_KIND, LABEL_KIND, REALISED_KIND, ALL_FINDINGS_KIND = (
    "inputs",
    "labels",
    "realised",
    "findings",
)
PROFILE_KIND = "profile"
N_RECENT_WINDOWS = 6
Findings = tuple[Finding, ...]


@dataclass(frozen=True)
class StoredProfile:
    """What was counted in a window, and the mark of the rows that it was counted from."""

    mark: str
    profile: WindowProfile


@dataclass(frozen=True)
class LayerFindings:
    """The findings of one layer by the start of their window, and which were worked out anew."""

    by_start: dict[datetime, Findings]
    new: frozenset[datetime]


def compute_findings(seen: MonitoredVersion) -> Findings:
    """Return all findings of a version's windows, oldest window first; what is new is kept.

    Raises
    ------
    StageError
        What was kept of a window cannot be read.
    """
    profiles = _load_or_count_profiles(seen)
    layers = (
        _findings_by_window(
            seen,
            INPUT_KIND,
            partial(_input_findings, profiles),
            settings=lambda window: _settings_digest(
                seen, window, _recent_profiles(profiles, window)
            ),
        ),
        _findings_by_window(
            seen,
            LABEL_KIND,
            _label_findings,
            settings=lambda window: _settings_digest(seen, window, ()),
        ),
        _realised_layer(seen),
    )
    everything: list[Finding] = []
    for window in seen.windows:
        found = suppress_on_broken_data(
            [each for layer in layers for each in layer.by_start.get(window.start, ())]
        )
        if any(window.start in layer.new for layer in layers):
            _save_findings(seen, ALL_FINDINGS_KIND, window, WindowFindings("", found))
        everything += found
    return tuple(everything)


def _load_or_count_profiles(seen: MonitoredVersion) -> dict[datetime, StoredProfile]:
    """Return what was counted in each window, by its start, oldest first."""
    kept = seen.log.load_window_records(
        kind=PROFILE_KIND, version=seen.version, type_=StoredProfile
    )
    found: dict[datetime, StoredProfile] = {}
    for window in seen.windows:
        rows = rows_in_window(seen.frame, window)
        mark = window_fingerprint(rows, str(seen.params.monitoring.window_days), with_labels=False)
        known = kept.get(window.start)
        if known is None or known.mark != mark:
            known = StoredProfile(mark, _count_profile(seen, window, rows))
            seen.log.save_window_record(
                kind=PROFILE_KIND, version=seen.version, window=window, record=known
            )
        found[window.start] = known
    return found


def _count_profile(seen: MonitoredVersion, window: TimeWindow, rows: pd.DataFrame) -> WindowProfile:
    schema, inputs = seen.reference.schema, seen.reference.inputs
    said = logged_predictions(rows)
    return build_window_profile(
        window_inputs(seen, window), inputs, schema, window=window, predictions=said
    )


def _recent_profiles(
    profiles: Mapping[datetime, StoredProfile], window: TimeWindow
) -> tuple[StoredProfile, ...]:
    """Return the windows right before one, which drift is looked for together with."""
    earlier = [known for start, known in profiles.items() if start < window.start]
    return tuple(earlier[-N_RECENT_WINDOWS:])


def _findings_by_window(
    seen: MonitoredVersion,
    kind: str,
    work_out: Callable[[MonitoredVersion, TimeWindow, pd.DataFrame], Findings],
    *,
    settings: Callable[[TimeWindow], str],
) -> LayerFindings:
    """Return what can be told of each window without the labels of others."""
    kept = _load_findings(seen, kind)
    found: dict[datetime, Findings] = {}
    new: set[datetime] = set()
    for window in seen.windows:
        rows = rows_in_window(seen.frame, window)
        mark = window_fingerprint(rows, settings(window), with_labels=kind == LABEL_KIND)
        known = kept.get(window.start)
        if known is None or known.mark != mark:
            known = WindowFindings(mark, work_out(seen, window, rows))
            _save_findings(seen, kind, window, known)
            new.add(window.start)
        found[window.start] = known.findings
    return LayerFindings(found, frozenset(new))


def _realised_layer(seen: MonitoredVersion) -> LayerFindings:
    """Return the performance that labels show; windows with few rows are pooled with later ones.

    From the first window on that is new, not mature or has other labels, all is worked out anew.
    """
    kept = _load_findings(seen, REALISED_KIND)
    marks = [_realised_fingerprint(seen, window) for window in seen.windows]
    first = first_stale_window(seen.windows, marks, kept)
    found = {each.start: kept[each.start].findings for each in seen.windows[:first]}
    later = _compute_realised(seen, seen.windows[first:])
    for window, mark in zip(seen.windows[first:], marks[first:], strict=True):
        found[window.start] = tuple(each for each in later if each.window.start == window.start)
        _save_findings(seen, REALISED_KIND, window, WindowFindings(mark, found[window.start]))
    return LayerFindings(found, frozenset(each.start for each in seen.windows[first:]))


def _compute_realised(seen: MonitoredVersion, windows: Sequence[TimeWindow]) -> Findings:
    if not windows:
        return ()
    section, schema = seen.params.monitoring, seen.reference.schema
    frame = rows_since(seen.frame, windows[0].start)
    return realised_findings(
        frame,
        seen.reference.performance,
        windows,
        task=schema.task,
        classes=schema.classes,
        metrics=seen.metrics,
        curve=seen.curve,
        now=seen.now,
        coverage=section.label_coverage,
        confidence=seen.params.evaluation.confidence,
        seed=seen.params.evaluation.seed,
        slices=_slice_columns(seen, TimeWindow(windows[0].start, seen.now)),
        least_rows=section.least_rows,
    )


def _realised_fingerprint(seen: MonitoredVersion, window: TimeWindow) -> str:
    section, names = seen.params.monitoring, [each.name for each in seen.metrics]
    parts = [section.least_rows, section.slices, names, seen.params.evaluation.confidence]
    return window_fingerprint(rows_in_window(seen.frame, window), _digest(parts), with_labels=True)


def _input_findings(
    profiles: Mapping[datetime, StoredProfile],
    seen: MonitoredVersion,
    window: TimeWindow,
    _: pd.DataFrame,
) -> Findings:
    inputs, section = seen.reference.inputs, seen.params.monitoring
    profile = profiles[window.start].profile
    is_last = window == seen.windows[-1]
    broken = contract_findings(
        profile,
        inputs,
        limits=ContractLimits(**section.contract.model_dump()),
        typical_rows=typical_row_count([w for w in seen.windows if w.start < window.start], window),
        now=seen.now if is_last else None,
        newest=to_utc_datetime(seen.frame["moment"].max()) if is_last and len(seen.frame) else None,
    )
    recent = [each.profile for each in _recent_profiles(profiles, window)]
    drift = drift_findings(profile, inputs, recent=recent, least_rows=section.least_rows)
    return _with_version(seen, (*broken, *drift))


def _label_findings(seen: MonitoredVersion, window: TimeWindow, rows: pd.DataFrame) -> Findings:
    schema, section = seen.reference.schema, seen.params.monitoring
    needs_inputs = schema.task == "regression" or section.business
    raw = window_inputs(seen, window) if needs_inputs else None
    estimated = estimated_findings(
        rows,
        seen.reference.performance,
        [window],
        task=schema.task,
        classes=schema.classes,
        metrics=seen.metrics,
        least_rows=section.least_rows,
        features=None if raw is None else _clean_features(raw, schema),
    )
    business = tuple(
        business_finding(
            name, load_function(own.function, seen.root), rows=join_inputs(rows, raw), window=window
        )
        for name, own in section.business.items()
    )
    return _with_version(seen, (*estimated, *business))


def _with_version(seen: MonitoredVersion, findings: Sequence[Finding]) -> Findings:
    return tuple(replace(each, version=seen.version) for each in findings)


def _clean_features(raw: pd.DataFrame, schema: TableSchema) -> pd.DataFrame | None:
    clean, breaches = conform_to_schema(raw, schema)
    return None if breaches else clean


def _slice_columns(seen: MonitoredVersion, window: TimeWindow) -> pd.DataFrame | None:
    names = list(seen.params.monitoring.slices)
    return window_inputs(seen, window).reindex(columns=names) if names else None


def _settings_digest(
    seen: MonitoredVersion, window: TimeWindow, before: Sequence[StoredProfile]
) -> str:
    section = seen.params.monitoring
    day = f"{seen.now:%Y-%m-%d}" if window == seen.windows[-1] else ""  # rows grow stale by day
    marks = [each.mark for each in before]
    return _digest(
        [section.contract, section.least_rows, section.business, section.window_days, day, marks]
    )


def _digest(parts: Sequence[object]) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def _load_findings(seen: MonitoredVersion, kind: str) -> dict[datetime, WindowFindings]:
    return seen.log.load_window_records(kind=kind, version=seen.version, type_=WindowFindings)


def _save_findings(
    seen: MonitoredVersion, kind: str, window: TimeWindow, record: WindowFindings
) -> None:
    seen.log.save_window_record(kind=kind, version=seen.version, window=window, record=record)
