"""The promotion gates: whether a new version replaces the champion, and why.

`evaluate_gates` runs them all and returns a `Verdict`. Each gate says `pass`, `fail`, `unknown`
or `off`. One that fails keeps the champion, and so does one that is unknown: missing evidence
is never a pass.

Two tests of `champion_gate` may promote: the optimised metric, and the loss that monitoring
uses. Each spends its own share of `registry.alpha` (the metric at this use of the
hold-out, the loss at the next), so that models that are equal in both are promoted at one
hold-out with at most that probability (Bonferroni, however the two depend on each other).
Slices are corrected by Holm (1979).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from evertune.evaluation.records import (
    BaselineRow,
    Evaluation,
    chosen_model_metrics,
    chosen_simple_model,
    metric_row,
)
from evertune.registry.evidence import ChampionComparison, GateEvidence, GateRules, SliceRegression
from evertune.registry.holdout_reuse import holdout_use_text
from evertune.stats.bootstrap import PairedDifference, TestResult
from evertune.stats.comparison import holm_adjust, required_sample_size

GateDecision = Literal["promote", "keep", "not enough evidence"]
GateOutcome = Literal["pass", "fail", "unknown", "off"]


@dataclass(frozen=True)
class GateResult:
    """What one gate says.

    Attributes
    ----------
    name : str
        Such as `champion` or `slices`.
    outcome : str
        `unknown` where evidence is missing, which is never a pass; `off` where the gate is
        switched off in params.yaml.
    reason : str
    """

    name: str
    outcome: GateOutcome
    reason: str


@dataclass(frozen=True)
class Verdict:
    """What the gate says about a version.

    Attributes
    ----------
    decision : str
        `promote`: it is the champion now. `keep`: the champion stays, or there is none still.
        `not enough evidence`: the same, since the rows at hand cannot tell, or a person has still
        to approve.
    reasons : tuple of str
    rows_needed : int, optional
        About how many hold-out rows would tell, if the difference stays as it is.
    version : str, optional
        The version that was judged.
    champion : str, optional
        The champion after the verdict.
    basis : str, optional
        Digest of what was judged and against which champion: the same basis, the same verdict.
    n_rows : int, optional
        Hold-out rows that it was judged by, where they cannot tell.
    gates : tuple of GateResult
        One for each gate, in the order in which they are looked at.
    tests : tuple of TestResult
        What the reasons rest on.
    look : int
        How often these hold-out rows have been looked at for a decision, this time included.
    confidence : float
        Of the interval of this look's difference from the champion.
    waits_for_approval : bool
        Whether all gates are passed and only a person's approval is missing.
    """

    decision: GateDecision
    reasons: tuple[str, ...]
    rows_needed: int | None = None
    version: str | None = None
    champion: str | None = None
    basis: str | None = None
    n_rows: int | None = None
    gates: tuple[GateResult, ...] = ()
    tests: tuple[TestResult, ...] = ()
    look: int = 1
    confidence: float = 0.95
    waits_for_approval: bool = False

    @property
    def promoted(self) -> bool:
        """Whether the version is the champion now."""
        return self.decision == "promote"


OutcomeReason = tuple[GateOutcome, str]


def baselines_gate(evaluation: Evaluation) -> GateResult:
    """Return whether the version is better than every baseline that is no model.

    The lower ends of the lifts count, not the figures alone; without one it is not known.
    """
    found = [_compare_with_baseline(evaluation, row) for row in _dummy_baselines(evaluation)]
    if not found:
        return GateResult("baselines", "unknown", "there is no baseline that it was compared with")
    better = f"better than every baseline that is no model in {evaluation.metric}"
    return _worst_outcome("baselines", found, better)


def existing_gate(evaluation: Evaluation) -> GateResult:
    """Return whether the version is better than the system in use."""
    found = [
        _compare_with_baseline(evaluation, row)
        for row in evaluation.baselines
        if row.name == "existing"
    ]
    if not found:
        return GateResult("existing", "off", "no system in use is named in params.yaml")
    return _worst_outcome(
        "existing", found, f"better than the system in use in {evaluation.metric}"
    )


def guards_gate(evaluation: Evaluation) -> GateResult:
    """Return whether every guard is kept; an undefined figure keeps none."""
    found = list(_check_guards(evaluation))
    if not found:
        return GateResult("guards", "off", "no guard is named in params.yaml")
    return _worst_outcome("guards", found, "every guard is kept")


def rows_needed_for_baselines(evaluation: Evaluation) -> int | None:
    """Return about how many rows would tell the version from every baseline it seems better than.

    None where it is told from all.
    """
    doubtful = [row for row in evaluation.baselines if _may_be_chance(evaluation, row)]
    needed = [
        required_sample_size(PairedDifference(row.lift, row.low, row.high, None, row.n_rows))
        for row in doubtful
    ]
    return max((n for n in needed if n is not None), default=None)


def _compare_with_baseline(evaluation: Evaluation, row: BaselineRow) -> OutcomeReason:
    lift, name = _lift(evaluation, row), f"the baseline {row.name}"
    metric = evaluation.metric
    if lift is None:
        return "unknown", f"{metric} cannot be compared with that of {name}"
    if lift <= 0:
        figure = chosen_model_metrics(evaluation).get(metric)
        must = (
            f"{metric} must be better than that of {name}, {_metric_text(row.holdout.get(metric))}"
        )
        return "fail", f"{must}, but is {_metric_text(figure)}"
    if _may_be_chance(evaluation, row):
        by = f"{metric} is better than that of {name} by {_metric_text(row.lift)}"
        return "unknown", f"{by}, but by chance it could be {_signed_text(row.low)}"
    return "pass", ""


def _check_guards(evaluation: Evaluation) -> Iterator[OutcomeReason]:
    figures = chosen_model_metrics(evaluation)
    for guard in evaluation.guards:
        figure = _finite(figures.get(guard.metric))
        least = metric_row(evaluation, guard.metric).greater_is_better
        bound = f"{'at least' if least else 'at most'} {guard.bound:g}"
        reason = f"{guard.metric} must be {bound}, but is {_metric_text(figure)}"
        if figure is None:
            yield "unknown", reason
        else:
            broken = figure < guard.bound if least else figure > guard.bound
            yield ("fail", reason) if broken else ("pass", "")


def _worst_outcome(name: str, found: list[OutcomeReason], passed: str) -> GateResult:
    for outcome in ("fail", "unknown"):
        reasons = [reason for each, reason in found if each == outcome]
        if reasons:
            return GateResult(name, outcome, "; ".join(reasons))
    return GateResult(name, "pass", passed)


def _dummy_baselines(evaluation: Evaluation) -> list[BaselineRow]:
    return [row for row in evaluation.baselines if row.kind == "none"]


def _may_be_chance(evaluation: Evaluation, row: BaselineRow) -> bool:
    """Whether chance may explain a lift; the lifts of an evaluation are those of its model."""
    judged = row.kind == "none" or row.name == "existing"
    low = _finite(row.low)
    return judged and chosen_simple_model(evaluation) is None and (low is None or low <= 0)


def _lift(evaluation: Evaluation, row: BaselineRow) -> float | None:
    figure = _finite(chosen_model_metrics(evaluation).get(evaluation.metric))
    baseline = _finite(row.holdout.get(evaluation.metric))
    if figure is None or baseline is None:
        return None
    return figure - baseline if evaluation.greater_is_better else baseline - figure


def _finite(figure: float | None) -> float | None:
    return figure if figure is not None and math.isfinite(figure) else None


def _signed_text(figure: float | None) -> str:
    return "anything" if _finite(figure) is None else f"{figure:+.4g}"


def _metric_text(figure: float | None) -> str:
    return "unknown" if _finite(figure) is None else f"{figure:.4g}"


EVALUATION_GATES: dict[str, Callable[[Evaluation], GateResult]] = {
    "baselines": baselines_gate,
    "existing": existing_gate,
    "guards": guards_gate,
}

MIN_SHARE_BETTER = 0.25  # of draws in which a version has to be better that wins by its loss alone
MIN_COMPARED_ROWS = 30  # that judge; resamples of fewer are alike, and their intervals too narrow
CHAMPION_GATE = "champion"


def champion_gate(evidence: GateEvidence, metric: str) -> GateResult:
    """Return whether the version is better than the champion.

    Better it is in the metric, or in the loss that production is watched by where the metric tells
    the two hardly apart: ranks do not show that all probabilities came to be too low.

    Parameters
    ----------
    evidence : GateEvidence
    metric : str
        The name of the one that is optimised.
    """
    rival = evidence.rival
    if rival is None:
        return GateResult(CHAMPION_GATE, "pass", "there is no champion yet")
    named = f"the champion, version {rival.version}"
    if rival.obstacle is not None:
        return GateResult(CHAMPION_GATE, "unknown", _incomparable_text(named, rival.obstacle))
    found = rival.difference
    if found is None or not is_finite_difference(found):
        return GateResult(
            CHAMPION_GATE, "unknown", f"no row can tell it from {named}{_left_out_text(rival)}"
        )
    if found.n_rows < MIN_COMPARED_ROWS:
        few = f"{found.n_rows} rows cannot tell it from {named}, {MIN_COMPARED_ROWS} are needed"
        return GateResult(CHAMPION_GATE, "unknown", f"{few}{_left_out_text(rival)}")
    where = holdout_use_text(evidence.look, evidence.confidence)
    reason = f"{metric} is {_difference_text(found)} than that of {named}{_left_out_text(rival)} ({where})"
    return _champion_result(found, rival.loss, reason)


def is_finite_difference(found: PairedDifference) -> bool:
    """Return whether a difference and both ends of its interval are finite.

    Examples
    --------
    >>> is_finite_difference(PairedDifference(0.1, None, None, None, 50))
    False
    """
    figures = (found.mean, found.low, found.high)
    return all(figure is not None and math.isfinite(figure) for figure in figures)


def _champion_result(
    found: PairedDifference, loss: PairedDifference | None, reason: str
) -> GateResult:
    mean, low, high = found.mean or 0.0, found.low or 0.0, found.high or 0.0
    if low > 0:
        return GateResult(CHAMPION_GATE, "pass", reason)
    if loss is not None and _has_lower_loss(found, loss):
        return GateResult(
            CHAMPION_GATE, "pass", f"{reason}; its loss is lower {_interval_text(loss)}"
        )
    if mean <= 0 or high <= 0:
        return GateResult(CHAMPION_GATE, "fail", reason)
    return GateResult(CHAMPION_GATE, "unknown", reason)


def _has_lower_loss(found: PairedDifference, loss: PairedDifference) -> bool:
    is_lower = is_finite_difference(loss) and (loss.low or 0.0) > 0
    return is_lower and (found.share_better or 0.0) >= MIN_SHARE_BETTER


def _incomparable_text(named: str, obstacle: str) -> str:
    return (
        f"cannot be compared with {named}: {obstacle};"
        " give a new question a name of its own (registry.name),"
        " or make it champion by hand (evertune promote)"
    )


def _difference_text(found: PairedDifference) -> str:
    word = "better" if (found.mean or 0) > 0 else "not better"
    return f"{word} {_interval_text(found)}"


def _interval_text(found: PairedDifference) -> str:
    return f"({found.mean:+.4g}, {found.low:+.4g} to {found.high:+.4g}, {found.n_rows} rows)"


def _left_out_text(rival: ChampionComparison) -> str:
    if rival.n_seen == 0:
        return ""
    return f"; {rival.n_seen} hold-out rows that one of the two was trained on are left out"


MAX_TRAINED_SHARE = (
    0.05  # share of the hold-out that a version may know: keys that repeat by accident
)
SLICE_ALPHA = 0.05  # a slice falls beyond chance below this, one-sided, over all slices


def rows_gate(evidence: GateEvidence) -> GateResult:
    """Return whether the hold-out can judge the version at all.

    One that was trained on more than a twentieth of it is refused, for all of its figures are
    flattered; fewer rows are left out of the comparison with the champion, and counted.
    """
    known, rows = evidence.n_known, evidence.n_holdout
    if rows == 0:
        return GateResult("rows", "unknown", "the hold-out has no row")
    if known > MAX_TRAINED_SHARE * rows:
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


def data_gate(evidence: GateEvidence, _: float) -> GateResult:
    """Return whether the rows that judge are sound."""
    if evidence.faults is None:
        return GateResult("data", "unknown", "the rows that judge were not checked")
    if evidence.faults:
        return GateResult("data", "fail", "; ".join(evidence.faults))
    return GateResult("data", "pass", "the rows that judge are sound")


def slices_gate(evidence: GateEvidence, tolerance: float) -> GateResult:
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
    unclear = [each for each in falls if not _is_comparable_slice(each)]
    if unclear:
        named = ", ".join(_slice_text(each) for each in unclear)
        return GateResult("slices", "unknown", f"no figure tells the slices {named}")
    return _slices_result(falls, tolerance)


def calibration_gate(evidence: GateEvidence, tolerance: float) -> GateResult:
    """Return whether the expected calibration error does not rise by more than the tolerance.

    It has risen where it is higher than the champion's by more, and chance does not explain it.
    """
    name = "calibration"
    if not evidence.has_chances:
        return GateResult(name, "off", "it gives no probabilities")
    if evidence.rival is None:
        return GateResult(name, "pass", "there is no champion whose calibration it could miss")
    found = evidence.calibration
    if found is None or not is_finite_difference(found):
        return GateResult(name, "unknown", "the calibration errors cannot be compared")
    mean, low = found.mean or 0.0, found.low or 0.0
    reason = f"its expected calibration error is {mean:+.4g} beside the champion's"
    worse = mean > tolerance and low > 0
    most = f", at most {tolerance:+g} is allowed" if worse else ""
    return GateResult(name, "fail" if worse else "pass", f"{reason}{most}")


def rate_gap_gate(evidence: GateEvidence, most: float) -> GateResult:
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


def milliseconds_gate(evidence: GateEvidence, most: float) -> GateResult:
    """Return whether predicting a row takes no longer than allowed."""
    found = evidence.milliseconds_a_row
    return _check_upper_limit(
        "milliseconds_a_row", found, most, what="predicting takes {} ms a row"
    )


def megabytes_gate(evidence: GateEvidence, most: float) -> GateResult:
    """Return whether the model is no larger than allowed."""
    return _check_upper_limit(
        "megabytes", evidence.megabytes, most, what="the model has {} MB on disk"
    )


def _check_upper_limit(name: str, found: float | None, most: float, *, what: str) -> GateResult:
    if found is None or not math.isfinite(found):
        return GateResult(name, "unknown", what.format("unknown"))
    reason = what.format(f"{found:.3g}")
    if found > most:
        return GateResult(name, "fail", f"{reason}; at most {most:g} is allowed")
    return GateResult(name, "pass", reason)


def _slices_result(falls: tuple[SliceRegression, ...], tolerance: float) -> GateResult:
    adjusted = holm_adjust([_p_value_or_one(each) for each in falls])
    fallen = [
        f"{_slice_text(each)}: {each.metric} is worse by {each.fall.mean:.4g} than the champion's"
        f" {each.figure:.4g} ({each.fall.n_rows} rows, p {chance:.2g} after Holm)"
        for each, chance in zip(falls, adjusted, strict=True)
        if _relative_drop(each) > tolerance and chance < SLICE_ALPHA
    ]
    if fallen:
        return GateResult("slices", "fail", f"worse where {'; '.join(fallen)}")
    worst = max(falls, key=_relative_drop)
    lost = f"the lowest is {_slice_text(worst)}, {-_relative_drop(worst):+.1%} in {worst.metric}"
    kept = f"no slice of {len(falls)} falls by more than {tolerance:.1%} beyond chance"
    return GateResult("slices", "pass", f"{kept}; {lost}")


def _relative_drop(found: SliceRegression) -> float:
    """Return the fall as a share of the champion's figure."""
    fall, figure = found.fall.mean or 0.0, abs(found.figure or 0.0)
    return fall / figure if figure else math.copysign(math.inf, fall) if fall else 0.0


def _p_value_or_one(found: SliceRegression) -> float:
    return 1.0 if found.fall.p_value is None else found.fall.p_value


def _is_comparable_slice(found: SliceRegression) -> bool:
    if (
        not is_finite_difference(found.fall)
        or found.figure is None
        or not math.isfinite(found.figure)
    ):
        return False
    has_chance = found.fall.p_value is not None and math.isfinite(found.fall.p_value)
    return has_chance or (found.fall.mean or 0.0) <= 0


def _slice_text(found: SliceRegression) -> str:
    return f"{found.column} is {found.value}"


LIMIT_GATES: dict[str, Callable[[GateEvidence, float], GateResult]] = {
    "data": data_gate,
    "slices": slices_gate,
    "calibration": calibration_gate,
    "rate_gap": rate_gap_gate,
    "milliseconds_a_row": milliseconds_gate,
    "megabytes": megabytes_gate,
}

IMPROVEMENT_GATES = (
    "baselines",
    "existing",
    "champion",
)  # the gates whose passing says why it is better
SWITCHED_OFF = "switched off in params.yaml"


def evaluate_gates(evaluation: Evaluation, evidence: GateEvidence, rules: GateRules) -> Verdict:
    """Return whether the model that the evaluation chose becomes champion.

    Parameters
    ----------
    evaluation : Evaluation
    evidence : GateEvidence
    rules : GateRules
        Which gates are on, and what they allow.

    Returns
    -------
    Verdict
        `keep` where a gate fails, `not enough evidence` where none does and one is unknown,
        `promote` else. A version that passes and that a person has to approve waits.
    """
    gates = tuple(_gate_results(evaluation, evidence, rules))
    found = _verdict_from_gates(gates, evidence, rules)
    whole = replace(
        found,
        tests=evidence.tests,
        version=evidence.version,
        look=evidence.look,
        confidence=evidence.confidence,
    )
    return _with_rows_needed(whole, evaluation, evidence) if _needs_more_rows(whole) else whole


def _gate_results(
    evaluation: Evaluation, evidence: GateEvidence, rules: GateRules
) -> Iterator[GateResult]:
    yield rows_gate(evidence)
    for name, gate in EVALUATION_GATES.items():
        yield gate(evaluation) if getattr(rules, name) else _gate_off(name)
    yield champion_gate(evidence, evaluation.metric) if rules.champion else _gate_off("champion")
    for name, limited in LIMIT_GATES.items():
        limit = getattr(rules, name)
        is_off = limit is None or limit is False
        yield _gate_off(name) if is_off else limited(evidence, float(limit))


def _verdict_from_gates(
    gates: Sequence[GateResult], evidence: GateEvidence, rules: GateRules
) -> Verdict:
    failed, unknown = _reasons(gates, "fail"), _reasons(gates, "unknown")
    if failed:
        return Verdict("keep", failed, gates=(*gates, _approval_off(rules)))
    if unknown:
        return Verdict("not enough evidence", unknown, gates=(*gates, _approval_off(rules)))
    passed = tuple(
        each.reason for each in gates if each.outcome == "pass" and each.name in IMPROVEMENT_GATES
    )
    if not rules.approval:
        return Verdict("promote", passed, gates=(*gates, _approval_off(rules)))
    waits = f"waits for `evertune approve {evidence.version} --reason ...`"
    asked = (*gates, GateResult("approval", "unknown", waits))
    return Verdict("not enough evidence", (waits, *passed), gates=asked, waits_for_approval=True)


def _needs_more_rows(verdict: Verdict) -> bool:
    return verdict.decision == "not enough evidence" and not verdict.waits_for_approval


def _with_rows_needed(verdict: Verdict, evaluation: Evaluation, evidence: GateEvidence) -> Verdict:
    """Return the verdict with the rows that judged, and about how many would tell."""
    unknown = {each.name for each in verdict.gates if each.outcome == "unknown"}
    if unknown & {"baselines", "existing"}:
        needed = rows_needed_for_baselines(evaluation)
        return replace(verdict, rows_needed=needed, n_rows=evaluation.n_holdout)
    found = evidence.rival.difference if evidence.rival else None
    if "champion" not in unknown or found is None or not is_finite_difference(found):
        return verdict
    return replace(verdict, rows_needed=required_sample_size(found), n_rows=found.n_rows)


def _reasons(gates: Sequence[GateResult], outcome: str) -> tuple[str, ...]:
    return tuple(each.reason for each in gates if each.outcome == outcome)


def _gate_off(name: str) -> GateResult:
    return GateResult(name, "off", SWITCHED_OFF)


def _approval_off(rules: GateRules) -> GateResult:
    reason = "asked once every other gate is passed" if rules.approval else SWITCHED_OFF
    return GateResult("approval", "off", reason)
