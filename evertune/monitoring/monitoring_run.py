"""Compute the findings of each window of a version's production.

A `MonitoringRun` holds what one version predicted up to now, with the labels known so far:

    run = MonitoringRun(root, params, log=log, version="3", reference=reference, now=now)
    findings = run.findings()      # oldest window first
    days = run.matured_losses()    # the input of the sequential test

The findings of a window come in three layers: *inputs* (contract and drift), *labels* (estimated
performance and the user's business metrics) and *realised* performance. What was computed is
cached in the log, one record for each window; each layer has a fingerprint of the rows, labels
and settings that it was computed from. So a run without new data computes nothing twice.

Realised performance pools small windows with later ones. It is recomputed from the first window
on that is new, immature or has other labels (`first_stale_window`).
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from evertune.config.custom_metrics import load_metrics
from evertune.config.schema import BUSINESS_PREFIX, Params
from evertune.data.cleaning import conform_to_schema
from evertune.data.schema import Column
from evertune.decisions import Finding
from evertune.files import load_function
from evertune.metrics.losses import DailyLoss, bounded_losses, daily_losses
from evertune.monitoring.bins import parse_column
from evertune.monitoring.data_contract import (
    breaks_contract,
    contract_findings,
    typical_row_count,
)
from evertune.monitoring.drift import drift_findings
from evertune.monitoring.estimation import estimated_findings
from evertune.monitoring.label_delay import fit_arrival_curve
from evertune.monitoring.log_frames import logged_predictions, read_inputs, rows_in_window
from evertune.monitoring.performance import matured_loss_days, realised_findings
from evertune.monitoring.prediction_log import PredictionLog
from evertune.monitoring.reference import Reference
from evertune.monitoring.window_bounds import windows_by_days, windows_by_rows
from evertune.monitoring.window_profiles import WindowProfile, build_window_profile
from evertune.times import TimeWindow, to_naive_timestamp, to_utc_datetime
from evertune.types import Task

RECORD_KIND = "window"
N_RECENT_WINDOWS = 6
BROKEN_DATA_NOTE = "the window's data is broken"
ARRIVAL_COLUMNS = ["moment", "labelled"]
Findings = tuple[Finding, ...]
BusinessFunction = Callable[[pd.DataFrame], float]


@dataclass(frozen=True)
class CachedFindings:
    """The findings of one layer of a window, and the fingerprint of what they came from."""

    fingerprint: str
    findings: Findings


@dataclass(frozen=True)
class WindowRecord:
    """What is cached about a window: its profile with the fingerprint of its rows, and layers."""

    rows: str
    profile: WindowProfile
    inputs: CachedFindings
    labels: CachedFindings
    realised: CachedFindings


class MonitoringRun:
    """One version's production up to now, and the findings of its windows.

    Parameters
    ----------
    root : Path
        The project's folder, for the user's own functions.
    now : datetime
        Later predictions and labels are ignored, and windows that end later.
    since : datetime, optional
        Only predictions and windows from then on.

    Attributes
    ----------
    frame : DataFrame
        The version's logged frame within `monitoring.horizon_days`.
    windows : tuple of TimeWindow
        That are over, oldest first.
    curve : ArrivalCurve
        How long labels take to arrive, learned from all versions.
    """

    def __init__(
        self,
        root: Path,
        params: Params,
        *,
        log: PredictionLog,
        version: str,
        reference: Reference,
        now: datetime,
        since: datetime | None = None,
    ) -> None:
        self.root, self.log, self.version, self.now = root, log, version, now
        self.params, self.settings, self.reference = params, params.monitoring, reference
        self.schema = reference.schema
        self.metrics = load_metrics(params.metric, self.schema.task, root)
        start, classes = now - timedelta(days=self.settings.horizon_days), self.schema.classes
        self.frame = log.read(start, now, classes=classes, version=version, known_at=now)
        others = log.read_label_arrivals(start, now, not_of=version, classes=classes)
        waited = pd.concat([self.frame[ARRIVAL_COLUMNS], others], ignore_index=True)
        self.curve = fit_arrival_curve(waited["moment"], waited["labelled"], now=now)
        self.windows = self._closed_windows()
        if since is not None:
            later = self.frame["moment"] >= to_naive_timestamp(since)
            self.frame = self.frame[later].reset_index(drop=True)
            self.windows = tuple(each for each in self.windows if each.start >= since)

    def findings(self) -> Findings:
        """Return all findings, oldest window first; new ones are cached.

        Raises
        ------
        StageError
            A cached record cannot be read.
        """
        cached = self.log.load_window_records(
            kind=RECORD_KIND, version=self.version, type_=WindowRecord
        )
        row_marks = [self._row_fingerprint(window) for window in self.windows]
        label_marks = [
            f"{rows} {self._label_fingerprint(window)}"
            for rows, window in zip(row_marks, self.windows, strict=True)
        ]
        realised = self._realised(cached, label_marks)
        profiles: list[WindowProfile] = []
        found: list[Finding] = []
        for i, window in enumerate(self.windows):
            old = cached.get(window.start)
            recent = slice(max(i - N_RECENT_WINDOWS, 0), i)
            known = old is not None and old.rows == row_marks[i]
            profiles.append(old.profile if old and known else self._profile(window))
            settings = self._settings_digest(window)
            inputs = f"{row_marks[i]} {settings} {_digest(row_marks[recent])}"
            labels = f"{label_marks[i]} {settings}"
            record = WindowRecord(
                row_marks[i],
                profiles[i],
                old.inputs
                if old and old.inputs.fingerprint == inputs
                else CachedFindings(inputs, self._input_findings(i, profiles[i], profiles[recent])),
                old.labels
                if old and old.labels.fingerprint == labels
                else CachedFindings(labels, self._label_findings(window)),
                realised[i],
            )
            if record != old:
                self.log.save_window_record(
                    kind=RECORD_KIND, version=self.version, window=window, record=record
                )
            layers = (record.inputs, record.labels, record.realised)
            found += suppress_on_broken_data([each for one in layers for each in one.findings])
        return tuple(found)

    def matured_losses(self) -> tuple[DailyLoss, ...]:
        """Return the daily losses whose labels have matured, the input of the sequential tests."""
        return matured_loss_days(
            self.frame,
            self.reference.performance,
            curve=self.curve,
            now=self.now,
            coverage=self.settings.label_coverage,
        )

    def notes(self) -> tuple[str, ...]:
        """Return what a reader of the findings has to know."""
        wanted, known = self.settings.window_days, self.reference.window_days
        if self.settings.window_rows is not None or wanted == known:
            return ()
        return (
            f"monitoring.window_days is {wanted:g}, but version {self.version} was calibrated on"
            f" {known:g}-day windows: drift is judged correctly again with the next version that"
            " `evertune train` makes",
        )

    def inputs(self, window: TimeWindow) -> pd.DataFrame:
        """Return the raw input rows of a window, in the order of the frame's."""
        frame = self.log.read(
            window.start,
            window.end,
            classes=self.schema.classes,
            version=self.version,
            with_inputs=True,
        )
        return read_inputs(frame)

    def _closed_windows(self) -> tuple[TimeWindow, ...]:
        moments, settings = self.frame["moment"], self.settings
        if settings.window_rows is not None:
            return windows_by_rows(moments, rows=settings.window_rows)
        # a version that took over from another starts within a window that is not all its own
        oldest = self.log.oldest_event()
        took_over = (
            oldest is not None and not moments.empty and oldest < to_utc_datetime(moments.iloc[0])
        )
        return windows_by_days(
            moments, days=settings.window_days, now=self.now, whole_first=took_over
        )

    def _rows(self, window: TimeWindow) -> pd.DataFrame:
        return self.frame.iloc[rows_in_window(self.frame, window)]

    def _row_fingerprint(self, window: TimeWindow) -> str:
        rows = self._rows(window)
        return f"{self.settings.window_days} {len(rows)} {rows['received'].max()}"

    def _label_fingerprint(self, window: TimeWindow) -> str:
        rows = self._rows(window)
        known = rows["labelled"]
        return f"{known.count()} {known.max()} {rows['truth'].sum():.6g}"

    def _settings_digest(self, window: TimeWindow) -> str:
        settings = self.settings
        # rows of the last window grow stale day by day
        day = f"{self.now:%Y-%m-%d}" if window == self.windows[-1] else ""
        return _digest([settings.contract, settings.least_rows, settings.business, day])

    def _profile(self, window: TimeWindow) -> WindowProfile:
        return build_window_profile(
            self.inputs(window),
            self.reference.inputs,
            self.schema,
            window=window,
            predictions=logged_predictions(self._rows(window)),
        )

    def _input_findings(
        self, i: int, profile: WindowProfile, recent: Sequence[WindowProfile]
    ) -> Findings:
        window, inputs = self.windows[i], self.reference.inputs
        is_last = i == len(self.windows) - 1
        newest = to_utc_datetime(self.frame["moment"].max()) if len(self.frame) else None
        contract = contract_findings(
            profile,
            inputs,
            limits=self.settings.contract,
            typical_rows=typical_row_count(self.windows[:i], window),
            now=self.now if is_last else None,
            newest=newest if is_last else None,
        )
        drift = drift_findings(profile, inputs, recent=recent, least_rows=self.settings.least_rows)
        return self._with_version((*contract, *drift))

    def _label_findings(self, window: TimeWindow) -> Findings:
        rows, settings = self._rows(window), self.settings
        raw = features = None
        if self.schema.task == "regression" or settings.business:
            raw = self.inputs(window)
            clean, issues = conform_to_schema(raw, self.schema)
            features = None if issues else clean
        estimated = estimated_findings(
            rows,
            self.reference.performance,
            [window],
            task=self.schema.task,
            classes=self.schema.classes,
            metrics=self.metrics,
            least_rows=settings.least_rows,
            features=features,
        )
        table = join_inputs(rows, raw)
        business = [
            business_finding(
                name, load_function(metric.function, self.root), rows=table, window=window
            )
            for name, metric in settings.business.items()
        ]
        return self._with_version((*estimated, *business))

    def _realised(
        self, cached: Mapping[datetime, WindowRecord], marks: Sequence[str]
    ) -> list[CachedFindings]:
        """Return the realised performance of each window, recomputed from the first stale one."""
        settings, evaluation = self.settings, self.params.evaluation
        names = [metric.name for metric in self.metrics]
        digest = _digest([settings.least_rows, settings.slices, names, evaluation.confidence])
        marks = [f"{mark} {digest}" for mark in marks]
        old = {start: record.realised for start, record in cached.items()}
        first = first_stale_window(self.windows, marks, old)
        stale = self.windows[first:]
        by_start: dict[datetime, list[Finding]] = {window.start: [] for window in stale}
        if stale:
            rows = self.frame["moment"] >= to_naive_timestamp(stale[0].start)
            slices = self._slice_columns(TimeWindow(stale[0].start, self.now))
            for each in realised_findings(
                self.frame[rows],
                self.reference.performance,
                stale,
                task=self.schema.task,
                metrics=self.metrics,
                curve=self.curve,
                now=self.now,
                coverage=settings.label_coverage,
                confidence=evaluation.confidence,
                seed=evaluation.seed,
                slices=slices,
                least_rows=settings.least_rows,
            ):
                by_start[each.window.start].append(each)
        kept = [old[window.start] for window in self.windows[:first]]
        return kept + [
            CachedFindings(mark, tuple(by_start[window.start]))
            for window, mark in zip(stale, marks[first:], strict=True)
        ]

    def _slice_columns(self, window: TimeWindow) -> pd.DataFrame | None:
        """Return the columns of `monitoring.slices`: numbers to be cut into ranges, or texts."""
        if not self.settings.slices:
            return None
        columns = self.inputs(window).reindex(columns=list(self.settings.slices))
        kinds = {column.name: column for column in self.schema.features}
        for name in columns:
            if name in self.reference.performance.slice_edges:
                described = kinds.get(str(name), Column(str(name), "number"))
                columns[name] = parse_column(columns[name], described, self.schema).values
            else:
                columns[name] = columns[name].astype("str")
        return columns

    def _with_version(self, findings: Sequence[Finding]) -> Findings:
        return tuple(replace(each, version=self.version) for each in findings)


def first_stale_window(
    windows: Sequence[TimeWindow],
    fingerprints: Sequence[str],
    cached: Mapping[datetime, CachedFindings],
) -> int:
    """Return the position of the first window whose realised performance must be recomputed.

    It is the first that is new, has another fingerprint, or was not mature; if small windows were
    pooled, the first of the pool.
    """
    i = 0
    for window, fingerprint in zip(windows, fingerprints, strict=True):
        old = cached.get(window.start)
        if old is None or old.fingerprint != fingerprint or not _is_final(old):
            break
        i += 1
    while 0 < i < len(windows) and _is_pooled_with_earlier(cached.get(windows[i].start)):
        i -= 1
        while i and not windows[i].n_rows:
            i -= 1
    return i


def _is_final(cached: CachedFindings) -> bool:
    losses = [each for each in cached.findings if each.signal == "loss" and each.part is None]
    return all(each.state == "ok" or not each.window.n_rows for each in losses)


def _is_pooled_with_earlier(cached: CachedFindings | None) -> bool:
    return cached is not None and not cached.findings


def suppress_on_broken_data(findings: Sequence[Finding]) -> Findings:
    """Return findings with "no data" for drift and estimates of windows that break the contract."""
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
    """Return a business metric of the user's; "no data" without rows or if it is no number."""
    value = float(function(rows)) if len(rows) else math.nan
    finding = Finding(f"{BUSINESS_PREFIX}{name}", "business", window, value)
    return finding if math.isfinite(value) else replace(finding, value=None, state="no data")


def join_inputs(rows: pd.DataFrame, raw: pd.DataFrame | None) -> pd.DataFrame:
    """Return the rows of a logged frame with their inputs as `input_<column>`."""
    plain = rows.reset_index(drop=True)
    if raw is None:
        return plain
    return pd.concat([plain, raw.reset_index(drop=True).add_prefix("input_")], axis="columns")


def mean_value_since(
    findings: Sequence[Finding], signal: str, since: datetime | None
) -> float | None:
    """Return the mean of a signal over the rows of the windows since a moment.

    Slices and windows without a value are left out; None if no window is left.
    """
    values = [
        (each.value, each.window.n_rows)
        for each in findings
        if each.signal == signal
        and each.part is None
        and each.value is not None
        and not np.isnan(each.value)
        and (since is None or each.window.end > since)
    ]
    total = sum(n for _, n in values)
    return sum(value * n for value, n in values) / total if total else None


def paired_loss_days(
    shadow: pd.DataFrame, *, task: Task, scale: float | None
) -> tuple[tuple[DailyLoss, ...], tuple[DailyLoss, ...]]:
    """Return the daily losses of a champion and of a version in shadow, on the same rows.

    Parameters
    ----------
    shadow : DataFrame
        From `PredictionLog.read_shadow`.
    scale : float, optional
        The error that counts as 1, in regression: of the champion's reference.
    """
    truth = shadow["truth"].to_numpy(dtype=float)
    answered, shadowed = (
        bounded_losses(truth, logged_predictions(shadow, suffix), task=task, scale=scale)
        for suffix in ("_c", "")
    )
    both = np.isfinite(answered) & np.isfinite(shadowed)
    moments = shadow["moment"][both]
    return daily_losses(moments, answered[both]), daily_losses(moments, shadowed[both])


def _digest(parts: Sequence[object]) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
