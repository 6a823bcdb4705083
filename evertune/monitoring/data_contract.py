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
from evertune.decisions import Finding
from evertune.messages import format_percent
from evertune.metrics.losses import DailyLoss
from evertune.monitoring.column_reference import ColumnReference
from evertune.monitoring.drift_statistics import MISSING, drift_statistics
from evertune.monitoring.input_reference import InputReference
from evertune.monitoring.window_bounds import rows_by_season
from evertune.monitoring.window_profiles import ColumnCounts, WindowProfile, window_statistics
from evertune.times import TimeWindow, wall_clock

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
    contract = _Contract(profile, reference, limits)
    if profile.n_rows:
        counts = {column.name: column for column in profile.columns}
        found = [contract.schema()]
        for column in reference.columns:
            if column.name in counts:
                found += contract.column(column, counts[column.name])
        found += [contract.duplicates(), contract.volume(typical_rows)]
    else:
        signals = ("schema", "duplicates", "volume")
        found = [contract.finding(signal, None, note="no rows") for signal in signals]
    if now is not None:
        found.append(contract.freshness(now, newest))
    return tuple(found)


class _Contract:
    """The checks of one window."""

    def __init__(
        self, profile: WindowProfile, reference: InputReference, limits: ContractSection
    ) -> None:
        self.profile, self.reference, self.limits = profile, reference, limits
        self.unusually_missing = self._unusually_missing() if profile.n_rows else set()

    def schema(self) -> Finding:
        """Return the number of features that are not there."""
        absent, extra = self.profile.absent, self.profile.extra
        notes = [f"not there: {quote_list(absent)}"] if absent else []
        notes += [f"not known, and not used: {quote_list(extra)}"] if extra else []
        n_absent, note = len(absent), "; ".join(notes)
        return self.finding("schema", n_absent, threshold=0, is_broken=n_absent > 0, note=note)

    def column(self, column: ColumnReference, counts: ColumnCounts) -> Iterator[Finding]:
        """Yield the share of missing cells, and of each other fault that a cell has."""
        limits, example = self.limits, f"such as {counts.example!r}"
        n_missing, usual = counts.missing - counts.unreadable, column.histogram.missing
        missing = self.share("missing", n_missing, usual, limits.missing_rise)
        if missing.state == "breach" and column.name not in self.unusually_missing:
            note = "no more than in the worst window of the reference"
            missing = replace(missing, state="ok", note=note)
        yield replace(missing, part=column.name)
        known, rare = f"{column.low} to {column.high} is known", 2 / (self.reference.n_rows + 1)
        for signal, count, usual, rise, note in (
            ("type", counts.unreadable, 0.0, limits.missing_rise, example),
            ("range", counts.outside, rare, limits.range_rise, known),
            ("unseen", counts.unseen, column.singles, limits.unseen_rise, example),
        ):
            if count:
                yield replace(self.share(signal, count, usual, rise, note), part=column.name)

    def duplicates(self) -> Finding:
        """Return the share of repeated rows; a larger window has more of them by chance."""
        larger = max(self.profile.n_rows / max(self.reference.usual_rows, 1.0), 1.0)
        usual = min(self.reference.duplicates * larger, 1.0)
        return self.share("duplicates", self.profile.duplicates, usual, self.limits.duplicate_rise)

    def volume(self, typical_rows: float | None) -> Finding:
        """Return the rows of the window over the usual ones."""
        if not typical_rows:
            return self.finding("volume", None, note="the usual number of rows is not known yet")
        low, high = self.limits.volume_low, self.limits.volume_high
        ratio = self.profile.n_rows / typical_rows
        return self.finding(
            "volume",
            ratio,
            threshold=low if ratio < 1 else high,
            is_broken=not low <= ratio <= high,
            note=f"{self.profile.n_rows} rows, usually {typical_rows:g}",
        )

    def freshness(self, now: datetime, newest: datetime | None) -> Finding:
        """Return the age of the newest row in days."""
        newest = newest or (self.profile.window.end if self.profile.n_rows else None)
        if newest is None:
            return self.finding(FRESHNESS, None, note="no rows")
        days, limit = max((now - newest) / ONE_DAY, 0.0), self.limits.stale_days
        note = f"the newest row is of {newest:%Y-%m-%d %H:%M}"
        return self.finding(FRESHNESS, days, threshold=limit, is_broken=days > limit, note=note)

    def share(self, signal: str, count: int, usual: float, rise: float, note: str = "") -> Finding:
        """Return the share of affected rows.

        It breaks the contract if it exceeds the usual share by more than the allowed rise, and a
        binomial test rejects the usual share.
        """
        n_rows, expected = self.profile.n_rows, min(max(usual, MIN_EXPECTED_SHARE), 1.0)
        p_value = float(binom.sf(count - 1, n_rows, expected))
        return self.finding(
            signal,
            count / n_rows,
            threshold=usual + rise,
            is_broken=count / n_rows > usual + rise and p_value < self.limits.p_value,
            note=f"{count} of {n_rows} rows, usually {format_percent(usual, 2)}"
            + (f"; {note}" if note else ""),
        )

    def finding(
        self,
        signal: str,
        value: float | None,
        *,
        threshold: float | None = None,
        is_broken: bool = False,
        note: str,
    ) -> Finding:
        """Return a finding about the window; without a value it is "no data"."""
        return Finding(
            signal,
            "contract",
            self.profile.window,
            None if value is None else float(value),
            threshold=threshold,
            state="no data" if value is None else "breach" if is_broken else "ok",
            note=note,
        )

    def _unusually_missing(self) -> set[str]:
        """Return the columns that miss more cells than in the worst window of the reference."""
        columns, null = self.reference.columns, self.reference.input_null
        if null is None:
            return {column.name for column in columns}
        phase_rows = np.asarray(self.profile.phases)
        values = window_statistics(self.profile.columns, columns)
        z = null.daily.z_scores(values, null.statistics, phase_rows=phase_rows)
        names = [(c.name, each.name) for c in columns for each in drift_statistics(c)]
        return {
            column
            for (column, statistic), score in zip(names, z, strict=True)
            if statistic == MISSING and score > null.daily.worst
        }


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
        days = (wall_clock(window.end) - wall_clock(window.start)) / ONE_DAY
        return int(rows_by_season(each.start, each.end, n_rows=1, window_days=days).argmax())

    own = place(window)
    same = [each.n_rows for each in before if place(each) == own]
    rows = same if len(same) >= MIN_PRIOR_WINDOWS else [each.n_rows for each in before]
    enough = len(rows) >= MIN_PRIOR_WINDOWS
    return float(np.median(rows[-MAX_PRIOR_WINDOWS:])) if enough else None


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
    broken = {each.window for each in findings if breaks_contract(each)}
    return tuple(
        each
        for each in days
        if not any(w.start < each.day + ONE_DAY and each.day < w.end for w in broken)
    )
