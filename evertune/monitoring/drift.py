"""Find drift of inputs and predictions in a window, calibrated on windows of the reference.

`drift_findings` gives column, input, prediction and joint drift. A drift score is by how many
standard deviations between windows a window lies beyond the worst window of the reference;
above 1 is drift. It is the larger of two scores: of the window alone, and of the latest seven
together, which show small changes that last. The population stability index (`psi`) and the
Wasserstein distance stand in the notes only, since neither is calibrated. `rank_causes` orders
the drifted columns by drift times feature importance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal

import numpy as np
from scipy.special import rel_entr

from evertune.decisions import Finding, FindingState
from evertune.monitoring.column_reference import ColumnReference, Counts
from evertune.monitoring.drift_null import N_POOLED_WINDOWS
from evertune.monitoring.drift_statistics import HISTOGRAM, drift_statistics
from evertune.monitoring.input_reference import InputReference
from evertune.monitoring.joint_drift import joint_drift_score
from evertune.monitoring.results import Cause
from evertune.monitoring.window_profiles import (
    ColumnCounts,
    WindowProfile,
    merge_profiles,
    window_statistics,
)

MIN_ROWS = 30
DRIFT_THRESHOLD = 1.0
MAX_NAMED_COLUMNS = 3
MAX_GAP_FACTOR = 1.5
ZERO_IMPORTANCE_WEIGHT = 0.01
MODERATE_PSI, LARGE_PSI = 0.1, 0.25
ProfilePart = Literal["columns", "predictions"]


def drift_findings(
    profile: WindowProfile,
    reference: InputReference,
    *,
    recent: Sequence[WindowProfile] = (),
    least_rows: int = MIN_ROWS,
) -> tuple[Finding, ...]:
    """Return `column_drift` by column, `input_drift`, `prediction_drift` and `joint_drift`.

    Parameters
    ----------
    recent : sequence of WindowProfile
        Of the windows right before it, in the order of time; the last six count.
    least_rows : int
        With fewer rows there is "no data", which is never "no drift".

    Raises
    ------
    ValueError
        If the profile was counted against another reference.
    """
    _check_same_reference(profile.columns, reference.columns)
    _check_same_reference(profile.predictions, reference.predictions)
    least_rows = max(least_rows, 1)
    alone = profile if profile.n_rows >= least_rows else None
    pooled = _pool_with_recent(profile, recent, least_rows)
    scores = score_columns(alone, pooled, reference)
    counts = {column.name: column for column in profile.columns}
    found = [
        _column_finding(profile, column, counts.get(column.name), scores.get(column.name))
        for column in reference.columns
    ]
    found.append(_worst_finding("input_drift", profile, scores, reference))
    if reference.predictions:
        scores = score_columns(alone, pooled, reference, of="predictions")
        found.append(_worst_finding("prediction_drift", profile, scores, reference))
    if reference.joint is not None:
        finding = _finding("joint_drift", profile)
        if alone is not None and not profile.absent:
            n_columns = len(reference.columns)
            auc, value = joint_drift_score(profile.sample, reference.joint, n_columns)
            if not np.isnan(value):
                note = (
                    "a classifier tells the window's rows from the reference's with an AUC of"
                    f" {auc:.3f}"
                )
                finding = _finding("joint_drift", profile, value, note=note)
        found.append(finding)
    return tuple(found)


@dataclass(frozen=True)
class DriftScore:
    """How far a column is beyond the worst of the reference, and what changed, in words."""

    value: float
    change: str


def score_columns(
    alone: WindowProfile | None,
    pooled: WindowProfile | None,
    reference: InputReference,
    *,
    of: ProfilePart = "columns",
) -> dict[str, DriftScore]:
    """Return the drift score of each column that is there, the larger one of two profiles.

    Parameters
    ----------
    alone, pooled : WindowProfile, optional
        The window, and the latest seven together; None where they have too few rows.
    """
    scores = {} if alone is None else _score_profile(alone, reference, of, is_pooled=False)
    if pooled is not None:
        for name, score in _score_profile(pooled, reference, of, is_pooled=True).items():
            if name not in scores or score.value > scores[name].value:
                scores[name] = score
    return scores


def _score_profile(
    profile: WindowProfile, reference: InputReference, of: ProfilePart, *, is_pooled: bool
) -> dict[str, DriftScore]:
    columns: tuple[ColumnReference, ...] = getattr(reference, of)
    counts: tuple[ColumnCounts, ...] = getattr(profile, of)
    null = reference.input_null if of == "columns" else reference.prediction_null
    names = {each.name for each in counts} & {each.name for each in columns}
    if null is None or not names:
        return {}
    values, phase_rows = window_statistics(counts, columns), np.asarray(profile.phases)
    distribution, span = null.daily, ""
    if is_pooled:
        if null.pooled is None or null.days != reference.wanted_days:
            return {}
        distribution, span = null.pooled, f" in {N_POOLED_WINDOWS} windows"
        values = values - null.daily.expected(phase_rows)
        z = distribution.z_scores(values, null.statistics, phase_rows=phase_rows.sum(keepdims=True))
    else:
        days = (profile.window.end - profile.window.start) / timedelta(days=1)
        ratio = max(null.days / days, 1.0) if days > 0 and null.days else 1.0
        z = distribution.z_scores(
            values, null.statistics, phase_rows=phase_rows, length_ratio=ratio
        )
    excess, scores, first = distribution.excess(z, null.statistics), {}, 0
    for column in columns:
        last = first + len(drift_statistics(column))
        worst = first + int(np.argmax(excess[first:last]))
        first = last
        if column.name in names:
            statistic, direction = null.statistics[worst].name, "up" if z[worst] > 0 else "down"
            change = "histogram unlike" if statistic == HISTOGRAM else f"{statistic} {direction}"
            usual = f"(usual worst {distribution.worst:.1f})"
            scores[column.name] = DriftScore(
                float(excess[worst]), f"{change} by {abs(z[worst]):.1f} deviations{span} {usual}"
            )
    return scores


def psi(counts: Counts, usual: Counts) -> float:
    """Return the population stability index of two histograms, empty bins as half a row.

    The sum of (p - q) log(p / q) over the bins (Siddiqi, 2006): both relative entropies together.
    """
    p, q = (each / each.sum() for each in (counts + 0.5, usual + 0.5))
    return float((rel_entr(p, q) + rel_entr(q, p)).sum())


def wasserstein(counts: Counts, mean: float | None, column: ColumnReference) -> float | None:
    """Return how far numbers would have to be moved, in deviations of the reference; else None.

    The area between the two distribution functions, which are known at the edges of the bins
    only (`scipy.stats.wasserstein_distance` needs the values); beyond the outer edges the gap
    between them is taken to shrink as the tails do.
    """
    if not column.tails or not column.deviation or mean is None:
        return None
    edges, usual = np.asarray(column.bins.edges), np.asarray(column.counts)
    gaps = np.cumsum(counts)[:-1] / counts.sum() - np.cumsum(usual)[:-1] / usual.sum()
    low, high = column.tails
    points = np.concatenate([[2 * low - edges[0]], edges, [2 * high - edges[-1]]])
    area = float(np.trapezoid(np.abs(np.concatenate([[0.0], gaps, [0.0]])), points))
    return max(area, abs(mean - (column.mean or 0.0))) / column.deviation


def rank_causes(findings: Sequence[Finding], importance: Mapping[str, float]) -> tuple[Cause, ...]:
    """Return the columns that drifted, the one that counts most for the model first.

    Parameters
    ----------
    findings : sequence of Finding
        Of several windows: the latest `column_drift` of each column counts.
    importance : mapping
        What the model loses when a column is shuffled.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from evertune.times import TimeWindow
    >>> day = TimeWindow(datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 5, 2, tzinfo=UTC), 100)
    >>> names, drifts = ("age", "plan", "city"), (3.0, 2.0, -1.0)
    >>> found = [Finding("column_drift", "drift", day, value=drift, part=name)
    ...          for name, drift in zip(names, drifts)]
    >>> [cause.column for cause in rank_causes(found, {"age": 0.01, "plan": 0.2, "city": 0.5})]
    ['plan', 'age']
    """
    latest: dict[str, float] = {}
    for each in sorted(findings, key=lambda each: each.window.start):
        if each.signal == "column_drift" and each.part is not None and each.value is not None:
            latest[each.part] = each.value
    causes = [
        Cause(name, value, max(importance.get(name, 0.0), 0.0))
        for name, value in latest.items()
        if value > DRIFT_THRESHOLD
    ]

    def weight(cause: Cause) -> float:
        return cause.drift * (cause.importance or ZERO_IMPORTANCE_WEIGHT)

    return tuple(sorted(causes, key=lambda each: (-weight(each), each.column)))


def _check_same_reference(
    counts: Sequence[ColumnCounts], columns: Sequence[ColumnReference]
) -> None:
    sizes = {column.name: column.bins.size for column in columns}
    for each in sorted(counts, key=lambda each: each.name):
        if sizes.get(each.name) != len(each.counts):
            raise ValueError(
                "The profile was counted against another reference: expected its bins of"
                f" {each.name!r} to be {sizes.get(each.name)}, but found {len(each.counts)}."
                " Count the window again."
            )


def _pool_with_recent(
    profile: WindowProfile, recent: Sequence[WindowProfile], least_rows: int
) -> WindowProfile | None:
    """Return the latest seven windows together; None if they have gaps or too few rows."""
    profiles = [*recent, profile][-N_POOLED_WINDOWS:]
    if not profile.n_rows or len(profiles) < N_POOLED_WINDOWS:
        return None
    length = sum((each.window.end - each.window.start for each in profiles), timedelta())
    has_gaps = profile.window.end - profiles[0].window.start > MAX_GAP_FACTOR * length
    if has_gaps or any(each.n_windows > 1 for each in profiles):
        return None
    pooled = merge_profiles([replace(each, sample="") for each in profiles])
    return pooled if pooled.n_rows >= least_rows else None


def _column_finding(
    profile: WindowProfile,
    column: ColumnReference,
    counts: ColumnCounts | None,
    score: DriftScore | None,
) -> Finding:
    finding = _finding("column_drift", profile, part=column.name)
    if counts is None:
        return replace(finding, note="the column is not there")
    filled = np.asarray(counts.counts)
    if score is None or not filled.sum() + counts.missing:
        return finding
    note, usual = score.change, np.asarray(column.counts)
    if filled.size > 1 and filled.sum() and usual.sum():
        index = psi(filled, usual)
        chance = (filled.size - 1) * (1 / filled.sum() + 1 / usual.sum())
        rest = index - chance
        size = "large" if rest >= LARGE_PSI else "moderate" if rest >= MODERATE_PSI else "small"
        note += f"; PSI {index:.2f}, about {chance:.2f} by chance: {size}"
        distance = wasserstein(filled, counts.mean, column)
        note += "" if distance is None else f", Wasserstein {distance:.2f} sd"
    return _finding("column_drift", profile, score.value, part=column.name, note=note)


def _worst_finding(
    signal: str, profile: WindowProfile, scores: Mapping[str, DriftScore], reference: InputReference
) -> Finding:
    if not scores:
        few = f"{profile.n_rows} rows are too few to judge, or what is judged is not there"
        return _finding(signal, profile, note="; ".join([few, *reference.notes]))
    ordered = sorted(scores.items(), key=lambda item: -item[1].value)
    name, worst = ordered[0]
    drifted = [name for name, score in ordered if score.value > DRIFT_THRESHOLD]
    shown = ", ".join(drifted[:MAX_NAMED_COLUMNS]) or f"most of all {name}"
    if len(drifted) > MAX_NAMED_COLUMNS:
        shown += f" and {len(drifted) - MAX_NAMED_COLUMNS} more"
    note = "; ".join([f"{shown}: {worst.change}", *reference.notes])
    return _finding(signal, profile, worst.value, note=note)


def _finding(
    signal: str,
    profile: WindowProfile,
    value: float | None = None,
    *,
    part: str | None = None,
    note: str = "",
) -> Finding:
    """Return a drift finding; without a value it is "no data"."""
    state: FindingState = "no data"
    if value is not None:
        state, value = "breach" if value > DRIFT_THRESHOLD else "ok", round(value, 4)
    elif not note:
        note = f"{profile.n_rows} rows are too few to judge"
    return Finding(
        signal,
        "drift",
        profile.window,
        value,
        threshold=DRIFT_THRESHOLD,
        part=part,
        state=state,
        note=note,
    )
