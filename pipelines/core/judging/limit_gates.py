"""The gates that hold a version to what must not get worse: rows, slices, calibration, cost."""

import math
from collections.abc import Callable

from pipelines.core.judging.champion_gate import is_known
from pipelines.core.judging.evidence import Evidence, SliceFall
from pipelines.core.judging.holm import holm
from pipelines.core.judging.verdicts import GateResult

MOST_KNOWN = 0.05  # share of the hold-out that a version may know: keys that repeat by accident
BY_CHANCE = 0.05  # a slice falls beyond chance below this, one-sided, over all slices


def rows_gate(evidence: Evidence) -> GateResult:
    """Return whether the hold-out can judge the version at all.

    One that was trained on more than a twentieth of it is refused, for all of its figures are
    flattered; fewer rows are left out of the comparison with the champion, and counted.
    """
    known, rows = evidence.n_known, evidence.n_holdout
    if rows == 0:
        return GateResult("rows", "unknown", "the hold-out has no row")
    if known > MOST_KNOWN * rows:
        leak = f"it was trained on {known} of the {rows} rows that judge it, so that its figures"
        advice = "if rows of one identifier belong together, make it data.group"
        return GateResult("rows", "fail", f"{leak} are worth nothing; {advice}")
    if evidence.fault is not None:
        return GateResult("rows", "unknown", evidence.fault)
    if evidence.n_silent:
        silent = f"it gives no finite prediction for {evidence.n_silent} of {rows} rows"
        return GateResult("rows", "unknown", silent)
    left_out = f", {known} that it was trained on are left out" if known else ""
    return GateResult("rows", "pass", f"{rows} rows judge it{left_out}")


def data_gate(evidence: Evidence, _: float) -> GateResult:
    """Return whether the rows that judge are sound."""
    if evidence.faults is None:
        return GateResult("data", "unknown", "the rows that judge were not checked")
    if evidence.faults:
        return GateResult("data", "fail", "; ".join(evidence.faults))
    return GateResult("data", "pass", "the rows that judge are sound")


def slices_gate(evidence: Evidence, tolerance: float) -> GateResult:
    """Return whether no declared slice falls by more than the tolerance, beyond chance.

    A slice has fallen where its figure is worse than the champion's by more than `tolerance` times
    the champion's, and chance gives as much in fewer than 5 % of cases over all slices (Holm).

    References
    ----------
    Holm (1979), A Simple Sequentially Rejective Multiple Test Procedure.
    """
    if not evidence.slice_columns:
        return GateResult("slices", "off", "no column is named in evaluation.slices or sensitive")
    if evidence.rival is None:
        return GateResult("slices", "pass", "there is no champion whose slices could fall")
    falls = evidence.falls
    if falls is None:
        return GateResult("slices", "unknown", "the slices could not be compared")
    if not falls:
        return GateResult("slices", "unknown", "no slice has as many rows as evaluation.slice_rows")
    unclear = [each for each in falls if not _is_told(each)]
    if unclear:
        named = ", ".join(_named(each) for each in unclear)
        return GateResult("slices", "unknown", f"no figure tells the slices {named}")
    return _fallen(falls, tolerance)


def calibration_gate(evidence: Evidence, tolerance: float) -> GateResult:
    """Return whether the expected calibration error does not rise by more than the tolerance.

    It has risen where it is higher than the champion's by more, and chance does not explain it.
    """
    name = "calibration"
    if not evidence.has_chances:
        return GateResult(name, "off", "it gives no probabilities")
    if evidence.rival is None:
        return GateResult(name, "pass", "there is no champion whose calibration it could miss")
    found = evidence.calibration
    if found is None or not is_known(found):
        return GateResult(name, "unknown", "the calibration errors cannot be compared")
    mean, low = found.mean or 0.0, found.low or 0.0
    reason = f"its expected calibration error is {mean:+.4g} beside the champion's"
    worse = mean > tolerance and low > 0
    most = f", at most {tolerance:+g} is allowed" if worse else ""
    return GateResult(name, "fail" if worse else "pass", f"{reason}{most}")


def rate_gap_gate(evidence: Evidence, most: float) -> GateResult:
    """Return whether no two values of a sensitive column are predicted a class too differently."""
    name = "rate_gap"
    if not evidence.sensitive:
        return GateResult(name, "unknown", "no column is named in evaluation.sensitive")
    gaps = evidence.rate_gaps
    if not gaps or not all(math.isfinite(each.gap) for each in gaps):
        return GateResult(name, "unknown", "no two values have enough rows to compare their rates")
    widest = max(gaps, key=lambda each: each.gap)
    reason = (
        f"{widest.predicted} is predicted {widest.gap:.1%} more often where {widest.column} is"
        f" {widest.highest} than where it is {widest.lowest}"
    )
    if widest.gap > most:
        return GateResult(name, "fail", f"{reason}; at most {most:.1%} is allowed")
    return GateResult(name, "pass", reason)


def milliseconds_gate(evidence: Evidence, most: float) -> GateResult:
    """Return whether predicting a row takes no longer than allowed."""
    found = evidence.milliseconds_a_row
    return _at_most("milliseconds_a_row", found, most, what="predicting takes {} ms a row")


def megabytes_gate(evidence: Evidence, most: float) -> GateResult:
    """Return whether the model is no larger than allowed."""
    return _at_most("megabytes", evidence.megabytes, most, what="the model has {} MB on disk")


def _at_most(name: str, found: float | None, most: float, *, what: str) -> GateResult:
    if found is None or not math.isfinite(found):
        return GateResult(name, "unknown", what.format("unknown"))
    reason = what.format(f"{found:.3g}")
    if found > most:
        return GateResult(name, "fail", f"{reason}; at most {most:g} is allowed")
    return GateResult(name, "pass", reason)


def _fallen(falls: tuple[SliceFall, ...], tolerance: float) -> GateResult:
    adjusted = holm([_chance(each) for each in falls])
    fallen = [
        f"{_named(each)}: {each.metric} is worse by {each.fall.mean:.4g} than the champion's"
        f" {each.figure:.4g} ({each.fall.n_rows} rows, p {chance:.2g} after Holm)"
        for each, chance in zip(falls, adjusted, strict=True)
        if _share(each) > tolerance and chance < BY_CHANCE
    ]
    if fallen:
        return GateResult("slices", "fail", f"worse where {'; '.join(fallen)}")
    worst = max(falls, key=_share)
    lost = f"the lowest is {_named(worst)}, {-_share(worst):+.1%} in {worst.metric}"
    kept = f"no slice of {len(falls)} falls by more than {tolerance:.1%} beyond chance"
    return GateResult("slices", "pass", f"{kept}; {lost}")


def _share(found: SliceFall) -> float:
    """Return the fall as a share of the champion's figure."""
    fall, figure = found.fall.mean or 0.0, abs(found.figure or 0.0)
    return fall / figure if figure else math.copysign(math.inf, fall) if fall else 0.0


def _chance(found: SliceFall) -> float:
    return 1.0 if found.fall.p_value is None else found.fall.p_value


def _is_told(found: SliceFall) -> bool:
    if not is_known(found.fall) or found.figure is None or not math.isfinite(found.figure):
        return False
    has_chance = found.fall.p_value is not None and math.isfinite(found.fall.p_value)
    return has_chance or (found.fall.mean or 0.0) <= 0


def _named(found: SliceFall) -> str:
    return f"{found.column} is {found.value}"


LIMITS: dict[str, Callable[[Evidence, float], GateResult]] = {
    "data": data_gate,
    "slices": slices_gate,
    "calibration": calibration_gate,
    "rate_gap": rate_gap_gate,
    "milliseconds_a_row": milliseconds_gate,
    "megabytes": megabytes_gate,
}
