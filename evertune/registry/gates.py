"""The promotion gate: whether a version becomes champion.

`evaluate_gates` is the whole rule. Each gate says `pass`, `fail`, `unknown` or `off`, and

- `keep` is the verdict if one fails: the champion stays;
- `not enough evidence` if none fails and one is unknown, for missing evidence is never a pass;
- `promote` if all pass or are off. If a person has to approve, that is one more unknown.

The first version is no exception: it has to beat every rule that needs no model, by a test on the
hold-out (`evertune.evaluation.sufficiency`, which the report's cautions come from, too).

Gates are pure functions of the version's evaluation and of `GateEvidence`, which
`evertune.registry.evidence` measures on hold-out rows that neither model was trained on.

Two tests of `champion_gate` may promote: the optimised metric, and the monitored loss (MAE, or the
Brier score). Each spends its own share of `registry.alpha` (the metric at this use of the hold-out,
the loss at the next), so that models that are equal in both are promoted at one hold-out with at
most that probability (Bonferroni, however the two depend on each other). Slices are corrected by
Holm (1979).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeGuard

from evertune.config.schema import GatesSection
from evertune.decisions import GateVerdict
from evertune.evaluation.evaluation_record import (
    Evaluation,
    chosen_model_metrics,
    metric_row,
)
from evertune.evaluation.formatting import count_noun, metric_name
from evertune.evaluation.sufficiency import (
    RuleComparison,
    compare_with_rule,
    row_shortage,
    unbeaten_rules,
)
from evertune.messages import format_percent
from evertune.metrics.metrics import keeps_bound
from evertune.registry.promotion_records import GateOutcome, GateResult, Verdict
from evertune.stats.comparison import holm_adjust, required_sample_size
from evertune.stats.results import PairedDifference, TestResult

GateFinding = tuple[GateOutcome, str]  # an outcome and its reason

MIN_SHARE_BETTER = 0.25  # of draws in which a version has to be better that wins by its loss alone
MAX_TRAINED_SHARE = 0.05  # of the hold-out: keys that repeat by accident
SLICE_ALPHA = 0.05  # one-sided, over all slices
IMPROVEMENT_GATES = ("baselines", "existing", "champion")  # their passing says why it is better
SWITCHED_OFF = "switched off in params.yaml"
OFF: GateFinding = ("off", SWITCHED_OFF)


@dataclass(frozen=True)
class ChampionComparison:
    """The champion beside the new model, on hold-out rows that neither was trained on.

    Attributes
    ----------
    version : str
        The champion's.
    difference : PairedDifference, optional
        By how much the new model is better; None if the two cannot be compared.
    n_left_out : int
        Rows of the hold-out that one of the two was trained on.
    obstacle : str, optional
        Why the two cannot be compared.
    loss : PairedDifference, optional
        By how much the monitored loss is lower, on the same rows, with the interval of the next
        use of the hold-out. None if the metric is this loss itself.
    class_counts : tuple of int, optional
        The compared rows of each class; None in regression.
    """

    version: str
    difference: PairedDifference | None = None
    n_left_out: int = 0
    obstacle: str | None = None
    loss: PairedDifference | None = None
    class_counts: tuple[int, ...] | None = None


@dataclass(frozen=True)
class SliceRegression:
    """By how much the new model is worse than the champion on the rows of a slice.

    Attributes
    ----------
    metric : str
        The optimised one; the monitored loss if that is undefined on these rows.
    score : float, optional
        The champion's.
    drop : PairedDifference
        Positive if the new model is worse; its p-value is of "it is not worse".
    """

    column: str
    value: str
    metric: str
    score: float | None
    drop: PairedDifference

    @property
    def is_comparable(self) -> bool:
        """Whether the drop is known, and its p-value if it is above 0."""
        interval = finite_interval(self.drop)
        return (
            _is_known(self.score)
            and interval is not None
            and (interval[0] <= 0 or _is_known(self.drop.p_value))
        )

    @property
    def relative_drop(self) -> float:
        """The drop as a share of the champion's score."""
        drop, score = self.drop.mean or 0.0, abs(self.score or 0.0)
        return drop / score if score else math.copysign(math.inf, drop) if drop else 0.0

    def __str__(self) -> str:
        """Return the slice in words, such as `plan is a`."""
        return f"{self.column} is {self.value}"


@dataclass(frozen=True)
class RateGap:
    """The largest difference between the shares of rows predicted to be of a class.

    `lowest` and `highest` are the values of the sensitive column with the lowest and the highest
    share.
    """

    column: str
    predicted: str
    lowest: str
    highest: str
    gap: float


@dataclass(frozen=True)
class GateEvidence:
    """All that the gates know of a version beside its evaluation; None: it is not known.

    Attributes
    ----------
    n_holdout, n_trained, n_missing : int
        Rows of the hold-out; those that the version was trained on; those for which it gives no
        finite prediction.
    fault : str, optional
        Why it cannot read them.
    champion : ChampionComparison, optional
        None if there is no champion yet.
    holdout_use : int
        How often these rows have been used for a decision, this time included.
    confidence : float
        Of the interval of the difference from the champion.
    slice_columns, sensitive : tuple of str
        The declared columns.
    regressions : tuple of SliceRegression, optional
        None without a champion to compare with.
    calibration : PairedDifference, optional
        By how much the expected calibration error is higher than the champion's.
    faults : tuple of str, optional
        What is wrong with the hold-out.
    tests : tuple of TestResult
        What the reasons rest on, and tests that are shown beside.
    notes : tuple of str
        What else a reader of the verdict must know of the hold-out; no gate judges it.
    """

    version: str
    n_holdout: int
    n_trained: int = 0
    n_missing: int = 0
    fault: str | None = None
    champion: ChampionComparison | None = None
    holdout_use: int = 1
    confidence: float = 0.95
    slice_columns: tuple[str, ...] = ()
    regressions: tuple[SliceRegression, ...] | None = None
    calibration: PairedDifference | None = None
    has_probabilities: bool = False
    sensitive: tuple[str, ...] = ()
    rate_gaps: tuple[RateGap, ...] | None = None
    milliseconds_a_row: float | None = None
    megabytes: float | None = None
    faults: tuple[str, ...] | None = None
    tests: tuple[TestResult, ...] = ()
    notes: tuple[str, ...] = ()


def evaluate_gates(
    evaluation: Evaluation, evidence: GateEvidence, gates: GatesSection, *, approval: bool = False
) -> Verdict:
    """Return whether the model that the evaluation chose becomes champion.

    Parameters
    ----------
    gates : GatesSection
        Which gates are on, and their limits.
    approval : bool
        Whether a person has to approve a version that passes them all.
    """
    found: dict[str, GateFinding] = {
        "rows": rows_gate(evidence),
        "baselines": baselines_gate(evaluation) if gates.baselines else OFF,
        "existing": existing_gate(evaluation) if gates.existing else OFF,
        "guards": guards_gate(evaluation) if gates.guards else OFF,
        "champion": champion_gate(evidence, evaluation) if gates.champion else OFF,
        "data": data_gate(evidence) if gates.data else OFF,
        "slices": OFF if gates.slices is None else slices_gate(evidence, gates.slices),
        "calibration": (
            OFF if gates.calibration is None else calibration_gate(evidence, gates.calibration)
        ),
        "rate_gap": OFF if gates.rate_gap is None else rate_gap_gate(evidence, gates.rate_gap),
        "milliseconds_a_row": (
            OFF
            if gates.milliseconds_a_row is None
            else speed_gate(evidence, gates.milliseconds_a_row)
        ),
        "megabytes": OFF if gates.megabytes is None else size_gate(evidence, gates.megabytes),
    }
    results = [GateResult(name, *finding) for name, finding in found.items()]
    reasons = {
        outcome: tuple(each.reason for each in results if each.outcome == outcome)
        for outcome in ("fail", "unknown")
    }
    is_first = evidence.champion is None
    better = tuple(
        each.reason
        for each in results
        if each.outcome == "pass"
        and each.name in IMPROVEMENT_GATES
        and not (each.name == "champion" and is_first)
    )
    person = OFF
    if approval:
        person = ("off", "asked once every other gate is passed")
    decision: GateVerdict = "not enough evidence"
    rows_needed, n_rows, waits = None, None, False
    if reasons["fail"]:
        decision, why = "keep", reasons["fail"]
    elif reasons["unknown"]:
        why = reasons["unknown"]
        unknown = {each.name for each in results if each.outcome == "unknown"}
        rows_needed, n_rows = _rows_that_would_tell(unknown, evaluation, evidence)
    elif approval:
        waits = True
        person = ("unknown", f"waits for `evertune approve {evidence.version} --reason ...`")
        why = (person[1], *better)
    else:
        decision, why = "promote", better or ("no gate that is switched on has failed",)
    return Verdict(
        decision,
        (*why, *evidence.notes),
        rows_needed=rows_needed,
        version=evidence.version,
        n_rows=n_rows,
        gates=(*results, GateResult("approval", *person)),
        tests=evidence.tests,
        look=evidence.holdout_use,
        confidence=evidence.confidence,
        waits_for_approval=waits,
        is_first=is_first,
    )


def rows_gate(evidence: GateEvidence) -> GateFinding:
    """Pass if the hold-out can judge the version at all.

    One that was trained on more than a twentieth of it is refused, for all of its scores are
    flattered; fewer rows are left out of the comparison with the champion, and counted.
    """
    n_trained, n_rows = evidence.n_trained, evidence.n_holdout
    if n_rows == 0:
        return "unknown", "the hold-out has no row"
    if n_trained > MAX_TRAINED_SHARE * n_rows:
        return "fail", (
            f"it was trained on {n_trained} of the {count_noun(n_rows, 'hold-out row')}, so that"
            " its scores are worth nothing; if rows of one identifier belong together, make it"
            " data.group"
        )
    if evidence.fault is not None:
        return "unknown", evidence.fault
    if evidence.n_missing:
        return "unknown", (
            f"it gives no finite prediction for {evidence.n_missing} of {count_noun(n_rows, 'row')}"
        )
    left_out = f", {n_trained} that it was trained on are left out" if n_trained else ""
    return "pass", f"it is judged by {count_noun(n_rows, 'hold-out row')}{left_out}"


def baselines_gate(evaluation: Evaluation) -> GateFinding:
    """Pass if the version surely beats every rule that needs no model.

    The lower ends of the lifts on the hold-out count, not the scores alone; without one, or on too
    few rows, it is not known.
    """
    if not any(row.kind == "none" for row in evaluation.baselines):
        return "unknown", "there is no baseline that it was compared with"
    unbeaten = unbeaten_rules(evaluation)
    return _worst(unbeaten, f"{_own_score_text(evaluation)} beats every rule that needs no model")


def existing_gate(evaluation: Evaluation) -> GateFinding:
    """Pass if the version is better than the system in use."""
    rows = [row for row in evaluation.baselines if row.name == "existing"]
    if not rows:
        return "off", "no system in use is named in params.yaml"
    found = [compare_with_rule(evaluation, row) for row in rows]
    return _worst(found, f"{_own_score_text(evaluation)} beats the system in use")


def guards_gate(evaluation: Evaluation) -> GateFinding:
    """Pass if every guard is kept; an undefined score keeps none."""
    if not evaluation.guards:
        return "off", "no guard is named in params.yaml"
    scores = chosen_model_metrics(evaluation)
    found: list[RuleComparison] = []
    for guard in evaluation.guards:
        score, metric = scores.get(guard.metric), metric_row(evaluation, guard.metric)
        bound = f"{'at least' if metric.greater_is_better else 'at most'} {guard.bound:g}"
        reason = f"{metric_name(guard.metric)} must be {bound}, but is {_score_text(score)}"
        if not _is_known(score):
            found.append(RuleComparison("unknown", reason))
        elif not keeps_bound(metric, score, guard.bound):
            found.append(RuleComparison("fail", reason))
    return _worst(found, "every guard is kept")


def champion_gate(evidence: GateEvidence, evaluation: Evaluation) -> GateFinding:
    """Pass if the version is better than the champion.

    It passes if the whole interval of the metric's improvement is above 0. It passes as well if
    the metric is inconclusive and that of the monitored loss is: ranks do not show that all
    probabilities became too low. It fails if the metric is not better, or surely worse. Too few
    rows, in all or of the rarer class, show neither.
    """
    found = evidence.champion
    if found is None:
        return "pass", "there is no champion to beat yet"
    champion, difference = f"the champion, version {found.version}", found.difference
    if found.obstacle is not None:
        return "unknown", (
            f"it cannot be compared with {champion}: {found.obstacle};"
            " give a new question a name of its own (registry.name),"
            " or make it champion by hand (evertune promote)"
        )
    left_out = ""
    if found.n_left_out:
        left_out = (
            f"; left out: {count_noun(found.n_left_out, 'hold-out row')} that one of the two was"
            " trained on"
        )
    interval = finite_interval(difference)
    if difference is None or interval is None:
        return "unknown", f"no row can tell it from {champion}{left_out}"
    shortage = row_shortage(found.class_counts, difference.n_rows, evaluation)
    if shortage is not None:
        return "unknown", f"it cannot be compared with {champion}: {shortage.reason}{left_out}"
    mean, low, high = interval
    reason = (
        f"its {metric_name(evaluation.metric)} is"
        f" {'better' if mean > 0 else 'not better'} {_interval_text(difference)} than"
        f" that of {champion}{left_out} (use {evidence.holdout_use} of these rows:"
        f" {100 * evidence.confidence:.3g} % interval)"
    )
    outcome: GateOutcome = "fail" if mean <= 0 or high <= 0 else "unknown"
    if low > 0:
        outcome = "pass"
    elif found.loss is not None and _wins_by_loss(difference, found.loss):
        outcome = "pass"
        reason = f"{reason}; its loss is lower {_interval_text(found.loss)}"
    return outcome, reason


def data_gate(evidence: GateEvidence) -> GateFinding:
    """Pass if the hold-out's rows are sound."""
    if evidence.faults is None:
        return "unknown", "the hold-out's rows were not checked"
    if evidence.faults:
        return "fail", "; ".join(evidence.faults)
    return "pass", "the hold-out's rows are sound"


def slices_gate(evidence: GateEvidence, tolerance: float) -> GateFinding:
    """Pass if no declared slice falls by more than the tolerance, beyond chance.

    A slice has fallen if its score is worse than the champion's by more than `tolerance` times
    the champion's, and chance gives as much in fewer than 5 % of cases over all slices (Holm).
    """
    slices = evidence.regressions
    if not evidence.slice_columns:
        return "off", "no column is named in evaluation.slices or sensitive"
    if evidence.champion is None:
        return "pass", "there is no champion whose slices could fall"
    if not slices:
        few = "no slice has as many rows as evaluation.slice_rows"
        return "unknown", "the slices could not be compared" if slices is None else few
    unclear = ", ".join(str(each) for each in slices if not each.is_comparable)
    if unclear:
        return "unknown", f"no score tells the slices {unclear}"
    p_values = [1.0 if each.drop.p_value is None else each.drop.p_value for each in slices]
    fallen = [
        f"{each}: {metric_name(each.metric)} is worse by {each.drop.mean:.4g} than the champion's"
        f" {each.score:.4g} ({count_noun(each.drop.n_rows, 'row')}, p {p_value:.2g} after Holm)"
        for each, p_value in zip(slices, holm_adjust(p_values), strict=True)
        if each.relative_drop > tolerance and p_value < SLICE_ALPHA
    ]
    if fallen:
        return "fail", f"worse where {'; '.join(fallen)}"
    worst = max(slices, key=lambda each: each.relative_drop)
    return "pass", (
        f"no slice of {len(slices)} falls by more than {format_percent(tolerance)} beyond chance;"
        f" the lowest is {worst}, {-100 * worst.relative_drop:+.1f} % in"
        f" {metric_name(worst.metric)}"
    )


def calibration_gate(evidence: GateEvidence, tolerance: float) -> GateFinding:
    """Pass if the expected calibration error does not rise by more than the tolerance.

    It has risen if it is higher than the champion's by more, and chance does not explain it.
    """
    if not evidence.has_probabilities:
        return "off", "it gives no probabilities"
    if evidence.champion is None:
        return "pass", "there is no champion whose calibration it could miss"
    interval = finite_interval(evidence.calibration)
    if interval is None:
        return "unknown", "the calibration errors cannot be compared"
    mean, low, _ = interval
    reason = f"its expected calibration error is {mean:+.4g} beside the champion's"
    if mean > tolerance and low > 0:
        return "fail", f"{reason}, at most {tolerance:+g} is allowed"
    return "pass", reason


def rate_gap_gate(evidence: GateEvidence, most: float) -> GateFinding:
    """Pass if the rates of a predicted class differ little between values of a sensitive column."""
    gaps = evidence.rate_gaps
    if not evidence.sensitive:
        return "unknown", "no column is named in evaluation.sensitive"
    if not gaps or not all(math.isfinite(each.gap) for each in gaps):
        return "unknown", "no two values have enough rows to compare their rates"
    widest = max(gaps, key=lambda each: each.gap)
    reason = (
        f"{widest.predicted} is predicted {format_percent(widest.gap)} more often where"
        f" {widest.column} is {widest.highest} than where it is {widest.lowest}"
    )
    if widest.gap > most:
        return "fail", f"{reason}; at most {format_percent(most)} is allowed"
    return "pass", reason


def speed_gate(evidence: GateEvidence, most: float) -> GateFinding:
    """Pass if predicting a row takes no longer than allowed, in milliseconds."""
    return _check_limit(evidence.milliseconds_a_row, most, "predicting takes {} ms a row")


def size_gate(evidence: GateEvidence, most: float) -> GateFinding:
    """Pass if the model's files are no larger than allowed, in megabytes."""
    return _check_limit(evidence.megabytes, most, "the model has {} MB on disk")


def finite_interval(found: PairedDifference | None) -> tuple[float, float, float] | None:
    """Return a difference with the low and high end of its interval, None unless all are finite."""
    if found is None or not (
        _is_known(found.mean) and _is_known(found.low) and _is_known(found.high)
    ):
        return None
    return found.mean, found.low, found.high


def _rows_that_would_tell(
    unknown: set[str], evaluation: Evaluation, evidence: GateEvidence
) -> tuple[int | None, int | None]:
    """Return about how many rows would tell, and how many were compared."""
    if unknown & {"baselines", "existing"}:
        existing = (row for row in evaluation.baselines if row.name == "existing")
        found = [
            *unbeaten_rules(evaluation),
            *(compare_with_rule(evaluation, row) for row in existing),
        ]
        needed = [each.rows_needed for each in found if each.rows_needed is not None]
        return max(needed, default=None), evaluation.n_holdout
    champion = evidence.champion
    difference = None if champion is None else champion.difference
    if champion is None or difference is None or finite_interval(difference) is None:
        return None, None
    if "champion" not in unknown:
        return None, None
    shortage = row_shortage(champion.class_counts, difference.n_rows, evaluation)
    sizes = (required_sample_size(difference), shortage.rows_needed if shortage else None)
    return max((n for n in sizes if n is not None), default=None), difference.n_rows


def _own_score_text(evaluation: Evaluation) -> str:
    score = chosen_model_metrics(evaluation).get(evaluation.metric)
    return f"its {metric_name(evaluation.metric)} of {_score_text(score)}"


def _worst(found: Iterable[RuleComparison], passed: str) -> GateFinding:
    """Return the failures, else what is unknown, else the reason for passing."""
    found = list(found)
    outcomes: tuple[GateOutcome, ...] = ("fail", "unknown")
    for outcome in outcomes:
        reasons = dict.fromkeys(each.reason for each in found if each.outcome == outcome)
        if reasons:
            return outcome, "; ".join(reasons)
    return "pass", passed


def _wins_by_loss(difference: PairedDifference, loss: PairedDifference) -> bool:
    interval = finite_interval(loss)
    is_lower = interval is not None and interval[1] > 0
    return is_lower and (difference.share_better or 0.0) >= MIN_SHARE_BETTER


def _check_limit(value: float | None, most: float, text: str) -> GateFinding:
    if not _is_known(value):
        return "unknown", text.format("unknown")
    reason = text.format(f"{value:.3g}")
    return ("fail", f"{reason}; at most {most:g} is allowed") if value > most else ("pass", reason)


def _is_known(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _interval_text(found: PairedDifference) -> str:
    n_rows = count_noun(found.n_rows, "row")
    return f"({found.mean:+.4g}, {found.low:+.4g} to {found.high:+.4g}, {n_rows})"


def _score_text(score: float | None) -> str:
    return f"{score:.4g}" if _is_known(score) else "unknown"
