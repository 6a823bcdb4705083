"""The findings of the champion's windows, as they were kept and as they are worked out.

What is kept of a window bears a mark of the rows, labels and settings that it was made from, so
that a look on an idle day works out nothing twice.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

import pandas as pd

from pipelines.core.conforming import conform
from pipelines.core.contract import Limits, contract_findings, usual_rows
from pipelines.core.drift import drift_findings
from pipelines.core.estimated import estimated_findings
from pipelines.core.findings import Finding, Window, aware
from pipelines.core.log_frames import predictions_of
from pipelines.core.monitored import WindowFindings
from pipelines.core.realised import realised_findings
from pipelines.core.schema import Schema
from pipelines.core.watching import (
    business_finding,
    first_unsettled,
    mark_of,
    muted,
    rows_from,
    rows_in,
    with_inputs,
)
from pipelines.core.window_profiles import WindowProfile, window_profile
from pipelines.stores.files import load_function
from pipelines.stores.watched import Watched, inputs_of
from pipelines.stores.windows import keep_window, kept_windows

INPUTS, LABELS, REALISED, ALL = "inputs", "labels", "realised", "findings"
PROFILES = "profile"
RECENT = 6
Found = tuple[Finding, ...]


@dataclass(frozen=True)
class Profiled:
    """What was counted in a window, and the mark of the rows that it was counted from."""

    mark: str
    profile: WindowProfile


@dataclass(frozen=True)
class Layer:
    """The findings of one layer by the start of their window, and which were worked out anew."""

    by_start: dict[datetime, Found]
    new: frozenset[datetime]


def findings_of(seen: Watched) -> Found:
    """Return all findings of a version's windows, oldest window first; what is new is kept.

    Raises
    ------
    StageError
        What was kept of a window cannot be read.
    """
    profiles = _profiles(seen)
    layers = (
        _by_window(
            seen,
            INPUTS,
            partial(_input_findings, profiles),
            settings=lambda window: _settings(seen, window, _before(profiles, window)),
        ),
        _by_window(
            seen, LABELS, _label_findings, settings=lambda window: _settings(seen, window, ())
        ),
        _realised(seen),
    )
    everything: list[Finding] = []
    for window in seen.windows:
        found = muted([each for layer in layers for each in layer.by_start.get(window.start, ())])
        if any(window.start in layer.new for layer in layers):
            _keep(seen, ALL, window, WindowFindings("", found))
        everything += found
    return tuple(everything)


def _profiles(seen: Watched) -> dict[datetime, Profiled]:
    """Return what was counted in each window, by its start, oldest first."""
    kept = kept_windows(seen.log, kind=PROFILES, version=seen.version, type_=Profiled)
    found: dict[datetime, Profiled] = {}
    for window in seen.windows:
        rows = rows_in(seen.frame, window)
        mark = mark_of(rows, str(seen.params.monitoring.window_days), with_labels=False)
        known = kept.get(window.start)
        if known is None or known.mark != mark:
            known = Profiled(mark, _profile(seen, window, rows))
            keep_window(seen.log, kind=PROFILES, version=seen.version, window=window, record=known)
        found[window.start] = known
    return found


def _profile(seen: Watched, window: Window, rows: pd.DataFrame) -> WindowProfile:
    schema, inputs = seen.reference.schema, seen.reference.inputs
    said = predictions_of(rows)
    return window_profile(inputs_of(seen, window), inputs, schema, window=window, predictions=said)


def _before(profiles: Mapping[datetime, Profiled], window: Window) -> tuple[Profiled, ...]:
    """Return the windows right before one, which drift is looked for together with."""
    earlier = [known for start, known in profiles.items() if start < window.start]
    return tuple(earlier[-RECENT:])


def _by_window(
    seen: Watched,
    kind: str,
    work_out: Callable[[Watched, Window, pd.DataFrame], Found],
    *,
    settings: Callable[[Window], str],
) -> Layer:
    """Return what can be told of each window without the labels of others."""
    kept = _kept(seen, kind)
    found: dict[datetime, Found] = {}
    new: set[datetime] = set()
    for window in seen.windows:
        rows = rows_in(seen.frame, window)
        mark = mark_of(rows, settings(window), with_labels=kind == LABELS)
        known = kept.get(window.start)
        if known is None or known.mark != mark:
            known = WindowFindings(mark, work_out(seen, window, rows))
            _keep(seen, kind, window, known)
            new.add(window.start)
        found[window.start] = known.findings
    return Layer(found, frozenset(new))


def _realised(seen: Watched) -> Layer:
    """Return the performance that labels show; windows with few rows are pooled with later ones.

    From the first window on that is new, not mature or has other labels, all is worked out anew.
    """
    kept = _kept(seen, REALISED)
    marks = [_realised_mark(seen, window) for window in seen.windows]
    first = first_unsettled(seen.windows, marks, kept)
    found = {each.start: kept[each.start].findings for each in seen.windows[:first]}
    later = _realised_from(seen, seen.windows[first:])
    for window, mark in zip(seen.windows[first:], marks[first:], strict=True):
        found[window.start] = tuple(each for each in later if each.window.start == window.start)
        _keep(seen, REALISED, window, WindowFindings(mark, found[window.start]))
    return Layer(found, frozenset(each.start for each in seen.windows[first:]))


def _realised_from(seen: Watched, windows: Sequence[Window]) -> Found:
    if not windows:
        return ()
    section, schema = seen.params.monitoring, seen.reference.schema
    frame = rows_from(seen.frame, windows[0].start)
    return realised_findings(
        frame,
        seen.reference.performance,
        windows,
        task=schema.task,
        classes=schema.classes,
        metrics=seen.metrics,
        curve=seen.curve,
        now=seen.now,
        coverage=section.mature_coverage,
        confidence=seen.params.evaluation.confidence,
        seed=seen.params.evaluation.seed,
        slices=_slices(seen, Window(windows[0].start, seen.now)),
        least_rows=section.least_rows,
    )


def _realised_mark(seen: Watched, window: Window) -> str:
    section, names = seen.params.monitoring, [each.name for each in seen.metrics]
    parts = [section.least_rows, section.slices, names, seen.params.evaluation.confidence]
    return mark_of(rows_in(seen.frame, window), _digest(parts), with_labels=True)


def _input_findings(
    profiles: Mapping[datetime, Profiled], seen: Watched, window: Window, _: pd.DataFrame
) -> Found:
    inputs, section = seen.reference.inputs, seen.params.monitoring
    profile = profiles[window.start].profile
    is_last = window == seen.windows[-1]
    broken = contract_findings(
        profile,
        inputs,
        limits=Limits(**section.contract.model_dump()),
        typical_rows=usual_rows([w for w in seen.windows if w.start < window.start], window),
        now=seen.now if is_last else None,
        newest=aware(seen.frame["moment"].max()) if is_last and len(seen.frame) else None,
    )
    recent = [each.profile for each in _before(profiles, window)]
    drift = drift_findings(profile, inputs, recent=recent, least_rows=section.least_rows)
    return _of(seen, (*broken, *drift))


def _label_findings(seen: Watched, window: Window, rows: pd.DataFrame) -> Found:
    schema, section = seen.reference.schema, seen.params.monitoring
    needs_inputs = schema.task == "regression" or section.business
    raw = inputs_of(seen, window) if needs_inputs else None
    estimated = estimated_findings(
        rows,
        seen.reference.performance,
        [window],
        task=schema.task,
        classes=schema.classes,
        metrics=seen.metrics,
        least_rows=section.least_rows,
        features=None if raw is None else _clean(raw, schema),
    )
    business = tuple(
        business_finding(
            name, load_function(own.function, seen.root), rows=with_inputs(rows, raw), window=window
        )
        for name, own in section.business.items()
    )
    return _of(seen, (*estimated, *business))


def _of(seen: Watched, findings: Sequence[Finding]) -> Found:
    return tuple(replace(each, version=seen.version) for each in findings)


def _clean(raw: pd.DataFrame, schema: Schema) -> pd.DataFrame | None:
    clean, breaches = conform(raw, schema)
    return None if breaches else clean


def _slices(seen: Watched, window: Window) -> pd.DataFrame | None:
    names = list(seen.params.monitoring.slices)
    return inputs_of(seen, window).reindex(columns=names) if names else None


def _settings(seen: Watched, window: Window, before: Sequence[Profiled]) -> str:
    section = seen.params.monitoring
    day = f"{seen.now:%Y-%m-%d}" if window == seen.windows[-1] else ""  # rows grow stale by day
    marks = [each.mark for each in before]
    return _digest(
        [section.contract, section.least_rows, section.business, section.window_days, day, marks]
    )


def _digest(parts: Sequence[object]) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def _kept(seen: Watched, kind: str) -> dict[datetime, WindowFindings]:
    return kept_windows(seen.log, kind=kind, version=seen.version, type_=WindowFindings)


def _keep(seen: Watched, kind: str, window: Window, record: WindowFindings) -> None:
    keep_window(seen.log, kind=kind, version=seen.version, window=window, record=record)
