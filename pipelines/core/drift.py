"""Drift of inputs and predictions, calibrated on windows: how far one is from the usual spread."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np

from pipelines.core.calibration import POOLED
from pipelines.core.column_reference import ColumnReference
from pipelines.core.drift_scores import Score, histogram_words, scores_of
from pipelines.core.findings import Finding
from pipelines.core.input_reference import InputReference
from pipelines.core.joint_drift import joint_distance
from pipelines.core.monitored import Cause
from pipelines.core.window_profiles import ColumnCounts, WindowProfile, merged

LEAST_ROWS = 30
DRIFTED = 1.0
MOST_NAMED = 3
MOST_GAPS = 1.5
NO_CAUSE = 0.01
Looks = list[tuple[WindowProfile, bool]]


def drift_findings(
    profile: WindowProfile,
    reference: InputReference,
    *,
    recent: Sequence[WindowProfile] = (),
    least_rows: int = LEAST_ROWS,
) -> tuple[Finding, ...]:
    """Return `column_drift` by column, `input_drift`, `prediction_drift` and `joint_drift`.

    A value is the number of standard deviations between windows by which the window is beyond the
    worst of the reference: above 1 is drift. It is the larger of two: of the window on its own,
    and of the latest seven together, which show a small change that lasts.

    Parameters
    ----------
    profile : WindowProfile
    reference : InputReference
    recent : sequence of WindowProfile
        Of the windows right before it, in the order of time; the last six count.
    least_rows : int
        With fewer rows there is "no data", which is never "no drift".

    Raises
    ------
    ValueError
        If the profile was counted against another reference.
    """
    _same_reference(profile, reference)
    looks = _looks(profile, recent, least_rows)
    wanted = reference.wanted_days
    inputs = scores_of(looks, reference.columns, reference.inputs, wanted)
    said = scores_of(looks, reference.predictions, reference.said, wanted)
    counts = {column.name: column for column in profile.columns}
    columns = [
        _column(profile, column, counts.get(column.name), score=inputs.get(column.name))
        for column in reference.columns
    ]
    found = [*columns, _worst("input_drift", profile, inputs, reference)]
    if reference.predictions:
        found.append(_worst("prediction_drift", profile, said, reference))
    if reference.joint is not None:
        found.append(_joint(profile, reference, least_rows))
    return tuple(found)


def ranked_causes(
    findings: Sequence[Finding], importance: Mapping[str, float]
) -> tuple[Cause, ...]:
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
    >>> from pipelines.core.findings import Window
    >>> day = Window(datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 5, 2, tzinfo=UTC), 100)
    >>> names, drifts = ("age", "plan", "city"), (3.0, 2.0, -1.0)
    >>> found = [Finding("column_drift", "drift", day, value=drift, part=name)
    ...          for name, drift in zip(names, drifts)]
    >>> [cause.column for cause in ranked_causes(found, {"age": 0.01, "plan": 0.2, "city": 0.5})]
    ['plan', 'age']
    """
    latest: dict[str, Finding] = {}
    for each in sorted(findings, key=lambda each: each.window.start):
        if each.signal == "column_drift" and each.part is not None and each.value is not None:
            latest[each.part] = each
    causes = [
        Cause(name, each.value, max(importance.get(name, 0.0), 0.0))
        for name, each in latest.items()
        if each.value is not None and each.value > DRIFTED
    ]
    return tuple(sorted(causes, key=lambda each: (-_weight(each), each.column)))


def _weight(cause: Cause) -> float:
    return cause.drift * (cause.importance + NO_CAUSE * (cause.importance == 0))


def _same_reference(profile: WindowProfile, reference: InputReference) -> None:
    expected = {each.name: each.bins.size for each in (*reference.columns, *reference.predictions)}
    found = {each.name: len(each.counts) for each in (*profile.columns, *profile.predictions)}
    other = sorted(name for name, size in found.items() if expected.get(name) != size)
    if other:
        raise ValueError(
            f"The profile was counted against another reference: expected its bins of {other[0]!r} "
            f"to be {expected.get(other[0])}, but found {found[other[0]]}. Count the window anew."
        )


def _looks(profile: WindowProfile, recent: Sequence[WindowProfile], least_rows: int) -> Looks:
    """Return the profiles to be judged, and of each whether it is several windows together."""
    looks = [(profile, False)] if profile.n_rows >= max(least_rows, 1) else []
    before = list(recent)[-(POOLED - 1) :]
    if profile.n_rows and len(before) == POOLED - 1 and _neighbours([*before, profile]):
        together = merged([replace(each, sample="") for each in (*before, profile)])
        if together.n_rows >= least_rows:
            looks.append((together, True))
    return looks


def _neighbours(profiles: Sequence[WindowProfile]) -> bool:
    windows = [each.window for each in profiles]
    lengths = sum((each.end - each.start for each in windows), timedelta())
    single = all(each.n_windows == 1 for each in profiles)
    return single and windows[-1].end - windows[0].start <= MOST_GAPS * lengths


def _column(
    profile: WindowProfile,
    column: ColumnReference,
    counts: ColumnCounts | None,
    *,
    score: Score | None,
) -> Finding:
    if counts is None:
        return _no_data("column_drift", profile, part=column.name, note="the column is not there")
    if score is None or not sum(counts.counts) + counts.missing:
        return _no_data("column_drift", profile, part=column.name)
    words = histogram_words(np.asarray(counts.counts), counts.mean, column)
    note = f"{score.words}{words}"
    return _finding("column_drift", profile, score.value, part=column.name, note=note)


def _worst(
    signal: str, profile: WindowProfile, scores: Mapping[str, Score], reference: InputReference
) -> Finding:
    notes = "; ".join(reference.notes)
    if not scores:
        few = f"{profile.n_rows} rows are too few to judge, or what is judged is not there"
        return _no_data(signal, profile, note="; ".join(each for each in (few, notes) if each))
    ordered = sorted(scores.items(), key=lambda item: -item[1].value)
    drifted = [name for name, score in ordered if score.value > DRIFTED]
    more = f" and {len(drifted) - MOST_NAMED} more" if len(drifted) > MOST_NAMED else ""
    named = ", ".join(drifted[:MOST_NAMED]) + more if drifted else f"most of all {ordered[0][0]}"
    note = "; ".join(each for each in (f"{named}: {ordered[0][1].words}", notes) if each)
    return _finding(signal, profile, ordered[0][1].value, note=note)


def _joint(profile: WindowProfile, reference: InputReference, least_rows: int) -> Finding:
    enough = profile.n_rows >= max(least_rows, 1) and not profile.absent
    if reference.joint is None or not enough:
        return _no_data("joint_drift", profile)
    area, value = joint_distance(profile.sample, reference.joint, len(reference.columns))
    if np.isnan(value):
        return _no_data("joint_drift", profile)
    note = f"a classifier tells the window's rows from the reference's with an AUC of {area:.3f}"
    return _finding("joint_drift", profile, value, note=note)


def _finding(
    signal: str, profile: WindowProfile, value: float, *, part: str | None = None, note: str = ""
) -> Finding:
    return Finding(
        signal,
        "drift",
        profile.window,
        round(value, 4),
        threshold=DRIFTED,
        part=part,
        state="breach" if value > DRIFTED else "ok",
        note=note,
    )


def _no_data(
    signal: str, profile: WindowProfile, *, part: str | None = None, note: str = ""
) -> Finding:
    return Finding(
        signal,
        "drift",
        profile.window,
        None,
        threshold=DRIFTED,
        part=part,
        state="no data",
        note=note or f"{profile.n_rows} rows are too few to judge",
    )
