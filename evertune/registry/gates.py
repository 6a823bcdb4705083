"""The promotion gates: whether a new version replaces the champion, and why.

`evaluate_gates` runs them all and returns a `Verdict`. Each gate says `pass`, `fail`, `unknown`
or `off`. One that fails keeps the champion, and so does one that is unknown: missing evidence
is never a pass.

Two tests of `champion_gate` may promote: the optimised metric, and the monitored loss (MAE, or
the Brier score). Each spends its own share of `registry.alpha` (the metric at this use
of the hold-out, the loss at the next), so that models that are equal in both are promoted at one
hold-out with at most that probability (Bonferroni, however the two depend on each other). Slices
are corrected by Holm (1979).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from evertune.config.schema import GatesSection
from evertune.evaluation.evaluation_record import (
    BaselineRow,
    Evaluation,
    chosen_model_metrics,
    chosen_simple_model,
    metric_row,
)
from evertune.registry.evidence import ChampionComparison, GateEvidence, SliceRegression
from evertune.registry.holdout_reuse import holdout_use_text
from evertune.registry.promotion_records import GateOutcome, GateResult
from evertune.stats.comparison import holm_adjust, required_sample_size
from evertune.stats.results import PairedDifference, TestResult

GateDecision = Literal["promote", "keep", "not enough evidence"]

MIN_SHARE_BETTER = 0.25  # of draws in which a version has to be better that wins by its loss alone
MIN_COMPARED_ROWS = 30  # resamples of fewer are alike, and their intervals too narrow
MAX_TRAINED_SHARE = 0.05  # of the hold-out: keys that repeat by accident
SLICE_ALPHA = 0.05  # one-sided, over all slices
IMPROVEMENT_GATES = ("baselines", "existing", "champion")  # their passing says why it is better
SWITCHED_OFF = "switched off in params.yaml"


@dataclass(frozen=True)
class Verdict:
    """What the gates say about a version.

    Attributes
    ----------
    decision : str
        `promote`: it is the champion now. `keep`: the champion stays, or there is none still.
        `not enough evidence`: the same, since the rows at hand cannot tell, or a person has still
        to approve.
    rows_needed : int, optional
        About how many hold-out rows would tell, if the difference stays as it is.
    version : str, optional
        The version that was judged.
    champion : str, optional
        The champion after the verdict.
    basis : str, optional
        Digest of what was judged and against which champion: the same basis, the same verdict.
    n_rows : int, optional
        Compared hold-out rows, if they cannot tell.
    gates : tuple of GateResult
        One for each gate, in the order in which they are looked at.
    tests : tuple of TestResult
        What the reasons rest on.
    look : int
        How often these hold-out rows have been used for a decision, this time included.
    confidence : float
        Of the interval of this use's difference from the champion.
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


def evaluate_gates(
    evaluation: Evaluation, evidence: GateEvidence, gates: GatesSection, *, approval: bool = False
) -> Verdict:
    """Return whether the model that the evaluation chose becomes champion.

    Parameters
    ----------
    gates : GatesSection
        Which gates are on, and what they allow.
    approval : bool
        Whether a person has to approve a version that passes them all.

    Returns
    -------
    Verdict
        `keep` if a gate fails, `not enough evidence` if none does and one is unknown, else
        `promote`. A version that passes and that a person has to approve waits.
    """
    results = tuple(_gate_results(evaluation, evidence, gates))

    def reasons(outcome: GateOutcome) -> tuple[str, ...]:
        return tuple(each.reason for each in results if each.outcome == outcome)

    not_asked = "asked once every other gate is passed" if approval else SWITCHED_OFF
    last = GateResult("approval", "off", not_asked)
    better = tuple(
        each.reason for each in results if each.outcome == "pass" and each.name in IMPROVEMENT_GATES
    )
    if reasons("fail"):
        verdict = Verdict("keep", reasons("fail"))
    elif reasons("unknown"):
        verdict = Verdict("not enough evidence", reasons("unknown"))
        verdict = _with_rows_needed(verdict, results, evaluation, evidence)
    elif approval:
        waits = f"waits for `evertune approve {evidence.version} --reason ...`"
        last = GateResult("approval", "unknown", waits)
        verdict = Verdict("not enough evidence", (waits, *better), waits_for_approval=True)
    else:
        verdict = Verdict("promote", better)
    return replace(
        verdict,
        gates=(*results, last),
        tests=evidence.tests,
        version=evidence.version,
        look=evidence.look,
        confidence=evidence.confidence,
    )


def baselines_gate(evaluation: Evaluation) -> GateResult:
    """Pass if the version is better than every baseline that is not a model.

    The lower ends of the lifts count, not the scores alone; without one it is not known.
    """
    dummies = [row for row in evaluation.baselines if row.kind == "none"]
    found = [_compare_with_baseline(evaluation, row) for row in dummies]
    if not found:
        return GateResult("baselines", "unknown", "there is no baseline that it was compared with")
    better = f"better than every baseline that is no model in {evaluation.metric}"
    return _worst_outcome("baselines", found, better)


def existing_gate(evaluation: Evaluation) -> GateResult:
    """Pass if the version is better than the system in use."""
    existing = [row for row in evaluation.baselines if row.name == "existing"]
    found = [_compare_with_baseline(evaluation, row) for row in existing]
    if not found:
        return GateResult("existing", "off", "no system in use is named in params.yaml")
    better = f"better than the system in use in {evaluation.metric}"
    return _worst_outcome("existing", found, better)


def guards_gate(evaluation: Evaluation) -> GateResult:
    """Pass if every guard is kept; an undefined score keeps none."""
    scores = chosen_model_metrics(evaluation)
    found: list[tuple[GateOutcome, str]] = []
    for guard in evaluation.guards:
        score = _finite(scores.get(guard.metric))
        is_minimum = metric_row(evaluation, guard.metric).greater_is_better
        bound = f"{'at least' if is_minimum else 'at most'} {guard.bound:g}"
        reason = f"{guard.metric} must be {bound}, but is {_score_text(score)}"
        if score is None:
            found.append(("unknown", reason))
        elif score < guard.bound if is_minimum else score > guard.bound:
            found.append(("fail", reason))
    if not evaluation.guards:
        return GateResult("guards", "off", "no guard is named in params.yaml")
    return _worst_outcome("guards", found, "every guard is kept")


def champion_gate(evidence: GateEvidence, metric: str) -> GateResult:
    """Pass if the version is better than the champion.

    It passes if the metric improves significantly, or if the metric is inconclusive and the
    monitored loss improves significantly: ranks do not show that all probabilities became too
    low.
    """
    found = evidence.champion
    if found is None:
        return GateResult("champion", "pass", "there is no champion yet")
    named = f"the champion, version {found.version}"
    left_out = _left_out_text(found)
    difference = found.difference
    missing = ""
    if found.obstacle is not None:
        missing = (
            f"cannot be compared with {named}: {found.obstacle};"
            " give a new question a name of its own (registry.name),"
            " or make it champion by hand (evertune promote)"
        )
    elif difference is None or not is_finite_difference(difference):
        missing = f"no row can tell it from {named}{left_out}"
    elif difference.n_rows < MIN_COMPARED_ROWS:
        missing = (
            f"{difference.n_rows} rows cannot tell it from {named}, {MIN_COMPARED_ROWS} are"
            f" needed{left_out}"
        )
    if difference is None or missing:
        return GateResult("champion", "unknown", missing)
    mean, low, high = difference.mean or 0.0, difference.low or 0.0, difference.high or 0.0
    reason = (
        f"{metric} is {'better' if mean > 0 else 'not better'} {_interval_text(difference)} than"
        f" that of {named}{left_out} ({holdout_use_text(evidence.look, evidence.confidence)})"
    )
    if low > 0:
        return GateResult("champion", "pass", reason)
    if found.loss is not None and _wins_by_loss(difference, found.loss):
        by_loss = f"{reason}; its loss is lower {_interval_text(found.loss)}"
        return GateResult("champion", "pass", by_loss)
    return GateResult("champion", "fail" if mean <= 0 or high <= 0 else "unknown", reason)


def rows_gate(evidence: GateEvidence) -> GateResult:
    """Pass if the hold-out can judge the version at all.

    One that was trained on more than a twentieth of it is refused, for all of its scores are
    flattered; fewer rows are left out of the comparison with the champion, and counted.
    """
    n_trained, n_rows = evidence.n_trained, evidence.n_holdout
    if n_rows == 0:
        return GateResult("rows", "unknown", "the hold-out has no row")
    if n_trained > MAX_TRAINED_SHARE * n_rows:
        leak = f"it was trained on {n_trained} of the {n_rows} hold-out rows, so that its scores"
        advice = "if rows of one identifier belong together, make it data.group"
        return GateResult("rows", "fail", f"{leak} are worth nothing; {advice}")
    if evidence.fault is not None:
        return GateResult("rows", "unknown", evidence.fault)
    if evidence.n_missing:
        missing = f"it gives no finite prediction for {evidence.n_missing} of {n_rows} rows"
        return GateResult("rows", "unknown", missing)
    left_out = f", {n_trained} that it was trained on are left out" if n_trained else ""
    return GateResult("rows", "pass", f"{n_rows} rows judge it{left_out}")


def data_gate(evidence: GateEvidence, _: float) -> GateResult:
    """Pass if the hold-out's rows are sound."""
    if evidence.faults is None:
        return GateResult("data", "unknown", "the hold-out's rows were not checked")
    if evidence.faults:
        return GateResult("data", "fail", "; ".join(evidence.faults))
    return GateResult("data", "pass", "the hold-out's rows are sound")


def slices_gate(evidence: GateEvidence, tolerance: float) -> GateResult:
    """Pass if no declared slice falls by more than the tolerance, beyond chance.

    A slice has fallen if its score is worse than the champion's by more than `tolerance` times
    the champion's, and chance gives as much in fewer than 5 % of cases over all slices (Holm).
    """
    slices = evidence.regressions
    if not evidence.slice_columns:
        return GateResult("slices", "off", "no column is named in evaluation.slices or sensitive")
    if evidence.champion is None:
        return GateResult("slices", "pass", "there is no champion whose slices could fall")
    if not slices:
        few = "no slice has as many rows as evaluation.slice_rows"
        why = "the slices could not be compared" if slices is None else few
        return GateResult("slices", "unknown", why)
    unclear = [_slice_text(each) for each in slices if not _is_comparable_slice(each)]
    if unclear:
        return GateResult("slices", "unknown", f"no score tells the slices {', '.join(unclear)}")
    p_values = [1.0 if each.drop.p_value is None else each.drop.p_value for each in slices]
    fallen = [
        f"{_slice_text(each)}: {each.metric} is worse by {each.drop.mean:.4g} than the champion's"
        f" {each.score:.4g} ({each.drop.n_rows} rows, p {p_value:.2g} after Holm)"
        for each, p_value in zip(slices, holm_adjust(p_values), strict=True)
        if _relative_drop(each) > tolerance and p_value < SLICE_ALPHA
    ]
    if fallen:
        return GateResult("slices", "fail", f"worse where {'; '.join(fallen)}")
    worst = max(slices, key=_relative_drop)
    lowest = f"the lowest is {_slice_text(worst)}, {-_relative_drop(worst):+.1%} in {worst.metric}"
    kept = f"no slice of {len(slices)} falls by more than {tolerance:.1%} beyond chance"
    return GateResult("slices", "pass", f"{kept}; {lowest}")


def calibration_gate(evidence: GateEvidence, tolerance: float) -> GateResult:
    """Pass if the expected calibration error does not rise by more than the tolerance.

    It has risen if it is higher than the champion's by more, and chance does not explain it.
    """
    name, found = "calibration", evidence.calibration
    if not evidence.has_probabilities:
        return GateResult(name, "off", "it gives no probabilities")
    if evidence.champion is None:
        return GateResult(name, "pass", "there is no champion whose calibration it could miss")
    if found is None or not is_finite_difference(found):
        return GateResult(name, "unknown", "the calibration errors cannot be compared")
    mean, low = found.mean or 0.0, found.low or 0.0
    reason = f"its expected calibration error is {mean:+.4g} beside the champion's"
    if mean > tolerance and low > 0:
        return GateResult(name, "fail", f"{reason}, at most {tolerance:+g} is allowed")
    return GateResult(name, "pass", reason)


def rate_gap_gate(evidence: GateEvidence, most: float) -> GateResult:
    """Pass if the rates of a predicted class differ little between values of a sensitive column."""
    name, gaps = "rate_gap", evidence.rate_gaps
    if not evidence.sensitive:
        return GateResult(name, "unknown", "no column is named in evaluation.sensitive")
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
    """Pass if predicting a row takes no longer than allowed."""
    found = evidence.milliseconds_a_row
    return _check_upper_limit("milliseconds_a_row", found, most, "predicting takes {} ms a row")


def megabytes_gate(evidence: GateEvidence, most: float) -> GateResult:
    """Pass if the model is no larger than allowed."""
    return _check_upper_limit("megabytes", evidence.megabytes, most, "the model has {} MB on disk")


def is_finite_difference(found: PairedDifference) -> bool:
    """Return whether a difference and both ends of its interval are finite."""
    return all(
        value is not None and math.isfinite(value) for value in (found.mean, found.low, found.high)
    )


EVALUATION_GATES: dict[str, Callable[[Evaluation], GateResult]] = {
    "baselines": baselines_gate,
    "existing": existing_gate,
    "guards": guards_gate,
}
LIMIT_GATES: dict[str, Callable[[GateEvidence, float], GateResult]] = {
    "data": data_gate,
    "slices": slices_gate,
    "calibration": calibration_gate,
    "rate_gap": rate_gap_gate,
    "milliseconds_a_row": milliseconds_gate,
    "megabytes": megabytes_gate,
}


def _gate_results(
    evaluation: Evaluation, evidence: GateEvidence, gates: GatesSection
) -> Iterator[GateResult]:
    yield rows_gate(evidence)
    for name, gate in EVALUATION_GATES.items():
        is_on = getattr(gates, name)
        yield gate(evaluation) if is_on else GateResult(name, "off", SWITCHED_OFF)
    if gates.champion:
        yield champion_gate(evidence, evaluation.metric)
    else:
        yield GateResult("champion", "off", SWITCHED_OFF)
    for name, limited in LIMIT_GATES.items():
        limit = getattr(gates, name)
        if limit is None or limit is False:
            yield GateResult(name, "off", SWITCHED_OFF)
        else:
            yield limited(evidence, float(limit))


def _with_rows_needed(
    verdict: Verdict, results: Sequence[GateResult], evaluation: Evaluation, evidence: GateEvidence
) -> Verdict:
    """Return the verdict with the compared rows, and about how many would tell."""
    unknown = {each.name for each in results if each.outcome == "unknown"}
    if unknown & {"baselines", "existing"}:
        doubtful = [row for row in evaluation.baselines if _may_be_chance(evaluation, row)]
        lifts = [
            PairedDifference(row.lift, row.low, row.high, None, row.n_rows) for row in doubtful
        ]
        needed = [n for n in map(required_sample_size, lifts) if n is not None]
        return replace(verdict, rows_needed=max(needed, default=None), n_rows=evaluation.n_holdout)
    found = evidence.champion.difference if evidence.champion else None
    if "champion" not in unknown or found is None or not is_finite_difference(found):
        return verdict
    return replace(verdict, rows_needed=required_sample_size(found), n_rows=found.n_rows)


def _compare_with_baseline(evaluation: Evaluation, row: BaselineRow) -> tuple[GateOutcome, str]:
    metric, name = evaluation.metric, f"the baseline {row.name}"
    score = _finite(chosen_model_metrics(evaluation).get(metric))
    baseline = _finite(row.holdout.get(metric))
    if score is None or baseline is None:
        return "unknown", f"{metric} cannot be compared with that of {name}"
    if (score - baseline if evaluation.greater_is_better else baseline - score) <= 0:
        must = f"{metric} must be better than that of {name}, {_score_text(baseline)}"
        return "fail", f"{must}, but is {_score_text(score)}"
    if _may_be_chance(evaluation, row):
        low = "anything" if _finite(row.low) is None else f"{row.low:+.4g}"
        by = f"{metric} is better than that of {name} by {_score_text(row.lift)}"
        return "unknown", f"{by}, but by chance it could be {low}"
    return "pass", ""


def _may_be_chance(evaluation: Evaluation, row: BaselineRow) -> bool:
    """Return whether chance may explain a lift; the lifts of an evaluation are its model's."""
    is_compared = row.kind == "none" or row.name == "existing"
    low = _finite(row.low)
    return is_compared and chosen_simple_model(evaluation) is None and (low is None or low <= 0)


def _worst_outcome(name: str, found: list[tuple[GateOutcome, str]], passed: str) -> GateResult:
    outcomes: tuple[GateOutcome, ...] = ("fail", "unknown")
    for outcome in outcomes:
        reasons = [reason for each, reason in found if each == outcome]
        if reasons:
            return GateResult(name, outcome, "; ".join(reasons))
    return GateResult(name, "pass", passed)


def _wins_by_loss(difference: PairedDifference, loss: PairedDifference) -> bool:
    is_lower = is_finite_difference(loss) and (loss.low or 0.0) > 0
    return is_lower and (difference.share_better or 0.0) >= MIN_SHARE_BETTER


def _check_upper_limit(name: str, found: float | None, most: float, text: str) -> GateResult:
    if found is None or not math.isfinite(found):
        return GateResult(name, "unknown", text.format("unknown"))
    reason = text.format(f"{found:.3g}")
    if found > most:
        return GateResult(name, "fail", f"{reason}; at most {most:g} is allowed")
    return GateResult(name, "pass", reason)


def _is_comparable_slice(found: SliceRegression) -> bool:
    if _finite(found.score) is None or not is_finite_difference(found.drop):
        return False
    return _finite(found.drop.p_value) is not None or (found.drop.mean or 0.0) <= 0


def _relative_drop(found: SliceRegression) -> float:
    """Return the drop as a share of the champion's score."""
    drop, score = found.drop.mean or 0.0, abs(found.score or 0.0)
    return drop / score if score else math.copysign(math.inf, drop) if drop else 0.0


def _slice_text(found: SliceRegression) -> str:
    return f"{found.column} is {found.value}"


def _interval_text(found: PairedDifference) -> str:
    return f"({found.mean:+.4g}, {found.low:+.4g} to {found.high:+.4g}, {found.n_rows} rows)"


def _left_out_text(found: ChampionComparison) -> str:
    if found.n_left_out == 0:
        return ""
    return f"; {found.n_left_out} hold-out rows that one of the two was trained on are left out"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _score_text(score: float | None) -> str:
    return "unknown" if _finite(score) is None else f"{score:.4g}"
