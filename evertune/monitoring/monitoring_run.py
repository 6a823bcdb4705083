"""Measure a version in production: data quality, drift and performance of each window.

A `MonitoringRun` holds what one version predicted up to now, with the labels known so far:

    run = MonitoringRun(root, params, log=log, version="3", reference=reference, now=now)
    findings = run.findings()                # oldest window first
    processes = run.loss_processes(findings) # the sequential tests of the loss

The findings of a window come in three layers: *inputs* (contract and drift), *labels* (estimated
performance and the user's business metrics) and *realised* performance. What was computed is
cached in the log, one record for each window; each layer has a fingerprint of the rows, labels
and settings that it was computed from. So a run without new data computes nothing twice.

Realised performance pools small windows with later ones. It is recomputed from the first window
on that is new, immature or has other labels (`first_stale_window`).
"""

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from evertune.config.custom_metrics import load_metrics
from evertune.config.schema import BUSINESS_PREFIX, Params, SequentialRule
from evertune.data.cleaning import conform_to_schema
from evertune.data.labels import new_classes_note
from evertune.data.schema import Column
from evertune.decisions import Finding
from evertune.files import load_function
from evertune.metrics.losses import DailyLoss
from evertune.monitoring.bins import parse_column
from evertune.monitoring.data_contract import (
    breaks_contract,
    contract_findings,
    days_with_valid_data,
    typical_row_count,
)
from evertune.monitoring.drift import drift_findings
from evertune.monitoring.estimation import estimated_findings
from evertune.monitoring.label_delay import fit_arrival_curve
from evertune.monitoring.log_frames import (
    has_new_class,
    logged_predictions,
    read_inputs,
    rows_in_window,
)
from evertune.monitoring.loss_process import LossProcess, run_loss_process
from evertune.monitoring.performance import matured_loss_days, realised_findings
from evertune.monitoring.prediction_log import PredictionLog
from evertune.monitoring.reference import Reference
from evertune.monitoring.window_bounds import windows_by_days, windows_by_rows
from evertune.monitoring.window_profiles import WindowProfile, build_window_profile
from evertune.times import (
    TimeWindow,
    from_wall_clock,
    in_zone,
    to_naive_timestamp,
    to_utc_datetime,
    to_wall_clock,
    wall_clock,
)

RECORD_KIND = "window"
N_RECENT_WINDOWS = 6
BROKEN_DATA_NOTE = "the window's data is broken"
ARRIVAL_COLUMNS = ["moment", "labelled"]
Findings = tuple[Finding, ...]


@dataclass(frozen=True)
class CachedFindings:
    """The findings of one layer of a window, and the fingerprint of their inputs."""

    fingerprint: str
    findings: Findings


@dataclass(frozen=True)
class WindowRecord:
    """The cached profile and findings of a window; `rows` is the fingerprint of its rows."""

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
        self.root, self.log, self.version = root, log, version
        self.zone = params.monitoring.timezone
        self.now = now = in_zone(now, self.zone)
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
        row_marks, label_marks = [], []
        for window in self.windows:
            rows = self._rows(window)
            known = rows["labelled"]
            zone = "" if self.zone == "UTC" else f"{self.zone} "
            length = f"{zone}{self.settings.window_days}"
            row_marks.append(f"{length} {len(rows)} {rows['received'].max()}")
            labels = f"{known.count()} {known.max()} {rows['truth'].sum():.6g}"
            label_marks.append(f"{row_marks[-1]} {labels}")
        realised = self._realised(cached, label_marks)
        profiles: list[WindowProfile] = []
        findings: list[Finding] = []
        for i, window in enumerate(self.windows):
            old = cached.get(window.start)
            if old is not None and old.rows == row_marks[i]:
                profiles.append(old.profile)
            else:
                profile = build_window_profile(
                    self.inputs(window),
                    self.reference.inputs,
                    self.schema,
                    window=window,
                    predictions=logged_predictions(self._rows(window)),
                )
                profiles.append(profile)
            recent = slice(max(i - N_RECENT_WINDOWS, 0), i)
            settings = self._settings_digest(window)
            mark = f"{row_marks[i]} {settings} {_digest(row_marks[recent])}"
            inputs = None if old is None else old.inputs
            if inputs is None or inputs.fingerprint != mark:
                found = self._input_findings(i, profiles[i], profiles[recent])
                inputs = CachedFindings(mark, found)
            mark = f"{label_marks[i]} {settings}"
            labels_layer = None if old is None else old.labels
            if labels_layer is None or labels_layer.fingerprint != mark:
                labels_layer = CachedFindings(mark, self._label_findings(window))
            record = WindowRecord(row_marks[i], profiles[i], inputs, labels_layer, realised[i])
            if record != old:
                self.log.save_window_record(
                    kind=RECORD_KIND, version=self.version, window=window, record=record
                )
            of_window = (*inputs.findings, *labels_layer.findings, *realised[i].findings)
            findings += _without_drift_if_broken(of_window)
        return tuple(findings)

    def loss_processes(self, findings: Sequence[Finding]) -> dict[str, LossProcess]:
        """Return the sequential test of the loss for each trigger that has one, by its name."""
        days = self.matured_losses(findings)
        return {
            trigger.name: run_loss_process(
                self.reference.performance,
                days,
                tolerance=trigger.rule.tolerance,
                false_alarm_days=trigger.rule.false_alarm_days,
            )
            for trigger in self.settings.triggers
            if isinstance(trigger.rule, SequentialRule)
        }

    def matured_losses(self, findings: Sequence[Finding] = ()) -> tuple[DailyLoss, ...]:
        """Return the daily losses whose labels have matured, the input of the sequential tests.

        Days on which the findings show broken data are left out.
        """
        days = matured_loss_days(
            self.frame.assign(moment=to_wall_clock(self.frame["moment"], self.zone)),
            self.reference.performance,
            curve=self.curve,
            now=wall_clock(self.now),
            coverage=self.settings.label_coverage,
        )
        shown = [replace(each, window=_by_wall_clock(each.window)) for each in findings]
        valid = days_with_valid_data(days, shown)
        return tuple(replace(each, day=from_wall_clock(each.day, self.zone)) for each in valid)

    def new_classes(self) -> dict[str, int]:
        """Return the classes of labels that the version does not know, with their numbers."""
        if not self.schema.classes:
            return {}
        ids = self.frame["id"][has_new_class(self.frame)]
        return dict(Counter(self.log.effective_labels(list(ids)).values()))

    def notes(self) -> tuple[str, ...]:
        """Return what makes the findings less reliable, a sentence each."""
        wanted, known = self.settings.window_days, self.reference.window_days
        notes = []
        if self.settings.window_rows is None and wanted != known:
            notes.append(
                f"monitoring.window_days is {wanted:g}, but version {self.version} was calibrated"
                f" on {known:g}-day windows: drift is judged correctly again with the next version"
                " that `evertune train` makes"
            )
        if self.settings.window_rows is None and self.zone != self.reference.timezone:
            notes.append(
                f"monitoring.timezone is {self.zone}, but version {self.version} was calibrated on"
                f" days of {self.reference.timezone}: windows were measured again, and drift is"
                " judged correctly with the next version that `evertune train` makes"
            )
        classes = self.new_classes()
        return (*notes, new_classes_note(classes)) if classes else tuple(notes)

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
            return tuple(
                replace(
                    each, start=in_zone(each.start, self.zone), end=in_zone(each.end, self.zone)
                )
                for each in windows_by_rows(moments, rows=settings.window_rows)
            )
        # a version that took over from another starts within a window that is not all its own
        oldest = self.log.oldest_event()
        took_over = (
            oldest is not None and not moments.empty and oldest < to_utc_datetime(moments.iloc[0])
        )
        return windows_by_days(
            moments,
            days=settings.window_days,
            now=self.now,
            whole_first=took_over,
            zone=self.zone,
        )

    def _rows(self, window: TimeWindow) -> pd.DataFrame:
        return self.frame.iloc[rows_in_window(self.frame, window)]

    def _settings_digest(self, window: TimeWindow) -> str:
        settings = self.settings
        # rows of the last window grow stale day by day
        day = f"{self.now:%Y-%m-%d}" if window == self.windows[-1] else ""
        return _digest([settings.contract, settings.least_rows, settings.business, day])

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
        return tuple(replace(each, version=self.version) for each in (*contract, *drift))

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
        findings = list(estimated)
        table = rows.reset_index(drop=True)
        if raw is not None:
            inputs = raw.reset_index(drop=True).add_prefix("input_")
            table = pd.concat([table, inputs], axis="columns")
        for name, metric in settings.business.items():
            function = load_function(metric.function, self.root)
            value = float(function(table)) if len(table) else math.nan
            finding = Finding(f"{BUSINESS_PREFIX}{name}", "business", window, value)
            if not math.isfinite(value):
                finding = replace(finding, value=None, state="no data")
            findings.append(finding)
        return tuple(replace(each, version=self.version) for each in findings)

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
    while 0 < i < len(windows) and windows[i].start in cached:
        if cached[windows[i].start].findings:
            break
        i -= 1  # pooled with an earlier window
        while i and not windows[i].n_rows:
            i -= 1
    return i


def _is_final(cached: CachedFindings) -> bool:
    losses = [each for each in cached.findings if each.signal == "loss" and each.part is None]
    return all(each.state == "ok" or not each.window.n_rows for each in losses)


def _without_drift_if_broken(findings: Findings) -> Findings:
    """Return a window's findings; drift and estimates are "no data" if it breaks the contract."""
    if not any(breaks_contract(each) for each in findings):
        return findings
    return tuple(
        replace(each, value=None, low=None, high=None, state="no data", note=BROKEN_DATA_NOTE)
        if each.layer in ("drift", "estimate")
        else each
        for each in findings
    )


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


def _by_wall_clock(window: TimeWindow) -> TimeWindow:
    return TimeWindow(wall_clock(window.start), wall_clock(window.end), window.n_rows)


def _digest(parts: Sequence[object]) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
