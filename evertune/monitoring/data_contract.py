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

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
from scipy.stats import binom

from evertune.config.schema import ContractSection
from evertune.data.validation import quote_list
from evertune.decisions import Finding, FindingState
from evertune.metrics.losses import DailyLoss
from evertune.monitoring.column_reference import ColumnReference
from evertune.monitoring.drift_statistics import MISSING, drift_statistics
from evertune.monitoring.input_reference import InputReference
from evertune.monitoring.window_bounds import rows_by_season
from evertune.monitoring.window_profiles import ColumnCounts, WindowProfile, window_statistics
from evertune.times import TimeWindow

MIN_EXPECTED_SHARE = 1e-3
MIN_PRIOR_WINDOWS = 3
MAX_PRIOR_WINDOWS = 8
ONE_DAY = timedelta(days=1)
FRESHNESS = "freshness"


def contract_findings(
    profile: WindowProfile,
    reference: InputReference,
    *,
    limits: ContractSection,
    typical_rows: float | None,
    now: datetime | None = None,
    newest: datetime | None = None,
) -> tuple[Finding, ...]:
    """Return how a window keeps the contract, one finding for each check.

    The signals are `schema` (features that are not there), `missing`, `type` (cells that cannot
    be read), `range`, `unseen`, by column; `duplicates`, `volume` and `freshness`. A share is the
    value, and what the reference gives its threshold.

    Parameters
    ----------
    typical_rows : float, optional
        The usual number of rows of such a window, as `typical_row_count` gives it; volume is not
        judged without.
    now : datetime, optional
        Of the newest window only: its freshness is then judged.
    newest : datetime, optional
        When the newest row was; by default the end of the window, if it has rows.
    """
    found = []
    if profile.n_rows:
        found.append(_schema_finding(profile))
        columns = {column.name: column for column in profile.columns}
        unusual = _unusually_missing(profile, reference)
        for column in reference.columns:
            if column.name in columns:
                found += _column_findings(
                    profile,
                    column,
                    columns[column.name],
                    limits=limits,
                    n_reference_rows=reference.n_rows,
                    is_unusually_missing=column.name in unusual,
                )
        # a larger window has more duplicates by chance
        larger = max(profile.n_rows / max(reference.usual_rows, 1.0), 1.0)
        found.append(
            _share_finding(
                "duplicates",
                profile,
                profile.duplicates,
                usual=min(reference.duplicates * larger, 1.0),
                rise=limits.duplicate_rise,
                p_value=limits.p_value,
            )
        )
        found.append(_volume_finding(profile, limits, typical_rows))
    else:
        signals = ("schema", "duplicates", "volume")
        found += [_finding(each, profile, None, note="no rows") for each in signals]
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

    def place(each: TimeWindow) -> int:
        days = (window.end - window.start) / ONE_DAY
        return int(rows_by_season(each.start, each.end, n_rows=1, window_days=days).argmax())

    own = place(window)
    same = [each.n_rows for each in before if place(each) == own]
    rows = same if len(same) >= MIN_PRIOR_WINDOWS else [each.n_rows for each in before]
    enough = len(rows) >= MIN_PRIOR_WINDOWS
    return float(np.median(rows[-MAX_PRIOR_WINDOWS:])) if enough else None


def _schema_finding(profile: WindowProfile) -> Finding:
    notes = []
    if profile.absent:
        notes.append(f"not there: {quote_list(profile.absent)}")
    if profile.extra:
        notes.append(f"not known, and not used: {quote_list(profile.extra)}")
    count = len(profile.absent)
    return _finding(
        "schema", profile, count, threshold=0, is_broken=count > 0, note="; ".join(notes)
    )


def _unusually_missing(profile: WindowProfile, reference: InputReference) -> set[str]:
    """Return the columns that miss more cells than in the worst window of the reference."""
    names = [
        (column.name, statistic.name)
        for column in reference.columns
        for statistic in drift_statistics(column)
    ]
    null = reference.input_null
    if null is None:
        return {name for name, _ in names}
    z = null.daily.z_scores(
        window_statistics(profile.columns, reference.columns),
        null.statistics,
        phase_rows=np.asarray(profile.phases),
    )
    return {
        name
        for (name, statistic), score in zip(names, z, strict=True)
        if statistic == MISSING and score > null.daily.worst
    }


def _column_findings(
    profile: WindowProfile,
    column: ColumnReference,
    counts: ColumnCounts,
    *,
    limits: ContractSection,
    n_reference_rows: int,
    is_unusually_missing: bool,
) -> Iterator[Finding]:
    """Yield the share of missing cells, and of each other fault that a cell of the column has."""
    example, known = f"such as {counts.example!r}", f"{column.low} to {column.high} is known"
    missing, rare = counts.missing - counts.unreadable, 2 / (n_reference_rows + 1)
    for signal, count, usual, rise, note in (
        ("missing", missing, column.histogram.missing, limits.missing_rise, ""),
        ("type", counts.unreadable, 0.0, limits.missing_rise, example),
        ("range", counts.outside, rare, limits.range_rise, known),
        ("unseen", counts.unseen, column.singles, limits.unseen_rise, example),
    ):
        if not count and signal != "missing":
            continue
        found = _share_finding(
            signal, profile, count, usual=usual, rise=rise, p_value=limits.p_value, note=note
        )
        if signal == "missing" and found.state == "breach" and not is_unusually_missing:
            is_usual = "no more than in the worst window of the reference"
            found = replace(found, state="ok", note=is_usual)
        yield replace(found, part=column.name)


def _share_finding(
    signal: str,
    profile: WindowProfile,
    count: int,
    *,
    usual: float,
    rise: float,
    p_value: float,
    note: str = "",
) -> Finding:
    """Return the share of affected rows.

    It breaks the contract if it exceeds the usual share by more than the allowed rise, and a
    binomial test rejects the usual share.
    """
    n_rows = profile.n_rows
    expected = min(max(usual, MIN_EXPECTED_SHARE), 1.0)
    is_larger = count / n_rows > usual + rise
    is_broken = is_larger and float(binom.sf(count - 1, n_rows, expected)) < p_value
    notes = [f"{count} of {n_rows} rows, usually {usual:.2%}", *([note] if note else [])]
    return _finding(
        signal,
        profile,
        count / n_rows,
        threshold=usual + rise,
        is_broken=is_broken,
        note="; ".join(notes),
    )


def _volume_finding(
    profile: WindowProfile, limits: ContractSection, typical_rows: float | None
) -> Finding:
    """Return the rows of a window over the usual ones."""
    if not typical_rows:
        return _finding("volume", profile, None, note="the usual number of rows is not known yet")
    ratio = profile.n_rows / typical_rows
    return _finding(
        "volume",
        profile,
        ratio,
        threshold=limits.volume_low if ratio < 1 else limits.volume_high,
        is_broken=not limits.volume_low <= ratio <= limits.volume_high,
        note=f"{profile.n_rows} rows, usually {typical_rows:g}",
    )


def _freshness_finding(
    profile: WindowProfile, limits: ContractSection, now: datetime, newest: datetime | None
) -> Finding:
    newest = newest or (profile.window.end if profile.n_rows else None)
    if newest is None:
        return _finding(FRESHNESS, profile, None, note="no rows")
    days = max((now - newest) / ONE_DAY, 0.0)
    return _finding(
        FRESHNESS,
        profile,
        days,
        threshold=limits.stale_days,
        is_broken=days > limits.stale_days,
        note=f"the newest row is of {newest:%Y-%m-%d %H:%M}",
    )


def _finding(
    signal: str,
    profile: WindowProfile,
    value: float | None,
    *,
    threshold: float | None = None,
    is_broken: bool = False,
    note: str,
) -> Finding:
    state: FindingState = "breach" if is_broken else "ok"
    return Finding(
        signal,
        "contract",
        profile.window,
        None if value is None else float(value),
        threshold=threshold,
        state="no data" if value is None else state,
        note=note,
    )


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
    return tuple(
        each
        for each in days
        if not any(w.start < each.day + ONE_DAY and each.day < w.end for w in broken)
    )
