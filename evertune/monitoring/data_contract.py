"""The data contract: what incoming rows must fulfil, whatever a model makes of them.

`contract_findings` checks schema, types, missing cells, ranges, unseen categories, duplicates,
volume and freshness. A share of rows breaks the contract where it is larger than chance allows
in a window like the reference (binomial, `p_value`) and also by more than a stated number of
points: many rows make tiny differences certain, few rows make large ones likely. Missing cells
must also exceed the worst window of the reference, since days differ.

`breaks_contract` ignores freshness: that no newer rows came is worth an alert, but says nothing
about the rows that are there. Losses on days with broken data are no evidence about the model
(`days_with_valid_data`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from scipy.stats import binom

from evertune.config.schema import ContractSection
from evertune.data.validation import quote_list
from evertune.decisions import Finding, FindingState
from evertune.metrics.losses import DailyLoss
from evertune.monitoring.column_reference import ColumnReference
from evertune.monitoring.drift_null import z_scores
from evertune.monitoring.drift_statistics import MISSING, compute_statistics, drift_statistics
from evertune.monitoring.input_reference import InputReference
from evertune.monitoring.window_bounds import rows_by_season
from evertune.monitoring.window_profiles import ColumnCounts, WindowProfile
from evertune.times import TimeWindow

MIN_EXPECTED_SHARE = 1e-3
MIN_PRIOR_WINDOWS = 3
MAX_PRIOR_WINDOWS = 8


@dataclass(frozen=True)
class ShareBound:
    """The usual share of rows, the rise over it that is allowed, and how surely it must be one."""

    usual: float
    rise: float
    p_value: float


def contract_findings(
    profile: WindowProfile,
    reference: InputReference,
    *,
    limits: ContractSection,
    typical_rows: float | None,
    now: datetime | None = None,
    newest: datetime | None = None,
) -> tuple[Finding, ...]:
    """Return what a window keeps and breaks of the contract.

    The signals are `schema` (features that are not there), `missing`, `type` (cells that cannot
    be read), `range`, `unseen`, by column; `duplicates`, `volume` and `freshness`. A share is the
    value, and what the reference gives its threshold.

    Parameters
    ----------
    typical_rows : float, optional
        The usual number of rows of such a window, as `typical_row_count` gives it; None: volume is
        not
        judged.
    now : datetime, optional
        Give it for the newest window only: what is known is then judged by its age.
    newest : datetime, optional
        When the newest row was; None: the end of the window, if it has rows.
    """
    counts = {column.name: column for column in profile.columns}
    found = [_schema_finding(profile)]
    for column in reference.columns:
        if column.name in counts and profile.n_rows:
            found += _column_findings(
                profile, column, counts[column.name], reference=reference, limits=limits
            )
    found.append(_duplicates_finding(profile, reference, limits))
    found.append(_volume_finding(profile, limits, typical_rows))
    if now is not None:
        found.append(_freshness_finding(profile, limits, now, newest))
    return tuple(found)


def typical_row_count(before: Sequence[TimeWindow], window: TimeWindow) -> float | None:
    """Return the median number of rows of the latest windows at the same place in the week.

    Of all the latest where fewer than three are at that place, and None where there are fewer
    than three of those.

    Parameters
    ----------
    before : sequence of TimeWindow
        In the order of time, with their numbers of rows.

    Examples
    --------
    >>> from datetime import UTC
    >>> day = timedelta(days=1)
    >>> starts = [datetime(2024, 9, 2, tzinfo=UTC) + k * day for k in range(28)]
    >>> before = [TimeWindow(each, each + day, 5 if each.weekday() == 6 else 50) for each in starts]
    >>> sunday = TimeWindow(datetime(2024, 10, 6, tzinfo=UTC), datetime(2024, 10, 7, tzinfo=UTC))
    >>> typical_row_count(before, sunday)
    5.0
    """
    days = (window.end - window.start) / timedelta(days=1)
    place = int(rows_by_season(window.start, window.end, n_rows=1, window_days=days).argmax())
    same = [
        each.n_rows
        for each in before
        if rows_by_season(each.start, each.end, n_rows=1, window_days=days).argmax() == place
    ][-MAX_PRIOR_WINDOWS:]
    rows = (
        same
        if len(same) >= MIN_PRIOR_WINDOWS
        else [each.n_rows for each in before][-MAX_PRIOR_WINDOWS:]
    )
    return float(np.median(rows)) if len(rows) >= MIN_PRIOR_WINDOWS else None


def _schema_finding(profile: WindowProfile) -> Finding:
    if not profile.n_rows:
        return _no_data_finding("schema", profile, "no rows")
    missing = f"not there: {quote_list(profile.absent)}" if profile.absent else ""
    extra = f"not known, and not used: {quote_list(profile.extra)}" if profile.extra else ""
    count = len(profile.absent)
    found = _contract_finding("schema", profile, count, threshold=0, is_broken=count > 0)
    return replace(found, note="; ".join(each for each in (missing, extra) if each))


def _column_findings(
    profile: WindowProfile,
    column: ColumnReference,
    counts: ColumnCounts,
    *,
    reference: InputReference,
    limits: ContractSection,
) -> list[Finding]:
    """Return the share of missing cells, and of each other fault that a cell has."""
    p, example = limits.p_value, f"such as {counts.example!r}"
    rare = 2 / (reference.n_rows + 1)
    bounds = {
        "missing": (counts.missing - counts.unreadable, column.shape.missing, limits.missing_rise),
        "type": (counts.unreadable, 0.0, limits.missing_rise),
        "range": (counts.outside, rare, limits.range_rise),
        "unseen": (counts.unseen, column.singles, limits.unseen_rise),
    }
    notes = {"type": example, "unseen": example, "range": f"{column.low} to {column.high} is known"}
    found = [
        _share_finding(
            signal, profile, count, bound=ShareBound(usual, rise, p), note=notes.get(signal, "")
        )
        for signal, (count, usual, rise) in bounds.items()
        if count or signal == "missing"
    ]
    if found[0].state == "breach" and not _unusually_missing(profile, column, counts, reference):
        note = "no more than in the worst window of the reference"
        found[0] = replace(found[0], state="ok", note=note)
    return [replace(each, part=column.name) for each in found]


def _unusually_missing(
    profile: WindowProfile,
    column: ColumnReference,
    counts: ColumnCounts,
    reference: InputReference,
) -> bool:
    """Return whether more is missing than in the worst window of the reference."""
    scale = reference.inputs
    if scale is None:
        return True
    names = [
        (each.name, kind.name)
        for each in reference.columns
        for kind in drift_statistics(each.shape, each.bins)
    ]
    place, figures = names.index((column.name, MISSING)), np.full(len(names), np.nan)
    filled, missing = np.asarray([counts.counts]), np.asarray([counts.missing])
    figures[place] = compute_statistics(filled, missing, shape=column.shape, bins=column.bins)[0, 0]
    phases = np.asarray(profile.phases)
    off = z_scores(scale.daily, figures, scale.figures, phase_rows=phases)
    return bool(off[place] > scale.daily.worst)


def _duplicates_finding(
    profile: WindowProfile, reference: InputReference, limits: ContractSection
) -> Finding:
    """Return the share of repeated rows; a larger window has more of them by chance."""
    if not profile.n_rows:
        return _no_data_finding("duplicates", profile, "no rows")
    larger = max(profile.n_rows / max(reference.usual_rows, 1.0), 1.0)
    usual = min(reference.duplicates * larger, 1.0)
    bound = ShareBound(usual, limits.duplicate_rise, limits.p_value)
    return _share_finding("duplicates", profile, profile.duplicates, bound=bound)


def _share_finding(
    signal: str, profile: WindowProfile, count: int, *, bound: ShareBound, note: str = ""
) -> Finding:
    """Return a share of rows, broken where neither chance nor the rise that is allowed gives it."""
    share, expected = count / profile.n_rows, min(max(bound.usual, MIN_EXPECTED_SHARE), 1.0)
    chance = float(binom.sf(count - 1, profile.n_rows, expected))
    most = bound.usual + bound.rise
    is_broken = share > most and chance < bound.p_value
    said = f"{count} of {profile.n_rows} rows, usually {bound.usual:.2%}"
    found = _contract_finding(signal, profile, share, threshold=most, is_broken=is_broken)
    return replace(found, note=f"{said}; {note}" if note else said)


def _volume_finding(
    profile: WindowProfile, limits: ContractSection, typical_rows: float | None
) -> Finding:
    """Return the rows of a window over the usual ones; a window without rows tells nothing."""
    if not profile.n_rows:
        return _no_data_finding("volume", profile, "no rows")
    if not typical_rows:
        return _no_data_finding("volume", profile, "the usual number of rows is not known yet")
    times = profile.n_rows / typical_rows
    bound = limits.volume_low if times < 1 else limits.volume_high
    is_broken = not limits.volume_low <= times <= limits.volume_high
    found = _contract_finding("volume", profile, times, threshold=bound, is_broken=is_broken)
    return replace(found, note=f"{profile.n_rows} rows, usually {typical_rows:g}")


def _freshness_finding(
    profile: WindowProfile, limits: ContractSection, now: datetime, newest: datetime | None
) -> Finding:
    if newest is None and profile.n_rows:
        newest = profile.window.end
    if newest is None:
        return _no_data_finding("freshness", profile, "no rows")
    days, limit = max((now - newest) / timedelta(days=1), 0.0), limits.stale_days
    found = _contract_finding("freshness", profile, days, threshold=limit, is_broken=days > limit)
    return replace(found, note=f"the newest row is of {newest:%Y-%m-%d %H:%M}")


def _contract_finding(
    signal: str, profile: WindowProfile, value: float, *, threshold: float, is_broken: bool
) -> Finding:
    state: FindingState = "breach" if is_broken else "ok"
    window = profile.window
    return Finding(signal, "contract", window, float(value), threshold=threshold, state=state)


def _no_data_finding(signal: str, profile: WindowProfile, note: str) -> Finding:
    return Finding(signal, "contract", profile.window, None, state="no data", note=note)


FRESHNESS = "freshness"


def checks_rows(finding: Finding) -> bool:
    """Return whether a finding judges the rows of its window by the contract."""
    return finding.layer == "contract" and finding.signal != FRESHNESS


def breaks_contract(finding: Finding) -> bool:
    """Return whether a finding says that the rows of its window are broken.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from evertune.times import TimeWindow
    >>> day = TimeWindow(datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 5, 2, tzinfo=UTC), 100)
    >>> breaks_contract(Finding("volume", "contract", day, 9.0, state="breach"))
    True
    >>> breaks_contract(Finding("freshness", "contract", day, 9.0, state="breach"))
    False
    """
    return checks_rows(finding) and finding.state == "breach"


ONE_DAY = timedelta(days=1)


def broken_windows(findings: Sequence[Finding]) -> tuple[TimeWindow, ...]:
    """Return the windows whose rows break the contract, oldest first."""
    found = {each.window.start: each.window for each in findings if breaks_contract(each)}
    return tuple(found[start] for start in sorted(found))


def days_with_valid_data(
    days: Sequence[DailyLoss], findings: Sequence[Finding]
) -> tuple[DailyLoss, ...]:
    """Return the days of which no part lies in a window whose data is broken.

    What a model loses on broken data says nothing about the relation that it learned.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> monday = datetime(2024, 5, 6, tzinfo=UTC)
    >>> window = TimeWindow(monday, monday + ONE_DAY)
    >>> broke = Finding("missing", "contract", window, 0.9, state="breach")
    >>> days = [DailyLoss(monday, 9, 5.0), DailyLoss(monday + ONE_DAY, 9, 1.0)]
    >>> [each.day.day for each in days_with_valid_data(days, [broke])]
    [7]
    """
    broken = broken_windows(findings)
    return tuple(each for each in days if not any(_overlaps(each, window) for window in broken))


def _overlaps(day: DailyLoss, window: TimeWindow) -> bool:
    return window.start < day.day + ONE_DAY and day.day < window.end
