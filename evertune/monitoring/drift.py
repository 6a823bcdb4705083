"""Find drift of inputs and predictions in a window, calibrated on windows of the reference.

`drift_findings` gives column, input, prediction and joint drift. A score is by how many
standard deviations between windows a window lies beyond the worst window of the reference;
above 1 is drift. It is the larger of two scores: of the window alone, and of the latest seven
together, which show small changes that last. The population stability index (`psi`) and the
Wasserstein distance stand in the notes only, since neither is calibrated. `rank_causes` orders
the drifted columns by drift times feature importance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np

from evertune.decisions import Finding
from evertune.monitoring.column_reference import ColumnReference
from evertune.monitoring.drift_null import (
    N_POOLED_WINDOWS,
    DriftNull,
    NullDistribution,
    excess_over_reference,
    expected_statistics,
    z_scores,
)
from evertune.monitoring.drift_statistics import (
    HISTOGRAM,
    Counts,
    compute_statistics,
    drift_statistics,
)
from evertune.monitoring.input_reference import InputReference
from evertune.monitoring.joint_drift import joint_drift_score
from evertune.monitoring.results import Cause
from evertune.monitoring.window_profiles import ColumnCounts, WindowProfile, merge_profiles
from evertune.types import FloatArray

MODERATE_PSI, LARGE_PSI = 0.1, 0.25


@dataclass(frozen=True)
class DriftScore:
    """How far a column is beyond the worst of the reference, and in what."""

    value: float
    words: str


def score_columns(
    looks: Sequence[tuple[WindowProfile, bool]],
    columns: Sequence[ColumnReference],
    scale: DriftNull | None,
    wanted_days: float,
) -> Mapping[str, DriftScore]:
    """Return the score of each column that the window has: the larger of its looks."""
    found: dict[str, DriftScore] = {}
    if scale is None:
        return found
    for profile, is_pooled in looks:
        is_usable = not is_pooled or scale.days == wanted_days
        calibration = scale.pooled if is_pooled else scale.daily
        counts = {each.name: each for each in (*profile.columns, *profile.predictions)}
        present = any(column.name in counts for column in columns)
        if calibration is not None and present and is_usable:
            off = _profile_z_scores(profile, columns, counts, scale=scale, calibration=calibration)
            above = excess_over_reference(calibration, off, scale.figures)
            for name, own in _statistic_slices(columns).items():
                place = own.start + int(np.argmax(above[own]))
                value, figure = float(above[place]), scale.figures[place].name
                if name in counts and (name not in found or value > found[name].value):
                    words = _describe_change(figure, off[place], calibration, is_pooled=is_pooled)
                    found[name] = DriftScore(value, words)
    return found


def _profile_z_scores(
    profile: WindowProfile,
    columns: Sequence[ColumnReference],
    counts: Mapping[str, ColumnCounts],
    *,
    scale: DriftNull,
    calibration: NullDistribution,
) -> FloatArray:
    figures = np.concatenate(
        [_column_statistics(column, counts.get(column.name)) for column in columns]
    )
    phases = np.asarray(profile.phases)
    if calibration is scale.daily:
        return z_scores(
            calibration,
            figures,
            scale.figures,
            phase_rows=phases,
            longer=_length_ratio(profile, scale),
        )
    left = figures - expected_statistics(scale.daily, phases)
    return z_scores(calibration, left, scale.figures, phase_rows=phases.sum(keepdims=True))


def _length_ratio(profile: WindowProfile, scale: DriftNull) -> float:
    length = (profile.window.end - profile.window.start) / timedelta(days=1)
    return max(scale.days / length, 1.0) if length > 0 and scale.days else 1.0


def _column_statistics(column: ColumnReference, counts: ColumnCounts | None) -> FloatArray:
    if counts is None:
        return np.full(len(drift_statistics(column.shape, column.bins)), np.nan)
    found = compute_statistics(
        np.asarray([counts.counts]),
        np.asarray([counts.missing]),
        shape=column.shape,
        bins=column.bins,
    )
    return np.asarray(found[0], dtype=np.float64)


def _statistic_slices(columns: Sequence[ColumnReference]) -> dict[str, slice]:
    """Return which figures of the scale are those of each column."""
    sizes = [len(drift_statistics(column.shape, column.bins)) for column in columns]
    ends = np.cumsum(sizes).tolist()
    return {
        column.name: slice(end - size, end)
        for column, size, end in zip(columns, sizes, ends, strict=True)
    }


def _describe_change(
    figure: str, off: float, calibration: NullDistribution, *, is_pooled: bool
) -> str:
    direction = "up" if off > 0 else "down"
    change = "histogram unlike" if figure == HISTOGRAM else f"{figure} {direction}"
    pooled = f" in {N_POOLED_WINDOWS} windows" if is_pooled else ""
    return f"{change} by {abs(off):.1f} deviations{pooled} (usual worst {calibration.worst:.1f})"


def describe_histogram(counts: Counts, mean: float | None, column: ColumnReference) -> str:
    """Return the population stability index of a column and its Wasserstein distance, in words.

    What chance does not explain of the index is small below 0.1 and large from 0.25, as is usual;
    neither is calibrated.
    """
    usual = np.asarray(column.counts)
    if counts.size <= 1 or not counts.sum() or not usual.sum():
        return ""
    index = psi(counts, usual)
    chance = (counts.size - 1) * (1 / counts.sum() + 1 / usual.sum())
    left = index - chance
    size = "large" if left >= LARGE_PSI else "moderate" if left >= MODERATE_PSI else "small"
    moved = wasserstein(counts, mean, column)
    distance = "" if moved is None else f", Wasserstein {moved:.2f} sd"
    return f"; PSI {index:.2f}, about {chance:.2f} by chance: {size}{distance}"


def psi(counts: Counts, usual: Counts) -> float:
    """Return the population stability index of two histograms, empty bins as half a row.

    The sum of (p - q) log(p / q) over the bins (Siddiqi, 2006).
    """
    p = (counts + 0.5) / (counts.sum() + 0.5 * counts.size)
    q = (usual + 0.5) / (usual.sum() + 0.5 * usual.size)
    return float(((p - q) * np.log(p / q)).sum())


def wasserstein(counts: Counts, mean: float | None, column: ColumnReference) -> float | None:
    """Return how far numbers would have to be moved, in deviations of the reference; else None.

    The area between the two distribution functions, which are known at the edges of the bins;
    beyond the outer edges the gap between them is taken to shrink as the tails do.
    """
    edges = np.asarray(column.bins.edges)
    if not column.tails or not column.deviation or mean is None:
        return None
    usual = np.asarray(column.counts)
    gaps = np.cumsum(counts)[:-1] / counts.sum() - np.cumsum(usual)[:-1] / usual.sum()
    low, high = column.tails
    points = np.concatenate([[2 * low - edges[0]], edges, [2 * high - edges[-1]]])
    heights = np.abs(np.concatenate([[0.0], gaps, [0.0]]))
    area = float(np.trapezoid(heights, points))
    return max(area, abs(mean - (column.mean or 0.0))) / column.deviation


MIN_ROWS = 30
DRIFT_THRESHOLD = 1.0
MAX_NAMED_COLUMNS = 3
MAX_GAP_FACTOR = 1.5
ZERO_IMPORTANCE_WEIGHT = 0.01
ProfilesToScore = list[tuple[WindowProfile, bool]]


def drift_findings(
    profile: WindowProfile,
    reference: InputReference,
    *,
    recent: Sequence[WindowProfile] = (),
    least_rows: int = MIN_ROWS,
) -> tuple[Finding, ...]:
    """Return `column_drift` by column, `input_drift`, `prediction_drift` and `joint_drift`.

    A value is the number of standard deviations between windows by which the window is beyond the
    worst of the reference: above 1 is drift. It is the larger of two: of the window on its own,
    and of the latest seven together, which show a small change that lasts.

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
    _check_same_reference(profile, reference)
    looks = _profiles_to_score(profile, recent, least_rows)
    wanted = reference.wanted_days
    inputs = score_columns(looks, reference.columns, reference.inputs, wanted)
    said = score_columns(looks, reference.predictions, reference.said, wanted)
    counts = {column.name: column for column in profile.columns}
    columns = [
        _column_finding(profile, column, counts.get(column.name), score=inputs.get(column.name))
        for column in reference.columns
    ]
    found = [*columns, _worst_finding("input_drift", profile, inputs, reference)]
    if reference.predictions:
        found.append(_worst_finding("prediction_drift", profile, said, reference))
    if reference.joint is not None:
        found.append(_joint_finding(profile, reference, least_rows))
    return tuple(found)


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
    latest: dict[str, Finding] = {}
    for each in sorted(findings, key=lambda each: each.window.start):
        if each.signal == "column_drift" and each.part is not None and each.value is not None:
            latest[each.part] = each
    causes = [
        Cause(name, each.value, max(importance.get(name, 0.0), 0.0))
        for name, each in latest.items()
        if each.value is not None and each.value > DRIFT_THRESHOLD
    ]
    return tuple(sorted(causes, key=lambda each: (-_weight(each), each.column)))


def _weight(cause: Cause) -> float:
    return cause.drift * (cause.importance + ZERO_IMPORTANCE_WEIGHT * (cause.importance == 0))


def _check_same_reference(profile: WindowProfile, reference: InputReference) -> None:
    expected = {each.name: each.bins.size for each in (*reference.columns, *reference.predictions)}
    found = {each.name: len(each.counts) for each in (*profile.columns, *profile.predictions)}
    other = sorted(name for name, size in found.items() if expected.get(name) != size)
    if other:
        raise ValueError(
            f"The profile was counted against another reference: expected its bins of {other[0]!r} "
            f"to be {expected.get(other[0])}, but found {found[other[0]]}. Count the window anew."
        )


def _profiles_to_score(
    profile: WindowProfile, recent: Sequence[WindowProfile], least_rows: int
) -> ProfilesToScore:
    """Return the profiles to be judged, and of each whether it is several windows together."""
    looks = [(profile, False)] if profile.n_rows >= max(least_rows, 1) else []
    before = list(recent)[-(N_POOLED_WINDOWS - 1) :]
    if profile.n_rows and len(before) == N_POOLED_WINDOWS - 1 and _are_adjacent([*before, profile]):
        together = merge_profiles([replace(each, sample="") for each in (*before, profile)])
        if together.n_rows >= least_rows:
            looks.append((together, True))
    return looks


def _are_adjacent(profiles: Sequence[WindowProfile]) -> bool:
    windows = [each.window for each in profiles]
    lengths = sum((each.end - each.start for each in windows), timedelta())
    single = all(each.n_windows == 1 for each in profiles)
    return single and windows[-1].end - windows[0].start <= MAX_GAP_FACTOR * lengths


def _column_finding(
    profile: WindowProfile,
    column: ColumnReference,
    counts: ColumnCounts | None,
    *,
    score: DriftScore | None,
) -> Finding:
    if counts is None:
        return _no_data_finding(
            "column_drift", profile, part=column.name, note="the column is not there"
        )
    if score is None or not sum(counts.counts) + counts.missing:
        return _no_data_finding("column_drift", profile, part=column.name)
    words = describe_histogram(np.asarray(counts.counts), counts.mean, column)
    note = f"{score.words}{words}"
    return _drift_finding("column_drift", profile, score.value, part=column.name, note=note)


def _worst_finding(
    signal: str, profile: WindowProfile, scores: Mapping[str, DriftScore], reference: InputReference
) -> Finding:
    notes = "; ".join(reference.notes)
    if not scores:
        few = f"{profile.n_rows} rows are too few to judge, or what is judged is not there"
        return _no_data_finding(
            signal, profile, note="; ".join(each for each in (few, notes) if each)
        )
    ordered = sorted(scores.items(), key=lambda item: -item[1].value)
    drifted = [name for name, score in ordered if score.value > DRIFT_THRESHOLD]
    more = (
        f" and {len(drifted) - MAX_NAMED_COLUMNS} more" if len(drifted) > MAX_NAMED_COLUMNS else ""
    )
    named = (
        ", ".join(drifted[:MAX_NAMED_COLUMNS]) + more if drifted else f"most of all {ordered[0][0]}"
    )
    note = "; ".join(each for each in (f"{named}: {ordered[0][1].words}", notes) if each)
    return _drift_finding(signal, profile, ordered[0][1].value, note=note)


def _joint_finding(profile: WindowProfile, reference: InputReference, least_rows: int) -> Finding:
    enough = profile.n_rows >= max(least_rows, 1) and not profile.absent
    if reference.joint is None or not enough:
        return _no_data_finding("joint_drift", profile)
    area, value = joint_drift_score(profile.sample, reference.joint, len(reference.columns))
    if np.isnan(value):
        return _no_data_finding("joint_drift", profile)
    note = f"a classifier tells the window's rows from the reference's with an AUC of {area:.3f}"
    return _drift_finding("joint_drift", profile, value, note=note)


def _drift_finding(
    signal: str, profile: WindowProfile, value: float, *, part: str | None = None, note: str = ""
) -> Finding:
    return Finding(
        signal,
        "drift",
        profile.window,
        round(value, 4),
        threshold=DRIFT_THRESHOLD,
        part=part,
        state="breach" if value > DRIFT_THRESHOLD else "ok",
        note=note,
    )


def _no_data_finding(
    signal: str, profile: WindowProfile, *, part: str | None = None, note: str = ""
) -> Finding:
    return Finding(
        signal,
        "drift",
        profile.window,
        None,
        threshold=DRIFT_THRESHOLD,
        part=part,
        state="no data",
        note=note or f"{profile.n_rows} rows are too few to judge",
    )
